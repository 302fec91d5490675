using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests.Clustering;

/// <summary>A hub of two silos on PostgreSQL: what one knows the other knows, and the hub outlives either.</summary>
public sealed class TwoSilosTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private const string SumOfAllBalances = "SELECT COALESCE(SUM(credits_posted - debits_posted), 0) FROM ledger_accounts";
    private const string SumOfAllIssuedReceipts = "SELECT COALESCE(SUM(credited), 0) FROM receipts WHERE state = 'issued'";
    private const string SumOfAllPending = "SELECT COALESCE(SUM(credits_posted - debits_posted), 0) FROM ledger_accounts WHERE id LIKE '%pending%'";
    private const string ReceiptsNotIssued = "SELECT COUNT(*) FROM receipts WHERE state <> 'issued'";

    [Fact]
    public async Task A_client_of_one_silo_is_answered_by_a_node_of_the_other()
    {
        var (first, second, _) = await StartTwoSilosAsync();
        var node = Keep(await FakeNode.JoinedAsync(first));
        var line = Keep(await node.ConnectAsync(first, "far-away"));
        line.Serve("from far away");
        using var client = second.Client();
        await Patience.UntilAsync(() => client.HasModelAsync("far-away"), "the other silo to know the model");
        Assert.Equal("from far away", (await client.ChatAsync("far-away")).Content);
        using var stream = await client.StreamChatAsync("far-away");
        Assert.Equal("from far away", await stream.TextAsync());
        Assert.Equal(node.Id.ToString(), stream.Node);
    }

    [Fact]
    public async Task A_client_that_leaves_one_silo_stops_the_node_of_the_other()
    {
        var (first, second, _) = await StartTwoSilosAsync();
        var node = Keep(await FakeNode.JoinedAsync(first));
        var line = Keep(await node.ConnectAsync(first, "far-away"));
        using var client = second.Client();
        using var leave = new CancellationTokenSource();
        await Patience.UntilAsync(() => client.HasModelAsync("far-away"), "the other silo to know the model");
        var asking = client.ChatAsync("far-away", cancellationToken: leave.Token);
        var lease = await line.NextAssignAsync();
        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
        Assert.Equal(lease.LeaseId, (await line.NextCancelAsync()).LeaseId);
    }

    [Fact]
    public async Task A_key_revoked_on_one_silo_opens_nothing_on_the_other()
    {
        var (first, second, _) = await StartTwoSilosAsync();
        using var admin = first.Client();
        var (_, key) = await admin.CreateAccountAsync("short-lived");
        using var client = second.Client(key);
        var id = (await client.GetAsync("/v1/keys")).Expect(HttpStatusCode.OK).Json["data"]![0]!["id"]!.ToString();
        (await admin.SendAsync(HttpMethod.Delete, $"/v1/keys/{id}")).Expect(HttpStatusCode.NoContent);
        await Patience.UntilAsync(async () => (await client.GetAsync("/v1/keys")).Status is HttpStatusCode.Unauthorized, "the other silo to hear of the revocation");
    }

    [Fact]
    public async Task Of_two_who_spend_the_last_credit_at_once_through_two_silos_exactly_one_wins()
    {
        const int rounds = 20;
        var (first, second, database) = await StartTwoSilosAsync(new Dictionary<string, string>
        {
            ["Pricing__Rules__0__Source"] = "nodes",
            ["Pricing__Rules__0__Input"] = "10",
            ["Pricing__Rules__0__Output"] = "10",
        });
        var node = Keep(await FakeNode.JoinedAsync(first));
        Keep(await node.ConnectAsync(first, "priced")).Serve("42");
        using var admin = first.Client();
        using var other = second.Client();
        await Patience.UntilAsync(async () => await admin.HasModelAsync("priced") && await other.HasModelAsync("priced"), "both silos to know the model");
        // It may cost all there is, a hundred tokens, two bytes of the prompt to one; whatever it does cost, what is left is not enough.
        var ask = """{"model":"priced","messages":[{"role":"user","content":"abcdef"}],"max_tokens":50}""";
        ask = ask.Replace("50", $"{100 - ((ask.Length + 1) / 2)}", StringComparison.Ordinal);
        for (var round = 0; round < rounds; round++)
        {
            var (account, key) = await admin.CreateAccountAsync($"poor {round}");
            (await admin.PostAsync($"/v1/accounts/{account}/credits", new JsonObject { ["id"] = account, ["credits"] = 1, ["reason"] = "purchase" })).Expect(HttpStatusCode.Created);
            using var here = first.Client(key);
            using var there = second.Client(key);
            var answers = await Task.WhenAll(here.PostAsync("/v1/chat/completions", ask), there.PostAsync("/v1/chat/completions", ask));
            Assert.Single(answers, answer => answer.Status is HttpStatusCode.OK);
            answers.Single(answer => answer.Status is not HttpStatusCode.OK).ExpectError(HttpStatusCode.TooManyRequests, "insufficient_quota", "You exceeded your current quota");
        }
        Assert.Equal(0, await database.NumberAsync(SumOfAllBalances));
        Assert.Equal(0, await database.NumberAsync("SELECT count(*) FROM ledger_accounts WHERE id <> 'treasury' AND credits_posted - debits_posted - debits_pending < 0"));
        Assert.Equal(rounds, await database.NumberAsync("SELECT count(*) FROM jobs WHERE price > 0"));
        Assert.Equal(0, await database.NumberAsync("SELECT count(*) FROM ledger_holds WHERE state = 1"));
    }

    [Fact]
    public async Task The_hub_outlives_a_silo_that_is_killed_while_clients_stream_through_both()
    {
        var (doomed, survivor, database) = await StartTwoSilosAsync();
        using var admin = survivor.Client();
        var (account, _) = await admin.CreateAccountAsync("owner");
        var agentOfDoomed = await StartAgentAsync(doomed, AgentEngines.Demo(), account);
        var agentOfSurvivor = await StartAgentAsync(survivor, AgentEngines.Demo(), account);
        await Patience.UntilAsync(async () => await NodesWithModelAsync(survivor) == 2 && await NodesWithModelAsync(doomed) == 2, "both silos to know both nodes");

        // Until the dead silo is known to be dead, grains that were there cannot be called, and a node that redials may be told to do so again.
        ExpectComplaint("NodeLinkService[3105]");
        // Orleans itself complains of calls to the dead silo.
        ExpectComplaint(" fail: Orleans.");
        using var stop = new CancellationTokenSource();
        var killed = false;
        var answers = new ConcurrentQueue<bool>();
        var failures = new ConcurrentQueue<string>();
        using var first = doomed.Client();
        using var second = survivor.Client();
        var clients = Enumerable.Range(0, 4).SelectMany(i => new[] { StreamOnAsync(first, i, isDoomed: true), StreamOnAsync(second, i, isDoomed: false) }).ToList();
        await Patience.UntilAsync(() => Task.FromResult(answers.Count(isDoomed => isDoomed) > 20 && answers.Count(isDoomed => !isDoomed) > 20), "clients to stream through both silos");

        killed = true;
        await doomed.Process.KillAsync();
        var atDeath = answers.Count(isDoomed => !isDoomed);
        await Patience.UntilAsync(
            async () =>
            {
                // Whoever fails of them says why.
                if (clients.Find(client => client.IsFaulted) is { } failed) await failed;
                return answers.Count(isDoomed => !isDoomed) > atDeath + 20;
            },
            "clients of the survivor to go on");
        // Its agent remembers where else the hub is.
        await agentOfDoomed.ConnectedAsync(admin, AgentProcess.Model);
        await Patience.UntilAsync(async () => await NodesWithModelAsync(survivor) == 2, "both nodes to be at the survivor");
        await stop.CancelAsync();
        await Task.WhenAll(clients).Soon("the clients to stop");

        // Both nodes give answers, and none of them a wrong one.
        var nodes = new HashSet<string>();
        await Patience.UntilAsync(
            async () =>
            {
                nodes.Add(await AskAsync(second, "17+25=", "42"));
                return nodes.Count == 2;
            },
            "both nodes to answer");
        Assert.True(failures.IsEmpty, string.Join('\n', failures));

        // What was measured was signed and paid, once, and the books are even.
        // The last answers may not have been booked yet: they add to all of it, one after the other.
        var pending = 0L;
        await Patience.UntilAsync(
            async () =>
            {
                if (await database.NumberAsync(ReceiptsNotIssued) > 0) return false;
                pending = (await admin.GetAsync($"/v1/account?account={account}")).Expect(HttpStatusCode.OK).Json["pending_microcredits"]!.GetValue<long>();
                return pending == await database.NumberAsync(SumOfAllIssuedReceipts) && pending == await database.NumberAsync(SumOfAllPending);
            },
            "all receipts to be signed and credited");
        Assert.Equal(0, await database.NumberAsync(SumOfAllBalances));
        Assert.True(pending > 0);

        async Task StreamOnAsync(HubClient client, int seed, bool isDoomed)
        {
            for (var i = seed; !stop.IsCancellationRequested; i++)
            {
                var (left, right) = (i % 100, (i * 37 % 90) + 10);
                try
                {
                    using var stream = await client.StreamChatAsync(AgentProcess.Model, $"{left}+{right}=");
                    var text = await TextOrErrorAsync(stream);
                    if (text == $"{left + right}") answers.Enqueue(isDoomed);
                    else if (text is not null) failures.Enqueue($"{left}+{right}= was answered '{text}'");
                }
                catch (Exception exception) when (isDoomed && killed && exception is HttpRequestException or IOException)
                {
                    return;
                }
            }
        }
    }

    /// <summary>The answer; <see langword="null"/> where it broke off with an error event, as it may when the node's silo dies.</summary>
    private static async Task<string?> TextOrErrorAsync(ChatStream stream)
    {
        var text = string.Empty;
        await foreach (var data in stream.EventsAsync())
        {
            if (data == "[DONE]") return text;
            if (data.Contains("\"stream_interrupted\"", StringComparison.Ordinal)) return null;
            text += Chats.Delta(data);
        }
        throw new IOException("The stream ended without [DONE] and without an error.");
    }

    private static async Task<string> AskAsync(HubClient client, string question, string answer)
    {
        using var stream = await client.StreamChatAsync(AgentProcess.Model, question);
        Assert.Equal(answer, await stream.TextAsync());
        return stream.Node;
    }

    private static async Task<int> NodesWithModelAsync(HubProcess hub)
    {
        using var client = hub.Client();
        return (await client.GetAsync("/v1/models")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray().SingleOrDefault(model => model!["id"]!.ToString() == AgentProcess.Model)?["nodes"]!.GetValue<int>() ?? 0;
    }

    private async Task<(HubProcess First, HubProcess Second, ClusterDatabase Database)> StartTwoSilosAsync(Dictionary<string, string>? settings = null)
    {
        var database = Keep(await ClusterDatabase.CreateAsync());
        var data = Keep(new DataDirectory());
        var ports = Ports.Take(4);
        var first = await StartSiloAsync(ports[0], ports[1]);
        var second = await StartSiloAsync(ports[2], ports[3]);
        return (first, second, database);

        Task<HubProcess> StartSiloAsync(int api, int silo) => StartHubAsync(
            new Dictionary<string, string>(settings ?? [])
            {
                ["Storage__Postgres"] = database.ConnectionString,
                ["Clustering__SiloPort"] = silo.ToString(CultureInfo.InvariantCulture),
                // A death is noticed after three of these.
                ["Clustering__ProbePeriod"] = "00:00:01",
                ["Hub__Urls__0"] = $"http://127.0.0.1:{ports[0]}",
                ["Hub__Urls__1"] = $"http://127.0.0.1:{ports[2]}",
            },
            arguments: ["--listen-nodes", "127.0.0.1:0"],
            data: data.Path,
            listen: $"127.0.0.1:{api}");
    }

    private sealed class DataDirectory : IAsyncDisposable
    {
        private readonly TemporaryDirectory _directory = new();

        public string Path => _directory.Path;

        public ValueTask DisposeAsync()
        {
            _directory.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
