using Dapper;
using Federation.Contracts.Accounts;
using Federation.Silo.Accounts;
using Federation.Silo.Apis.Responses;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;

namespace Federation.Silo.Tests.Apis;

public abstract class ResponseStoreTests(TestDatabase database)
{
    private readonly TestClock _clock = new();
    private readonly ResponsesOptions _options = new() { MaxBytesPerAccount = 64 * 1024 };

    [Fact]
    public async Task An_answer_is_its_accounts_alone()
    {
        var (store, account) = await NewAsync();
        Assert.True(await store.KeepAsync("resp_a", account, new KeptResponse("{}", "[]"), CancellationToken.None));
        Assert.Equal(new KeptResponse("{}", "[]"), await store.FindAsync("resp_a", account, CancellationToken.None));
        Assert.Null(await store.FindAsync("resp_a", "acct_else", CancellationToken.None));
        Assert.False(await store.DeleteAsync("resp_a", "acct_else", CancellationToken.None));
        Assert.True(await store.DeleteAsync("resp_a", account, CancellationToken.None));
        Assert.Null(await store.FindAsync("resp_a", account, CancellationToken.None));
        Assert.False(await store.DeleteAsync("resp_a", account, CancellationToken.None));
    }

    [Fact]
    public async Task An_answer_is_gone_when_its_time_is_over_swept_or_not()
    {
        var (store, account) = await NewAsync();
        await store.KeepAsync("resp_b", account, new KeptResponse("{}", "[]"), CancellationToken.None);
        _clock.Advance(_options.Lifetime - TimeSpan.FromSeconds(1));
        await store.SweepAsync(CancellationToken.None);
        Assert.NotNull(await store.FindAsync("resp_b", account, CancellationToken.None));
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(await store.FindAsync("resp_b", account, CancellationToken.None));
        await store.SweepAsync(CancellationToken.None);
        Assert.Equal(0, await CountAsync(account));
    }

    [Fact]
    public async Task Of_too_much_the_oldest_goes_and_what_is_too_large_by_itself_is_not_kept()
    {
        var (store, account) = await NewAsync();
        var third = new KeptResponse(new string('é', 10_000), "[]");
        for (var i = 0; i < 5; i++)
        {
            Assert.True(await store.KeepAsync($"resp_c{i}", account, third, CancellationToken.None));
            _clock.Advance(TimeSpan.FromSeconds(1));
        }
        Assert.Equal(3, await CountAsync(account));
        Assert.Null(await store.FindAsync("resp_c1", account, CancellationToken.None));
        Assert.NotNull(await store.FindAsync("resp_c2", account, CancellationToken.None));
        Assert.False(await store.KeepAsync("resp_d", account, new KeptResponse(new string('x', 64 * 1024), "[]"), CancellationToken.None));
        Assert.Equal(3, await CountAsync(account));
    }

    private async Task<(ResponseStore Store, string Account)> NewAsync()
    {
        var account = await new AccountStore(database.Database, _clock).CreateAsync("ann", Tier.Free, CancellationToken.None);
        return (new ResponseStore(database.Database, Microsoft.Extensions.Options.Options.Create(_options), _clock), account.Id);
    }

    private Task<long> CountAsync(string account) => database.Database.ReadAsync(
        connection => connection.ExecuteScalarAsync<long>("SELECT COUNT(*) FROM responses WHERE account_id = @account", new { account }), CancellationToken.None);
}

public sealed class SqliteResponseStoreTests(SqliteTestDatabase database) : ResponseStoreTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresResponseStoreTests(PostgresTestDatabase database) : ResponseStoreTests(database), IClassFixture<PostgresTestDatabase>;
