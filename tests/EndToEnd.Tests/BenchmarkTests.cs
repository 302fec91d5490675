using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A sitting of challenges ends with the model itself.</summary>
public sealed class BenchmarkTests(ITestOutputHelper output) : EndToEndTest(output)
{
    [Fact]
    public async Task A_nodes_speed_with_its_model_is_measured_paid_and_audited()
    {
        var hub = await StartHubAsync(new Dictionary<string, string>
        {
            ["ChallengeSchedule__Enabled"] = "true",
            ["ChallengeSchedule__FirstAfter"] = "00:00:00.5",
            ["ChallengeSchedule__MeanPeriod"] = "00:00:01",
            ["ChallengeSchedule__Slot"] = "00:00:00.1",
            ["ChallengeSchedule__CpuMemoryBytes"] = "4194304",
            ["Challenges__MatrixTime"] = "00:00:00.2",
            ["Challenges__MemoryTime"] = "00:00:00.1",
            ["Challenges__DeadlineMargin"] = "00:00:03",
            ["Benchmarks__Models__0"] = AgentProcess.Model,
        });
        using var admin = hub.Client();
        var (account, key) = await admin.CreateAccountAsync("worker");
        using var owner = hub.Client(key);
        var agent = await StartAgentAsync(hub, AgentEngines.Demo(), account);
        // The operator's node judges.
        await StartAgentAsync(hub, AgentEngines.Demo());
        JsonNode seen = new JsonObject();
        await Patience.UntilAsync(
            async () =>
            {
                seen = (await owner.GetAsync($"/v1/nodes/{agent.NodeId}/verification")).Expect(HttpStatusCode.OK).Json;
                if (seen["speeds"]!.AsArray().Count > 0 && seen["events"]!.AsArray().Any(entry => entry!["kind"]!.ToString() == "benchmark")) return true;
                await Task.Delay(TimeSpan.FromSeconds(1));
                return false;
            },
            "the model's speed to be measured and its answer to be audited");

        var speed = Assert.Single(seen["speeds"]!.AsArray())!;
        Assert.Equal((AgentProcess.Model, "cpu", "configured figures, not calibrated"), (speed["model"]!.ToString(), speed["hardware_class"]!.ToString(), speed["class_by"]!.ToString()));
        Assert.True(speed["prompt_tokens_per_second"]!.GetValue<double>() > 0 && speed["tokens_per_second"]!.GetValue<double>() > 0);
        var sitting = seen["events"]!.AsArray().First(entry => entry!["kind"]!.ToString() == "challenge MM+MEM+IB")!;
        Assert.Contains($"With {AgentProcess.Model} it reads ", sitting["finding"]!.ToString(), StringComparison.Ordinal);
        var audit = seen["events"]!.AsArray().First(entry => entry!["kind"]!.ToString() == "benchmark")!;
        Assert.True(audit["evidence"]!.ToString() is "audit_passed" or "audit_inconclusive", audit.ToJsonString());
        Assert.Equal("cpu", seen["hardware_class"]!["paid"]!.ToString());
    }
}
