using System.Collections.Concurrent;
using System.Net;
using Federation.EndToEnd.Tests.Harness;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>What a hub tells of its work: to Prometheus, to a collector, and to its log.</summary>
public sealed class TelemetryTests(ITestOutputHelper output) : EndToEndTest(output)
{
    [Fact]
    public async Task Metrics_are_the_operator_s_and_the_log_has_no_word_of_a_prompt()
    {
        await using var collector = await Collector.StartAsync();
        var hub = await StartHubAsync(new Dictionary<string, string> { ["Telemetry__OtlpEndpoint"] = collector.Url });
        await StartAgentAsync(hub, AgentEngines.Demo());
        using var admin = hub.Client();
        (await admin.ChatAsync(AgentProcess.Model, "reverse secretword")).Expect(HttpStatusCode.OK);
        (await admin.ChatAsync("none")).Expect(HttpStatusCode.NotFound);
        var metrics = string.Empty;
        await Patience.UntilAsync(async () => (metrics = (await admin.GetAsync("/metrics")).Expect(HttpStatusCode.OK).Text).Contains("gen_ai_client_operation_duration_seconds_count", StringComparison.Ordinal), "the answer to be counted");
        Assert.Contains($"gen_ai_request_model=\"{AgentProcess.Model}\"", metrics, StringComparison.Ordinal);
        Assert.Contains("federation_gateway_refusals_total{http_response_status_code=\"404\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("federation_nodes_connected 1\n", metrics, StringComparison.Ordinal);
        using var user = hub.Client((await admin.CreateAccountAsync("user")).Key);
        Assert.Equal(HttpStatusCode.Forbidden, (await user.GetAsync("/metrics")).Status);
        using var stranger = new HubClient(hub.Api, null);
        Assert.Equal(HttpStatusCode.Unauthorized, (await stranger.GetAsync("/metrics")).Status);
        Assert.Contains(hub.Process.Lines, line => line.Contains($"{AgentProcess.Model} on nd_", StringComparison.Ordinal) && line.Contains("tokens", StringComparison.Ordinal));
        Assert.DoesNotContain(hub.Process.Lines, line => line.Contains("secretword", StringComparison.Ordinal));
        hub.Process.Terminate();
        Assert.Equal(0, await hub.Process.ExitAsync());
        // What was measured last is sent when the hub stops.
        Assert.Contains("/v1/metrics", collector.Paths);
        Assert.Contains("/v1/traces", collector.Paths);
    }

    /// <summary>Takes whatever is sent by OTLP over HTTP.</summary>
    private sealed class Collector : IAsyncDisposable
    {
        private readonly WebApplication _app;

        private Collector()
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            _app = builder.Build();
            _app.Run(async http =>
            {
                await http.Request.Body.CopyToAsync(Stream.Null);
                Paths.Add(http.Request.Path);
            });
        }

        public ConcurrentBag<string> Paths { get; } = [];

        public string Url => _app.Urls.Single();

        public static async Task<Collector> StartAsync()
        {
            var collector = new Collector();
            await collector._app.StartAsync();
            return collector;
        }

        public ValueTask DisposeAsync() => _app.DisposeAsync();
    }
}
