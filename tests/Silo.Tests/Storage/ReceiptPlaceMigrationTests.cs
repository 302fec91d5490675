using System.Collections.Immutable;
using Dapper;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Federation.Silo.Verification;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.Silo.Tests.Storage;

/// <summary>Migration 31 on what migration 30 left behind.</summary>
public abstract class ReceiptPlaceMigrationTests(TestDatabase before)
{
    private static readonly SigningKey Key = SigningKey.Create();
    private static readonly NodeId Node = NodeId.FromPublicKey(Key.PublicKey.Span);

    [Fact]
    public async Task Receipts_and_earnings_of_before_are_found_and_signed_as_they_were_and_the_chain_goes_on()
    {
        var database = before.Database;
        var (issued, offered, disputed) = (Of(1), Of(2), Of(3));
        await database.WriteAsync(
            async (connection, transaction) =>
            {
                await connection.ExecuteAsync(
                    """
                    INSERT INTO accounts (id, name, tier, created_at) VALUES ('acct_a', 'a', 'pro', 0);
                    INSERT INTO nodes (id, account_id, public_key, display_name, standing, created_at) VALUES (@node, 'acct_a', @key, 'n', 'probation', 0);
                    """,
                    new { node = Node.ToString(), key = Key.PublicKey.ToArray() },
                    transaction);
                foreach (var (receipt, state, objection) in ((Receipt, string, string?)[])[(issued, "issued", null), (offered, "offered", null), (disputed, "disputed", "not mine")])
                {
                    await connection.ExecuteAsync(
                        """
                        INSERT INTO receipts (id, node_id, seq, epoch, job_id, attempt, payload, node_signature, hub_signature, state, objection, credited, created_at)
                        VALUES (@id, @node, @seq, 0, @job, 1, @payload, @signature, @signature, @state, @objection, 7, @seq);
                        INSERT INTO earnings (id, receipt_id, node_id, account_id, reference, dc, weights, state, credited, amount, reference_us, payable_us, hour, dispatch_ms, last_ms, hardware_class, model_bytes,
                                              prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed, epoch)
                        VALUES (@id, @id, @node, 'acct_a', @job, 'dc', 'dc', @earned, 7, 7, 1, 1, 0, 0, 1, 'cpu', 0, 1, 1, 1, 1000000, 0, 0, 10, @epoch);
                        """,
                        new
                        {
                            id = Name(receipt),
                            node = Node.ToString(),
                            seq = receipt.Sequence,
                            job = receipt.JobId,
                            payload = ReceiptCodec.Encode(receipt),
                            signature = new byte[] { 1 },
                            state,
                            objection,
                            earned = state == "issued" ? 1L : 0L,
                            epoch = state == "issued" ? 5L : (long?)null,
                        },
                        transaction);
                }
                await connection.ExecuteAsync(
                    """
                    INSERT INTO earnings (id, node_id, account_id, reference, dc, state, credited, amount, reference_us, payable_us, hour, dispatch_ms, last_ms, hardware_class, model_bytes,
                                          prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed)
                    VALUES ('sb_1', @node, 'acct_a', 'sb_1', 'dc', 1, 3, 3, 0, 0, 0, 0, 1, 'cpu', 0, 0, 0, 1, 0, 0, 0, 0)
                    """,
                    new { node = Node.ToString() },
                    transaction);
            },
            default);

        await new SchemaMigrator(database, TimeProvider.System, NullLogger.Instance).MigrateAsync(SchemaMigration.All, default);

        var store = new ReceiptStore(database);
        ImmutableArray<byte>[] ids = [IdOf(issued), IdOf(offered), IdOf(disputed)];
        var found = await store.FindAsync(Node.ToString(), ids, default);
        Assert.Equal(
            [(1L, ReceiptState.Issued, "", "dc", 7L), (2, ReceiptState.Offered, "", "dc", 7), (3, ReceiptState.Disputed, "not mine", "dc", 7)],
            ids.Select(id => found[EarningStore.Name(id)]).Select(receipt => (receipt.Content.Sequence, receipt.State, receipt.Objection, receipt.DeterminismClass, receipt.CreditedMicrocredits)));
        Assert.Empty(await store.FindAsync("nd_other", ids, default));
        Assert.Equal(ReceiptState.Disputed, (await store.FindAsync(Name(disputed), default))!.State);
        Assert.Equal([2L], (await store.ListOfferedAsync(Node.ToString(), 10, default)).Select(receipt => receipt.Content.Sequence));
        Assert.Equal(new ChainHead(3, IdOf(disputed)).Sequence, (await store.GetHeadAsync(Node.ToString(), default)).Sequence);
        var sums = await new EarningStore(database).SumAsync(Node.ToString(), default);
        Assert.Equal((10L, 10L), (sums.Minted, sums.Pending));

        // Written as from now on: once, though said twice; another one in its place is refused.
        var next = Of(4);
        var row = ReceiptStore.RowOf(next, IdOf(next), ReceiptCodec.Encode(next), new Microcredits(9), DateTimeOffset.UnixEpoch);
        var issue = ReceiptStore.Issue(found[Name(offered)], [2], [3], DateTimeOffset.UnixEpoch);
        await RunAsync(row, row, issue);
        var other = Of(4) with { JobId = "another" };
        var refused = await Assert.ThrowsAsync<StorageException>(() => RunAsync(ReceiptStore.RowOf(other, IdOf(other), ReceiptCodec.Encode(other), Microcredits.Zero, DateTimeOffset.UnixEpoch)));
        Assert.Equal(StorageFailure.Rejected, refused.Failure);
        Assert.Equal((ReceiptState.Issued, (byte)2, (byte)3), await store.FindAsync(Name(offered), default) is { } signed ? (signed.State, signed.NodeSignature[0], signed.HubSignature[0]) : default);
        Assert.Equal(4L, (await store.GetHeadAsync(Node.ToString(), default)).Sequence);

        Task RunAsync(params SqlStatement[] statements) => database.WriteLastAsync<bool>((_, _) => Task.FromResult<(bool, IReadOnlyList<SqlStatement>)>((true, statements)), default);
    }

