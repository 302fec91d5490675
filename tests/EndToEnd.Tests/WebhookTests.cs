using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Who waits for a job is told of its end, by a hub that cannot be sent where it should not go.</summary>
public sealed class WebhookTests(ITestOutputHelper output) : EndToEndTest(output)
{
    [Fact]
    public async Task The_end_of_a_job_is_told_signed_and_told_again_until_it_is_heard()
    {
        await using var receiver = await StartReceiverAsync();
        var hub = await StartHubAsync(new Dictionary<string, string>
        {
            ["Webhooks__AllowPrivateTargets"] = "true",
            ["Webhooks__AllowHttp"] = "true",
            ["Webhooks__RetryDelay"] = "00:00:00.2",
            ["Webhooks__LookPeriod"] = "00:00:00.1",
            ["Jobs__LookPeriod"] = "00:00:00.1",
        });
        await StartAgentAsync(hub, AgentEngines.Demo());
        using var client = hub.Client();
        var job = (await client.PostAsync("/v1/jobs", new JsonObject
        {
            ["type"] = "chat",
            ["request"] = JsonNode.Parse(Chats.Question(AgentProcess.Model, "17+25=", stream: false)),
            ["webhook"] = new JsonObject { ["url"] = $"{receiver.Url}/hook" },
        })).Expect(HttpStatusCode.Accepted).Json;
        var secret = job["webhook_secret"]!.ToString();
        await Patience.UntilAsync(() => Task.FromResult(receiver.Got.Count == 3), "three deliveries: two that fail, and one that does not");
        Assert.All(receiver.Got, got =>
        {
            Assert.Equal($"v1={Convert.ToHexStringLower(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes($"{got.Timestamp}.{got.Body}")))}", got.Signature);
            Assert.Equal("job.completed", JsonNode.Parse(got.Body)!["type"]!.ToString());
            Assert.Equal(job["id"]!.ToString(), JsonNode.Parse(got.Body)!["data"]!["id"]!.ToString());
        });
        Assert.Single(receiver.Got.Select(got => got.EventId).Distinct());
        var webhook = $"/v1/webhooks/{job["webhook_id"]}";
        await Patience.UntilAsync(async () => (await client.GetAsync($"{webhook}/deliveries?status=delivered")).Json["data"]!.AsArray().Count == 1, "the delivery to be on record");
        Assert.True((await client.PostAsync($"{webhook}/test", "{}")).Expect(HttpStatusCode.OK).Json["delivered"]!.GetValue<bool>());
        Assert.NotEqual(secret, (await client.PostAsync($"{webhook}/rotate", "{}")).Expect(HttpStatusCode.OK).Json["secret"]!.ToString());
        Assert.Null((await client.GetAsync(webhook)).Expect(HttpStatusCode.OK).Json["secret"]);
    }

    [Fact]
    public async Task A_hub_is_not_sent_where_it_should_not_go_and_an_endpoint_is_its_account_s_alone()
    {
        var hub = await StartHubAsync();
        using var admin = hub.Client();
        foreach (var url in new[] { "http://example.org/", "https://127.0.0.1/", "https://2130706433/", "https://[::ffff:169.254.169.254]/", "https://169.254.169.254/latest", "https://user@example.org/", "file:///etc/passwd" })
            (await admin.PostAsync("/v1/webhooks", new JsonObject { ["url"] = url })).ExpectError(HttpStatusCode.BadRequest, "invalid_url", "'url' must");
        (await admin.PostAsync("/v1/webhooks", """{"url":"https://example.org/","events":["job.started"]}""")).ExpectError(HttpStatusCode.BadRequest, "invalid_value", "job.started");
        // A name that leads inwards is found out when it is called.
        var inwards = (await admin.PostAsync("/v1/webhooks", """{"url":"https://localhost/"}""")).Expect(HttpStatusCode.Created).Json;
        var test = (await admin.PostAsync($"/v1/webhooks/{inwards["id"]}/test", "{}")).Expect(HttpStatusCode.OK).Json;
        Assert.Equal((false, "The host's name does not lead to a public address."), (test["delivered"]!.GetValue<bool>(), test["error"]!.ToString()));
        using var theirs = hub.Client((await admin.CreateAccountAsync("theirs")).Key);
        foreach (var answer in new[] { await theirs.GetAsync($"/v1/webhooks/{inwards["id"]}"), await theirs.PostAsync($"/v1/webhooks/{inwards["id"]}/rotate", "{}"), await theirs.PostAsync($"/v1/webhooks/{inwards["id"]}/test", "{}"), await theirs.SendAsync(HttpMethod.Delete, $"/v1/webhooks/{inwards["id"]}"), await theirs.GetAsync($"/v1/webhooks/{inwards["id"]}/deliveries") })
            answer.ExpectError(HttpStatusCode.NotFound, "not_found", "There is no webhook");
    }

    private static async Task<Receiver> StartReceiverAsync()
    {
        var receiver = new Receiver();
        await receiver.StartAsync();
        return receiver;
    }

    private sealed record Received(string EventId, string Timestamp, string Signature, string Body);

    /// <summary>A receiver that is not up to it twice.</summary>
    private sealed class Receiver : IAsyncDisposable
    {
        private readonly WebApplication _app;

        public Receiver()
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            _app = builder.Build();
            _app.Run(async http =>
            {
                using var reader = new StreamReader(http.Request.Body);
                var body = await reader.ReadToEndAsync();
                Got.Enqueue(new Received(http.Request.Headers["x-federation-event-id"].ToString(), http.Request.Headers["x-federation-timestamp"].ToString(), http.Request.Headers["x-federation-signature"].ToString(), body));
                http.Response.StatusCode = Got.Count > 2 ? 204 : 503;
            });
        }

        public ConcurrentQueue<Received> Got { get; } = new();

        public string Url => _app.Urls.Single();

        public Task StartAsync() => _app.StartAsync();

        public ValueTask DisposeAsync() => _app.DisposeAsync();
    }
}
