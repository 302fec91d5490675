using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Federation.Silo.Tests.Fakes;

/// <summary>A log to look into.</summary>
internal sealed class KeptLog<T> : ILogger<T>
{
    /// <summary>What was said, the earliest first.</summary>
    public ConcurrentQueue<(LogLevel Level, string Words)> Lines { get; } = new();

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull
        => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        => Lines.Enqueue((logLevel, formatter(state, exception)));
}
