using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A hub with small limits for accounts of the free tier, and for those of the pro tier one request at a time.</summary>
public sealed class LimitedHub : SharedHub
{
    private protected override Dictionary<string, string> Settings() => new(base.Settings())
    {
        ["Tiers__RequestsPerMinute__Free"] = "5",
        ["Tiers__ConcurrentStreams__Free"] = "0",
        ["Tiers__TokensPerDay__Free"] = "10000",
        ["Tiers__RequestsPerMinute__Pro"] = "0",
        ["Tiers__ConcurrentStreams__Pro"] = "1",
    };
}

/// <summary>What tiers and keys limit, as clients see it.</summary>
public sealed class LimitTests(LimitedHub shared, ITestOutputHelper output) : SharedHubTest<LimitedHub>(shared, output)
{
    [Fact]
    public async Task Of_requests_sent_at_once_as_many_are_answered_as_the_minute_allows_and_every_answer_says_what_is_left()
    {
        using var client = await ClientAsync("free");
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => client.ChatAsync(SharedHub.SteadyModel)));
        var answered = answers.Where(answer => answer.Status is HttpStatusCode.OK).ToList();
        Assert.Equal(5, answered.Count);
        Assert.Equal(["0", "1", "2", "3", "4"], answered.Select(answer => Header(answer.Headers, "x-ratelimit-remaining-requests")).Order(StringComparer.Ordinal));
        foreach (var answer in answers)
        {
            Assert.Equal("5", Header(answer.Headers, "x-ratelimit-limit-requests"));
            Assert.Equal("10000", Header(answer.Headers, "x-ratelimit-limit-tokens"));
            Assert.Matches("^([0-9]+m)?[0-9]+(ms|s)$", Header(answer.Headers, "x-ratelimit-reset-requests"));
            Assert.Matches("^([0-9]+h)?([0-9]+m)?[0-9]+m?s$", Header(answer.Headers, "x-ratelimit-reset-tokens"));
        }
        foreach (var refused in answers.Except(answered))
        {
            refused.ExpectError(HttpStatusCode.TooManyRequests, "rate_limit_exceeded", "Rate limit reached for this account on requests per min (RPM): Limit 5, Used 5, Requested 1. Please try again in ");
            Assert.Equal("requests", refused.Json["error"]!["type"]!.ToString());
            Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        }
        using var stream = await (await ClientAsync("free")).StreamChatAsync(SharedHub.SteadyModel);
        Assert.Equal("4", stream.Header("x-ratelimit-remaining-requests"));
        await stream.TextAsync();
    }

    [Theory]
    [InlineData("\"max_tokens\":-1")]
    [InlineData("\"max_tokens\":0")]
    [InlineData("\"max_tokens\":1e308")]
    [InlineData("\"max_tokens\":9223372036854775807")]
    [InlineData("\"max_tokens\":9223372036854775808,\"n\":9223372036854775807")]
    [InlineData("\"max_completion_tokens\":9223372036854775807,\"n\":1024")]
    [InlineData("\"n\":-9223372036854775808")]
    public async Task No_number_in_a_request_breaks_the_count_of_its_account(string numbers)
    {
        using var client = await ClientAsync("free");
        var status = (await client.PostAsync("/v1/chat/completions", $$"""{"model":"{{SharedHub.SteadyModel}}",{{numbers}},"messages":[{"role":"user","content":"hi"}]}""")).Status;
        Assert.True(status is HttpStatusCode.OK or HttpStatusCode.BadRequest or HttpStatusCode.TooManyRequests, $"{status}");
        (await client.ChatAsync(SharedHub.SteadyModel)).Expect(HttpStatusCode.OK);
    }

    [Fact]
    public async Task An_answer_longer_than_what_is_left_of_the_day_is_refused_until_tomorrow()
    {
        using var client = await ClientAsync("free");
        var refused = await client.PostAsync("/v1/chat/completions", $$"""{"model":"{{SharedHub.SteadyModel}}","max_tokens":10001,"messages":[{"role":"user","content":"hi"}]}""");
        refused.ExpectError(HttpStatusCode.TooManyRequests, "rate_limit_exceeded", "on tokens per day (TPD): Limit 10000, Used 0, Requested 10002.");
        Assert.Equal("tokens", refused.Json["error"]!["type"]!.ToString());
    }

    [Fact]
    public async Task One_at_a_time_means_that_whoever_has_the_end_of_an_answer_may_ask_for_the_next()
    {
        using var client = await ClientAsync("pro");
        for (var i = 0; i < 30; i++)
        {
            if (i % 2 == 0) Assert.Equal("as ever", (await client.ChatAsync(SharedHub.SteadyModel)).Content);
            else Assert.Equal("as ever", await (await client.StreamChatAsync(SharedHub.SteadyModel)).TextAsync());
        }
        (await client.ChatAsync("nobody-has-this")).ExpectError(HttpStatusCode.NotFound, "model_not_found", "does not exist");
        Assert.Equal("as ever", (await client.ChatAsync(SharedHub.SteadyModel)).Content);
    }

    [Fact]
    public async Task A_stream_that_runs_takes_the_place_of_another_until_its_client_leaves()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        using var client = await ClientAsync("pro");
        using var leave = new CancellationTokenSource();
        var asking = client.ChatAsync(model, cancellationToken: leave.Token);
        await line.NextAssignAsync();
        (await client.ChatAsync(SharedHub.SteadyModel)).ExpectError(HttpStatusCode.TooManyRequests, "rate_limit_exceeded", "on concurrent requests: Limit 1, Running 1.");
        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
        await Patience.UntilAsync(async () => (await client.ChatAsync(SharedHub.SteadyModel)).Status is HttpStatusCode.OK, "the place to be free again");
    }

    [Fact]
    public async Task The_operator_gives_an_account_another_tier_and_it_counts_at_once()
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("rising");
        using var client = new HubClient(Hub.Api, key);
        Assert.Equal("600", Header((await client.ChatAsync(SharedHub.SteadyModel)).Headers, "x-ratelimit-limit-requests"));
        var (code, said) = await HubProcess.CommandAsync("account", "tier", account, "free", "--hub", Hub.Api.ToString(), "--key-file", Path.Combine(Hub.Data, "admin.key"));
        Assert.True(code == 0, said);
        Assert.Equal("5", Header((await client.ChatAsync(SharedHub.SteadyModel)).Headers, "x-ratelimit-limit-requests"));
        var limits = (await client.GetAsync("/v1/account")).Expect(HttpStatusCode.OK).Json["limits"]!;
        Assert.Equal((5, 10_000), (limits["requests_per_minute"]!["limit"]!.GetValue<long>(), limits["tokens_per_day"]!["limit"]!.GetValue<long>()));
        (await admin.PostAsync($"/v1/accounts/{account}/tier", new JsonObject { ["tier"] = "gold" })).ExpectError(HttpStatusCode.BadRequest, null, "'gold' is not a tier; there are: free,");
        (await admin.PostAsync("/v1/accounts/acct_none/tier", new JsonObject { ["tier"] = "pro" })).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no account");
        (await client.PostAsync($"/v1/accounts/{account}/tier", new JsonObject { ["tier"] = "enterprise" })).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "lacks the scope 'admin'");
    }

    [Fact]
    public async Task A_keys_own_limits_hold_beside_its_accounts()
    {
        using var admin = Hub.Client();
        var made = (await admin.PostAsync("/v1/keys", new JsonObject { ["name"] = "lean", ["requests_per_minute"] = 2, ["models"] = new JsonArray(SharedHub.SteadyModel) })).Expect(HttpStatusCode.Created).Json;
        using var client = new HubClient(Hub.Api, made["key"]!.ToString());
        (await client.ChatAsync("another")).ExpectError(HttpStatusCode.NotFound, "model_not_found", "does not exist");
        Assert.Equal("1", Header((await client.ChatAsync(SharedHub.SteadyModel)).Expect(HttpStatusCode.OK).Headers, "x-ratelimit-remaining-requests"));
        (await client.ChatAsync(SharedHub.SteadyModel)).Expect(HttpStatusCode.OK);
        (await client.ChatAsync(SharedHub.SteadyModel)).ExpectError(HttpStatusCode.TooManyRequests, "rate_limit_exceeded", "Rate limit reached for this API key on requests per min (RPM): Limit 2");
        var listed = (await admin.GetAsync("/v1/keys")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray().Single(key => key!["id"]!.ToString() == made["id"]!.ToString())!;
        Assert.Equal((2, SharedHub.SteadyModel), (listed["requests_per_minute"]!.GetValue<int>(), listed["models"]![0]!.ToString()));
    }

    [Fact]
    public async Task A_key_for_other_models_does_not_reach_this_one()
    {
        using var admin = Hub.Client();
        var made = (await admin.PostAsync("/v1/keys", new JsonObject { ["name"] = "elsewhere", ["models"] = new JsonArray("other*") })).Expect(HttpStatusCode.Created).Json;
        using var client = new HubClient(Hub.Api, made["key"]!.ToString());
        (await client.ChatAsync(SharedHub.SteadyModel)).ExpectError(HttpStatusCode.Forbidden, "model_not_found", "does not have access to model");
    }

    [Fact]
    public async Task A_limited_key_makes_and_rotates_no_other_and_rotates_itself()
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("owner");
        using var owner = new HubClient(Hub.Api, key);
        var made = (await owner.PostAsync("/v1/keys", new JsonObject { ["name"] = "lean", ["budget_credits"] = 1.5, ["budget_period"] = "day" })).Expect(HttpStatusCode.Created).Json;
        using var lean = new HubClient(Hub.Api, made["key"]!.ToString());
        var owners = (await owner.GetAsync("/v1/keys")).Json["data"]!.AsArray().Single(one => one!["name"]!.ToString() == "owner")!["id"]!.ToString();
        (await lean.PostAsync("/v1/keys", new JsonObject { ["name"] = "free" })).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "A key with limits of its own makes no others.");
        (await lean.PostAsync($"/v1/keys/{owners}/rotate", "{}")).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "rotates no other");
        (await lean.SendAsync(HttpMethod.Delete, $"/v1/keys/{owners}")).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "revokes no other");
        var rotated = (await lean.PostAsync($"/v1/keys/{made["id"]}/rotate", """{"grace_seconds":0}""")).Expect(HttpStatusCode.OK).Json;
        (await lean.GetAsync("/v1/account")).Expect(HttpStatusCode.Unauthorized);
        using var renewed = new HubClient(Hub.Api, rotated["key"]!.ToString());
        Assert.Equal(account, (await renewed.GetAsync("/v1/account")).Expect(HttpStatusCode.OK).Json["id"]!.ToString());
        (await renewed.PostAsync("/v1/keys", new JsonObject { ["name"] = "free" })).Expect(HttpStatusCode.Forbidden);
    }

    [Fact]
    public async Task A_key_without_the_admin_scope_does_not_get_at_the_admins_secret()
    {
        using var admin = Hub.Client();
        var modest = (await admin.PostAsync("/v1/keys", new JsonObject { ["name"] = "modest" })).Expect(HttpStatusCode.Created).Json["key"]!.ToString();
        using var client = new HubClient(Hub.Api, modest);
        var admins = (await admin.GetAsync("/v1/keys")).Json["data"]!.AsArray().Single(key => key!["name"]!.ToString() == "admin")!["id"]!.ToString();
        (await client.PostAsync($"/v1/keys/{admins}/rotate", "{}")).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "lacks the scope 'admin'");
        var (_, stranger) = await admin.CreateAccountAsync("stranger");
        (await new HubClient(Hub.Api, stranger).PostAsync($"/v1/keys/{admins}/rotate", "{}")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no key");
        var (code, said) = await HubProcess.CommandAsync("key", "rotate", "key_none", "--grace", "5", "--hub", Hub.Api.ToString(), "--key-file", Path.Combine(Hub.Data, "admin.key"));
        Assert.Equal((1, "federation-hub: There is no key 'key_none'."), (code, said));
    }

    [Theory]
    [InlineData("""{"name":"x","budget_credits":-1}""", "budget_credits")]
    [InlineData("""{"name":"x","budget_credits":1e300}""", "budget_credits")]
    [InlineData("""{"name":"x","budget_credits":1000000001}""", "budget_credits")]
    [InlineData("""{"name":"x","budget_period":"day"}""", "budget_period")]
    [InlineData("""{"name":"x","budget_credits":1,"budget_period":"year"}""", "budget_period")]
    [InlineData("""{"name":"x","requests_per_minute":0}""", "requests_per_minute")]
    [InlineData("""{"name":"x","requests_per_minute":99999999999999999999}""", "requests_per_minute")]
    [InlineData("""{"name":"x","tokens_per_day":-9223372036854775808}""", "tokens_per_day")]
    [InlineData("""{"name":"x","tokens_per_day":9223372036854775807}""", "tokens_per_day")]
    [InlineData("""{"name":"x","expires_in_seconds":-5}""", "expires_in_seconds")]
    [InlineData("""{"name":"x","models":[""]}""", "models")]
    [InlineData("""{"name":"x","models":["a\u0000b"]}""", "models")]
    [InlineData("""{"name":"x","models":[null]}""", "models")]
    [InlineData("""{"name":"a\u0000b"}""", "name")]
    public async Task A_key_that_cannot_be_is_a_400_that_names_the_field(string body, string field)
    {
        using var admin = Hub.Client();
        var answer = (await admin.PostAsync("/v1/keys", body)).Expect(HttpStatusCode.BadRequest);
        Assert.Equal(field, answer.Json["error"]!["param"]!.ToString());
    }

    [Theory]
    [InlineData("""{"name":"x","\ud800":1}""")]
    [InlineData("""{"name":"\ud800"}""")]
    [InlineData("""{"name":"x","models":["\udfff"]}""")]
    [InlineData("""[]""")]
    [InlineData("""{"name":"x","models":{}}""")]
    [InlineData("""{"name":"x","requests_per_minute":1.5}""")]
    [InlineData("""{"name":"x","tokens_per_day":"many"}""")]
    public async Task A_body_that_is_no_key_is_a_400(string body)
    {
        using var admin = Hub.Client();
        (await admin.PostAsync("/v1/keys", body)).Expect(HttpStatusCode.BadRequest);
    }

    [Theory]
    [InlineData("""{"grace_seconds":-1}""")]
    [InlineData("""{"grace_seconds":604801}""")]
    [InlineData("""{"grace_seconds":9223372036854775807}""")]
    public async Task A_grace_beyond_its_bound_is_refused(string body)
    {
        using var admin = Hub.Client();
        (await admin.PostAsync("/v1/keys/key_any/rotate", body)).ExpectError(HttpStatusCode.BadRequest, null, "'grace_seconds' must be 0 to 604800.");
    }

    [Fact]
    public async Task What_was_used_is_reported_by_day_model_and_key_as_json_and_as_csv()
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("thrifty");
        using var client = new HubClient(Hub.Api, key);
        for (var i = 0; i < 3; i++) (await client.ChatAsync(SharedHub.SteadyModel)).Expect(HttpStatusCode.OK);
        // An answer is on record a moment after its client has it.
        await Patience.UntilAsync(async () => (await client.GetAsync("/v1/usage?group_by=model")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray().Sum(line => line!["requests"]!.GetValue<int>()) == 3, "three answers on record");
        var line = (await client.GetAsync("/v1/usage?group_by=day,model,key")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray().First()!;
        Assert.Equal(SharedHub.SteadyModel, line["model"]!.ToString());
        Assert.StartsWith("key_", line["key_id"]!.ToString(), StringComparison.Ordinal);
        Assert.True(line["total_tokens"]!.GetValue<long>() > 0);
        var (code, said) = await HubProcess.CommandAsync("usage", "--account", account, "--by", "model", "--csv", "--hub", Hub.Api.ToString(), "--key-file", Path.Combine(Hub.Data, "admin.key"));
        Assert.Equal(0, code);
        Assert.StartsWith($"model,requests,prompt_tokens,completion_tokens,total_tokens,cloud_tokens,cost_microcredits\n{SharedHub.SteadyModel},3,", said.ReplaceLineEndings("\n"), StringComparison.Ordinal);
        (await client.GetAsync("/v1/usage?account=acct_operator")).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "Only an admin");
        (await client.GetAsync("/v1/usage?group_by=hour")).ExpectError(HttpStatusCode.BadRequest, null, "'group_by' must be some of: day, model, key.");
        Assert.Empty((await admin.GetAsync("/v1/usage?account=acct_none")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray());
    }

    private async Task<HubClient> ClientAsync(string tier)
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync(tier);
        (await admin.PostAsync($"/v1/accounts/{account}/tier", new JsonObject { ["tier"] = tier })).Expect(HttpStatusCode.OK);
        return new HubClient(Hub.Api, key);
    }

    private static string Header(HttpResponseHeaders headers, string name) => headers.GetValues(name).Single();
}
