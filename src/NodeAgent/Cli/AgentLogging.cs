using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Cli;

/// <summary>The agent's log: one line per event on standard error, where service managers collect it.</summary>
internal static class AgentLogging
{
    public static ILoggerFactory Create(bool verbose) => LoggerFactory.Create(logging => logging
        .SetMinimumLevel(verbose ? LogLevel.Debug : LogLevel.Information)
        .AddSimpleConsole(console => (console.SingleLine, console.TimestampFormat, console.UseUtcTimestamp) = (true, "yyyy-MM-ddTHH:mm:ss.fffZ ", true)));
}
