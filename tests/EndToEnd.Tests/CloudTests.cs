using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Microsoft.AspNetCore.Http;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A hub that buys answers from a cloud, with what its clients have earned or bought.</summary>
public sealed class CloudTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private const string Model = "cloudy";
    private const string Secret = "sk-nobody-may-see-this";

    // 10 credits for a thousand tokens: a token is ten thousand microcredits.
    private const long PerToken = 10_000;
    private const long TenCredits = 10_000_000;

    [Fact]
    public async Task The_openai_package_is_answered_by_a_cloud_and_pays_what_it_used()
    {
        var cloud = await StartEngineAsync(Model);
        var hub = await StartHubAsync(Settings(cloud));
        var (account, key) = await RichAsync(hub);
        using var client = hub.Client(key);
        var npm = new NpmClient("openai", "openai.mjs");

        var chatting = npm.RunAsync("chat", Environment(hub, key));
        await (await cloud.NextAsync()).EndWholeAsync("42");
        Assert.Equal("42", (await chatting)["text"]!.ToString());
        Assert.Equal((TenCredits - (9 * PerToken), 0), await BalanceAsync(client));

        var streaming = npm.RunAsync("stream", Environment(hub, key));
        var answer = await cloud.NextAsync();
        await answer.WriteAsync("4");
        await answer.WriteAsync("2");
        await answer.EndAsync();
        Assert.Equal("42", (await streaming)["text"]!.ToString());
        var (available, held) = await BalanceAsync(client);
        Assert.True(held == 0 && available < TenCredits - (9 * PerToken), $"{available}, {held}");

        var listed = await npm.RunAsync("models", Environment(hub, key));
        Assert.Equal(Model, listed["one"]!.ToString());
        var model = (await client.GetAsync($"/v1/models/{Model}")).Expect(HttpStatusCode.OK).Json;
        Assert.Equal(("cloud", "fake", 10), (model["federation"]!["source"]!.ToString(), model["federation"]!["providers"]![0]!.ToString(), model["federation"]!["price"]!["input_credits_per_1k_tokens"]!.GetValue<int>()));

        var statement = (await client.GetAsync("/v1/account/statement")).Expect(HttpStatusCode.OK).Text;
        Assert.Contains("provider:fake", statement, StringComparison.Ordinal);
        foreach (var path in new[] { "/v1/models", "/openapi.json", "/v1/account", "/v1/hub" }) Assert.DoesNotContain(Secret, (await client.GetAsync(path)).Text, StringComparison.Ordinal);
        Assert.DoesNotContain(hub.Process.Lines, line => line.Contains(Secret, StringComparison.Ordinal));
        Assert.StartsWith("acct_", account, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_quote_says_what_a_request_costs_and_a_cap_keeps_it_there()
    {
        var cloud = await StartEngineAsync(Model);
        var hub = await StartHubAsync(Settings(cloud));
        var (_, key) = await RichAsync(hub);
        using var client = hub.Client(key);
        var quote = (await client.PostAsync("/v1/quote", new JsonObject { ["model"] = Model, ["prompt_tokens"] = 100, ["completion_tokens"] = 50 })).Expect(HttpStatusCode.OK).Json;
        Assert.Equal(("cloud:fake", 150 * PerToken, 150 * PerToken), (quote["route"]!.ToString(), quote["max_microcredits"]!.GetValue<long>(), quote["estimated_microcredits"]!.GetValue<long>()));
        Assert.Equal(75 * PerToken, (await client.PostAsync("/v1/quote", new JsonObject { ["model"] = Model, ["prompt_tokens"] = 100, ["completion_tokens"] = 50, ["batch"] = true })).Json["max_microcredits"]!.GetValue<long>());
        (await client.PostAsync("/v1/quote", new JsonObject { ["model"] = Model, ["prompt_tokens"] = -1 })).ExpectError(HttpStatusCode.BadRequest, "invalid_value", "prompt_tokens");
        (await client.PostAsync("/v1/quote", new JsonObject { ["model"] = "gpt-nonsense", ["prompt_tokens"] = 1 })).ExpectError(HttpStatusCode.NotFound, "model_not_found", "gpt-nonsense");

        var refused = await PaidAsync(hub, key, """{"model":"cloudy","messages":[{"role":"user","content":"x"}],"max_tokens":100}""", "0.5");
        refused.ExpectError(HttpStatusCode.BadRequest, "max_credits_exceeded", "POST /v1/quote");
        Assert.Equal((TenCredits, 0), await BalanceAsync(client));

        var asking = PaidAsync(hub, key, """{"model":"cloudy","messages":[{"role":"user","content":"x"}]}""", "0.5");
        await (await cloud.NextAsync()).EndWholeAsync("ok");
        Assert.Equal("ok", (await asking).Content);
    }

    [Fact]
    public async Task Of_two_who_spend_the_last_credit_at_once_one_wins_and_the_other_is_told_in_OpenAIs_words()
    {
        var cloud = Keep(await QuickCloud.StartAsync());
        var hub = await StartHubAsync(Settings(cloud));
        // It may cost nearly a credit, and there is one.
        var (_, key) = await RichAsync(hub, "1");
        using var client = hub.Client(key);
        const string ask = """{"model":"cloudy","messages":[{"role":"user","content":"abcdef"}],"max_tokens":50}""";
        var answers = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => client.PostAsync("/v1/chat/completions", ask)));
        Assert.Single(answers, answer => answer.Status is HttpStatusCode.OK);
        answers.Single(answer => answer.Status is not HttpStatusCode.OK).ExpectError(HttpStatusCode.TooManyRequests, "insufficient_quota", "You exceeded your current quota");
        Assert.Equal((1_000_000 - (9 * PerToken), 0), await BalanceAsync(client));

        var (_, poor) = await RichAsync(hub, "0.000001");
        var error = await new NpmClient("openai", "openai.mjs").RunAsync("chat", Environment(hub, poor), "error");
        Assert.Equal(("RateLimitError", "insufficient_quota"), (error["type"]!.ToString(), error["code"]!.ToString()));
    }

    [Fact]
    public async Task Work_of_nodes_costs_what_a_rule_says_and_an_answer_that_never_came_costs_nothing()
    {
        var hub = await StartHubAsync(new Dictionary<string, string>
        {
            ["Pricing__Rules__0__Source"] = "nodes",
            ["Pricing__Rules__0__Input"] = "10",
            ["Pricing__Rules__0__Output"] = "10",
        });
        var line = await ConnectedNodeAsync(hub, Model);
        var (_, key) = await RichAsync(hub, "100");
        using var client = hub.Client(key);
        Assert.Equal("nodes", (await client.PostAsync("/v1/quote", new JsonObject { ["model"] = Model, ["prompt_tokens"] = 1 })).Expect(HttpStatusCode.OK).Json["route"]!.ToString());
        var asking = client.StreamChatAsync(Model);
        var lease = await line.NextAssignAsync();
        Assert.True((await BalanceAsync(client)).Held > 0);
        await line.BeginAsync(lease);
        await line.ChunkAsync(lease.LeaseId, 0, Chats.Piece("4"));
        await line.ChunkAsync(lease.LeaseId, 1, Chats.Piece("2"));
        await line.ChunkAsync(lease.LeaseId, 2, Chats.End());
        await line.DoneAsync(lease.LeaseId, promptTokens: 7, completionTokens: 2);
        using (var stream = await asking) Assert.Equal("42", await stream.TextAsync());
        var paid = (10 * TenCredits) - (9 * PerToken);
        Assert.Equal((paid, 0), await BalanceAsync(client));

        using var gone = new CancellationTokenSource();
        var leaving = client.ChatAsync(Model, cancellationToken: gone.Token);
        await line.NextAssignAsync();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => leaving);
        await Patience.UntilAsync(async () => await BalanceAsync(client) == (paid, 0), "the hold to be freed");
    }

    [Fact]
    public async Task When_no_node_is_free_a_cloud_helps_out_whoever_can_pay_and_the_others_hear_that_no_node_was()
    {
        var cloud = Keep(await QuickCloud.StartAsync());
        var settings = Settings(cloud);
        settings["Cloud__Overflow"] = "true";
        settings["Pool__Patience"] = "00:00:01";
        settings["Gateway__AnswerTimeout"] = "00:01:00";
        var hub = await StartHubAsync(settings);
        var line = await ConnectedNodeAsync(hub, Model, slots: 1);
        var (_, key) = await RichAsync(hub);
        using var client = hub.Client(key);
        var asking = client.StreamChatAsync(Model);
        var lease = await line.NextAssignAsync();
        await line.BeginAsync(lease);
        await line.ChunkAsync(lease.LeaseId, 0, Chats.Piece("slow"));
        using var stream = await asking;
        Assert.Equal((TenCredits, 0), await BalanceAsync(client));

        var helped = await client.ChatAsync(Model);
        Assert.Equal(("quick", "cloud:fake"), (helped.Content, helped.Headers.GetValues("x-federation-route").Single()));
        Assert.Equal((TenCredits - (9 * PerToken), 0), await BalanceAsync(client));

        var (_, poor) = await RichAsync(hub, "0.000001");
        using var other = hub.Client(poor);
        (await other.ChatAsync(Model)).ExpectError(HttpStatusCode.ServiceUnavailable, "overloaded", "No node was free");
        await line.ChunkAsync(lease.LeaseId, 1, Chats.End());
        await line.DoneAsync(lease.LeaseId);
        Assert.Equal("slow", await stream.TextAsync());
    }

    [Fact]
    public async Task Ollamas_and_Anthropics_clients_reach_a_cloud_too()
    {
        var cloud = Keep(await QuickCloud.StartAsync());
        var hub = await StartHubAsync(Settings(cloud));
        var (_, key) = await RichAsync(hub);
        using var client = hub.Client(key);
        var ollama = await client.PostAsync("/api/chat", """{"model":"cloudy","stream":false,"messages":[{"role":"user","content":"hi"}]}""");
        Assert.Contains("quick", ollama.Expect(HttpStatusCode.OK).Text, StringComparison.Ordinal);
        var anthropic = await client.PostAsync("/v1/messages", """{"model":"cloudy","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}""");
        Assert.Contains("quick", anthropic.Expect(HttpStatusCode.OK).Text, StringComparison.Ordinal);
        Assert.Equal((TenCredits - (18 * PerToken), 0), await BalanceAsync(client));
    }

    [Fact]
    public async Task A_line_of_a_batch_is_held_and_paid_at_half_the_price()
    {
        const int lines = 3;
        await using var database = await ClusterDatabase.CreateAsync();
        var cloud = await StartEngineAsync(Model);
        var settings = Settings(cloud);
        settings["Storage__Postgres"] = database.ConnectionString;
        settings["Batches__LookPeriod"] = "00:00:00.1";
        settings["Batches__Parallelism"] = "1";
        settings["Gateway__AnswerTimeout"] = "00:01:00";
        var hub = await StartHubAsync(settings);
        var (_, key) = await RichAsync(hub);
        using var client = hub.Client(key);
        const string ask = """{"model":"cloudy","messages":[{"role":"user","content":"abcdef"}],"max_tokens":50}""";

        // The same request by itself is held for at the whole price.
        var asking = client.PostAsync("/v1/chat/completions", ask);
        var whole = await cloud.NextAsync();
        var held = (await BalanceAsync(client)).Held;
        Assert.True(held > 50 * PerToken, $"{held}");
        await whole.EndWholeAsync("42");
        (await asking).Expect(HttpStatusCode.OK);
        var left = TenCredits - (9 * PerToken);
        Assert.Equal((left, 0), await BalanceAsync(client));

        using var form = new MultipartFormDataContent();
        using var file = new StringContent(string.Concat(Enumerable.Range(0, lines).Select(line => $$"""{"custom_id":"{{line}}","method":"POST","url":"/v1/chat/completions","body":{{ask}}}""" + "\n")));
        form.Add(file, "file", "lines.jsonl");
        form.Add(new StringContent("batch"), "purpose");
        var input = (await client.SendAsync(HttpMethod.Post, "/v1/files", form)).Expect(HttpStatusCode.OK).Json["id"]!.ToString();
        var batch = (await client.PostAsync("/v1/batches", new JsonObject { ["input_file_id"] = input, ["endpoint"] = "/v1/chat/completions", ["completion_window"] = "24h" })).Expect(HttpStatusCode.OK).Json["id"]!.ToString();
        for (var line = 0; line < lines; line++)
        {
            var one = await cloud.NextAsync();
            Assert.Equal((left - (held / 2), held / 2), await BalanceAsync(client));
            left -= 9 * PerToken / 2;
            await one.EndWholeAsync("42");
        }
        await Patience.UntilAsync(async () => (await client.GetAsync($"/v1/batches/{batch}")).Expect(HttpStatusCode.OK).Json["status"]!.ToString() == "completed", "the batch to end");
        Assert.Equal((left, 0), await BalanceAsync(client));
        Assert.Equal(lines, await database.NumberAsync("SELECT count(*) FROM jobs WHERE price = 45000 AND provider = 'fake'"));
        Assert.Equal(TenCredits - left, await database.NumberAsync("SELECT credits_posted FROM ledger_accounts WHERE id = 'provider:fake'"));
        Assert.Equal(0, await database.NumberAsync("SELECT sum(credits_posted - debits_posted) FROM ledger_accounts"));
        Assert.Equal(0, await database.NumberAsync("SELECT count(*) FROM ledger_holds WHERE state = 1"));
    }

    [Fact]
    public async Task A_hub_that_is_killed_between_hold_and_settlement_leaves_no_hold_without_an_end()
    {
        var cloud = await StartEngineAsync(Model);
        using var data = new TemporaryDirectory();
        var hub = await StartHubAsync(Settings(cloud), data: data.Path);
        var (_, key) = await RichAsync(hub);
        using (var client = hub.Client(key))
        {
            var asking = client.ChatAsync(Model);
            await cloud.NextAsync();
            Assert.True((await BalanceAsync(client)).Held > 0);
            await hub.Process.KillAsync();
            await Assert.ThrowsAnyAsync<HttpRequestException>(() => asking);
        }
        var again = await StartHubAsync(Settings(cloud), data: data.Path);
        using var survivor = again.Client(key);
        await Patience.UntilAsync(async () => await BalanceAsync(survivor) == (TenCredits, 0), "the hold to expire");
    }

    [Fact]
    public async Task However_often_a_hub_on_PostgreSQL_is_killed_under_load_the_books_add_up_and_every_hold_ends()
    {
        const int kills = 5;
        await using var database = await ClusterDatabase.CreateAsync();
        var cloud = Keep(await QuickCloud.StartAsync());
        var settings = Settings(cloud);
        settings["Storage__Postgres"] = database.ConnectionString;
        using var data = new TemporaryDirectory();
        var random = new Random(20261121);
        var key = string.Empty;
        for (var kill = 0; kill < kills; kill++)
        {
            var hub = await StartHubAsync(settings, data: data.Path);
            if (kill == 0) (_, key) = await RichAsync(hub, "1000000");
            using var client = hub.Client(key);
            var asked = 0;
            var load = Enumerable.Range(0, 16).Select(_ => Task.Run(async () =>
            {
                while (true)
                {
                    await client.ChatAsync(Model);
                    Interlocked.Increment(ref asked);
                }
            })).ToList();
            await Patience.UntilAsync(() => Task.FromResult(Volatile.Read(ref asked) > random.Next(20, 200)), "some load");
            await hub.Process.KillAsync();
            foreach (var one in load) await Assert.ThrowsAnyAsync<Exception>(() => one);
        }
        var last = await StartHubAsync(settings, data: data.Path);
        await Patience.UntilAsync(async () => await database.NumberAsync("SELECT count(*) FROM ledger_holds WHERE state = 1") == 0, "every hold to end");
        Assert.Equal(0, await database.NumberAsync("SELECT sum(credits_posted - debits_posted) FROM ledger_accounts"));
        Assert.Equal(0, await database.NumberAsync("SELECT count(*) FROM ledger_accounts WHERE id <> 'treasury' AND credits_posted - debits_posted - debits_pending < 0"));
        // Every answer that is on record is paid, and nothing else is.
        var paid = await database.NumberAsync("SELECT credits_posted FROM ledger_accounts WHERE id = 'provider:fake'");
        Assert.Equal(await database.NumberAsync("SELECT sum(price) FROM jobs"), paid);
        Assert.Equal(0, await database.NumberAsync("SELECT count(*) FROM jobs WHERE price <> 90000 OR provider <> 'fake'"));
        Assert.True(paid > kills * 90_000, $"{paid}");
        using var survivor = last.Client(key);
        Assert.Equal(1_000_000_000_000 - paid, (await BalanceAsync(survivor)).Available);
    }

    private static Dictionary<string, string> Settings(ModelServer cloud) => new()
    {
        ["Cloud__Providers__fake__BaseUrl"] = cloud.Url,
        ["Cloud__Providers__fake__Key"] = Secret,
        ["Cloud__Providers__fake__Models__0__Name"] = Model,
        ["Cloud__Providers__fake__Models__0__Input"] = "10",
        ["Cloud__Providers__fake__Models__0__Output"] = "10",
        // A hold lasts as long as both; nobody wants to wait longer for its end.
        ["Gateway__AnswerTimeout"] = "00:00:04",
        ["Pricing__HoldMargin"] = "00:00:01",
        ["Ledger__ExpiryPeriod"] = "00:00:00.2",
    };

    private static async Task<(string Account, string Key)> RichAsync(HubProcess hub, string credits = "10")
    {
        using var admin = hub.Client();
        var (account, key) = await admin.CreateAccountAsync("someone");
        var give = JsonNode.Parse($$"""{"id":"{{account}}","credits":{{credits}},"reason":"purchase"}""")!;
        for (var again = 0; again < 2; again++) (await admin.PostAsync($"/v1/accounts/{account}/credits", give)).Expect(HttpStatusCode.Created);
        give["credits"] = 5;
        (await admin.PostAsync($"/v1/accounts/{account}/credits", give)).ExpectError(HttpStatusCode.Conflict, "id_taken", account);
        return (account, key);
    }

    private static async Task<(long Available, long Held)> BalanceAsync(HubClient client)
    {
        var account = (await client.GetAsync("/v1/account")).Expect(HttpStatusCode.OK).Json;
        return (account["available_microcredits"]!.GetValue<long>(), account["held_microcredits"]!.GetValue<long>());
    }

    private static async Task<HubAnswer> PaidAsync(HubProcess hub, string key, string body, string maxCredits)
    {
        using var http = new HttpClient { BaseAddress = hub.Api, Timeout = Patience.Limit };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions") { Content = new StringContent(body, System.Text.Encoding.UTF8, "application/json") };
        request.Headers.Add("Authorization", $"Bearer {key}");
        request.Headers.Add("x-federation-max-credits", maxCredits);
        using var response = await http.SendAsync(request);
        return new HubAnswer(response.StatusCode, response.Headers, response.Content.Headers.ContentType?.MediaType, await response.Content.ReadAsStringAsync());
    }

    private static Dictionary<string, string> Environment(HubProcess hub, string key) => new()
    {
        ["OPENAI_BASE_URL"] = new Uri(hub.Api, "/v1").ToString(),
        ["OPENAI_API_KEY"] = key,
        ["MODEL"] = Model,
    };

    /// <summary>A cloud that answers at once, nine tokens in all.</summary>
    private sealed class QuickCloud() : ModelServer(CloudTests.Model)
    {
        public static Task<QuickCloud> StartAsync() => StartedAsync(new QuickCloud());

        protected override async Task AnswerAsync(HttpContext http)
        {
            await http.Request.Body.CopyToAsync(Stream.Null);
            http.Response.ContentType = "application/json";
            await http.Response.Body.WriteAsync(Chats.Whole("quick", 7, 2));
        }
    }
}