    private static Receipt Of(long sequence) => new()
    {
        Epoch = 0,
        Sequence = sequence,
        PreviousId = [.. new byte[32]],
        JobId = $"job_{sequence}",
        Attempt = 1,
        Node = Node,
        Hub = HubId.FromPublicKey(Key.PublicKey.Span),
        ClientHash = [.. new byte[32]],
        Model = "m",
        ModelDigest = "",
        DeterminismClass = "dc",
        LogprobCommitment = [],
        RequestHash = [.. new byte[32]],
        OutputHash = [.. new byte[32]],
        PromptTokens = 1,
        CompletionTokens = 1,
        DispatchMs = 0,
        FirstMs = 0,
        LastMs = 1,
        HardwareClass = "cpu",
        ReferenceMicroseconds = 1,
    };

    private static ImmutableArray<byte> IdOf(Receipt receipt) => ReceiptCodec.IdOf(ReceiptCodec.Encode(receipt));

    private static string Name(Receipt receipt) => EarningStore.Name(IdOf(receipt));
}

public sealed class SqliteBeforeReceiptPlaces : SqliteTestDatabase
{
    private protected override ImmutableArray<SchemaMigration> Migrations => SchemaMigration.All[..30];
}

public sealed class PostgresBeforeReceiptPlaces : PostgresTestDatabase
{
    private protected override ImmutableArray<SchemaMigration> Migrations => SchemaMigration.All[..30];
}

public sealed class SqliteReceiptPlaceMigrationTests(SqliteBeforeReceiptPlaces database) : ReceiptPlaceMigrationTests(database), IClassFixture<SqliteBeforeReceiptPlaces>;

public sealed class PostgresReceiptPlaceMigrationTests(PostgresBeforeReceiptPlaces database) : ReceiptPlaceMigrationTests(database), IClassFixture<PostgresBeforeReceiptPlaces>;
