using System.Collections.Immutable;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Microsoft.AspNetCore.Http;

namespace Federation.Silo.Tests.Accounts;

public abstract class ApiKeysTests(TestDatabase database)
{
    private readonly TestClock _clock = new();

    [Fact]
    public async Task A_key_opens_what_it_was_made_for()
    {
        var keys = Keys();
        var (row, key) = await NewAsync(keys, scopes: [Scopes.Inference]);
        var caller = await AuthenticateAsync(keys, key);
        Assert.Equal((row.AccountId, row.Id, false), (caller!.AccountId, caller.KeyId, caller.IsAdmin));
        Assert.Equal(Scopes.Inference, Assert.Single(caller.Scopes));
        Assert.StartsWith(row.Prefix, key, StringComparison.Ordinal);
        Assert.Equal("fk_".Length + 8, row.Prefix.Length);
    }

    [Fact]
    public async Task The_key_itself_is_nowhere_on_disk()
    {
        var (row, key) = await NewAsync(Keys());
        var stored = await database.Database.ReadAsync(
            connection => connection.QuerySingleAsync<byte[]>("SELECT sha256 FROM api_keys WHERE id = @Id", new { row.Id }), CancellationToken.None);
        Assert.Equal(SHA256.HashData(Encoding.UTF8.GetBytes(key)), stored);
    }

