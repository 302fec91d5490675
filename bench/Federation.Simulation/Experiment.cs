using System.Collections.Immutable;
using System.Globalization;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;

namespace Federation.Simulation;

/// <summary>How thoroughly the single statistics are measured.</summary>
/// <param name="Audits">Audits of each kind of answer.</param>
/// <param name="Enrolments">Enrolments of each pair of cards.</param>
/// <param name="Alarms">Alarms of an honest node's sum that are waited for.</param>
/// <param name="Hubs">Hubs that invent receipts.</param>
/// <param name="WhatIfNodes">Nodes of the runs with one thing changed; 0: none.</param>
internal sealed record StudyEffort(int Audits, int Enrolments, int Alarms, int Hubs, int WhatIfNodes)
{
    /// <summary>For the page.</summary>
    public static StudyEffort Full { get; } = new(2_000, 1_000_000, 1_000, 10_000, 3_000);

    /// <summary>For a test.</summary>
    public static StudyEffort Short { get; } = new(60, 20_000, 20, 200, 0);
}

/// <summary>What one seed came to.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="Seconds">Time it took.</param>
/// <param name="Transfers">Transfers in its ledger.</param>
/// <param name="Lives">Every identity.</param>
/// <param name="Statistics">Day by day.</param>
internal sealed record SeedResult(int Seed, double Seconds, long Transfers, IReadOnlyList<Life> Lives, Statistics Statistics);

/// <summary>A run with one thing changed.</summary>
/// <param name="Name">What.</param>
/// <param name="Scenario">The changed scenario.</param>
/// <param name="Result">What it came to.</param>
internal sealed record WhatIf(string Name, Scenario Scenario, SeedResult Result);

/// <summary>All seeds of a scenario, and the single statistics beside them.</summary>
internal sealed record Experiment
{
    /// <summary>What was simulated.</summary>
    public required Scenario Scenario { get; init; }

    /// <summary>In the order of the seeds.</summary>
    public required ImmutableArray<SeedResult> Seeds { get; init; }

    /// <summary>When it ended, and how long all of it took.</summary>
    public required (DateTimeOffset At, TimeSpan Took) Ended { get; init; }

    /// <summary>The power of audits by probes, which the seeds ran with.</summary>
    public required AnswerPowers Powers { get; init; }

    /// <summary>The power of audits of whole answers of 256 tokens.</summary>
    public required ImmutableDictionary<(FakeAnswer Answer, Drawing Drawing), AnswerPower> WholeAnswers { get; init; }

    /// <summary>The sum over many audits and its alarms, by shift and by how much of a score is the worker's own.</summary>
    public required ImmutableArray<CusumStudy> Alarms { get; init; }

    /// <summary>Class errors: a 3060 and a 4080 as a 4090, and honest cards that are put too low.</summary>
    public required (ClassError Far, ClassError Near, double HonestRejected) Classes { get; init; }

    /// <summary>Hubs that invent 1 % of 10 000 receipts a day, audited by peers at 5 % and at 1 %.</summary>
    public required (HubStudy AtFive, HubStudy AtOne) Hubs { get; init; }

    /// <summary>The same with one thing changed.</summary>
    public required ImmutableArray<WhatIf> WhatIfs { get; init; }

    /// <summary>What the sum is studied with.</summary>
    public static ImmutableArray<double> Shifts { get; } = [0, 0.25, 0.5, 1, 2];

    /// <inheritdoc cref="Shifts"/>
    public static ImmutableArray<double> Shares { get; } = [0, 0.5, 1];

    /// <summary>The sum at a shift, when half of a score's variance is the worker's own.</summary>
    public CusumStudy Alarm(double shift) => Alarms.Single(study => study.Shift == shift && study.Shared == 0.5);

