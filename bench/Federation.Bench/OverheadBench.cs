using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Challenges;
using Federation.Silo.Verification.Standings;
using Federation.TestClock;

namespace Federation.Bench;

/// <summary>
/// What verification takes of a node's compute: the agent's CPU seconds for one of each check, measured on the real agent with the builtin engine beside those of clients' chats, and what the
/// configured schedule makes of them. It moves the hub's clock, so that an epoch ends while it waits.
/// </summary>
internal static class OverheadBench
{
    private const string Model = "federation-demo";
    private const int Chats = 40;
    private const int Rounds = 3;
    private const int ChatTokens = 300;
    private const int AuditedChats = 800;

    private static readonly TimeSpan IdleTime = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    /// <param name="hubFile">federation-hub.</param>
    /// <param name="nodeFile">federation-node.</param>
    /// <param name="models">Folder of the demo model.</param>
    public static async Task<Table> RunAsync(string hubFile, string nodeFile, string models)
    {
        var config = $$"""{ "engines": { "ollama": { "enabled": false }, "builtin": { "models_directory": "{{models}}", "slots": 2 } } }""";
        var cost = await ServingAsync(hubFile, nodeFile, config);
        var round = await ChallengeAsync(hubFile, nodeFile, config);

        var table = new Table("on the agent, CPU seconds", "measured", "share of a node that works all the time", "goal");
        table.Add($"a client's chat of {cost.Tokens:0} tokens", Seconds(cost.Chat), string.Empty, string.Empty);
        table.Add("a standby probe: 16 tokens", Seconds(cost.Probe), string.Empty, string.Empty);
        table.Add($"an audit, mean of {cost.Audits}: worker's part, its canaries", Seconds(cost.Worker), Numbers.Ratio(cost.Worker / cost.Chat) + " a chat", string.Empty);
        table.Add("an audit: verifier's part, the scoring", Seconds(cost.Verifier), Numbers.Ratio(cost.Verifier / cost.Chat) + " a chat", string.Empty);
        table.Add("a round of challenges, MM and MEM", Seconds(round), string.Empty, string.Empty);

        // Of all cores' time: what a node that works all the time has to give.
        var (schedule, accrual) = (new ChallengeScheduleOptions(), new AccrualOptions());
        var hour = 3_600.0 * Environment.ProcessorCount;
        var challenges = round / schedule.MeanPeriod.TotalHours / hour;
        var probes = accrual.ProbesPerHour * cost.Probe / hour;
        var enrolment = schedule.EnrolmentRounds * round / (168 * hour);
        foreach (var (who, audited, placing, goal) in new[]
        {
            ("mature node, a thousand audits passed", AuditRate(1_000), 0.0, "≤ 2 %"),
            ("first week, a receipt a minute", FirstWeek(perHour: 60, hoursPerDay: 24), enrolment, "≤ 5 %"),
            ("first week, a receipt a minute for 8 h a day", FirstWeek(perHour: 60, hoursPerDay: 8), enrolment, "≤ 5 %"),
            ("first week, ten a minute for 8 h a day", FirstWeek(perHour: 600, hoursPerDay: 8), enrolment, "≤ 5 %"),
        })
        {
            var audits = audited * (cost.Worker + cost.Verifier) / cost.Chat;
            table.Add(
                who,
                $"audits {Percent(audits)} ({Percent(audited)} of receipts) + challenges {Percent(challenges)} + probes {Percent(probes)} + enrolment {Percent(placing)}",
                Percent(audits + challenges + probes + placing),
                goal);
        }
        return table;
    }

    /// <summary>The rate at which a node with so many passed audits is audited, if others run its model too.</summary>
    private static double AuditRate(int passed)
    {
        var options = new StandingOptions();
        var reputation = Reputation.New(DateTimeOffset.UnixEpoch) with { RecentUnits = 1e6 };
        for (var audit = 0; audit < passed; audit++) reputation = reputation.After(Evidence.AuditPassed, options);
        return reputation.AuditRate(options, options.SmallClassPeers);
    }