    [Theory]
    [InlineData("")]
    [InlineData("fk_")]
    [InlineData("sk-something-of-another-house")]
    [InlineData("fk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("FK_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("fk_' OR 1=1 --AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    public async Task What_is_no_key_opens_nothing(string key) => Assert.Null(await AuthenticateAsync(Keys(), key));

    [Fact]
    public async Task A_text_of_any_length_opens_nothing() => Assert.Null(await AuthenticateAsync(Keys(), "fk_" + new string('A', 1_000_000)));

    [Fact]
    public async Task When_a_key_was_last_used_is_written_down_and_a_refused_use_is_none()
    {
        var keys = Keys();
        var (used, key) = await NewAsync(keys);
        Assert.Null((await keys.ListAsync(used.AccountId, CancellationToken.None)).Single().LastUsedAt);
        Assert.NotNull(await AuthenticateAsync(keys, key));
        var usedAt = _clock.GetUtcNow();
        await keys.WriteUsesAsync(CancellationToken.None);
        _clock.Advance(TimeSpan.FromMinutes(1));
        await keys.RevokeAsync(used.Id, used.AccountId, CancellationToken.None);
        Assert.Null(await AuthenticateAsync(keys, key));
        await keys.WriteUsesAsync(CancellationToken.None);
        Assert.Equal(usedAt.ToUnixTimeMilliseconds(), (await keys.ListAsync(used.AccountId, CancellationToken.None)).Single().LastUsedAt!.Value.ToUnixTimeMilliseconds());
    }

    [Fact]
    public async Task A_revocation_counts_at_once_although_the_key_was_just_used()
    {
        var keys = Keys(age: TimeSpan.FromMinutes(5));
        var (row, key) = await NewAsync(keys);
        Assert.NotNull(await AuthenticateAsync(keys, key));
        Assert.True(await keys.RevokeAsync(row.Id, row.AccountId, CancellationToken.None));
        Assert.Null(await AuthenticateAsync(keys, key));
        Assert.True(await keys.RevokeAsync(row.Id, row.AccountId, CancellationToken.None));
        Assert.Null(await AuthenticateAsync(keys, key));
    }

    [Fact]
    public async Task A_revocation_that_comes_between_reading_a_key_and_keeping_it_counts_at_once()
    {
        var keys = Keys(age: TimeSpan.FromMinutes(5));
        var (row, key) = await NewAsync(keys);
        // The moment is noted when the row was read and is about to be kept.
        _clock.OnTimestamp = () =>
        {
            _clock.OnTimestamp = () => { };
            keys.RevokeAsync(row.Id, row.AccountId, CancellationToken.None).GetAwaiter().GetResult();
        };
        await AuthenticateAsync(keys, key);
        Assert.Null(await AuthenticateAsync(keys, key));
    }

    [Fact]
    public async Task Another_silo_honours_a_revoked_key_no_longer_than_it_remembers_keys()
    {
        var (here, there) = (Keys(age: TimeSpan.FromSeconds(10)), Keys(age: TimeSpan.FromSeconds(10)));
        var (row, key) = await NewAsync(here);
        Assert.NotNull(await AuthenticateAsync(there, key));
        await here.RevokeAsync(row.Id, row.AccountId, CancellationToken.None);
        _clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(await AuthenticateAsync(there, key));
    }

    [Fact]
    public async Task Nobody_revokes_the_key_of_another_account()
    {
        var keys = Keys();
        var (mine, myKey) = await NewAsync(keys);
        var (others, _) = await NewAsync(keys);
        Assert.False(await keys.RevokeAsync(mine.Id, others.AccountId, CancellationToken.None));
        Assert.False(await keys.RevokeAsync("key_unknown", null, CancellationToken.None));
        Assert.NotNull(await AuthenticateAsync(keys, myKey));
        Assert.True(await keys.RevokeAsync(mine.Id, null, CancellationToken.None));
    }

    [Fact]
    public async Task A_key_is_good_until_its_time_although_it_is_remembered()
    {
        var keys = Keys(age: TimeSpan.FromHours(1));
        var (_, key) = await NewAsync(keys, lifetime: TimeSpan.FromMinutes(1));
        _clock.Advance(TimeSpan.FromMinutes(1) - TimeSpan.FromMilliseconds(1));
        Assert.NotNull(await AuthenticateAsync(keys, key));
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Null(await AuthenticateAsync(keys, key));
    }

    [Fact]
    public async Task More_keys_than_are_remembered_open_all_the_same()
    {
        var keys = Keys(age: TimeSpan.FromHours(1), max: 3);
        var made = new List<string>();
        for (var index = 0; index < 10; index++) made.Add((await NewAsync(keys)).Key);
        for (var round = 0; round < 2; round++)
        {
            foreach (var key in made) Assert.NotNull(await AuthenticateAsync(keys, key));
        }
    }

    [Fact]
    public async Task A_wrong_key_is_looked_up_once_while_it_is_remembered()
    {
        var keys = Keys(age: TimeSpan.FromSeconds(10));
        var (row, _) = await NewAsync(keys);
        var wrong = Secrets.Create(ApiKeys.KeyPrefix);
        Assert.Null(await AuthenticateAsync(keys, wrong));
        // What no hub does shows who was asked.
        await database.Database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync("UPDATE api_keys SET sha256 = @hash WHERE id = @Id", new { row.Id, hash = Secrets.Hash(wrong) }, transaction), CancellationToken.None);
        Assert.Null(await AuthenticateAsync(keys, wrong));
        _clock.Advance(TimeSpan.FromSeconds(10));
        Assert.NotNull(await AuthenticateAsync(keys, wrong));
    }

    [Fact]
    public async Task Too_many_wrong_keys_of_one_address_are_told_so_and_a_right_one_opens_from_there_all_the_same()
    {
        var keys = Keys(wrongPerMinute: 3);
        var (_, right) = await NewAsync(keys);
        for (var tried = 0; tried < 3; tried++) Assert.Equal((401, "invalid_api_key"), await AskAsync("203.0.113.7", Secrets.Create(ApiKeys.KeyPrefix)));
        _clock.Advance(TimeSpan.FromSeconds(20));
        var refused = await RefusalAsync("::ffff:203.0.113.7", "not even one");
        Assert.Equal((429, "rate_limit_exceeded", 40), (refused!.Status, refused.Code, refused.RetryAfterSeconds!.Value));
        Assert.Equal((429, "rate_limit_exceeded"), await AskAsync("203.0.113.7", Secrets.Create(ApiKeys.KeyPrefix)));
        // Those who come from there too, and others.
        Assert.Null(await RefusalAsync("203.0.113.7", right));
        Assert.Equal((401, "invalid_api_key"), await AskAsync("203.0.113.8", Secrets.Create(ApiKeys.KeyPrefix)));
        Assert.Equal((401, "missing_api_key"), await AskAsync("203.0.113.7", null));
        _clock.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal((401, "invalid_api_key"), await AskAsync("203.0.113.7", Secrets.Create(ApiKeys.KeyPrefix)));

        async Task<(int, string?)> AskAsync(string from, string? key) => await RefusalAsync(from, key) is { } error ? (error.Status, error.Code) : (200, null);

        async Task<OpenAiError?> RefusalAsync(string from, string? key)
        {
            var http = new DefaultHttpContext();
            http.Connection.RemoteIpAddress = IPAddress.Parse(from);
            if (key is not null) http.Request.Headers.Authorization = $"Bearer {key}";
            return await Authentication.WhyRefusedAsync(http, keys, Scopes.Inference);
        }
    }

    [Fact]
    public async Task Many_that_send_wrong_keys_at_once_all_hear_that_they_are_wrong()
    {
        var keys = Keys(wrongPerMinute: 1);
        var (_, right) = await NewAsync(keys);
        var from = IPAddress.Parse("2001:db8::7");
        for (var tried = 0; tried < 2; tried++) keys.Wrong.Note(from);
        Assert.True(keys.Wrong.IsSuspect(IPAddress.Parse("2001:db8::ffff")));
        Assert.False(keys.Wrong.IsSuspect(IPAddress.Parse("2001:db8:0:1::7")));
        var answers = await Task.WhenAll(Enumerable.Range(0, 100).Select(n => keys.AuthenticateAsync(n == 50 ? right : Secrets.Create(ApiKeys.KeyPrefix), CancellationToken.None, from).AsTask())).WithinPatienceAsync();
        Assert.Equal([50], Enumerable.Range(0, 100).Where(n => answers[n] is not null));
    }

    [Fact]
    public async Task A_right_key_that_opened_before_waits_for_none_of_the_keys_that_are_looked_up_in_turn()
    {
        var keys = Keys(wrongPerMinute: 1);
        var ((_, right), (_, inTurn)) = (await NewAsync(keys), await NewAsync(keys));
        var from = IPAddress.Parse("203.0.113.7");
        Assert.NotNull(await keys.AuthenticateAsync(right, CancellationToken.None, from));
        keys.Wrong.Note(from);
        _clock.Advance(TimeSpan.FromSeconds(1));
        // The moment is asked for twice: whether the address is suspect, and when the row was read. Then the turn is held.
        var (held, asked) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), 0);
        using var goOn = new ManualResetEventSlim();
        _clock.OnTimestamp = () =>
        {
            if (++asked < 2) return;
            _clock.OnTimestamp = () => { };
            held.SetResult();
            goOn.Wait(Eventually.Patience);
        };
        var holder = Task.Run(async () => await keys.AuthenticateAsync(inTurn, CancellationToken.None, from));
        await held.Task.WithinPatienceAsync();
        var unknown = keys.AuthenticateAsync(Secrets.Create(ApiKeys.KeyPrefix), CancellationToken.None, from).AsTask();
        try
        {
            Assert.NotNull(await keys.AuthenticateAsync(right, CancellationToken.None, from).AsTask().WaitAsync(Eventually.Patience / 2));
            Assert.False(unknown.IsCompleted);
        }
        finally
        {
            goOn.Set();
        }
        Assert.NotNull(await holder.WithinPatienceAsync());
        Assert.Null(await unknown.WithinPatienceAsync());
    }

