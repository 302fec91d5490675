using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Standby is paid to a node that is there, and to no other.</summary>
public sealed class StandbyTests(ITestOutputHelper output) : EndToEndTest(output)
{
    [Fact]
    public async Task An_idle_node_earns_between_two_probes_and_a_suspended_one_does_not()
    {
        var hub = await StartHubAsync(new Dictionary<string, string>
        {
            ["Probes__Enabled"] = "true",
            ["Accrual__ProbesPerHour"] = "3600",
            ["Accrual__ProbeRetry"] = "00:00:00.5",
        });
        using var admin = hub.Client();
        var idle = await StartWorkerAsync(hub, admin, "idle");
        var suspended = await StartWorkerAsync(hub, admin, "suspended");
        using (idle.Owner)
        using (suspended.Owner)
        {
            await LoadAsync(admin, idle, suspended);
            await Patience.UntilAsync(async () => await IsPaidAsync(idle) && await IsPaidAsync(suspended), "both nodes to be paid for standby");
            Assert.True(await idle.Owner.PendingAsync() > 0);

            suspended.Agent.Process.Suspend();
            var from = DateTimeOffset.UtcNow;
            await Patience.UntilAsync(
                async () =>
                {
                    if ((await GapsAsync(suspended)).Any(gap => gap.Words.Contains("got no first token within 2 s, and its retry at", StringComparison.Ordinal))) return true;
                    if ((await admin.NodeAsync(suspended.Agent.NodeId))["connected"]!.GetValue<bool>()) return false;
                    // Its line was cut for silence before a probe and its retry had come: once more.
                    suspended.Agent.Process.Resume();
                    await suspended.Agent.ConnectedAsync(admin, AgentProcess.Model);
                    suspended.Agent.Process.Suspend();
                    from = DateTimeOffset.UtcNow;
                    return false;
                },
                "the suspended node to miss a probe");
            await Patience.UntilAsync(async () => (await GapsAsync(idle)).Any(gap => gap.Microcredits > 0 && gap.From > from), "the idle node to be paid meanwhile");
            var to = DateTimeOffset.UtcNow;
            suspended.Agent.Process.Resume();
            await Patience.UntilAsync(async () => (await GapsAsync(suspended)).Any(gap => gap.Microcredits > 0 && gap.From > to), "the suspended node to be paid again");

            // A probe that was on its way when the node woke may still have been answered in time.
            Assert.DoesNotContain(await GapsAsync(suspended), gap => gap.Microcredits > 0 && gap.From < to - TimeSpan.FromSeconds(2) && gap.To > from);
            var missed = (await VerificationAsync(suspended))["events"]!.AsArray().First(entry => entry!["evidence"]!.ToString() == "probe_missed")!;
            Assert.Equal("probe", missed["kind"]!.ToString());
            Assert.Equal("probation", missed["standing"]!.ToString());
        }
    }

    [Fact]
    public async Task Of_two_nodes_of_an_account_one_is_paid_and_the_other_is_told_why()
    {
        var hub = await StartHubAsync(new Dictionary<string, string> { ["CommonSlots__Enabled"] = "true", ["Probes__Enabled"] = "true", ["Probes__FirstToken"] = "00:00:10", ["Accrual__ProbesPerHour"] = "3600" });
        using var admin = hub.Client();
        var (account, key) = await admin.CreateAccountAsync("owner of two");
        using var owner = hub.Client(key);
        Worker[] both = [new(await StartAgentAsync(hub, AgentEngines.Demo(slots: 1), account), owner), new(await StartAgentAsync(hub, AgentEngines.Demo(slots: 1), account), owner)];
        // No results of slots: the first by id is the one.
        var (paid, other) = string.CompareOrdinal(both[0].Agent.NodeId, both[1].Agent.NodeId) < 0 ? (both[0], both[1]) : (both[1], both[0]);
        var why = $"node {paid.Agent.NodeId} of the same account is paid, and nothing shows that this one is another machine: the two have not been challenged in the same moment yet";
        await LoadAsync(admin, both);
        // Whichever is in memory first is alone, and paid for as long as it is.
        Gap? told = null;
        await Patience.UntilAsync(async () => (told = (await GapsAsync(other)).FirstOrDefault(gap => gap.Words.Contains(why, StringComparison.Ordinal))) is not null, "the other node to be told why it is not paid");
        await Patience.UntilAsync(
            async () => (await GapsAsync(paid)).Any(gap => gap.Microcredits > 0 && gap.From >= told!.To) && (await GapsAsync(other)).Any(gap => gap.From >= told!.To), "the one node to be paid, and not the other");
        Assert.All((await GapsAsync(other)).Where(gap => gap.From >= told!.To), gap => Assert.Equal(0, gap.Microcredits));
    }

