using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Cli;

/// <summary>The agent's log: one line per event on standard error, where service managers collect it.</summary>
internal static class AgentLogging
{
    public static ILoggerFactory Create(bool verbose) => new LoggerFactory(
        [new LineLoggerProvider(Console.Error, TimeProvider.System)],
        new LoggerFilterOptions { MinLevel = verbose ? LogLevel.Debug : LogLevel.Information });
}
