using System.Collections.Immutable;
using System.Data.Common;
using Dapper;
using Federation.Protocol.Receipts;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Sampling;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Verification.Epochs;

/// <summary>Where an epoch stands. The numbers are stored: never renumber.</summary>
internal enum EpochState
{
    /// <summary>Takes receipts; its secret is committed to.</summary>
    Open = 1,

    /// <summary>Its root is published; no receipt comes in any more.</summary>
    Rooted = 2,

    /// <summary>Its beacon is revealed and its audits are drawn.</summary>
    Revealed = 3,
}

/// <summary>One epoch on record.</summary>
/// <param name="Epoch">Whole hours since 1970 UTC.</param>
/// <param name="State">Where it stands.</param>
/// <param name="Secret">What the beacon is made from; nobody's before it is revealed.</param>
/// <param name="Commitment">Its hash, published from the beginning.</param>
/// <param name="CommittedAt">Since when.</param>
/// <param name="Root">Of its receipts; empty until rooted.</param>
/// <param name="Receipts">How many; 0 until rooted.</param>
/// <param name="Signature">The hub's over all of this; empty until rooted.</param>
/// <param name="RootedAt">When.</param>
/// <param name="Beacon">Empty until revealed.</param>
/// <param name="RevealedAt">When.</param>
internal sealed record EpochRow(
    long Epoch,
    EpochState State,
    byte[] Secret,
    byte[] Commitment,
    DateTimeOffset CommittedAt,
    byte[] Root,
    long Receipts,
    byte[] Signature,
    DateTimeOffset? RootedAt,
    byte[] Beacon,
    DateTimeOffset? RevealedAt);

/// <summary>The epochs of a hub. Every step is one transaction that holds the epoch's row, so that silos may take steps at the same time.</summary>
internal sealed class EpochStore(HubDatabase database)
{
    /// <summary>Largest page.</summary>
    public const int ListMax = 10_000;

    /// <summary>Makes an epoch with its secret, unless it is there.</summary>
    public Task<int> EnsureAsync(long epoch, byte[] secret, DateTimeOffset now, CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync(
            "INSERT INTO epochs (epoch, secret, commitment, committed_at, state) VALUES (@epoch, @secret, @commitment, @now, 1) ON CONFLICT (epoch) DO NOTHING",
            new { epoch, secret, commitment = EpochSecret.Commitment(epoch, secret), now = Ms(now) },
            transaction),
        cancellationToken);

    /// <summary>Whether the epoch is there.</summary>
    public async Task<bool> ExistsAsync(long epoch, CancellationToken cancellationToken) => await FindAsync(epoch, cancellationToken) is not null;

    public Task<EpochRow?> FindAsync(long epoch, CancellationToken cancellationToken) => database.ReadAsync(connection => FindAsync(connection, null, epoch, string.Empty), cancellationToken);