    [Fact]
    public void Of_addresses_with_wrong_keys_only_so_many_are_counted()
    {
        var wrong = new WrongKeys(new ApiKeyOptions { WrongPerMinute = 1, MaxWrongAddresses = 100 }, _clock);
        for (var address = 0; address < 1_000; address++)
        {
            wrong.Note(new IPAddress(address));
            Assert.InRange(wrong.Addresses, 1, 100);
        }
        var off = new WrongKeys(new ApiKeyOptions { WrongPerMinute = 0 }, _clock);
        for (var tried = 0; tried < 10; tried++) Assert.Null(off.Note(IPAddress.Loopback));
        Assert.Equal(0, off.Addresses);
    }

    [Fact]
    public async Task Keys_are_listed_for_their_account_the_newest_first()
    {
        var keys = Keys();
        var (first, _) = await NewAsync(keys);
        _clock.Advance(TimeSpan.FromSeconds(1));
        var (second, _) = await keys.CreateAsync(first.AccountId, "another", Scopes.Usual, null, CancellationToken.None);
        await NewAsync(keys);
        await keys.RevokeAsync(first.Id, null, CancellationToken.None);
        var listed = await keys.ListAsync(first.AccountId, CancellationToken.None);
        Assert.Equal([second.Id, first.Id], listed.Select(row => row.Id));
        Assert.Equal([false, true], listed.Select(row => row.RevokedAt is not null));
    }

