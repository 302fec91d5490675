using System.Collections.Concurrent;
using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>The database goes under paid load, and comes back: no answer is lost that was paid for, none is given that is not, and nobody has to look after the hub.</summary>
public sealed class DatabaseFaultTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private const string Model = "cloudy";
    private const int Clients = 8;
    private const long Price = PaidCloud.AnswerTokens * PaidCloud.PerToken;
    private const long Credits = 1_000_000;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_PostgreSQL_that_is_killed_or_stands_still_under_load_costs_nobody_anything(bool killed)
    {
        // Orleans says for itself that the models could not be written down; the hub tries again.
        ExpectComplaint("SqlGrainStorage[");
        await using var database = await PrivatePostgres.StartAsync();
        await using var cloud = RawEngine.Start(Model);
        var settings = Settings(cloud);
        settings["Storage__Postgres"] = database.ConnectionString;
        var hub = await StartHubAsync(settings);
        var key = await PaidCloud.RichAsync(hub, Credits);
        using var client = hub.Client(key);
        await using var load = new Load(client);
        await load.AnsweredAsync(50);

        if (killed) await database.KillAsync();
        else database.Suspend();
        await load.RefusedAsync(20);
        await Patience.UntilAsync(async () => (await client.GetAsync("/readyz")).Status is HttpStatusCode.ServiceUnavailable, "the hub to say that it cannot work");
        if (killed) await database.StartAgainAsync();
        else database.Resume();

        await load.AnsweredAsync(50);
        await load.StopAsync();
        Note($"{load.Answered} answers, {load.Refused} refused.");
        await Patience.UntilAsync(async () => await database.NumberAsync("SELECT count(*) FROM ledger_holds WHERE state = 1") == 0, "every hold to end");
        await Patience.UntilAsync(async () => await database.NumberAsync("SELECT count(*) FROM jobs WHERE status = 'completed'") == load.Answered, "every answer to be on record");
        await AssertBooksAsync(database.NumberAsync, client, load.Answered);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/readyz")).Status);
    }

    [Fact]
    public async Task A_disk_that_is_full_spoils_nothing_and_all_goes_on_when_there_is_room_again()
    {
        if (await SmallDisk.TryMountAsync(24) is not { } disk)
        {
            Note("Nobody but root may mount a file system: not tried here.");
            return;
        }
        await using var mounted = disk;
        await using var cloud = RawEngine.Start(Model);
        var data = Path.Combine(disk.Path, "data");
        var hub = await StartHubAsync(Settings(cloud), data: data);
        var key = await PaidCloud.RichAsync(hub, Credits);
        using var client = hub.Client(key);
        using var admin = hub.Client();
        await using (var load = new Load(client))
        {
            await load.AnsweredAsync(20);
            disk.Fill();
            await load.RefusedAsync(20);
            foreach (var (path, body) in new[] { ("/v1/accounts", """{"name":"one more"}"""), ("/v1/keys", """{"name":"one more"}"""), ("/v1/webhooks", """{"url":"https://example.org/"}""") })
            {
                var refused = (await admin.PostAsync(path, body)).Expect(HttpStatusCode.ServiceUnavailable);
                Assert.NotNull(refused.Headers.RetryAfter);
            }
            disk.Free();
            await load.AnsweredAsync(20);
            await load.StopAsync();
            Note($"{load.Answered} answers, {load.Refused} refused.");
            await Patience.UntilAsync(async () => (await PaidCloud.BalanceAsync(client)).Held == 0, "every hold to end");
            await Patience.UntilAsync(async () => await PaidCloud.NumberAsync(hub, "SELECT COUNT(*) FROM jobs WHERE status = 'completed'") == load.Answered, "every answer to be on record");
            await AssertBooksAsync(query => PaidCloud.NumberAsync(hub, query), client, load.Answered);
        }
        Assert.Equal(1, await PaidCloud.NumberAsync(hub, "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"));
        (await admin.PostAsync("/v1/accounts", """{"name":"one more"}""")).Expect(HttpStatusCode.Created);
        // What the disk had no room for has not spoiled what is there.
        hub.Process.Terminate();
        Assert.Equal(0, await hub.Process.ExitAsync());
        var again = await StartHubAsync(Settings(cloud), data: data);
        using var after = again.Client(key);
        Assert.Equal("42", (await after.ChatAsync(Model)).Content);
    }

    /// <summary>Answers and money agree: whoever was answered has paid, nobody else has, and no credit came or went.</summary>
    private static async Task AssertBooksAsync(Func<string, Task<long>> number, HubClient client, long answered)
    {
        Assert.Equal(0, await number("SELECT SUM(credits_posted - debits_posted) FROM ledger_accounts"));
        Assert.Equal(answered * Price, await number("SELECT credits_posted FROM ledger_accounts WHERE id = 'provider:fake'"));
        Assert.Equal(answered * Price, await number("SELECT SUM(price) FROM jobs"));
        Assert.Equal(((Credits * 1_000_000) - (answered * Price), 0), await PaidCloud.BalanceAsync(client));
    }

    private static Dictionary<string, string> Settings(RawEngine cloud) => new(PaidCloud.Provider("fake", cloud.Url, Model))
    {
        // Nobody wants to wait longer for what does not come, nor for the end of a hold.
        ["Storage__CommandTimeout"] = "00:00:01",
        ["Storage__ConnectTimeout"] = "00:00:01",
        ["Pricing__HoldPatience"] = "00:00:01",
        ["Gateway__AnswerTimeout"] = "00:00:04",
        ["Pricing__HoldMargin"] = "00:00:01",
        ["Ledger__ExpiryPeriod"] = "00:00:00.2",
    };

    /// <summary>Clients that ask and ask; whoever is refused hears when to come again, and of nothing worse.</summary>
    private sealed class Load : IAsyncDisposable
    {
        private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

        private readonly CancellationTokenSource _over = new();
        private readonly ConcurrentQueue<string> _wrong = new();
        private readonly Task _running;
        private long _answered;
        private long _refused;

        public Load(HubClient client) => _running = Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => Task.Run(() => AskAsync(client))));

        public long Answered => Interlocked.Read(ref _answered);

        public long Refused => Interlocked.Read(ref _refused);

        /// <summary>So many more answers.</summary>
        public async Task AnsweredAsync(int more)
        {
            var from = Answered;
            await Patience.UntilAsync(() => Task.FromResult(Answered >= from + more || !_wrong.IsEmpty), $"{more} answers; there were {Answered}, and {Refused} were refused");
        }

        /// <summary>So many more that are refused.</summary>
        public async Task RefusedAsync(int more)
        {
            var from = Refused;
            await Patience.UntilAsync(() => Task.FromResult(Refused >= from + more || !_wrong.IsEmpty), $"{more} to be refused; there were {Refused}");
        }

        /// <summary>Lets all that was asked be answered.</summary>
        public async Task StopAsync()
        {
            await _over.CancelAsync();
            await _running.Soon("the last answers");
            Assert.Empty(_wrong);
        }

        public async ValueTask DisposeAsync()
        {
            await _over.CancelAsync();
            await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _over.Dispose();
        }

        private async Task AskAsync(HubClient client)
        {
            while (!_over.IsCancellationRequested)
            {
                var answer = await client.ChatAsync(Model);
                if (answer.Status is HttpStatusCode.OK)
                {
                    Interlocked.Increment(ref _answered);
                    continue;
                }
                if (answer.Status is not HttpStatusCode.ServiceUnavailable || answer.Headers.RetryAfter is null || JsonNode.Parse(answer.Text)?["error"]?["message"] is null) _wrong.Enqueue($"{(int)answer.Status} {answer.Text}");
                Interlocked.Increment(ref _refused);
                await Task.Delay(Pause, _over.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
