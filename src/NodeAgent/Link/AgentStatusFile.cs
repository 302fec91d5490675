using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Engines;
using Federation.Protocol.Machine;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>What a running agent says of itself to <c>federation-node status</c>.</summary>
/// <param name="HubId">The hub it works for.</param>
/// <param name="NodeId">Who it is.</param>
/// <param name="Connected">Whether the hub can give it work.</param>
/// <param name="RunningLeases">Answers it is giving now.</param>
/// <param name="WhyNoWork">Why the node takes no work now; empty when it does.</param>
/// <param name="CreditedMicrocredits">Put on the owner's pending balance since it started, microcredits.</param>
internal sealed record AgentStatus(string? HubId, string NodeId, bool Connected, int RunningLeases, string WhyNoWork, long CreditedMicrocredits)
{
    /// <summary>Its engines, those that are not there too.</summary>
    public IReadOnlyList<EngineStatus> Engines { get; init; } = [];

    /// <summary>The agent's process.</summary>
    public int ProcessId { get; init; } = Environment.ProcessId;

    /// <summary>When this was written.</summary>
    public DateTimeOffset At { get; init; }
}

/// <summary>What one engine offers.</summary>
/// <param name="Name">The engine.</param>
/// <param name="IsThere">It answers.</param>
/// <param name="Models">What it has of what its owner allows.</param>
internal sealed record EngineStatus(string Name, bool IsThere, IReadOnlyList<string> Models)
{
    /// <summary>All engines of a moment.</summary>
    public static IReadOnlyList<EngineStatus> Of(EngineSnapshot snapshot, ModelFilter allowed) =>
    [
        .. snapshot.Engines.Select(state => new EngineStatus(state.Engine.Name, IsThere: true, [.. state.Inventory.Models.Where(allowed.Allows).Select(model => model.Name)])),
        .. snapshot.Missing.Select(name => new EngineStatus(name, IsThere: false, [])),
    ];
}

/// <summary>The file through which one process shows another how it is. Replaced in one step, readable by its owner only.</summary>
internal sealed partial class AgentStatusFile(AgentPaths paths, TimeProvider time, ILogger<AgentStatusFile> logger)
{
    private const int MaxBytes = 64 * 1024;

    /// <summary>Older than this, the agent that wrote it is gone or stuck.</summary>
    public static readonly TimeSpan Freshness = TimeSpan.FromSeconds(60);

    private string FilePath => Path.Combine(paths.Home, "status.json");

    /// <summary>Tells others; a disk that is full or read-only must not stop the agent's work.</summary>
    public void Write(AgentStatus status)
    {
        try
        {
            PrivateFile.Replace(FilePath, JsonSerializer.SerializeToUtf8Bytes(status with { At = time.GetUtcNow() }, AgentStatusJson.Default.AgentStatus));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogNotWritten(FilePath, exception);
        }
    }

    /// <summary>What a running agent wrote lately; <see langword="null"/> when none runs.</summary>
    public AgentStatus? Read()
    {
        try
        {
            using var file = File.OpenRead(FilePath);
            var status = JsonSerializer.Deserialize(PrivateFile.Read(file, MaxBytes), AgentStatusJson.Default.AgentStatus);
            return status is not null && time.GetUtcNow() - status.At < Freshness ? status : null;
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException or JsonException or InvalidDataException)
        {
            return null;
        }
    }

    public void Delete() => File.Delete(FilePath);

    [LoggerMessage(5500, LogLevel.Warning, "{Path} could not be written; `federation-node status` will not see this agent")]
    private partial void LogNotWritten(string path, Exception exception);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(AgentStatus))]
internal sealed partial class AgentStatusJson : JsonSerializerContext;
