using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Protocol.Identity;
using Federation.Silo.Accounts;
using Federation.Silo.Hubs;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Webhooks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Webhooks;

public abstract class WebhookRunnerTests(TestDatabase database) : IAsyncLifetime
{
    private static readonly HubIdentity _identity = new(SigningKey.Create());

    private readonly TestClock _clock = new();
    private readonly WebhookOptions _options = new() { AllowPrivateTargets = true, AllowHttp = true };
    private readonly List<IDisposable> _used = [];
    private readonly Receiver _receiver = Receiver.Create();

    public Task InitializeAsync() => _receiver.StartAsync();

    public async Task DisposeAsync()
    {
        foreach (var one in _used) one.Dispose();
        await _receiver.DisposeAsync();
        await database.Database.WriteAsync((connection, transaction) => connection.ExecuteAsync("DELETE FROM webhook_deliveries; DELETE FROM webhooks", transaction: transaction), CancellationToken.None);
    }

    [Fact]
    public async Task An_event_is_delivered_signed_to_those_who_asked_for_it()
    {
        var (store, runner) = Silo();
        var account = await AccountAsync();
        var all = await NewAsync(store, account, "/all", [.. WebhookEvents.All]);
        await NewAsync(store, account, "/other", ["batch.completed"]);
        await NewAsync(store, await AccountAsync(), "/stranger", [.. WebhookEvents.All]);
        await TellAsync(store, account, "job.completed");
        await WorkAsync(runner);
        var got = Assert.Single(_receiver.Got);
        Assert.Equal("/all", got.Path);
        Assert.Equal("job.completed", got.Headers["x-federation-event"]);
        var body = JsonElement.Parse(got.Body);
        Assert.Equal(got.Headers["x-federation-event-id"], body.GetProperty("id").GetString());
        Assert.Equal("ajob_1", body.GetProperty("data").GetProperty("id").GetString());
        Assert.Equal(Signed(all, 1, got), got.Headers["x-federation-signature"]);
        Assert.Equal("delivered", (await store.DeliveriesAsync(all.Id, null, null, 10, CancellationToken.None)).Single().State);
        await WorkAsync(runner);
        Assert.Single(_receiver.Got);
    }

    [Fact]
    public async Task A_job_s_own_endpoint_is_told_once_though_it_asked_for_nothing()
    {
        var (store, runner) = Silo();
        var account = await AccountAsync();
        var named = (await store.EnsureAsync(account, _receiver.Url + "/named", CancellationToken.None)).Webhook!;
        Assert.Equal((named, false), await store.EnsureAsync(account, _receiver.Url + "/named", CancellationToken.None));
        await TellAsync(store, account, "job.failed");
        await TellAsync(store, account, "job.failed", named.Id);
        await WorkAsync(runner);
        Assert.Single(_receiver.Got);
    }

    [Fact]
    public async Task After_a_rotation_both_secrets_sign_until_the_grace_has_ended()
    {
        var (store, runner) = Silo();
        var account = await AccountAsync();
        var webhook = await NewAsync(store, account, "/x", [.. WebhookEvents.All]);
        Assert.Equal(2, (await store.RotateAsync(account, webhook.Id, CancellationToken.None))!.SecretVersion);
        await TellAsync(store, account, "job.completed");
        await WorkAsync(runner);
        Assert.True(_receiver.Got.TryDequeue(out var both));
        Assert.Equal($"{Signed(webhook, 2, both)},{Signed(webhook, 1, both)}", both.Headers["x-federation-signature"]);
        _clock.Advance(_options.RotationGrace + TimeSpan.FromSeconds(1));
        await TellAsync(store, account, "job.completed");
        await WorkAsync(runner);
        Assert.True(_receiver.Got.TryDequeue(out var latest));
        Assert.Equal(Signed(webhook, 2, latest), latest.Headers["x-federation-signature"]);
        Assert.Null(await store.RotateAsync("acct_other", webhook.Id, CancellationToken.None));
    }

