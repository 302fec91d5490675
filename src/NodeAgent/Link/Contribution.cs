using System.Text.Json;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Hardware;
using Federation.Protocol.V1;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>
/// What the contributor allows at this moment, and the one reason why not. The configuration file is read again when it
/// changes, so that <c>pause</c> and an editor have their effect while the agent runs.
/// </summary>
internal sealed partial class Contribution(AgentPaths paths, AgentConfig config, WorkedToday worked, TimeProvider time, ILogger<Contribution> logger)
{
    private readonly string _startedWith = WithoutPolicy(config);
    private AgentConfig _config = config;
    private DateTime _readAt = File.GetLastWriteTimeUtc(paths.ConfigFile);
    private double? _hottest;

    /// <summary>Which models may be served.</summary>
    public ModelFilter Models => new(_config.Policy.AllowedModels, _config.Policy.VramLimitGib);

    /// <summary>Takes note of the devices' temperatures.</summary>
    public void Note(LoadReport load) => _hottest = load.Devices.Max(device => device.TemperatureCelsius);

    /// <summary>The policy as the hub is told it.</summary>
    public Policy Now()
    {
        ReloadIfChanged();
        var why = WhyNot();
        var policy = new Policy
        {
            Paused = why is not null,
            PausedReason = why ?? string.Empty,
            Schedule = _config.Policy.Schedule ?? string.Empty,
        };
        if (_config.Policy.HoursPerDay is { } hours) policy.HoursPerDay = hours;
        policy.AllowedModels.AddRange(_config.Policy.AllowedModels);
        return policy;
    }

    private string? WhyNot()
    {
        var policy = _config.Policy;
        if (policy.Paused) return "paused by the owner";
        if (policy.DailySchedule is { } schedule && !schedule.Contains(TimeOnly.FromDateTime(time.GetLocalNow().DateTime))) return $"outside the schedule {schedule}";
        if (policy.HoursPerDay is { } hours && worked.Total >= TimeSpan.FromHours(hours)) return $"worked {hours:0.##} hours today, which is the limit";
        return policy.MaxTemperatureCelsius is { } limit && _hottest >= limit ? $"a GPU is at {_hottest:0} °C; the limit is {limit:0} °C" : null;
    }

    private void ReloadIfChanged()
    {
        var writtenAt = File.GetLastWriteTimeUtc(paths.ConfigFile);
        if (writtenAt == _readAt) return;
        _readAt = writtenAt;
        try
        {
            _config = AgentConfigFile.Load(paths.ConfigFile);
            if (WithoutPolicy(_config) != _startedWith) LogNeedsRestart();
        }
        catch (Exception exception) when (exception is AgentConfigException or IOException or UnauthorizedAccessException)
        {
            // Half-written or wrong: what was known stays in force.
            LogNotRead(paths.ConfigFile, exception.Message);
        }
    }

    /// <summary>Everything that is read once, at the start.</summary>
    private static string WithoutPolicy(AgentConfig config) => JsonSerializer.Serialize(config with { Policy = new PolicyConfig() }, AgentConfigJson.Default.AgentConfig);

    [LoggerMessage(5300, LogLevel.Warning, "{Path} could not be read, and the settings before it stay in force: {Problem}")]
    private partial void LogNotRead(string path, string problem);

    [LoggerMessage(5301, LogLevel.Information, "The hub or the engines were changed in the settings; that takes a restart")]
    private partial void LogNeedsRestart();
}
