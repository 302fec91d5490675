using System.Text.Json;
using Dapper;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Verification.Audits;

/// <summary>What the judge remembers of each node with each weights, from audit to audit.</summary>
/// <remarks>Two silos that audit one node in the same moment may lose one of two audits' sums: a delay of an alarm, nothing more.</remarks>
internal sealed class InferenceHistories(HubDatabase database, TimeProvider time)
{
    public Task<InferenceHistory> GetAsync(string nodeId, string weights, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => await connection.QuerySingleOrDefaultAsync<string>(
            "SELECT history FROM inference_histories WHERE node_id = @nodeId AND weights = @weights", new { nodeId, weights }) is { } json
            ? JsonSerializer.Deserialize(json, AuditJson.Default.InferenceHistory)!
            : InferenceHistory.Empty,
        cancellationToken);

    public Task PutAsync(string nodeId, string weights, InferenceHistory history, CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync(
            """
            INSERT INTO inference_histories (node_id, weights, history, updated_at) VALUES (@nodeId, @weights, @json, @now)
            ON CONFLICT (node_id, weights) DO UPDATE SET history = excluded.history, updated_at = excluded.updated_at
            """,
            new { nodeId, weights, json = JsonSerializer.Serialize(history, AuditJson.Default.InferenceHistory), now = time.GetUtcNow().ToUnixTimeMilliseconds() },
            transaction),
        cancellationToken);
}