    /// <summary>The share of a new node's receipts that is audited in its first week, by the rules that the hub has.</summary>
    private static double FirstWeek(int perHour, int hoursPerDay)
    {
        var (options, random) = (new StandingOptions(), new Random(1));
        var reputation = Reputation.New(DateTimeOffset.UnixEpoch);
        var (units, audits) = (0, 0);
        for (var unit = 0; unit < 7 * 24 * perHour; unit++)
        {
            if (unit / perHour % 24 >= hoursPerDay) continue;
            reputation = reputation.AfterUnit(options, DateTimeOffset.UnixEpoch.AddHours((double)unit / perHour));
            units++;
            if (random.NextDouble() >= reputation.AuditRate(options, options.SmallClassPeers)) continue;
            audits++;
            reputation = reputation.After(Evidence.AuditPassed, options);
        }
        return (double)audits / units;
    }

    /// <summary>Chats, then the audits of all of them, twice: what counts is the second time, when all code has run often.</summary>
    private static async Task<ServingCost> ServingAsync(string hubFile, string nodeFile, string config)
    {
        using var clock = new ShiftedClock();
        await using var federation = await Federation.StartAsync(hubFile, new Dictionary<string, string>(clock.Environment)
        {
            ["ChallengeSchedule__Enabled"] = "false",
            ["Probes__Enabled"] = "false",
            // Everything, whatever has passed before.
            ["Standing__AuditRateMin"] = "1",
            ["Audits__Period"] = "00:00:01",
            ["Audits__KeepFor"] = "12:00:00",
            ["Epochs__LookPeriod"] = "00:00:01",
            ["Epochs__Grace"] = "00:00:01",
            ["Epochs__RevealDelay"] = "00:00:01",
            ["Hub__DirectoryAge"] = "00:00:00",
        });
        var account = await federation.AddAccountAsync("worker");
        var worker = await federation.AddNodeAsync(nodeFile, config, "worker", account);
        await federation.WaitForModelAsync(Model);
        using var http = federation.Client();
        // The runtime compiles anew what has run often.
        await ChatsAsync(http, Chats, ChatTokens);

        var (chats, probes, tokens) = (new List<Spent>(), new List<Spent>(), 0.0);
        for (var round = 0; round < Rounds; round++)
        {
            chats.Add(await MeasureAsync(worker, async () => tokens = await ChatsAsync(http, Chats, ChatTokens)));
            probes.Add(await MeasureAsync(worker, () => ChatsAsync(http, Chats, tokens: 16)));
        }

        var node = await federation.NodeOfAsync(account);
        var verifier = await federation.AddNodeAsync(nodeFile, config, "verifier");
        await federation.WaitForModelAsync(Model, nodes: 2);
        await AuditAllAsync(federation, node, () => clock.Shift(TimeSpan.FromHours(1.2)));
        // Many, so that what the agents use at rest is little beside it; the verifier's share of them nobody audits.
        await ChatsAsync(http, AuditedChats, ChatTokens);
        var (audits, scoring) = (0, default(Spent));
        var working = await MeasureAsync(worker, async () => scoring = await MeasureAsync(verifier, async () => audits = await AuditAllAsync(federation, node, () => clock.Shift(TimeSpan.FromHours(2.4)))));
        // Last of all: by now nothing is compiled any more.
        var idle = await MeasureAsync(worker, () => Task.Delay(IdleTime));
        return new ServingCost(
            Numbers.Median(chats.Select(spent => spent.Less(idle) / Chats)), tokens, Numbers.Median(probes.Select(spent => spent.Less(idle) / Chats)), working.Less(idle) / audits, scoring.Less(idle) / audits, audits);
    }

