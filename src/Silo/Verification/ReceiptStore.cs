using System.Collections.Immutable;
using Dapper;
using Federation.Protocol.Receipts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Verification;

/// <summary>Where a receipt stands.</summary>
internal enum ReceiptState
{
    /// <summary>Offered to the node, which has not answered.</summary>
    Offered,

    /// <summary>Signed by both.</summary>
    Issued,

    /// <summary>The node objected, or the hub, to a signature that came too late.</summary>
    Disputed,
}

/// <summary>A receipt on record.</summary>
/// <param name="Id">SHA-256 of the payload.</param>
/// <param name="Payload">What is signed.</param>
/// <param name="State">Where it stands.</param>
/// <param name="NodeSignature">The node's; empty until it has signed.</param>
/// <param name="HubSignature">The hub's; empty until it has.</param>
/// <param name="CreditedMicrocredits">What it puts on the owner's pending balance.</param>
/// <param name="DeterminismClass">Its earning waits for audits of the same weights.</param>
/// <param name="NodeId">Whose it is.</param>
/// <param name="BookedAt">When there was something to sign.</param>
/// <param name="Objection">Why it was not signed, in words; empty where nobody objected.</param>
internal sealed record StoredReceipt(
    ImmutableArray<byte> Id, ImmutableArray<byte> Payload, ReceiptState State, ImmutableArray<byte> NodeSignature, ImmutableArray<byte> HubSignature, long CreditedMicrocredits, string DeterminismClass,
    string NodeId, DateTimeOffset BookedAt, string Objection)
{
    /// <summary>What the payload says.</summary>
    public Receipt Content
    {
        get => field ??= ReceiptCodec.Decode(Payload.AsMemory());
        init;
    }
}

/// <summary>The end of a node's chain of receipts.</summary>
internal readonly record struct ChainHead(long Sequence, ImmutableArray<byte> Id)
{
    public static readonly ChainHead Start = new(0, [.. new byte[32]]);
}

/// <summary>The receipts of a hub.</summary>
internal sealed class ReceiptStore(HubDatabase database)
{
    /// <summary>The row of a receipt that is about to be offered. Written with its earning, by which it is found.</summary>
    public static SqlStatement RowOf(Receipt receipt, ImmutableArray<byte> id, byte[] payload, Microcredits credited, DateTimeOffset now) => new(
        """
        INSERT INTO receipts (id, node_id, seq, epoch, job_id, attempt, payload, state, credited, created_at)
        SELECT @Id, @NodeId, @Seq, @Epoch, @JobId, @Attempt, @Payload, 'offered', @Credited, @CreatedAt
        WHERE NOT EXISTS (SELECT 1 FROM receipts WHERE node_id = @NodeId AND seq = @Seq AND id = @Id)
        """,
        new
        {
            Id = Name(id),
            NodeId = receipt.Node.ToString(),
            Seq = receipt.Sequence,
            receipt.Epoch,
            receipt.JobId,
            receipt.Attempt,
            Payload = payload,
            Credited = credited.Value,
            CreatedAt = Ms(now),
        });

    /// <summary>Marks a receipt as signed by both.</summary>
    public static SqlStatement Issue(StoredReceipt receipt, byte[] nodeSignature, byte[] hubSignature, DateTimeOffset now) => new(
        $"UPDATE receipts SET state = 'issued', node_signature = @NodeSignature, hub_signature = @HubSignature, issued_at = @Now {WhereOffered}",
        new { receipt.NodeId, Seq = receipt.Content.Sequence, Id = Name(receipt.Id), NodeSignature = nodeSignature, HubSignature = hubSignature, Now = Ms(now) });

    /// <summary>Marks a receipt as objected to.</summary>
    public static SqlStatement Dispute(StoredReceipt receipt, string objection) => new(
        $"UPDATE receipts SET state = 'disputed', objection = @Objection {WhereOffered}", new { receipt.NodeId, Seq = receipt.Content.Sequence, Id = Name(receipt.Id), Objection = objection });