    [Fact]
    public async Task A_key_keeps_the_limits_it_was_made_with()
    {
        var keys = Keys();
        var account = await new AccountStore(database.Database, _clock).CreateAsync("someone", Tier.Free, CancellationToken.None);
        var limits = new KeyLimits { RequestsPerMinute = 7, TokensPerDay = 1_000_000, BudgetMicrocredits = 2_500_000, BudgetPeriod = BudgetPeriod.Day };
        var (row, key) = await keys.CreateAsync(new NewKey(account.Id, "lean", Scopes.Usual) { Limits = limits, Models = ["llama*", "weiß \"nicht\""] }, CancellationToken.None);
        var caller = await AuthenticateAsync(keys, key);
        Assert.Equal(limits, caller!.Limits);
        Assert.Equal(["llama*", "weiß \"nicht\""], caller.Models.ToArray());
        Assert.True(caller.MayUse("llama3.2:1b") && caller.MayUse("weiß \"nicht\":latest") && !caller.MayUse("gpt-4"));
        Assert.Equal(limits, (await keys.FindByIdAsync(row.Id, CancellationToken.None))!.Limits);
        Assert.Equal((limits, true), await keys.FindCallerAsync(row.Id, CancellationToken.None) is { } later ? (later.Limits, later.IsLimited) : default);
        var (_, free) = await NewAsync(keys);
        Assert.False((await AuthenticateAsync(keys, free))!.IsLimited);
    }

    [Fact]
    public async Task A_rotated_keys_old_secret_opens_for_as_long_as_was_said_and_not_a_moment_longer()
    {
        var keys = Keys(age: TimeSpan.FromHours(1));
        var (row, old) = await NewAsync(keys);
        Assert.NotNull(await AuthenticateAsync(keys, old));
        var (rotated, fresh) = (await keys.RotateAsync(row, TimeSpan.FromMinutes(10), CancellationToken.None))!.Value;
        Assert.StartsWith(rotated.Prefix, fresh, StringComparison.Ordinal);
        Assert.Equal((row.Id, false), (await AuthenticateAsync(keys, fresh)) is { } now ? (now.KeyId, now.IsReplaced) : default);
        Assert.Equal((row.Id, true), (await AuthenticateAsync(keys, old)) is { } before ? (before.KeyId, before.IsReplaced) : default);
        _clock.Advance(TimeSpan.FromMinutes(10) - TimeSpan.FromMilliseconds(1));
        Assert.NotNull(await AuthenticateAsync(keys, old));
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Null(await AuthenticateAsync(keys, old));
        Assert.NotNull(await AuthenticateAsync(keys, fresh));
    }

