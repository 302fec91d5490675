using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Cli;

/// <summary>Writes each event as one line: <c>2026-01-31T12:00:00.000Z info: Category[5000] Message</c>.</summary>
/// <remarks>
/// The framework's console logger would do, but brings dependency injection, configuration binding and a thread with it: a tenth of
/// the agent's start, 0.7 MB of its file and 3 MB of its memory, for one format that nobody configures.
/// </remarks>
internal sealed class LineLoggerProvider(TextWriter output, TimeProvider time) : ILoggerProvider
{
    private readonly Lock _turn = new();

    public ILogger CreateLogger(string categoryName) => new LineLogger(this, categoryName);

    public void Dispose()
    {
        // The writer is the process's own.
    }

    private void Write(string line)
    {
        lock (_turn) output.WriteLine(line);
    }

    private sealed class LineLogger(LineLoggerProvider provider, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var line = new StringBuilder()
                .Append(provider.Now())
                .Append(CultureInfo.InvariantCulture, $" {Word(logLevel)}: {category}[{eventId.Id}] {formatter(state, exception)}");
            if (exception is not null) line.Append(' ').Append(exception);
            // One event, one line: what a hub or an engine says can neither begin a line of its own nor steer a terminal.
            for (var i = 0; i < line.Length; i++)
            {
                if (char.IsControl(line[i])) line[i] = ' ';
            }
            provider.Write(line.ToString());
        }

        private static string Word(LogLevel level) => level switch
        {
            LogLevel.Trace => "trce",
            LogLevel.Debug => "dbug",
            LogLevel.Information => "info",
            LogLevel.Warning => "warn",
            LogLevel.Error => "fail",
            _ => "crit",
        };
    }

    private string Now() => time.GetUtcNow().ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);
}