    [Fact]
    public async Task A_receiver_that_fails_is_tried_ever_more_seldom_for_a_day_and_then_the_delivery_is_dead_until_it_is_redelivered()
    {
        var (store, runner) = Silo();
        var account = await AccountAsync();
        var webhook = await NewAsync(store, account, "/x", [.. WebhookEvents.All]);
        _receiver.Status = 500;
        await TellAsync(store, account, "job.completed");
        var begun = _clock.GetUtcNow();
        var at = new List<TimeSpan>();
        while (_clock.GetUtcNow() - begun < _options.GiveUpAfter + TimeSpan.FromHours(3))
        {
            var before = _receiver.Got.Count;
            await WorkAsync(runner);
            if (_receiver.Got.Count > before) at.Add(_clock.GetUtcNow() - begun);
            var delivery = (await store.DeliveriesAsync(webhook.Id, null, null, 10, CancellationToken.None)).Single();
            if (delivery.State == "dead") break;
            _clock.Advance(DateTimeOffset.FromUnixTimeMilliseconds(delivery.NextAt) - _clock.GetUtcNow());
        }
        Assert.InRange(at.Count, 20, 60);
        Assert.InRange(at[1], TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(6));
        Assert.InRange(at[^1], TimeSpan.FromHours(21), TimeSpan.FromHours(24));
        Assert.Single(_receiver.Got.Select(one => one.Headers["x-federation-event-id"]).Distinct());
        var dead = (await store.DeliveriesAsync(webhook.Id, "dead", null, 10, CancellationToken.None)).Single();
        Assert.Equal((500L, "The receiver answered 500."), (dead.LastStatus, dead.LastError));
        _receiver.Got.Clear();
        _receiver.Status = 204;
        Assert.False(await store.RedeliverAsync("wh_other", dead.Id, CancellationToken.None));
        Assert.True(await store.RedeliverAsync(webhook.Id, dead.Id, CancellationToken.None));
        Assert.False(await store.RedeliverAsync(webhook.Id, dead.Id, CancellationToken.None));
        await WorkAsync(runner);
        Assert.Equal(dead.EventId, Assert.Single(_receiver.Got).Headers["x-federation-event-id"]);
    }

    [Fact]
    public async Task Of_two_silos_one_sends_a_delivery()
    {
        var ((store, one), (_, other)) = (Silo(), Silo());
        var account = await AccountAsync();
        await NewAsync(store, account, "/x", [.. WebhookEvents.All]);
        for (var i = 0; i < 10; i++) await TellAsync(store, account, "job.completed");
        for (var look = 0; look < 10; look++)
        {
            await Task.WhenAll(one.LookAsync(CancellationToken.None), other.LookAsync(CancellationToken.None));
            await one.WhenIdleAsync().WithinPatienceAsync();
            await other.WhenIdleAsync().WithinPatienceAsync();
        }
        Assert.Equal(10, _receiver.Got.Count);
        Assert.Equal(10, _receiver.Got.Select(got => got.Headers["x-federation-event-id"]).Distinct().Count());
    }

    [Fact]
    public async Task A_thousand_events_for_a_receiver_that_says_nothing_hold_up_neither_another_account_nor_another_endpoint()
    {
        var (store, runner) = Silo();
        _receiver.SilentPath = "/silent";
        var (many, few) = (await AccountAsync(), await AccountAsync());
        await NewAsync(store, many, "/silent", ["job.completed"]);
        await NewAsync(store, many, "/live", ["job.failed"]);
        await NewAsync(store, few, "/other", ["job.completed"]);
        for (var i = 0; i < 40; i++) await TellAsync(store, many, "job.completed");
        await TellAsync(store, many, "job.failed");
        await TellAsync(store, few, "job.completed");
        await runner.LookAsync(CancellationToken.None);
        await Eventually.TrueAsync(() => _receiver.Got.Any(got => got.Path == "/live") && _receiver.Got.Any(got => got.Path == "/other"), "the other two to be told");
        await runner.LookAsync(CancellationToken.None);
        Assert.InRange(_receiver.Got.Count(got => got.Path == "/silent"), 1, _options.MaxSendingPerAccount);
        _receiver.Speak();
        await runner.WhenIdleAsync().WithinPatienceAsync();
    }

    [Fact]
    public async Task An_account_tests_its_endpoints_one_after_the_other()
    {
        var (store, _) = Silo();
        var (account, stranger) = (await AccountAsync(), await AccountAsync());
        var (one, other, strange) = (await NewAsync(store, account, "/1", []), await NewAsync(store, account, "/2", []), await NewAsync(store, stranger, "/3", []));
        Assert.Null(await store.TryTestAsync(one, CancellationToken.None));
        Assert.Equal(_options.TestPeriod, await store.TryTestAsync(one, CancellationToken.None));
        Assert.Equal(_options.TestPeriod, await store.TryTestAsync(other, CancellationToken.None));
        Assert.Null(await store.TryTestAsync(strange, CancellationToken.None));
        // A new endpoint is no new turn.
        await store.DeleteAsync(account, one.Id, CancellationToken.None);
        Assert.NotNull(await store.TryTestAsync(await NewAsync(store, account, "/4", []), CancellationToken.None));
        _clock.Advance(_options.TestPeriod);
        Assert.Null(await store.TryTestAsync(other, CancellationToken.None));
    }

