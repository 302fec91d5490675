using System.Buffers;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace Federation.Silo.Telemetry;

/// <summary>
/// The log on the console: a line for each entry, and one write for all lines of a moment. A line for each request would else wake a thread and call the kernel for each request.
/// Safe for use by several threads. The framework's console logger, with a formatter of our own, writes each line by itself, loses without a word what it cannot write, and what still waits when an exception ends the process.
/// </summary>
/// <remarks>Lines are out within <see cref="Gather"/>, and all of them when the process ends by itself. Whoever logs faster than the console takes it waits, as long as <see cref="PendingMax"/> characters do. What cannot be written, on a full disk or a terminal that is gone, is lost, and the log says how much once it can.</remarks>
internal sealed class GatheredConsole : ILoggerProvider
{
    private const int PendingMax = 1 << 20;
    private const int WriteBytes = 16 << 10;

    private static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(20);

    // Whoever reads the log may have stopped reading: that keeps no process from ending.
    private static readonly TimeSpan LastWrite = TimeSpan.FromSeconds(2);

    private static readonly SearchValues<char> Controls = SearchValues.Create([.. Enumerable.Range(0, 256).Select(static code => (char)code).Where(char.IsControl), '\u2028', '\u2029']);

    private readonly ConcurrentDictionary<string, ILogger> _loggers = new(StringComparer.Ordinal);
    private readonly Lock _writing = new();
    private readonly object _gate = new();
    private readonly StreamWriter _console;
    private readonly TimeProvider _time;
    private readonly Thread _thread;
    private StringBuilder _pending = new();
    private StringBuilder _spare = new();
    private long _lost;
    private bool _isOver;

    /// <param name="console">Where it is written. Not disposed.</param>
    /// <param name="time">For the time of each line.</param>
    public GatheredConsole(Stream console, TimeProvider time)
    {
        _console = new StreamWriter(console, bufferSize: WriteBytes, leaveOpen: true);
        _time = time;
        _thread = new Thread(WriteAll) { IsBackground = true, Name = "Log" };
        _thread.Start();
        AppDomain.CurrentDomain.ProcessExit += OnProcessEnds;
        AppDomain.CurrentDomain.UnhandledException += OnProcessEnds;
    }

    public ILogger CreateLogger(string categoryName) => _loggers.GetOrAdd(categoryName, static (name, console) => new CategoryLogger(name, console), this);

    public void Dispose()
    {
        AppDomain.CurrentDomain.ProcessExit -= OnProcessEnds;
        AppDomain.CurrentDomain.UnhandledException -= OnProcessEnds;
        lock (_gate)
        {
            _isOver = true;
            Monitor.PulseAll(_gate);
        }
        if (_thread.Join(LastWrite)) WritePending();
    }

    private void OnProcessEnds(object? sender, EventArgs e) => WritePending();

    private void Add(string category, LogLevel level, EventId id, string message, Exception? exception)
    {
        lock (_gate)
        {
            while (_pending.Length > PendingMax && !_isOver) Monitor.Wait(_gate);
            if (_pending.Length == 0) Monitor.PulseAll(_gate);
            _pending.Append(CultureInfo.InvariantCulture, $"{_time.GetUtcNow():yyyy-MM-ddTHH:mm:ss.fffZ} {WordOf(level)}: {category}[{id.Id}] ");
            AppendOnOneLine(message);
            if (exception is not null) AppendOnOneLine($" {exception}");
            _pending.Append('\n');
        }
    }

    /// <summary>One event, one line: what a client, a node or a library says can neither begin a line of its own nor steer a terminal.</summary>
    private void AppendOnOneLine(string text)
    {
        if (text.AsSpan().ContainsAny(Controls)) text = text.ReplaceLineEndings(" ");
        if (text.AsSpan().ContainsAny(Controls)) text = string.Create(text.Length, text, static (line, said) => said.AsSpan().ReplaceAny(line, Controls, ' '));
        _pending.Append(text);
    }

    private void WriteAll()
    {
        while (true)
        {
            lock (_gate)
            {
                while (_pending.Length == 0 && !_isOver) Monitor.Wait(_gate);
                if (_isOver) return;
                // Whoever comes in this time shares the write.
                Monitor.Wait(_gate, Gather);
            }
            WritePending();
        }
    }

    private void WritePending()
    {
        if (!_writing.TryEnter(LastWrite)) return;
        try
        {
            StringBuilder lines;
            lock (_gate)
            {
                (lines, _pending) = (_pending, _spare);
                Monitor.PulseAll(_gate);
            }
            Write(lines);
            _spare = lines.Clear();
        }
        finally
        {
            _writing.Exit();
        }
    }

    private void Write(StringBuilder lines)
    {
        try
        {
            if (_lost > 0) _console.Write(string.Create(CultureInfo.InvariantCulture, $"{_time.GetUtcNow():yyyy-MM-ddTHH:mm:ss.fffZ} {WordOf(LogLevel.Warning)}: {typeof(GatheredConsole).FullName}[0] {_lost} characters of the log could not be written\n"));
            _console.Write(lines);
            _console.Flush();
            _lost = 0;
        }
        catch (IOException)
        {
            // There is nobody to tell but who reads the log later.
            _lost += lines.Length;
        }
    }

    private static string WordOf(LogLevel level) => level switch
    {
        LogLevel.Trace => "trce",
        LogLevel.Debug => "dbug",
        LogLevel.Information => "info",
        LogLevel.Warning => "warn",
        LogLevel.Error => "fail",
        LogLevel.Critical => "crit",
        _ => throw new ArgumentOutOfRangeException(nameof(level), level, null),
    };

    private sealed class CategoryLogger(string category, GatheredConsole console) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel is not LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel)) console.Add(category, logLevel, eventId, formatter(state, exception), exception);
        }
    }
}
