using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.Receipts;
using Federation.Protocol.V1;
using Federation.Protocol.Verification;
using Federation.TestClock;
using Google.Protobuf;
using Grpc.Core;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A credit is worth something because cheating loses: seen with real agents, real models and a clock that is moved.</summary>
public sealed class CheatingTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private const int Questions = 24;

    [Fact]
    public async Task Liars_lose_all_that_is_pending_and_their_standing_and_an_honest_nodes_credits_mature()
    {
        var clock = Keep(new ShiftedClock());
        var hub = await StartHubAsync(Settings(clock));
        using var admin = hub.Client();
        var (_, clientKey) = await admin.CreateAccountAsync("client");
        using var client = hub.Client(clientKey);
        var honest = await WorkerAsync(hub, admin, "honest", AgentEngines.Demo(slots: 3));
        var random = new Random(1);
        Worker[] liars =
        [
            await WorkerAsync(hub, admin, "garbage", AgentEngines.Scripted(await EngineAsync(_ => (Noise(random), 9)), AgentProcess.Model, slots: 1)),
            await WorkerAsync(hub, admin, "cached", AgentEngines.Scripted(await EngineAsync(_ => ("42 is the answer to all of this", 9)), AgentProcess.Model, slots: 1)),
            await WorkerAsync(hub, admin, "inflated", AgentEngines.Scripted(await EngineAsync(question => (Sum(question), 5_000)), AgentProcess.Model, slots: 1)),
        ];
        Worker[] workers = [honest, .. liars];

        // As often as the honest node needs for its ten audits and some that say nothing.
        await AskUntilAsync(client, async () => await honest.EarningsAsync() >= 16, "sixteen receipts of the honest node");
        foreach (var worker in workers) await Patience.UntilAsync(async () => await worker.PendingAsync() > 0, $"{worker.Name} to be credited as pending");
        // The operator's own nodes: one verifies, two arbitrate.
        for (var node = 0; node < 3; node++) await StartAgentAsync(hub, AgentEngines.Demo(slots: 2));

        clock.Shift(TimeSpan.FromHours(1.2));
        foreach (var liar in liars) await ExpectCaughtAsync(liar);

        await Patience.UntilAsync(async () => await honest.AuditsPassedAsync() >= 10, "ten audits of the honest node");
        // It committed to what its model thought of each token, showed it when asked, and that was compared.
        var passed = (await honest.VerificationAsync())["events"]!.AsArray().Where(entry => entry!["evidence"]!.ToString() == "audit_passed").Select(entry => entry!["details"]!).ToArray();
        Assert.All(passed, details => Assert.Equal("Shown", details["reveal"]!["finding"]!.ToString()));
        Assert.All(passed, details => Assert.InRange(details["verdict"]!["figures"]!["compared"]!.GetValue<int>(), 4, 1_000));
        Assert.All(passed, details => Assert.InRange(details["verdict"]!["figures"]!["mean_delta"]!.GetValue<double>(), 0, 0.01));
        var standing = await honest.VerificationAsync();
        Assert.True(standing["standing"]!.ToString() == "probation", $"An honest node is {standing["standing"]}: {standing["events"]!.ToJsonString()}");
        var pending = await honest.PendingAsync();
        clock.Shift(TimeSpan.FromDays(8));
        await Patience.UntilAsync(async () => await honest.AvailableAsync() > 0, "the honest node's credits to mature");
        Assert.True(await honest.AvailableAsync() + await honest.PendingAsync() >= pending);
        Assert.DoesNotContain((await honest.VerificationAsync())["events"]!.AsArray(), entry => entry!["evidence"]!.ToString() == "audit_mismatch");
        foreach (var liar in liars) Assert.Equal(0, await liar.AvailableAsync());
    }

    [Fact]
    public async Task What_no_single_answer_shows_is_confirmed_by_arbiters_who_score_all_that_an_alarm_rests_on()
    {
        // No model is bent: the rules are so strict here that rounding to thousandths of a nat is a shift in every answer, and a fault in none.
        var clock = Keep(new ShiftedClock());
        var hub = await StartHubAsync(new Dictionary<string, string>(Settings(clock))
        {
            ["InferenceChecks__Greedy__DeltaMean"] = "0",
            ["InferenceChecks__Greedy__DeltaDeviation"] = "0.000001",
            ["InferenceChecks__Drawn__DeltaMean"] = "0",
            ["InferenceChecks__Drawn__DeltaDeviation"] = "0.000001",
        });
        using var admin = hub.Client();
        var (_, clientKey) = await admin.CreateAccountAsync("client");
        using var client = hub.Client(clientKey);
        var worker = await WorkerAsync(hub, admin, "worker", AgentEngines.Demo(slots: 2));
        await AskUntilAsync(client, async () => await worker.EarningsAsync() >= 10, "ten receipts");
        for (var node = 0; node < 4; node++) await StartAgentAsync(hub, AgentEngines.Demo(slots: 2));

        clock.Shift(TimeSpan.FromHours(1.2));
        await Patience.UntilAsync(worker.IsCaughtAsync, "the worker to be caught");
        await Patience.UntilAsync(async () => await worker.PendingAsync() == 0, "the worker to lose what was pending");
        var events = (await worker.VerificationAsync())["events"]!.AsArray();
        var mismatch = events.First(entry => entry!["evidence"]!.ToString() == "audit_mismatch")!;
        Assert.Matches("^Over the last [0-9]+ audits the node's log-probabilities lay further .* Two arbiters scored [0-9]+ of these answers anew and found the same[.]", mismatch["finding"]!.ToString());
        Assert.Empty(mismatch["details"]!["verdict"]!["reasons"]!.AsArray());
        // One that had no time has no word.
        var words = Assert.Single(mismatch["details"]!["escalations"]!.AsArray())!["arbiters"]!.AsArray().Where(word => word!["outcome"]!.ToString() == "SoftMismatch").ToArray();
        Assert.Equal(2, words.Length);
        Assert.All(words, word => Assert.InRange(word!["review"]!["audits"]!.GetValue<int>(), 6, 128));
        Assert.All(words, word => Assert.True(word!["review"]!["score"]!.GetValue<double>() > word["review"]!["threshold"]!.GetValue<double>()));
        Assert.True(events.Count(entry => entry!["evidence"]!.ToString() == "audit_passed") >= 5, "each of them passed by itself");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Whoever_shows_other_log_probabilities_than_it_committed_to_is_banned_and_whoever_keeps_them_back_is_suspected(bool shows)
    {
        var clock = Keep(new ShiftedClock());
        var hub = await StartHubAsync(new Dictionary<string, string>(Settings(clock)) { ["Audits__CanaryShare"] = "0" });
        using var admin = hub.Client();
        var (account, key) = await admin.CreateAccountAsync("worker");
        var (_, clientKey) = await admin.CreateAccountAsync("client");
        using var owner = hub.Client(key);
        using var client = hub.Client(clientKey);
        var node = Keep(await FakeNode.JoinedAsync(hub, account));
        var line = Keep(await node.ConnectAsync(hub, AgentProcess.Model));

        // The right answer, with a commitment to its tokens.
        var tokens = LogprobCommitment.InOrder([new CommittedToken("4"u8.ToArray(), -1, []), new CommittedToken("2"u8.ToArray(), -2, []), new CommittedToken(default, -3, [])]);
        var asked = client.ChatAsync(AgentProcess.Model, "17+25=");
        var lease = await line.NextAssignAsync();
        await line.BeginAsync(lease);
        await line.ChunkAsync(lease.LeaseId, 0, Chats.Whole("42", 7, 3));
        await line.SendAsync(new NodeMessage
        {
            Done = new Done
            {
                LeaseId = lease.LeaseId,
                Usage = new Usage { PromptTokens = 7, CompletionTokens = 3 },
                FinishReason = "stop",
                LogprobCommitment = ByteString.CopyFrom(LogprobCommitment.Root(tokens)),
            },
        });
        (await asked).Expect(HttpStatusCode.OK);
        var payload = await line.NextReceiptOfferAsync();
        Assert.Equal(LogprobCommitment.Root(tokens), ReceiptCodec.Decode(payload).LogprobCommitment);
        await line.AgreeAsync(payload);
        await StartAgentAsync(hub, AgentEngines.Demo(slots: 2));

        clock.Shift(TimeSpan.FromHours(1.2));
        var question = await line.NextAuditRequestAsync();
        Assert.Equal((lease.LeaseId, 3), (question.LeaseId, question.Positions.Count));
        var reveal = new AuditReveal { LeaseId = question.LeaseId, Count = 3 };
        byte[][] encoded = [.. tokens.Select(LogprobCommitment.Encode)];
        foreach (var position in shows ? question.Positions : [])
        {
            // It would rather have said something else.
            var told = LogprobCommitment.Encode(tokens[(int)position] with { MilliNats = -100 });
            reveal.Tokens.Add(new RevealedToken { Position = position, Content = ByteString.CopyFrom(told), Path = ByteString.CopyFrom(LogprobCommitment.Prove(encoded, [(int)position])[0]) });
        }
        await line.SendAsync(new NodeMessage { AuditReveal = reveal });

        var evidence = shows ? "fraud" : "audit_unconfirmed";
        async Task<JsonNode> RecordAsync() => (await owner.GetAsync($"/v1/nodes/{node.Id}/verification")).Expect(HttpStatusCode.OK).Json;
        await Patience.UntilAsync(async () => (await RecordAsync())["events"]!.AsArray().Any(entry => entry!["evidence"]!.ToString() == evidence), "the audit's verdict");
        var record = await RecordAsync();
        var finding = record["events"]!.AsArray().Single(entry => entry!["evidence"]!.ToString() == evidence)!["finding"]!.ToString();
        Assert.Contains(shows ? "is not what it committed to" : "shows 0 of the 3 tokens", finding, StringComparison.Ordinal);
        Assert.Equal(shows ? "banned" : "probation", record["standing"]!.ToString());
        if (shows) await line.ExpectEndAsync(StatusCode.PermissionDenied, "banned");
    }

    [Fact]
    public async Task A_smaller_model_and_a_node_that_stops_computing_are_caught_and_a_slow_node_is_not_marked()
    {
        var clock = Keep(new ShiftedClock());
        using var models = new TemporaryDirectory();
        var hub = await StartHubAsync(Settings(clock));
        using var admin = hub.Client();
        var (_, clientKey) = await admin.CreateAccountAsync("client");
        using var client = hub.Client(clientKey);

        // The agent digests the file that it finds, and runs the one that then takes its place with the same size and age.
        var file = Path.Combine(models.Path, $"{AgentProcess.Model}.gguf");
        File.Copy(Path.Combine(Places.Models, $"{AgentProcess.Model}.gguf"), file);
        var impostor = await WorkerAsync(hub, admin, "impostor", AgentEngines.Demo(slots: 1, models.Path));
        var age = File.GetLastWriteTimeUtc(file);
        File.Copy(Places.Impostor, file, overwrite: true);
        File.SetLastWriteTimeUtc(file, age);

        var tiring = Keep(await ModelEngine.StartAsync());
        var quitter = await WorkerAsync(hub, admin, "quitter", AgentEngines.Scripted(tiring, slots: 1));
        var slow = await WorkerAsync(hub, admin, "slow", AgentEngines.Scripted(Keep(await ModelEngine.StartAsync(TimeSpan.FromMilliseconds(40))), slots: 1));
        Worker[] workers = [impostor, quitter, slow];
        // Of the slow node more: every third audit of a sum of two numbers says nothing, and it has three to pass.
        await AskUntilAsync(client, async () => await quitter.EarningsAsync() >= 4 && await impostor.EarningsAsync() >= 4 && await slow.EarningsAsync() >= 10, "four receipts of each, ten of the slow one");
        Assert.Equal(AgentProcess.ModelDigest, await DigestAsync(admin, impostor));
        for (var node = 0; node < 3; node++) await StartAgentAsync(hub, AgentEngines.Demo(slots: 2));

        clock.Shift(TimeSpan.FromHours(1.2));
        await ExpectCaughtAsync(impostor);
        await Patience.UntilAsync(async () => await quitter.AuditsPassedAsync() >= 1, "an audit of what the quitter still computed");
        Assert.True(await quitter.PendingAsync() > 0);

        tiring.StopComputing();
        var earned = await quitter.EarningsAsync();
        // A canary in place of an audit of before may find it out first.
        await AskUntilAsync(client, async () => await quitter.EarningsAsync() >= earned + 2 || await quitter.IsCaughtAsync(), "two receipts for nothing");
        clock.Shift(TimeSpan.FromHours(2.4));
        await ExpectCaughtAsync(quitter);

        // Long enough for everything that was asked of it to be audited.
        await Patience.UntilAsync(async () => await slow.AuditsPassedAsync() >= 3, "audits of the slow node");
        var record = await slow.VerificationAsync();
        Assert.Equal("probation", record["standing"]!.ToString());
        Assert.Equal(0, record["earnings"]!["forfeited_microcredits"]!.GetValue<long>());
        Assert.DoesNotContain(record["events"]!.AsArray(), entry => entry!["evidence"]!.ToString() is "audit_mismatch" or "audit_unconfirmed" or "abandoned" or "fraud");
        Assert.True(await slow.PendingAsync() > 0);
        foreach (var worker in workers) Assert.Equal(0, await worker.AvailableAsync());
    }

    [Fact]
    public async Task A_verifier_that_answers_with_no_score_is_passed_over_and_accuses_nobody()
    {
        var clock = Keep(new ShiftedClock());
        var hub = await StartHubAsync(Settings(clock));
        using var admin = hub.Client();
        var (_, clientKey) = await admin.CreateAccountAsync("client");
        using var client = hub.Client(clientKey);
        var honest = await WorkerAsync(hub, admin, "honest", AgentEngines.Demo(slots: 3));
        await AskUntilAsync(client, async () => await honest.EarningsAsync() >= 4, "four receipts");

        // The operator's, and for now the only one that may be asked.
        var node = await JoinedNodeAsync(hub);
        var line = await node.ConnectAsync(hub, AgentProcess.Model);
        clock.Shift(TimeSpan.FromHours(1.2));
        string[] answers = ["", "no JSON", "{}", "[[[[", """{"positions":"many"}""", new('9', 200_000)];
        var given = 0;
        while (given < answers.Length)
        {
            var lease = await line.NextAssignAsync();
            if (lease.Kind != "score")
            {
                await line.SendAsync(new NodeMessage { Refuse = new Refuse { LeaseId = lease.LeaseId, Reason = RefuseReason.NoSlot } });
                continue;
            }
            await line.BeginAsync(lease);
            ulong sequence = 0;
            foreach (var piece in Encoding.UTF8.GetBytes(answers[given]).Chunk(60_000)) await line.ChunkAsync(lease.LeaseId, sequence++, piece);
            await line.DoneAsync(lease.LeaseId);
            // Once more: a lease ends once.
            await line.DoneAsync(lease.LeaseId);
            given++;
        }

        Assert.Empty((await honest.VerificationAsync())["events"]!.AsArray());
        Assert.True((await admin.NodeAsync(node.Id.ToString()))["connected"]!.GetValue<bool>());
        // What it was asked meanwhile and does not answer would be waited for.
        await line.DisposeAsync();
        await StartAgentAsync(hub, AgentEngines.Demo(slots: 2));
        await Patience.UntilAsync(async () => await honest.AuditsPassedAsync() >= 1, "an audit by the honest verifier");
        var record = await honest.VerificationAsync();
        Assert.Equal("probation", record["standing"]!.ToString());
        Assert.DoesNotContain(record["events"]!.AsArray(), entry => entry!["evidence"]!.ToString() is "audit_mismatch" or "audit_unconfirmed" or "fraud");
        Assert.DoesNotContain(record["events"]!.AsArray(), entry => entry!["details"]?["verifier"]?.ToString() == node.Id.ToString());
    }

    [Fact]
    public async Task A_CPU_that_calls_itself_an_RTX_4090_is_paid_as_a_CPU()
    {
        using var tools = new TemporaryDirectory();
        var smi = Path.Combine(tools.Path, "nvidia-smi");
        await File.WriteAllTextAsync(smi, """
            #!/bin/sh
            for argument in "$@"; do
              case $argument in --query-gpu=*) columns=${argument#--query-gpu=} ;; esac
            done
            [ -n "$columns" ] || { echo "CUDA Version: 12.4"; exit 0; }
            line=
            for column in $(echo "$columns" | tr , ' '); do
              case $column in
                index) value=0 ;;
                name) value="NVIDIA GeForce RTX 4090" ;;
                uuid) value=GPU-11111111-2222-3333-4444-555555555555 ;;
                memory.total) value=24564 ;;
                *) value="[N/A]" ;;
              esac
              line="$line${line:+, }$value"
            done
            echo "$line"
            """);
        File.SetUnixFileMode(smi, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var hub = await StartHubAsync(new Dictionary<string, string>
        {
            ["ChallengeSchedule__Enabled"] = "true",
            ["ChallengeSchedule__FirstAfter"] = "00:00:00.5",
            ["ChallengeSchedule__Slot"] = "00:00:00.1",
            ["ChallengeSchedule__CpuMemoryBytes"] = "4194304",
            ["Challenges__MatrixTime"] = "00:00:00.2",
            ["Challenges__MemoryTime"] = "00:00:00.1",
            ["Challenges__DeadlineMargin"] = "00:00:03",
        });
        using var admin = hub.Client();
        var path = $"{tools.Path}:{Environment.GetEnvironmentVariable("PATH")}";
        var worker = await WorkerAsync(hub, admin, "boaster", AgentEngines.Demo(), new Dictionary<string, string> { ["PATH"] = path });

        await using var claim = ChildProcess.StartDotnet("federation-node hardware", Places.Agent, ["hardware"], new Dictionary<string, string> { ["PATH"] = path });
        Assert.Equal(0, await claim.ExitAsync());
        Assert.Contains("RTX 4090", claim.Tail(), StringComparison.Ordinal);
        await Patience.UntilAsync(async () => (await worker.VerificationAsync())["hardware_class"]!["measured"] is not null, "the hardware to be measured");
        var hardware = (await worker.VerificationAsync())["hardware_class"]!;
        Assert.Equal("cpu", hardware["measured"]!.ToString());
        Assert.Equal("cpu", hardware["paid"]!.ToString());
        Assert.Equal("probation", (await worker.VerificationAsync())["standing"]!.ToString());
    }

    private static Dictionary<string, string> Settings(ShiftedClock clock) => new(clock.Environment)
    {
        ["Standing__ShadowMode"] = "false",
        ["Audits__Period"] = "00:00:01",
        ["Audits__KeepFor"] = "12:00:00",
        // What was answered just before the clock is moved is signed just after.
        ["NodeLink__SignWithin"] = "06:00:00",
        ["Epochs__LookPeriod"] = "00:00:01",
        ["Epochs__Grace"] = "00:00:01",
        ["Epochs__RevealDelay"] = "00:00:01",
        ["Accrual__LookPeriod"] = "00:00:01",
    };

    private async Task<Worker> WorkerAsync(HubProcess hub, HubClient admin, string name, AgentEngines engines, IReadOnlyDictionary<string, string>? environment = null)
    {
        var (account, key) = await admin.CreateAccountAsync(name);
        var agent = await StartAgentAsync(hub, engines, account, environment);
        return new Worker(name, agent.NodeId, Keep(new Disposing(hub.Client(key))).Client);
    }

    /// <summary>Asks, many times at once so that everybody's slot is needed, until it is enough.</summary>
    private static Task AskUntilAsync(HubClient client, Func<Task<bool>> isEnough, string what) => Patience.UntilAsync(
        async () =>
        {
            await Task.WhenAll(Enumerable.Range(0, Questions).Select(number => client.ChatAsync(AgentProcess.Model, $"{number + 11}+{number + 30}=")));
            return await isEnough();
        },
        what);

    private static async Task ExpectCaughtAsync(Worker liar)
    {
        await Patience.UntilAsync(liar.IsCaughtAsync, $"{liar.Name} to be caught");
        await Patience.UntilAsync(async () => await liar.PendingAsync() == 0, $"{liar.Name} to lose what was pending");
        var record = await liar.VerificationAsync();
        Assert.True(record["earnings"]!["forfeited_microcredits"]!.GetValue<long>() > 0);
        Assert.Contains(record["events"]!.AsArray(), entry => entry!["evidence"]!.ToString() == "audit_mismatch" && entry["finding"]!.ToString().Contains("Two arbiters found the same.", StringComparison.Ordinal));
    }

    private static async Task<string> DigestAsync(HubClient admin, Worker worker)
        => (await admin.GetAsync($"/v1/nodes/{worker.NodeId}/verification")).Expect(HttpStatusCode.OK).Json["reputations"]!.AsArray().Single()!["weights"]!.ToString();

    private async Task<AnsweringEngine> EngineAsync(Func<string, (string Text, int Tokens)> answer) => Keep(await AnsweringEngine.StartAsync(AgentProcess.Model, answer));

    private static string Noise(Random random) => string.Join(' ', Enumerable.Range(0, 12).Select(_ => random.Next(1_000, 9_999).ToString(CultureInfo.InvariantCulture)));

    private static string Sum(string question)
        => question.TrimEnd('=').Split('+') is [var a, var b] && int.TryParse(a, out var left) && int.TryParse(b, out var right) ? (left + right).ToString(CultureInfo.InvariantCulture) : "7";

    /// <summary>A node and its owner.</summary>
    private sealed record Worker(string Name, string NodeId, HubClient Owner)
    {
        public async Task<JsonNode> VerificationAsync() => (await Owner.GetAsync($"/v1/nodes/{NodeId}/verification")).Expect(HttpStatusCode.OK).Json;

        public async Task<int> EarningsAsync() => (await VerificationAsync())["pending"]!.AsArray().Count;

        public async Task<bool> IsCaughtAsync() => (await VerificationAsync())["standing"]!.ToString() is "quarantined" or "banned";

        public Task<long> PendingAsync() => Owner.PendingAsync();

        public async Task<long> AvailableAsync() => (await Owner.GetAsync("/v1/account")).Expect(HttpStatusCode.OK).Json["available_microcredits"]!.GetValue<long>();

        public async Task<long> AuditsPassedAsync() => (await VerificationAsync())["reputations"]!.AsArray().Sum(entry => entry!["audits_passed"]!.GetValue<long>());
    }

    private sealed class Disposing(HubClient client) : IAsyncDisposable
    {
        public HubClient Client => client;

        public ValueTask DisposeAsync()
        {
            client.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
