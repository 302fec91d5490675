using System.Text.Json;
using Dapper;
using Federation.Contracts.Nodes;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Verification.Audits;

/// <summary>What the judge remembers of each node with each weights, from audit to audit.</summary>
/// <remarks>Two silos that audit one node in the same moment may lose one of two audits' sums: a delay of an alarm, nothing more.</remarks>
internal sealed class InferenceHistories(HubDatabase database)
{
    public Task<InferenceHistory> GetAsync(string nodeId, string weights, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => await connection.QuerySingleOrDefaultAsync<string>(
            "SELECT history FROM inference_histories WHERE node_id = @nodeId AND weights = @weights", new { nodeId, weights }) is { } json
            ? JsonSerializer.Deserialize(json, AuditJson.Default.InferenceHistory)!
            : InferenceHistory.Empty,
        cancellationToken);

    /// <summary>What a verdict leaves behind, to be recorded with it.</summary>
    public static AuditHistory Of(string weights, InferenceHistory history) => new(weights, JsonSerializer.Serialize(history, AuditJson.Default.InferenceHistory));

    /// <summary>Writes it.</summary>
    public static SqlStatement Write(string nodeId, AuditHistory history, DateTimeOffset now) => new(
        """
        INSERT INTO inference_histories (node_id, weights, history, updated_at) VALUES (@NodeId, @Weights, @Json, @Now)
        ON CONFLICT (node_id, weights) DO UPDATE SET history = excluded.history, updated_at = excluded.updated_at
        """,
        new { NodeId = nodeId, history.Weights, history.Json, Now = UnixTime.Ms(now) });
}