    /// <summary>The newest epochs before <paramref name="before"/>.</summary>
    public Task<ImmutableArray<EpochRow>> ListAsync(long before, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<Stored>("SELECT * FROM epochs WHERE epoch < @before ORDER BY epoch DESC LIMIT @limit", new { before, limit }))
            .Select(row => row.ToRow()).ToImmutableArray(),
        cancellationToken);

    /// <summary>The oldest epochs in a state that ended, or were rooted, before a moment.</summary>
    public Task<ImmutableArray<long>> ListDueAsync(EpochState state, long endedBefore, DateTimeOffset rootedBefore, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<long>(
            "SELECT epoch FROM epochs WHERE state = @state AND epoch < @endedBefore AND COALESCE(rooted_at, 0) <= @rootedBefore ORDER BY epoch LIMIT @limit",
            new { state = (long)state, endedBefore, rootedBefore = Ms(rootedBefore), limit })).ToImmutableArray(),
        cancellationToken);

    /// <summary>The receipts of an epoch, by id after <paramref name="after"/>.</summary>
    public Task<ImmutableArray<EpochLeaf>> ListLeavesAsync(long epoch, string after, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        connection => LeavesAsync(connection, null, epoch, after, limit), cancellationToken);

    /// <summary>The epoch that a receipt is rooted in; null when in none yet.</summary>
    public Task<long?> FindEpochOfAsync(string receiptId, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.QuerySingleOrDefaultAsync<long?>("SELECT epoch FROM earnings WHERE id = @receiptId", new { receiptId }), cancellationToken);

    /// <summary>Puts receipts that were issued before the epoch's end and are in no root into this one.</summary>
    /// <returns>How many; null when the epoch is not open any more.</returns>
    public Task<int?> GatherAsync(long epoch, int batchMax, CancellationToken cancellationToken) => database.WriteAsync<int?>(
        async (connection, transaction) => await FindAsync(connection, transaction, epoch, database.Dialect.ForUpdate) is { State: EpochState.Open }
            ? await connection.ExecuteAsync(
                """
                UPDATE earnings SET epoch = @epoch WHERE id IN (
                  SELECT id FROM earnings WHERE epoch IS NULL AND receipt_id IS NOT NULL AND credited_at IS NOT NULL AND credited_at < @end ORDER BY credited_at LIMIT @batchMax)
                """,
                new { epoch, end = (epoch + 1) * EpochClosing.EpochMs, batchMax },
                transaction)
            : null,
        cancellationToken);

    /// <summary>Closes an open epoch: its root over what it has gathered.</summary>
    /// <param name="epoch">Which.</param>
    /// <param name="sign">The hub's signature over the epoch's signing bytes.</param>
    /// <param name="now">Now.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <returns>How many receipts it has; null when it was not open.</returns>
    public Task<int?> RootAsync(long epoch, Func<byte[], byte[]> sign, DateTimeOffset now, CancellationToken cancellationToken) => database.WriteAsync<int?>(
        async (connection, transaction) =>
        {
            if (await FindAsync(connection, transaction, epoch, database.Dialect.ForUpdate) is not { State: EpochState.Open } row) return null;
            var leaves = await LeavesAsync(connection, transaction, epoch, string.Empty, int.MaxValue);
            var root = EpochTree.Root(leaves);
            await connection.ExecuteAsync(
                "UPDATE epochs SET state = 2, root = @root, receipts = @count, signature = @signature, rooted_at = @now WHERE epoch = @epoch",
                new { epoch, root, count = (long)leaves.Length, signature = sign(EpochTree.SigningBytes(epoch, leaves.Length, row.Commitment, root)), now = Ms(now) },
                transaction);
            return leaves.Length;
        },
        cancellationToken);

    /// <summary>Reveals a rooted epoch's beacon and draws its audits.</summary>
    /// <returns>How many were drawn; null when it was not rooted, or is revealed already.</returns>
    public Task<int?> RevealAsync(long epoch, DateTimeOffset now, CancellationToken cancellationToken) => database.WriteAsync<int?>(
        async (connection, transaction) =>
        {
            if (await FindAsync(connection, transaction, epoch, database.Dialect.ForUpdate) is not { State: EpochState.Rooted } row) return null;
            var beacon = EpochSecret.Beacon(epoch, row.Secret);
            var drawn = (await LeavesAsync(connection, transaction, epoch, string.Empty, int.MaxValue))
                .Where(leaf => AuditDraw.IsDrawn(beacon, leaf.Id.AsSpan(), new AuditRate(leaf.RateMillionths)))
                .Select(leaf => EarningStore.Name(leaf.Id)).ToArray();
            foreach (var chunk in drawn.Chunk(500))
            {
                await connection.ExecuteAsync(
                    $"UPDATE earnings SET audit = 1 WHERE audit = 0 AND {database.Dialect.In("id", "ids")}", new { ids = database.Dialect.Set(chunk) }, transaction);
            }
            await connection.ExecuteAsync(
                "UPDATE epochs SET state = 3, beacon = @beacon, revealed_at = @now WHERE epoch = @epoch", new { epoch, beacon, now = Ms(now) }, transaction);
            return drawn.Length;
        },
        cancellationToken);

    private static async Task<EpochRow?> FindAsync(DbConnection connection, DbTransaction? transaction, long epoch, string forUpdate)
        => (await connection.QuerySingleOrDefaultAsync<Stored>($"SELECT * FROM epochs WHERE epoch = @epoch {forUpdate}", new { epoch }, transaction))?.ToRow();

    private static async Task<ImmutableArray<EpochLeaf>> LeavesAsync(DbConnection connection, DbTransaction? transaction, long epoch, string after, int limit)
        => [.. (await connection.QueryAsync<(string Id, long Rate)>(
            "SELECT id, audit_rate FROM earnings WHERE epoch = @epoch AND id > @after ORDER BY id LIMIT @limit", new { epoch, after, limit }, transaction))
            .Select(row => new EpochLeaf([.. Convert.FromHexString(row.Id)], (int)row.Rate))];

    private sealed class Stored
    {
        public required long Epoch { get; init; }

        public required byte[] Secret { get; init; }

        public required byte[] Commitment { get; init; }

        public required long Committed_at { get; init; }

        public required long State { get; init; }

        public byte[]? Root { get; init; }

        public long? Receipts { get; init; }

        public byte[]? Signature { get; init; }

        public long? Rooted_at { get; init; }

        public byte[]? Beacon { get; init; }

        public long? Revealed_at { get; init; }

        public EpochRow ToRow() => new(
            Epoch,
            (EpochState)State,
            Secret,
            Commitment,
            At(Committed_at),
            Root ?? [],
            Receipts ?? 0,
            Signature ?? [],
            At(Rooted_at),
            Beacon ?? [],
            At(Revealed_at));
    }
}