    [Fact]
    public async Task A_deleted_endpoint_is_forgotten_after_its_deliveries()
    {
        var (store, _) = Silo();
        var account = await AccountAsync();
        var webhook = await NewAsync(store, account, "/x", [.. WebhookEvents.All]);
        await TellAsync(store, account, "job.completed");
        await store.DeleteAsync(account, webhook.Id, CancellationToken.None);
        Assert.Equal(0, await store.ForgetAsync(CancellationToken.None));
        _clock.Advance(_options.Retention + TimeSpan.FromSeconds(1));
        Assert.Equal(2, await store.ForgetAsync(CancellationToken.None));
        Assert.Equal(0, await store.ForgetAsync(CancellationToken.None));
    }

    [Theory]
    [InlineData(300)]
    [InlineData(301)]
    [InlineData(302)]
    [InlineData(303)]
    [InlineData(304)]
    [InlineData(307)]
    [InlineData(308)]
    public async Task A_redirect_is_not_followed_and_is_a_failure_like_any_other(int status)
    {
        await using var inwards = Receiver.Create();
        await inwards.StartAsync();
        var (store, runner) = Silo();
        var account = await AccountAsync();
        var webhook = await NewAsync(store, account, "/x", [.. WebhookEvents.All]);
        (_receiver.Status, _receiver.Location) = (status, inwards.Url + "/latest/meta-data");
        await TellAsync(store, account, "job.completed");
        await WorkAsync(runner);
        Assert.Equal("/x", Assert.Single(_receiver.Got).Path);
        var delivery = (await store.DeliveriesAsync(webhook.Id, null, null, 10, CancellationToken.None)).Single();
        Assert.Equal(("waiting", 1L), (delivery.State, delivery.Attempts));
        Assert.Contains("redirect", delivery.LastError, StringComparison.Ordinal);

        // It is tried again where it was registered.
        _clock.Advance(_options.GiveUpAfter / 2);
        await WorkAsync(runner);
        Assert.Equal(["/x", "/x"], _receiver.Got.Select(got => got.Path));
        Assert.Empty(inwards.Got);
    }

    [Fact]
    public async Task A_name_that_leads_inwards_is_not_connected_to_whatever_it_was_registered_as()
    {
        var account = await AccountAsync();
        var (store, _) = Silo();
        // A name, not an address: only who resolves it can tell.
        var webhook = await NewAsync(store, account, "/x", [.. WebhookEvents.All], _receiver.Url.Replace("127.0.0.1", "localhost", StringComparison.Ordinal));
        using var guarded = new WebhookSender(_identity, Options.Create(new WebhookOptions { AllowHttp = true }), _clock);
        var answer = await guarded.SendAsync(webhook, store.Test(webhook), CancellationToken.None);
        Assert.Equal((null, "The host's name does not lead to a public address."), (answer.Status, answer.Error));
        var byAddress = await guarded.SendAsync(webhook with { Url = _receiver.Url }, store.Test(webhook), CancellationToken.None);
        Assert.False(byAddress.IsSuccess);
        Assert.Empty(_receiver.Got);
    }

