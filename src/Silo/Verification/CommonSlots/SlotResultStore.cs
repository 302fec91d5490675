using System.Collections.Immutable;
using Dapper;
using Federation.Silo.Storage;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Verification.CommonSlots;

/// <summary>What a node showed in a slot in which its group was challenged. A node that was at work, or took none, has no result.</summary>
/// <param name="NodeId">The node.</param>
/// <param name="SlotAt">When the slot began.</param>
/// <param name="Passed">Whether it computed as fast as its class does.</param>
/// <param name="Finding">In words, of the node: "took 11.20 s of 6.25 s".</param>
internal sealed record SlotResult(string NodeId, DateTimeOffset SlotAt, bool Passed, string Finding);

/// <summary>The results of common slots.</summary>
internal sealed class SlotResultStore(HubDatabase database)
{
    /// <summary>Keeps a result, and of the node's earlier ones those that still show anything.</summary>
    public Task<int> AddAsync(SlotResult result, DateTimeOffset forgetBefore, CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync(
            """
            DELETE FROM common_slots WHERE node_id = @NodeId AND slot_at < @Before;
            INSERT INTO common_slots (node_id, slot_at, passed, finding) VALUES (@NodeId, @SlotAt, @Passed, @Finding) ON CONFLICT (node_id, slot_at) DO NOTHING
            """,
            new { result.NodeId, SlotAt = Ms(result.SlotAt), Passed = result.Passed ? 1L : 0L, result.Finding, Before = Ms(forgetBefore) },
            transaction),
        cancellationToken);

    /// <summary>The results of some nodes since a moment.</summary>
    public Task<ImmutableArray<SlotResult>> ListAsync(IEnumerable<string> nodeIds, DateTimeOffset since, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<(string NodeId, long SlotAt, long Passed, string Finding)>(
            $"SELECT node_id, slot_at, passed, finding FROM common_slots WHERE slot_at >= @since AND {database.Dialect.In("node_id", "nodes")}",
            new { since = Ms(since), nodes = database.Dialect.Set(nodeIds) }))
            .Select(row => new SlotResult(row.NodeId, At(row.SlotAt), row.Passed != 0, row.Finding)).ToImmutableArray(),
        cancellationToken);
}