    /// <summary>Has the hub audit what was done until now; how many audits there were.</summary>
    private static async Task<int> AuditAllAsync(Federation federation, string node, Action endEpoch)
    {
        var before = await AuditsAsync();
        var seen = before;
        endEpoch();
        // Until a moment in which nothing new is found.
        await Federation.UntilAsync(
            async () =>
            {
                var last = seen;
                await Task.Delay(TimeSpan.FromSeconds(6));
                seen = await AuditsAsync();
                return seen > before && seen == last;
            },
            "the audits",
            Patience);
        return seen - before;

        async Task<int> AuditsAsync() => (await federation.VerificationAsync(node))["events"]!.AsArray().Count(entry => entry!["kind"]!.ToString() is "audit" or "canary");
    }

    /// <summary>The rounds that place a new node.</summary>
    private static async Task<double> ChallengeAsync(string hubFile, string nodeFile, string config)
    {
        await using var federation = await Federation.StartAsync(hubFile, new Dictionary<string, string>
        {
            ["ChallengeSchedule__FirstAfter"] = "00:00:10",
            ["Probes__Enabled"] = "false",
        });
        var account = await federation.AddAccountAsync("worker");
        var worker = await federation.AddNodeAsync(nodeFile, config, "worker", account);
        await federation.WaitForModelAsync(Model);
        var node = await federation.NodeOfAsync(account);
        var spent = await MeasureAsync(worker, () => Federation.UntilAsync(
            async () => (await federation.VerificationAsync(node))["hardware_class"]!["measured"] is not null, "the hardware to be measured", Patience));
        return spent.Cpu / new ChallengeScheduleOptions().EnrolmentRounds;
    }

    private static async Task<Spent> MeasureAsync(Process agent, Func<Task> work)
    {
        agent.Refresh();
        var (before, began) = (agent.TotalProcessorTime, Stopwatch.GetTimestamp());
        await work();
        agent.Refresh();
        return new Spent((agent.TotalProcessorTime - before).TotalSeconds, Stopwatch.GetElapsedTime(began).TotalSeconds);
    }

    /// <summary>Asks for long answers: what the demo model draws at a high temperature seldom ends by itself. The mean length of the answers, tokens.</summary>
    private static async Task<double> ChatsAsync(HttpClient http, int count, int tokens)
    {
        var written = 0L;
        for (var i = 0; i < count; i++)
        {
            var body = new JsonObject
            {
                ["model"] = Model,
                ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = $"My project is called {i}. Suggest three names for its parts and say why. Take no more than three lines for it, and no word that is in this question." }),
                ["max_tokens"] = tokens,
                ["temperature"] = 2,
                ["seed"] = i,
            };
            using var response = await http.PostAsJsonAsync("/v1/chat/completions", body);
            response.EnsureSuccessStatusCode();
            written += (await response.Content.ReadFromJsonAsync<JsonObject>())!["usage"]!["completion_tokens"]!.GetValue<long>();
        }
        return (double)written / count;
    }

    private static string Seconds(double seconds) => seconds.ToString(seconds < 1 ? "0.0000" : "0.0", CultureInfo.InvariantCulture) + " s";

    private static string Percent(double share) => share.ToString(share < 0.001 ? "0.000 %" : "0.00 %", CultureInfo.InvariantCulture);

    /// <summary>CPU seconds of a process in a time.</summary>
    private readonly record struct Spent(double Cpu, double Seconds)
    {
        /// <summary>Without what it would have used at rest.</summary>
        public double Less(Spent idle) => Cpu - (idle.Cpu / idle.Seconds * Seconds);
    }

    /// <summary>CPU seconds of one of each.</summary>
    /// <param name="Chat">A client's chat.</param>
    /// <param name="Tokens">Its length.</param>
    /// <param name="Probe">As many tokens as a standby probe asks for.</param>
    /// <param name="Worker">What an audit takes of the node that is audited: now and then a canary.</param>
    /// <param name="Verifier">What it takes of the node that scores.</param>
    /// <param name="Audits">How many there were.</param>
    private sealed record ServingCost(double Chat, double Tokens, double Probe, double Worker, double Verifier, int Audits);
}