    [Fact]
    public async Task A_receiver_that_says_nothing_or_too_much_holds_nobody_up()
    {
        var (store, _) = Silo();
        var webhook = await NewAsync(store, await AccountAsync(), "/x", [.. WebhookEvents.All]);
        using var sender = new WebhookSender(_identity, Options.Create(_options), _clock);
        _receiver.Endless = true;
        Assert.True((await sender.SendAsync(webhook, store.Test(webhook), CancellationToken.None).WithinPatienceAsync()).IsSuccess);
        _receiver.Silent = true;
        var waiting = sender.SendAsync(webhook, store.Test(webhook), CancellationToken.None);
        await Eventually.TrueAsync(() => _receiver.Got.Count == 2, "the receiver to be asked");
        _clock.Advance(_options.Timeout);
        Assert.Contains("did not answer within", (await waiting.WithinPatienceAsync()).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_deleted_endpoint_gets_nothing_more_and_an_account_has_only_so_many()
    {
        var (store, runner) = Silo();
        var account = await AccountAsync();
        var webhook = await NewAsync(store, account, "/x", [.. WebhookEvents.All]);
        await TellAsync(store, account, "job.completed");
        Assert.False(await store.DeleteAsync("acct_other", webhook.Id, CancellationToken.None));
        Assert.True(await store.DeleteAsync(account, webhook.Id, CancellationToken.None));
        await TellAsync(store, account, "job.completed");
        await WorkAsync(runner);
        Assert.Empty(_receiver.Got);
        for (var i = 0; i < _options.MaxEndpointsPerAccount; i++) await NewAsync(store, account, $"/{i}", []);
        Assert.Null(await store.CreateAsync(account, _receiver.Url, [], CancellationToken.None));
        Assert.Null((await store.EnsureAsync(account, _receiver.Url + "/more", CancellationToken.None)).Webhook);
    }

    private static string Signed(Webhook webhook, long version, Received got) => $"v1={Convert.ToHexStringLower(HMACSHA256.HashData(
        Encoding.UTF8.GetBytes(_identity.WebhookSecret(webhook.Id, version)), Encoding.UTF8.GetBytes($"{got.Headers["x-federation-timestamp"]}.{got.Body}")))}";

    private static async Task WorkAsync(WebhookRunner runner)
    {
        await runner.LookAsync(CancellationToken.None);
        await runner.WhenIdleAsync().WithinPatienceAsync();
    }

    private Task TellAsync(WebhookStore store, string account, string type, string? webhookId = null) => database.Database.WriteAsync(
        (connection, transaction) => store.TellAsync(connection, transaction, account, type, webhookId, new { id = "ajob_1" }), CancellationToken.None);

    private async Task<Webhook> NewAsync(WebhookStore store, string account, string path, string[] events, string? url = null)
        => (await store.CreateAsync(account, (url ?? _receiver.Url) + path, events, CancellationToken.None))!;

    private async Task<string> AccountAsync() => (await new AccountStore(database.Database, _clock).CreateAsync("someone", Tier.Free, CancellationToken.None)).Id;

    private (WebhookStore Store, WebhookRunner Runner) Silo()
    {
        var store = new WebhookStore(database.Open(_clock), Options.Create(_options), _clock);
        var sender = new WebhookSender(_identity, Options.Create(_options), _clock);
        var runner = new WebhookRunner(store, sender, Options.Create(_options), new Random(7), _clock, NullLogger<WebhookRunner>.Instance);
        _used.AddRange([runner, sender]);
        return (store, runner);
    }

    private sealed record Received(string Path, Dictionary<string, string> Headers, string Body);

    /// <summary>A receiver of webhooks that does as the test says.</summary>
    private sealed class Receiver : IAsyncDisposable
    {
        private readonly WebApplication _app;
        private readonly TaskCompletionSource _spoken = new(TaskCreationOptions.RunContinuationsAsynchronously);

        private Receiver()
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            _app = builder.Build();
            _app.Run(TakeAsync);
        }

        public ConcurrentQueue<Received> Got { get; } = new();

        public int Status { get; set; } = 204;

        public string? Location { get; set; }

        /// <summary>Its answer never ends.</summary>
        public bool Endless { get; set; }

        /// <summary>It never answers.</summary>
        public bool Silent { get; set; }

        /// <summary>There it does not answer before <see cref="Speak"/>.</summary>
        public string? SilentPath { get; set; }

        public string Url => _app.Urls.Single();

        public static Receiver Create() => new();

        public void Speak() => _spoken.TrySetResult();

        public Task StartAsync() => _app.StartAsync();

        public async ValueTask DisposeAsync()
        {
            using var impatience = new CancellationTokenSource(TimeSpan.Zero);
            await _app.StopAsync(impatience.Token);
            await _app.DisposeAsync();
        }

        private async Task TakeAsync(HttpContext http)
        {
            using var reader = new StreamReader(http.Request.Body);
            var body = await reader.ReadToEndAsync();
            Got.Enqueue(new Received(http.Request.Path, http.Request.Headers.ToDictionary(header => header.Key.ToLowerInvariant(), header => header.Value.ToString(), StringComparer.Ordinal), body));
            if (http.Request.Path == SilentPath) await _spoken.Task;
            if (Silent) await Task.Delay(Timeout.Infinite, http.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            http.Response.StatusCode = Endless ? 200 : Status;
            if (Location is not null) http.Response.Headers.Location = Location;
            while (Endless && !http.RequestAborted.IsCancellationRequested)
            {
                try
                {
                    await http.Response.Body.WriteAsync(new byte[1024], http.RequestAborted);
                }
                catch (OperationCanceledException)
                {
                    return;
                }
            }
        }
    }
}

public sealed class WebhookRunnerOnSqliteTests(SqliteTestDatabase database) : WebhookRunnerTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class WebhookRunnerOnPostgresTests(PostgresTestDatabase database) : WebhookRunnerTests(database), IClassFixture<PostgresTestDatabase>;
