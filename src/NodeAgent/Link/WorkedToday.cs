using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.NodeAgent.Configuration;
using Federation.Protocol.Machine;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>
/// How long this node has worked since midnight, local time: the time in which at least one lease ran. Kept in a file, so that a
/// restart gives no second day. Safe for use by several threads.
/// </summary>
internal sealed partial class WorkedToday : IDisposable
{
    private const int MaxBytes = 4 * 1024;

    // What a crash may give back. A file that outlives a power cut takes longer to write than many a lease.
    private static readonly TimeSpan UnwrittenMax = TimeSpan.FromSeconds(10);

    private readonly AgentPaths _paths;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private DateOnly _day;
    private TimeSpan _worked;
    private TimeSpan _written;
    private int _running;
    private DateTimeOffset _countedUntil;

    public WorkedToday(AgentPaths paths, TimeProvider time, ILogger<WorkedToday> logger)
    {
        (_paths, _time, _logger) = (paths, time, logger);
        (_day, _worked) = Read() ?? (Today(time.GetLocalNow()), TimeSpan.Zero);
        _written = _worked;
    }

    /// <summary>Up to now.</summary>
    public TimeSpan Total
    {
        get
        {
            lock (_gate)
            {
                Count();
                return _worked;
            }
        }
    }

    private string FilePath => Path.Combine(_paths.Home, "worked.json");

    /// <summary>A lease begins.</summary>
    public void Begin()
    {
        lock (_gate)
        {
            Count();
            _running++;
        }
    }

    /// <summary>A lease has ended. Nothing is written here: what calls it may carry other leases' bytes.</summary>
    public void End()
    {
        lock (_gate)
        {
            Count();
            _running--;
        }
    }

    /// <summary>Writes the day's total down if it has grown by enough.</summary>
    public void Save() => Save(UnwrittenMax);

    /// <summary>Writes down what is not yet.</summary>
    public void Dispose() => Save(TimeSpan.FromTicks(1));

    private static DateOnly Today(DateTimeOffset localNow) => DateOnly.FromDateTime(localNow.DateTime);

    /// <summary>Adds the time since the last count if work ran in it; of a span over midnight, the part after it.</summary>
    private void Count()
    {
        var now = _time.GetLocalNow();
        var from = _countedUntil;
        if (Today(now) != _day)
        {
            (_day, _worked, _written) = (Today(now), TimeSpan.Zero, TimeSpan.Zero);
            var midnight = now - now.TimeOfDay;
            if (from < midnight) from = midnight;
        }
        // A clock that was set back takes nothing away.
        if (_running > 0 && now > from) _worked += now - from;
        _countedUntil = now;
    }

    private void Save(TimeSpan least)
    {
        WorkedRecord record;
        lock (_gate)
        {
            Count();
            if (_worked - _written < least) return;
            // Also where that fails: each call would try again.
            _written = _worked;
            record = new WorkedRecord(_day, _worked.TotalSeconds);
        }
        try
        {
            PrivateFile.Replace(FilePath, JsonSerializer.SerializeToUtf8Bytes(record, WorkedJson.Default.WorkedRecord));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogNotWritten(FilePath, exception);
        }
    }

    private (DateOnly Day, TimeSpan Worked)? Read()
    {
        try
        {
            using var file = File.OpenRead(FilePath);
            var record = JsonSerializer.Deserialize(PrivateFile.Read(file, MaxBytes), WorkedJson.Default.WorkedRecord);
            return record is { Seconds: >= 0 and <= 90_000 } ? (record.Day, TimeSpan.FromSeconds(record.Seconds)) : null;
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidDataException or UnauthorizedAccessException)
        {
            LogNotRead(FilePath, exception);
            return null;
        }
    }

    [LoggerMessage(5600, LogLevel.Warning, "{Path} could not be read; the hours of today count from zero")]
    private partial void LogNotRead(string path, Exception exception);

    [LoggerMessage(5601, LogLevel.Warning, "{Path} could not be written; a restart would count the hours of today from zero")]
    private partial void LogNotWritten(string path, Exception exception);
}

/// <summary>The file's content.</summary>
/// <param name="Day">Local date.</param>
/// <param name="Seconds">Worked on it.</param>
internal sealed record WorkedRecord(DateOnly Day, double Seconds);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(WorkedRecord))]
internal sealed partial class WorkedJson : JsonSerializerContext;
