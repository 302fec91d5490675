using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text.Json;
using Dapper;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Silo.Cli;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification.Epochs;
using Federation.Silo.Verification.Sampling;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Verification.Epochs;

/// <summary>Epochs from commitment to draw, and what anybody can say of them afterwards.</summary>
public abstract class EpochTests(TestDatabase database) : IDisposable
{
    private static int _lives;

    private readonly OffsetClock _clock = TenPast(TimeSpan.FromDays(30) * Interlocked.Increment(ref _lives));
    private readonly HubIdentity _hub = new(SigningKey.Create());

    public void Dispose()
    {
        _hub.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task An_epoch_is_committed_to_before_it_begins_rooted_after_it_ends_and_revealed_after_that()
    {
        var (store, closing) = Open();
        await closing.LookAsync(default);
        var epoch = EpochClosing.EpochOf(_clock.GetUtcNow()) + 1;
        var committed = (await store.FindAsync(epoch, default))!;
        Assert.Equal(EpochState.Open, committed.State);
        Assert.True(committed.CommittedAt.ToUnixTimeMilliseconds() < epoch * EpochClosing.EpochMs);

        AdvanceTo(epoch + 1, TimeSpan.FromSeconds(-1));
        var receipts = await AddReceiptsAsync(500);
        AdvanceTo(epoch + 1, TimeSpan.FromSeconds(119));
        await closing.LookAsync(default);
        // Its grace is not over.
        Assert.Equal(EpochState.Open, (await store.FindAsync(epoch, default))!.State);

        AdvanceTo(epoch + 1, TimeSpan.FromSeconds(121));
        await closing.LookAsync(default);
        var rooted = (await store.FindAsync(epoch, default))!;
        Assert.Equal((EpochState.Rooted, 500L), (rooted.State, rooted.Receipts));
        Assert.Empty(rooted.Beacon);
        Assert.Equal(receipts, (await store.ListLeavesAsync(epoch, "", 1_000, default)).Select(leaf => Convert.ToHexStringLower(leaf.Id.AsSpan())));

        _clock.Advance(TimeSpan.FromMinutes(1));
        await closing.LookAsync(default);
        var revealed = (await store.FindAsync(epoch, default))!;
        Assert.Equal(EpochState.Revealed, revealed.State);
        Assert.Equal((rooted.Root, rooted.Signature, committed.Commitment, committed.Secret), (revealed.Root, revealed.Signature, revealed.Commitment, revealed.Secret), new Bytes());
        var drawn = await DrawnAsync(epoch);
        Assert.Equal(receipts.Where((id, index) => AuditDraw.IsDrawn(revealed.Beacon, Convert.FromHexString(id), RateOf(index))), drawn);
        Assert.InRange(drawn.Length, 1, 499);
    }

    [Fact]
    public async Task Silos_that_close_the_same_epoch_at_once_close_it_once()
    {
        var silos = Enumerable.Range(0, 4).Select(_ => Open()).ToArray();
        await silos[0].Closing.LookAsync(default);
        var epoch = EpochClosing.EpochOf(_clock.GetUtcNow());
        var receipts = await AddReceiptsAsync(300);
        AdvanceTo(epoch + 1, TimeSpan.FromMinutes(3));
        await Task.WhenAll(silos.Select(silo => silo.Closing.LookAsync(default)));
        _clock.Advance(TimeSpan.FromMinutes(2));
        await Task.WhenAll(silos.Select(silo => silo.Closing.LookAsync(default)));

        var row = (await silos[0].Store.FindAsync(epoch, default))!;
        var leaves = await silos[0].Store.ListLeavesAsync(epoch, "", 1_000, default);
        Assert.Equal((EpochState.Revealed, 300L), (row.State, row.Receipts));
        Assert.Equal(receipts, leaves.Select(leaf => Convert.ToHexStringLower(leaf.Id.AsSpan())));
        Assert.Equal(EpochTree.Root(leaves), row.Root);
    }

    [Fact]
    public async Task A_receipt_that_comes_after_its_epoch_was_closed_is_rooted_in_the_next()
    {
        var (store, closing) = Open();
        await closing.LookAsync(default);
        var epoch = EpochClosing.EpochOf(_clock.GetUtcNow());
        AdvanceTo(epoch + 1, TimeSpan.FromMinutes(3));
        await closing.LookAsync(default);
        var late = await AddReceiptsAsync(1, creditedAt: (epoch * EpochClosing.EpochMs) + 1);
        AdvanceTo(epoch + 2, TimeSpan.FromMinutes(3));
        await closing.LookAsync(default);
        Assert.Empty(await store.ListLeavesAsync(epoch, "", 10, default));
        Assert.Equal(epoch + 1, await store.FindEpochOfAsync(late.Single(), default));
    }

    [Fact]
    public async Task A_closed_epoch_takes_no_receipt()
    {
        var (store, closing) = Open();
        await closing.LookAsync(default);
        var epoch = EpochClosing.EpochOf(_clock.GetUtcNow());
        AdvanceTo(epoch + 1, TimeSpan.FromMinutes(3));
        await closing.LookAsync(default);
        await AddReceiptsAsync(1, creditedAt: (epoch * EpochClosing.EpochMs) + 1);
        Assert.Null(await store.GatherAsync(epoch, 10, default));
        Assert.Null(await store.RootAsync(epoch, bytes => _hub.Sign(bytes), _clock.GetUtcNow(), default));
    }

    // ------------------------------------------------------------------------------------------------------- checking

    [Fact]
    public async Task What_the_hub_publishes_can_be_recomputed_and_every_change_is_noticed()
    {
        var file = await PublishedAsync();
        Assert.Empty(EpochCheck.Problems(file));
        var (epoch, receipts) = (file.Epoch, file.Receipts);

        Expect(file with { Receipts = receipts[1..] }, "The hub says that the root covers 50 receipts; there are 49.", "The receipts' root is ");
        Expect(file with { Receipts = receipts.SetItem(3, receipts[3] with { RateMillionths = receipts[3].RateMillionths + 1 }) }, "The receipts' root is ");
        Expect(file with { Receipts = receipts.SetItem(3, receipts[3] with { Audited = !receipts[3].Audited }) }, $"Receipt {receipts[3].Id} is ");
        Expect(file with { Receipts = receipts.SetItem(3, receipts[4]).SetItem(4, receipts[3]) }, $"Receipt {receipts[3].Id} stands out of order, or twice.");
        Expect(file with { Receipts = receipts.SetItem(3, receipts[3] with { Id = "xyz" }) }, "'xyz' is no receipt's id.");
        Expect(file with { Epoch = epoch with { Root = new string('0', 64) } }, "The receipts' root is ", "The hub's signature is not that key's over this epoch");
        Expect(file with { Epoch = epoch with { Commitment = new string('0', 64) } }, "The hub's signature is not that key's over this epoch", "The secret is not the one that was committed to.");
        Expect(file with { Epoch = epoch with { HubId = "hb_00000000000000000000000000000000" } }, "The hub's public key is that of ");
        Expect(file with { Epoch = epoch with { HubPublicKey = "" } }, "The hub's public key is no ECDSA P-256 key.");
        Expect(file with { Epoch = epoch with { Signature = null } }, "The hub's signature is not that key's over this epoch");
        Expect(file with { Epoch = epoch with { Beacon = null } }, "The beacon is not revealed yet, so nothing can be said of the draw.");
        Expect(file with { Epoch = epoch with { Root = null } }, "The epoch is not closed: it has no root yet.");
        // A beacon of the hub's choosing is not made from the secret, whatever it draws.
        Assert.Contains("The beacon is not made from the secret.", EpochCheck.Problems(file with { Epoch = epoch with { Beacon = new string('0', 64) } }));
    }

    [Fact]
    public async Task The_command_verifies_a_saved_epoch_and_a_receipt_by_their_exit_codes()
    {
        var path = Path.GetTempFileName();
        try
        {
            var file = await PublishedAsync();
            Assert.Equal(0, await RunAsync(EpochCommand.Create(), JsonSerializer.Serialize(file, Answers.Options), "verify"));
            Assert.Equal(1, await RunAsync(EpochCommand.Create(), JsonSerializer.Serialize(file with { Receipts = file.Receipts[1..] }, Answers.Options), "verify"));
            Assert.Equal(2, await RunAsync(EpochCommand.Create(), "{}", "verify"));
            Assert.Equal(2, await RunAsync(EpochCommand.Create(), "[1,", "verify"));
            Assert.Equal(2, await RunAsync(VerifyReceiptCommand.Create(), "{}"));
        }
        finally
        {
            File.Delete(path);
        }

        async Task<int> RunAsync(System.CommandLine.Command command, string content, params string[] arguments)
        {
            await File.WriteAllTextAsync(path, content);
            return await command.Parse([.. arguments, path]).InvokeAsync();
        }
    }

    // -------------------------------------------------------------------------------------------------------- details

    // Far enough from the hour's end that a slow machine does not reach it.
    private static OffsetClock TenPast(TimeSpan ahead)
    {
        var clock = OffsetClock.Ahead(ahead);
        clock.Advance(TimeSpan.FromMilliseconds(EpochClosing.EpochMs - (clock.GetUtcNow().ToUnixTimeMilliseconds() % EpochClosing.EpochMs)) + TimeSpan.FromMinutes(10));
        return clock;
    }

    private static AuditRate RateOf(int index) => new(index % 5 == 0 ? AuditRate.One : 10_000 * (index % 7));

    private static void Expect(EpochFile file, params string[] beginnings)
    {
        var problems = EpochCheck.Problems(file);
        Assert.Equal(beginnings.Length, problems.Length);
        foreach (var (beginning, problem) in beginnings.Zip(problems)) Assert.StartsWith(beginning, problem, StringComparison.Ordinal);
    }

    private (EpochStore Store, EpochClosing Closing) Open()
    {
        var store = new EpochStore(database.Open());
        return (store, new EpochClosing(store, _hub, Options.Create(new EpochOptions { BatchMax = 100 }), _clock, NullLogger<EpochClosing>.Instance));
    }

    private async Task<EpochFile> PublishedAsync()
    {
        var (store, closing) = Open();
        await closing.LookAsync(default);
        var epoch = EpochClosing.EpochOf(_clock.GetUtcNow());
        await AddReceiptsAsync(50);
        AdvanceTo(epoch + 1, TimeSpan.FromMinutes(3));
        await closing.LookAsync(default);
        _clock.Advance(TimeSpan.FromMinutes(2));
        await closing.LookAsync(default);
        var row = (await store.FindAsync(epoch, default))!;
        var receipts = (await store.ListLeavesAsync(epoch, "", 100, default)).Select(leaf => EpochReceiptJson.Of(leaf, row)).ToImmutableArray();
        // As it travels.
        return EpochFile.Read(JsonSerializer.SerializeToUtf8Bytes(new EpochFile(EpochJson.Of(row, _hub), receipts), Answers.Options));
    }

    private void AdvanceTo(long epoch, TimeSpan and) => _clock.Advance(DateTimeOffset.FromUnixTimeMilliseconds(epoch * EpochClosing.EpochMs) + and - _clock.GetUtcNow());

    /// <summary>Earnings of issued receipts, as far as epochs care for them; their ids, ascending.</summary>
    private async Task<ImmutableArray<string>> AddReceiptsAsync(int count, long? creditedAt = null)
    {
        var ids = Enumerable.Range(0, count).Select(_ => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32))).Order(StringComparer.Ordinal).ToImmutableArray();
        var at = creditedAt ?? _clock.GetUtcNow().ToUnixTimeMilliseconds();
        await database.Database.WriteAsync(
            async (connection, transaction) =>
            {
                await connection.ExecuteAsync("INSERT INTO accounts (id, name, tier, created_at) VALUES ('acct_e', 'e', 'pro', 0) ON CONFLICT (id) DO NOTHING", null, transaction);
                await connection.ExecuteAsync(
                    "INSERT INTO nodes (id, account_id, public_key, display_name, standing, created_at) VALUES ('nd_e', 'acct_e', @Key, 'e', 'probation', 0) ON CONFLICT (id) DO NOTHING",
                    new { Key = new byte[] { 1 } },
                    transaction);
                foreach (var (id, index) in ids.Select((id, index) => (id, index)))
                {
                    await connection.ExecuteAsync(
                        """
                        INSERT INTO receipts (id, node_id, seq, epoch, job_id, attempt, payload, state, credited, created_at)
                        VALUES (@id, 'nd_e', (SELECT COUNT(*) + 1 FROM receipts), 0, @id, 1, @payload, 'issued', 0, 0)
                        """,
                        new { id, payload = Array.Empty<byte>() },
                        transaction);
                    await connection.ExecuteAsync(
                        """
                        INSERT INTO earnings (id, receipt_id, node_id, account_id, reference, dc, state, credited, amount, reference_us, payable_us, hour, dispatch_ms, last_ms,
                                              hardware_class, model_bytes, prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed, credited_at, matures_at)
                        VALUES (@id, @id, 'nd_e', 'acct_e', @id, 'dc', 1, 0, 0, 0, 0, 0, 0, 0, '', 0, 0, 0, 1, @rate, 0, 0, 10, @at, @at)
                        """,
                        new { id, rate = (long)RateOf(index).Millionths, at },
                        transaction);
                }
            },
            default);
        return ids;
    }

    private Task<string[]> DrawnAsync(long epoch) => database.Database.ReadAsync(
        async connection => (await connection.QueryAsync<string>("SELECT id FROM earnings WHERE epoch = @epoch AND audit = 1 ORDER BY id", new { epoch })).ToArray(), default);

    private sealed class Bytes : IEqualityComparer<(byte[], byte[], byte[], byte[])>
    {
        public bool Equals((byte[], byte[], byte[], byte[]) x, (byte[], byte[], byte[], byte[]) y)
            => x.Item1.SequenceEqual(y.Item1) && x.Item2.SequenceEqual(y.Item2) && x.Item3.SequenceEqual(y.Item3) && x.Item4.SequenceEqual(y.Item4);

        public int GetHashCode((byte[], byte[], byte[], byte[]) bytes) => bytes.Item1.Length;
    }
}

public sealed class SqliteEpochTests(SqliteTestDatabase database) : EpochTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresEpochTests(PostgresTestDatabase database) : EpochTests(database), IClassFixture<PostgresTestDatabase>;
