using System.Net;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Requests that are answered later: by hubs that are killed meanwhile, and seen by whom they belong to.</summary>
public sealed class AsyncJobTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private static readonly Dictionary<string, string> Quick = new() { ["Jobs__LeaseDuration"] = "00:00:03", ["Jobs__LookPeriod"] = "00:00:00.1", ["Jobs__RetryDelay"] = "00:00:00.2", ["Pool__Patience"] = "00:00:02" };

    [Theory]
    [InlineData("/v1/jobs")]
    [InlineData("/v1/batches")]
    [InlineData("/mcp")]
    public async Task A_demand_that_makes_no_sense_is_refused_by_name(string path)
    {
        var hub = await StartHubAsync();
        using var client = hub.Client();
        var valid = path switch
        {
            "/v1/jobs" => Job("m"),
            "/v1/batches" => """{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}""",
            _ => """{"jsonrpc":"2.0","id":1,"method":"tools/list"}""",
        };
        foreach (var (name, value) in new[] { ("x-federation-privacy", "nobody"), ("x-federation-max-credits", "-1") })
        {
            var answer = await DemandAsync(client, path, valid, name, value);
            Assert.Equal(HttpStatusCode.BadRequest, answer.Status);
            Assert.Contains(name, answer.Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_job_goes_to_no_node_that_its_account_did_not_want()
    {
        var hub = await StartHubAsync(Quick);
        await StartAgentAsync(hub, AgentEngines.Demo());
        using var operators = hub.Client();
        using var client = hub.Client((await operators.CreateAccountAsync("mine")).Key);
        var job = (await DemandAsync(client, "/v1/jobs", Job(AgentProcess.Model), "x-federation-privacy", "own")).Expect(HttpStatusCode.Accepted).Json;
        Assert.Equal("own", job["privacy"]!.ToString());
        await Patience.UntilAsync(
            async () => (await client.GetAsync($"/v1/jobs/{job["id"]}")).Expect(HttpStatusCode.OK).Json is { } seen && seen["attempts"]!.GetValue<int>() == 1 && seen["status"]!.ToString() == "queued", "the job to be tried in vain");
        // Whose node it is, it may be.
        Assert.Equal("completed", (await EndedAsync(operators, (await DemandAsync(operators, "/v1/jobs", Job(AgentProcess.Model), "x-federation-privacy", "own")).Expect(HttpStatusCode.Accepted).Json))["status"]!.ToString());
        Assert.Equal("queued", (await client.GetAsync($"/v1/jobs/{job["id"]}")).Expect(HttpStatusCode.OK).Json["status"]!.ToString());
    }

    [Fact]
    public async Task A_job_costs_no_more_than_it_may()
    {
        var hub = await StartHubAsync(new Dictionary<string, string>(Quick) { ["Pricing__Rules__0__Source"] = "nodes", ["Pricing__Rules__0__Input"] = "10", ["Pricing__Rules__0__Output"] = "10" });
        await StartAgentAsync(hub, AgentEngines.Demo());
        using var client = hub.Client();
        var ended = await EndedAsync(client, (await DemandAsync(client, "/v1/jobs", Job(AgentProcess.Model), "x-federation-max-credits", "0.001")).Expect(HttpStatusCode.Accepted).Json);
        Assert.Equal(("failed", 400, "max_credits_exceeded"), (ended["status"]!.ToString(), ended["result"]!["status_code"]!.GetValue<int>(), ended["result"]!["body"]!["error"]!["code"]!.ToString()));
        Assert.Equal(0.001m, ended["max_credits"]!.GetValue<decimal>());
    }

    [Fact]
    public async Task A_job_is_taken_at_once_and_answered_by_a_real_model()
    {
        var hub = await StartHubAsync(Quick);
        await StartAgentAsync(hub, AgentEngines.Demo());
        using var client = hub.Client();
        var job = await SubmitAsync(client, AgentProcess.Model);
        Assert.Equal("queued", job["status"]!.ToString());
        var ended = await EndedAsync(client, job);
        Assert.Equal("completed", ended["status"]!.ToString());
        Assert.Equal("42", ended["result"]!["body"]!["choices"]![0]!["message"]!["content"]!.ToString());
        Assert.Equal("b", ended["metadata"]!["a"]!.ToString());
        Assert.StartsWith("job_", ended["result"]!["request_id"]!.ToString(), StringComparison.Ordinal);
        Assert.Equal(["job.queued", "job.running", "job.completed"], (await EventsAsync(hub, job)).Select(item => item["type"]!.ToString()));
        Assert.Equal(["job.completed"], (await EventsAsync(hub, job, after: 2)).Select(item => item["type"]!.ToString()));
        Assert.Equal(["job.queued", "job.running", "job.completed"], (await WebSocketEventsAsync(hub, job)).Select(item => item["type"]!.ToString()));
    }

    [Fact]
    public async Task A_job_survives_a_hub_that_is_killed_while_it_runs()
    {
        using var data = new TemporaryDirectory();
        var hub = await StartHubAsync(Quick, data: data.Path);
        var engine = await StartEngineAsync("slow");
        await StartAgentAsync(hub, AgentEngines.Scripted(engine, "slow"));
        JsonNode job;
        using (var client = hub.Client())
        {
            job = await SubmitAsync(client, "slow");
            var cut = await engine.NextAsync();
            await hub.Process.KillAsync();
            await cut.GoneAsync();
        }
        var again = await StartHubAsync(Quick, data: data.Path, listen: $"127.0.0.1:{hub.Api.Port}", arguments: ["--listen-nodes", $"127.0.0.1:{hub.Nodes.Port}"]);
        using var after = again.Client();
        var answering = await engine.NextAsync();
        await answering.EndWholeAsync("here it is");
        var ended = await EndedAsync(after, job);
        Assert.Equal("completed", ended["status"]!.ToString());
        Assert.Equal("here it is", ended["result"]!["body"]!["choices"]![0]!["message"]!["content"]!.ToString());
        Assert.True(ended["attempts"]!.GetValue<long>() >= 2);
    }

    [Fact]
    public async Task A_job_that_is_cancelled_stops_its_engine_and_ends_its_events()
    {
        var hub = await StartHubAsync(Quick);
        var engine = await StartEngineAsync("slow");
        await StartAgentAsync(hub, AgentEngines.Scripted(engine, "slow"));
        using var client = hub.Client();
        var job = await SubmitAsync(client, "slow");
        var asked = await engine.NextAsync();
        var following = EventsAsync(hub, job);
        var listening = WebSocketEventsAsync(hub, job);
        var cancelled = (await client.PostAsync($"/v1/jobs/{job["id"]}/cancel", "{}")).Expect(HttpStatusCode.OK).Json;
        Assert.Equal("cancelled", cancelled["status"]!.ToString());
        await asked.GoneAsync();
        Assert.Equal("job.cancelled", (await following.Soon("the end of the events"))[^1]["type"]!.ToString());
        Assert.Equal("job.cancelled", (await listening.Soon("the end of the WebSocket"))[^1]["type"]!.ToString());
    }

    [Fact]
    public async Task A_job_is_its_account_s_alone_and_a_revoked_key_runs_nothing()
    {
        var hub = await StartHubAsync(Quick);
        var engine = await StartEngineAsync("slow");
        await StartAgentAsync(hub, AgentEngines.Scripted(engine, "slow", slots: 1));
        using var admin = hub.Client();
        using var mine = hub.Client((await admin.CreateAccountAsync("mine")).Key);
        using var theirs = hub.Client((await admin.CreateAccountAsync("theirs")).Key);
        var job = await SubmitAsync(mine, "slow");
        var asked = await engine.NextAsync();
        foreach (var answer in new[] { await theirs.GetAsync($"/v1/jobs/{job["id"]}"), await theirs.PostAsync($"/v1/jobs/{job["id"]}/cancel", "{}"), await theirs.GetAsync($"/v1/jobs/{job["id"]}/events") })
            answer.ExpectError(HttpStatusCode.NotFound, "not_found", "There is no job");
        Assert.Empty((await theirs.GetAsync("/v1/jobs")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray());

        // The next waits for the only slot, and meanwhile its key is revoked.
        var key = (await mine.PostAsync("/v1/keys", """{"name":"short"}""")).Expect(HttpStatusCode.Created).Json;
        using var brief = hub.Client(key["key"]!.ToString());
        var orphan = await SubmitAsync(brief, "slow");
        (await brief.SendAsync(HttpMethod.Delete, $"/v1/keys/{key["id"]}")).Expect(HttpStatusCode.NoContent);
        var failed = await EndedAsync(mine, orphan);
        Assert.Equal(("failed", 401), (failed["status"]!.ToString(), failed["result"]!["status_code"]!.GetValue<int>()));
        await asked.EndWholeAsync("done");
        Assert.Equal("completed", (await EndedAsync(mine, job))["status"]!.ToString());
    }

    [Fact]
    public async Task What_is_wrong_with_a_job_is_said_at_once()
    {
        var hub = await StartHubAsync(Quick);
        using var client = hub.Client();
        (await client.PostAsync("/v1/jobs", """{"type":"chat","request":{"model":"none","messages":[{"role":"user","content":"x"}]}}""")).ExpectError(HttpStatusCode.NotFound, "model_not_found", "none");
        (await client.PostAsync("/v1/jobs", "{")).ExpectError(HttpStatusCode.BadRequest, null, "parse");
        (await client.PostAsync("/v1/jobs", """{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}}""")).ExpectError(HttpStatusCode.BadRequest, "unsupported_parameter", "whole");
        (await client.GetAsync("/v1/jobs?limit=0")).ExpectError(HttpStatusCode.BadRequest, null, "limit");
        (await client.GetAsync("/v1/jobs?status=odd")).ExpectError(HttpStatusCode.BadRequest, null, "status");
        (await client.GetAsync("/v1/jobs/ajob_none/ws")).ExpectError((HttpStatusCode)426, "upgrade_required", "WebSocket");
        (await client.GetAsync("/v1/jobs/%0d%0aset-cookie:x")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no job");
    }

    private static async Task<HubAnswer> DemandAsync(HubClient client, string path, string json, string header, string value)
    {
        using var body = new StringContent(json, Encoding.UTF8, "application/json");
        body.Headers.Add(header, value);
        return await client.SendAsync(HttpMethod.Post, path, body);
    }

    private static string Job(string model)
        => new JsonObject { ["type"] = "chat", ["request"] = JsonNode.Parse(Chats.Question(model, "17+25=", stream: false)), ["metadata"] = new JsonObject { ["a"] = "b" } }.ToJsonString();

    private static async Task<JsonNode> SubmitAsync(HubClient client, string model) => (await client.PostAsync("/v1/jobs", Job(model))).Expect(HttpStatusCode.Accepted).Json;

    private static async Task<JsonNode> EndedAsync(HubClient client, JsonNode job)
    {
        JsonNode? now = null;
        await Patience.UntilAsync(
            async () => (now = (await client.GetAsync($"/v1/jobs/{job["id"]}")).Expect(HttpStatusCode.OK).Json)["status"]!.ToString() is not ("queued" or "running"), "the job to end");
        return now!;
    }

    private static async Task<List<JsonNode>> EventsAsync(HubProcess hub, JsonNode job, int? after = null)
    {
        using var http = new HttpClient { BaseAddress = hub.Api, Timeout = Patience.Limit };
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/jobs/{job["id"]}/events");
        request.Headers.Authorization = new("Bearer", hub.AdminKey);
        if (after is { } seq) request.Headers.Add("Last-Event-ID", seq.ToString(System.Globalization.CultureInfo.InvariantCulture));
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        var text = await response.Content.ReadAsStringAsync();
        return [.. text.Split('\n').Where(line => line.StartsWith("data: ", StringComparison.Ordinal)).Select(line => JsonNode.Parse(line["data: ".Length..])!)];
    }

    private static async Task<List<JsonNode>> WebSocketEventsAsync(HubProcess hub, JsonNode job)
    {
        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Authorization", $"Bearer {hub.AdminKey}");
        await socket.ConnectAsync(new UriBuilder(hub.Api) { Scheme = "ws", Path = $"/v1/jobs/{job["id"]}/ws" }.Uri, CancellationToken.None);
        var events = new List<JsonNode>();
        var buffer = new byte[16 * 1024];
        while (true)
        {
            var received = await socket.ReceiveAsync(buffer, CancellationToken.None).Soon("a message of the WebSocket");
            if (received.MessageType is WebSocketMessageType.Close) break;
            Assert.True(received.EndOfMessage);
            events.Add(JsonNode.Parse(Encoding.UTF8.GetString(buffer, 0, received.Count))!);
        }
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
        return events;
    }
}