    [Fact]
    public async Task A_key_rotated_without_grace_opens_at_once_with_its_new_secret_alone()
    {
        var keys = Keys(age: TimeSpan.FromHours(1));
        var (row, old) = await NewAsync(keys);
        Assert.NotNull(await AuthenticateAsync(keys, old));
        var (_, fresh) = (await keys.RotateAsync(row, TimeSpan.Zero, CancellationToken.None))!.Value;
        Assert.Null(await AuthenticateAsync(keys, old));
        Assert.NotNull(await AuthenticateAsync(keys, fresh));
    }

    [Fact]
    public async Task A_key_rotated_twice_has_one_secret_before_and_two_who_rotate_it_at_once_do_not_both()
    {
        var keys = Keys();
        var (row, first) = await NewAsync(keys);
        var (rotated, second) = (await keys.RotateAsync(row, TimeSpan.FromHours(1), CancellationToken.None))!.Value;
        Assert.Null(await keys.RotateAsync(row, TimeSpan.FromHours(1), CancellationToken.None));
        var (_, third) = (await keys.RotateAsync(rotated, TimeSpan.FromHours(1), CancellationToken.None))!.Value;
        Assert.Null(await AuthenticateAsync(keys, first));
        Assert.NotNull(await AuthenticateAsync(keys, second));
        Assert.NotNull(await AuthenticateAsync(keys, third));
    }

    [Fact]
    public async Task A_revoked_key_opens_with_neither_secret_and_is_not_rotated()
    {
        var keys = Keys();
        var (row, old) = await NewAsync(keys);
        var (rotated, fresh) = (await keys.RotateAsync(row, TimeSpan.FromHours(1), CancellationToken.None))!.Value;
        await keys.RevokeAsync(row.Id, null, CancellationToken.None);
        Assert.Null(await AuthenticateAsync(keys, old));
        Assert.Null(await AuthenticateAsync(keys, fresh));
        Assert.Null(await keys.RotateAsync(rotated, TimeSpan.Zero, CancellationToken.None));
    }

    [Fact]
    public async Task A_key_that_ends_ends_with_both_secrets()
    {
        var keys = Keys(age: TimeSpan.FromHours(1));
        var (row, old) = await NewAsync(keys, lifetime: TimeSpan.FromMinutes(5));
        var (_, fresh) = (await keys.RotateAsync(row, TimeSpan.FromDays(1), CancellationToken.None))!.Value;
        _clock.Advance(TimeSpan.FromMinutes(5));
        Assert.Null(await AuthenticateAsync(keys, old));
        Assert.Null(await AuthenticateAsync(keys, fresh));
    }

    private ApiKeys Keys(TimeSpan? age = null, int max = 1_000, int wrongPerMinute = 0)
        => new(database.Database, Microsoft.Extensions.Options.Options.Create(new ApiKeyOptions { CacheAge = age ?? TimeSpan.FromSeconds(1), CacheMax = max, WrongPerMinute = wrongPerMinute }), _clock);

    private async Task<(ApiKeyRow Row, string Key)> NewAsync(ApiKeys keys, ImmutableArray<string>? scopes = null, TimeSpan? lifetime = null)
    {
        var account = await new AccountStore(database.Database, _clock).CreateAsync("someone", Tier.Free, CancellationToken.None);
        return await keys.CreateAsync(account.Id, "a key", scopes ?? Scopes.Usual, lifetime, CancellationToken.None);
    }

    private static ValueTask<ApiCaller?> AuthenticateAsync(ApiKeys keys, string key) => keys.AuthenticateAsync(key, CancellationToken.None);
}

public sealed class SqliteApiKeysTests(SqliteTestDatabase database) : ApiKeysTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresApiKeysTests(PostgresTestDatabase database) : ApiKeysTests(database), IClassFixture<PostgresTestDatabase>;