    /// <summary>Runs it.</summary>
    /// <param name="scenario">What to simulate.</param>
    /// <param name="seeds">At least one; the single statistics use the first.</param>
    /// <param name="parallel">Seeds at a time.</param>
    /// <param name="effort">Of the single statistics.</param>
    /// <param name="time">To say how long it took.</param>
    /// <param name="progress">A line for each seed.</param>
    public static Experiment Run(Scenario scenario, ImmutableArray<int> seeds, int parallel, StudyEffort effort, TimeProvider time, TextWriter progress)
    {
        var began = time.GetTimestamp();
        var draws = new Draws(Draws.Seed((ulong)seeds[0], 1));
        var powers = AnswerPowers.Measure(effort.Audits, new InferenceCheckOptions().Positions, seeds[0]);
        var whatIfs = effort.WhatIfNodes == 0 ? [] : Changes(scenario with { Nodes = effort.WhatIfNodes });
        var results = new SeedResult[seeds.Length + whatIfs.Length];
        Parallel.For(0, results.Length, new ParallelOptions { MaxDegreeOfParallelism = parallel }, i =>
        {
            var start = time.GetTimestamp();
            var (what, of, seed) = i < seeds.Length ? ("as it is", scenario, seeds[i]) : (whatIfs[i - seeds.Length].Name, whatIfs[i - seeds.Length].Scenario, seeds[0]);
            var world = new World(of, powers, (ulong)seed);
            var lives = world.Run();
            results[i] = new SeedResult(seed, time.GetElapsedTime(start).TotalSeconds, world.Ledger.Transfers, lives, world.Statistics);
            var line = string.Create(CultureInfo.InvariantCulture, $"seed {seed}, {what}: {results[i].Seconds:0.0} s, {lives.Count} identities, {world.Ledger.Transfers} transfers");
            lock (progress) progress.WriteLine(line);
        });
        return new Experiment
        {
            Scenario = scenario,
            Seeds = [.. results[..seeds.Length]],
            WhatIfs = [.. whatIfs.Zip(results[seeds.Length..], (change, result) => new WhatIf(change.Name, change.Scenario, result))],
            Powers = powers,
            WholeAnswers = new[] { FakeAnswer.None, FakeAnswer.SmallerModel, FakeAnswer.SmallerModelRescored, FakeAnswer.QuantisationStep }
                .SelectMany(answer => new[] { Drawing.Greedy, Drawing.Sampled }.Select(drawing => (answer, drawing)))
                .ToImmutableDictionary(pair => pair, pair => AnswerPowers.Measure(pair.answer, pair.drawing, Math.Max(20, effort.Audits / 4), 256, seeds[0])),
            Alarms = [.. Shifts.SelectMany(_ => Shares, (shift, shared) => CusumStudy.Run(shift, shared, effort.Alarms, draws))],
            Classes = (
                ClassError.Of("rtx-3060-12gb", "rtx-4090-24gb", effort.Enrolments, scenario, draws),
                ClassError.Of("rtx-4080-16gb", "rtx-4090-24gb", effort.Enrolments, scenario, draws),
                ClassError.HonestRejected("rtx-4090-24gb", effort.Enrolments, scenario, draws)),
            Hubs = (HubStudy.Run(0.05, 100, effort.Hubs, draws), HubStudy.Run(0.01, 100, effort.Hubs, draws)),
            Ended = (time.GetUtcNow(), time.GetElapsedTime(began)),
        };
    }

    private static ImmutableArray<(string Name, Scenario Scenario)> Changes(Scenario scenario) =>
    [
        ("nothing", scenario),
        ("arbiters score an answer exactly as the verifier did: all of a score is the worker's own", scenario with { SharedDeviation = 1 }),
        ("answers behind an alarm are kept for two hours, not seven days", scenario with { Audits = new AuditOptions { AlarmKeepFor = TimeSpan.FromHours(2) } }),
        ("1 % of honest audits disagree, not 0.2 %", scenario with { SoftMismatches = 0.01 }),
        ("no drift, and arbiters repeat 1 % of a verifier's errors, not 10 %", scenario with { Drift = (0, 0, 0), ArbiterErrors = 0.01 }),
        ("nodes give up one job in 300, not one in 5 000", scenario with { AbandonedUnits = 1.0 / 300 }),
    ];
}