    [Fact]
    public async Task Two_nodes_of_an_account_that_pass_a_challenge_in_the_same_moment_are_both_paid()
    {
        var hub = await StartHubAsync(new Dictionary<string, string>
        {
            ["CommonSlots__Enabled"] = "true",
            ["CommonSlots__MeanPeriod"] = "00:00:05",
            ["CommonSlots__LagMax"] = "00:00:15",
            ["Probes__Enabled"] = "true",
            ["Probes__FirstToken"] = "00:00:10",
            ["Accrual__ProbesPerHour"] = "1200",
            ["ChallengeSchedule__Enabled"] = "true",
            // Nothing but common slots.
            ["ChallengeSchedule__FirstAfter"] = "01:00:00",
            ["ChallengeSchedule__Slot"] = "00:00:01",
            // Both share the machine of this test, which may be busy besides.
            ["Challenges__MatrixTime"] = "00:00:00.2",
            ["Challenges__Tolerance"] = "0.02",
            ["Challenges__DeadlineMargin"] = "00:00:15",
        });
        using var admin = hub.Client();
        var (account, key) = await admin.CreateAccountAsync("owner of two");
        using var owner = hub.Client(key);
        Worker[] both = [new(await StartAgentAsync(hub, AgentEngines.Demo(slots: 1), account), owner), new(await StartAgentAsync(hub, AgentEngines.Demo(slots: 1), account), owner)];
        await LoadAsync(admin, both);
        await Patience.UntilAsync(
            async () =>
            {
                var (one, other) = (await GapsAsync(both[0]), await GapsAsync(both[1]));
                return one.Any(gap => gap.Microcredits > 0 && other.Any(beside => beside.Microcredits > 0 && beside.From < gap.To && gap.From < beside.To));
            },
            "both nodes to be paid for the same time");
    }

    /// <summary>What stands by must be in memory: asks for more than one node can take at once until each has answered, and then lets them be.</summary>
    private static Task LoadAsync(HubClient admin, params Worker[] workers)
    {
        var answered = new HashSet<string>(StringComparer.Ordinal);
        return Patience.UntilAsync(
            async () =>
            {
                var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => admin.ChatAsync(AgentProcess.Model)));
                foreach (var answer in answers) answered.Add(answer.Expect(HttpStatusCode.OK).Headers.GetValues("x-federation-node").Single());
                return workers.All(worker => answered.Contains(worker.Agent.NodeId));
            },
            "each node to have answered");
    }

    private async Task<Worker> StartWorkerAsync(HubProcess hub, HubClient admin, string name)
    {
        var (account, key) = await admin.CreateAccountAsync(name);
        return new Worker(await StartAgentAsync(hub, AgentEngines.Demo(slots: 1), account), hub.Client(key));
    }

    private static async Task<bool> IsPaidAsync(Worker worker) => (await GapsAsync(worker)).Any(gap => gap.Microcredits > 0);

    private static async Task<Gap[]> GapsAsync(Worker worker) =>
    [
        .. (await VerificationAsync(worker))["standby"]!.AsArray()
            .Select(gap => new Gap(gap!["from"]!.GetValue<DateTimeOffset>(), gap["to"]!.GetValue<DateTimeOffset>(), gap["microcredits"]!.GetValue<long>(), gap["words"]!.ToString())),
    ];

    private static async Task<JsonNode> VerificationAsync(Worker worker)
        => (await worker.Owner.GetAsync($"/v1/nodes/{worker.Agent.NodeId}/verification")).Expect(HttpStatusCode.OK).Json;

    /// <summary>A node and its owner.</summary>
    private sealed record Worker(AgentProcess Agent, HubClient Owner);

    private sealed record Gap(DateTimeOffset From, DateTimeOffset To, long Microcredits, string Words);
}