    /// <summary>Those of these receipts that are the node's, by <see cref="EarningStore.Name"/>.</summary>
    public Task<Dictionary<string, StoredReceipt>> FindAsync(string nodeId, IReadOnlyCollection<ImmutableArray<byte>> ids, CancellationToken cancellationToken) => database.ReadAsync(
        // Whose they are is asked of what was found: asked of the database, it might take the way through the node's whole chain.
        async connection => (await connection.QueryAsync<Stored>($"SELECT {Stored.Columns} WHERE {database.Dialect.In("e.id", "ids")}", new { ids = database.Dialect.Set(ids.Select(Name)) }))
            .Where(row => row.Node_id == nodeId).ToDictionary(row => row.Id, row => row.ToReceipt(), StringComparer.Ordinal),
        cancellationToken);

    /// <summary>The receipt of that id, whosever it is.</summary>
    public Task<StoredReceipt?> FindAsync(string id, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QuerySingleOrDefaultAsync<Stored>($"SELECT {Stored.Columns} WHERE e.id = @id", new { id }))?.ToReceipt(),
        cancellationToken);

    /// <summary>The first receipt that the node answered with this signature, alone or in a batch; <see langword="null"/> if none.</summary>
    public Task<string?> FindSignedAsync(string nodeId, ImmutableArray<byte> signature, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => await connection.QueryFirstOrDefaultAsync<string>(
            "SELECT id FROM receipts WHERE node_id = @nodeId AND substr(node_signature, 1, 64) = @signature ORDER BY seq LIMIT 1", new { nodeId, signature = signature.ToArray() }),
        cancellationToken);

    /// <summary>What the node was offered and has not answered, the oldest first.</summary>
    public Task<ImmutableArray<StoredReceipt>> ListOfferedAsync(string nodeId, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            // By the earnings that nobody signed for, which are few, and not by the node's whole chain.
            var rows = await connection.QueryAsync<Stored>(
                $"SELECT {Stored.Columns} WHERE e.node_id = @nodeId AND e.state = 0 AND r.state = 'offered' ORDER BY r.seq LIMIT @limit", new { nodeId, limit });
            return rows.Select(row => row.ToReceipt()).ToImmutableArray();
        },
        cancellationToken);

    public Task<ChainHead> GetHeadAsync(string nodeId, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var row = await connection.QuerySingleOrDefaultAsync<Head>("SELECT seq, id FROM receipts WHERE node_id = @nodeId ORDER BY seq DESC LIMIT 1", new { nodeId });
            return row is null ? ChainHead.Start : new ChainHead(row.Seq, [.. Convert.FromHexString(row.Id)]);
        },
        cancellationToken);

    /// <summary>Those of these jobs that have their receipts.</summary>
    public Task<HashSet<string>> ListBookedAsync(IReadOnlyCollection<string> jobIds, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<string>(
            $"SELECT job_id FROM receipts WHERE {database.Dialect.In("job_id", "jobs")}", new { jobs = database.Dialect.Set(jobIds) })).ToHashSet(StringComparer.Ordinal),
        cancellationToken);

    // By its place in the chain, a key that grows; the id says that it is the one that was meant.
    private const string WhereOffered = "WHERE node_id = @NodeId AND seq = @Seq AND id = @Id AND state = 'offered'";

    private static string Name(ImmutableArray<byte> id) => Convert.ToHexStringLower(id.AsSpan());

    private sealed class Head
    {
        public required long Seq { get; init; }

        public required string Id { get; init; }
    }

    private sealed class Stored
    {
        public const string Columns =
            "r.id, r.node_id, r.payload, r.state, r.node_signature, r.hub_signature, r.credited, r.created_at, r.objection, e.dc FROM earnings e JOIN receipts r ON r.job_id = e.reference AND r.id = e.id";

        public required string Id { get; init; }

        public required byte[] Payload { get; init; }

        public required string State { get; init; }

        public required string Node_id { get; init; }

        public required string Dc { get; init; }

        public byte[]? Node_signature { get; init; }

        public byte[]? Hub_signature { get; init; }

        public required long Credited { get; init; }

        public required long Created_at { get; init; }

        public string? Objection { get; init; }

        public StoredReceipt ToReceipt() => new(
            [.. Convert.FromHexString(Id)],
            [.. Payload],
            State switch
            {
                "offered" => ReceiptState.Offered,
                "issued" => ReceiptState.Issued,
                "disputed" => ReceiptState.Disputed,
                _ => throw new InvalidOperationException($"Receipt {Id} is in the unknown state '{State}'."),
            },
            [.. Node_signature ?? []],
            [.. Hub_signature ?? []],
            Credited,
            Dc,
            Node_id,
            UnixTime.At(Created_at),
            Objection ?? string.Empty);
    }
}
