using System.Globalization;
using System.Text;
using Federation.Silo.Verification.Inference;

namespace Federation.Simulation;

/// <summary>The page of results, and its pictures.</summary>
internal sealed class ResultsPage(Experiment experiment)
{
    private const string Pictures = "verification";
    private static readonly CultureInfo Culture = CultureInfo.InvariantCulture;

    private readonly StrategySummary[] _summaries =
        [.. new[] { Strategy.Honest, Strategy.HonestComparable }.Concat(Strategy.Others).Select(strategy => Figures.Summary(strategy, experiment.Seeds))];

    /// <summary>Writes the page and, in a folder beside it, the pictures.</summary>
    public void Write(DirectoryInfo directory, string command)
    {
        var pictures = directory.CreateSubdirectory(Pictures);
        File.WriteAllText(Path.Combine(directory.FullName, "verification-results.md"), ToMarkdown(command));
        File.WriteAllText(Path.Combine(pictures.FullName, "cashed.svg"), Cashed());
        File.WriteAllText(Path.Combine(pictures.FullName, "audit-rate.svg"), AuditRates());
        File.WriteAllText(Path.Combine(pictures.FullName, "honest-income.svg"), HonestIncome());
    }

    /// <summary>The page.</summary>
    public string ToMarkdown(string command)
    {
        var page = new StringBuilder();
        var seeds = experiment.Seeds;
        var scenario = experiment.Scenario;
        page.AppendLine("# What verification reaches, simulated").AppendLine();
        page.AppendLine(Culture, $"Made by `{command}`, {experiment.Ended.At:yyyy-MM-dd HH:mm} UTC.");
        page.Append(Culture, $"{scenario.Nodes:#,0} nodes, {100 * scenario.HonestShare:0} % of them honest, {scenario.Days} days, ");
        page.AppendLine(seeds.Length == 1 ? $"seed {seeds[0].Seed}." : $"seeds {seeds[0].Seed} to {seeds[^1].Seed}.");
        page.Append(Culture, $"A seed took {seeds.Average(seed => seed.Seconds):0} s, with {seeds.Average(seed => seed.Transfers) / 1e6:0.0} million ledger transfers ");
        page.AppendLine(Culture, $"and {seeds.Average(seed => seed.Lives.Count):#,0} identities; everything on this page {experiment.Ended.Took.TotalMinutes:0} min.");
        page.AppendLine("Figures are means over the seeds, in brackets the least and the most of them. Shadow mode is off.");
        page.AppendLine("The simulation writes this page: do not edit it.").AppendLine();
        page.AppendLine("## Targets").AppendLine();
        page.AppendLine("| figure | target | measured | |").AppendLine("| --- | --- | --- | --- |");
        var rows = Targets.Of(experiment, _summaries);
        foreach (var row in rows) page.AppendLine(Culture, $"| {row.Figure} | {row.Target} | {row.Measured} | {row.Result} |");
        page.AppendLine();
        foreach (var row in rows.Where(row => row.IsReached is false && row.Why.Length > 0).DistinctBy(row => row.Why))
            page.AppendLine(Culture, $"- **{row.Figure}**: {row.Why}");
        page.AppendLine().AppendLine("## Strategies").AppendLine();
        page.AppendLine("Hours are reference hours of one identity. *Detected*: a confirmed mismatch, fraud, or a re-rating of who had no right to the class.");
        page.AppendLine("*Loss/gain*: honest earnings forfeited, standby lost and prices paid, over what cheats cashed, in credits. The honest are there for comparison.").AppendLine();
        page.AppendLine("| | strategy | identities | detected | banned | mean day | cashed cheated h (p95) | honest h forfeited | loss/gain | overhead wk 1 / all |");
        page.AppendLine("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        foreach (var summary in _summaries) page.AppendLine(Row(summary));
        page.AppendLine(HubRow("5 %", experiment.Hubs.AtFive)).AppendLine(HubRow("1 %", experiment.Hubs.AtOne)).AppendLine();
        page.AppendLine(Culture, $"![Cashed cheated hours by strategy]({Pictures}/cashed.svg)").AppendLine();
        page.AppendLine(Culture, $"![Audit rate over time]({Pictures}/audit-rate.svg)").AppendLine();
        page.AppendLine(Culture, $"![Honest income lost]({Pictures}/honest-income.svg)").AppendLine();
        page.AppendLine("## What one audit finds").AppendLine();
        page.AppendLine("`InferenceJudge` on the made-up logits of property P11, honest noise 0.05 nat, share of answers it finds fault with. First the verifier, who remembers the");
        page.Append(Culture, $"node; behind the stroke an arbiter, who sees the one answer. The population is audited by probes of {new InferenceCheckOptions().Positions} positions, ");
        page.AppendLine("and half of its traffic is greedy.").AppendLine();
        page.AppendLine("| answer | greedy, probes | drawn, probes | greedy, 256 tokens | drawn, 256 tokens |").AppendLine("| --- | --- | --- | --- | --- |");
        foreach (var (answer, name) in Answers)
        {
            var (greedy, drawn) = (Power(experiment.Powers[answer, Drawing.Greedy]), Power(experiment.Powers[answer, Drawing.Sampled]));
            page.AppendLine(Culture, $"| {name} | {greedy} | {drawn} | {Whole(answer, Drawing.Greedy)} | {Whole(answer, Drawing.Sampled)} |");
        }

        page.AppendLine();
        AppendAlarms(page);
        AppendWhatIf(page);
        page.AppendLine("""
            ## What is real here and what is modelled

            Real, the hub's own classes: `Reputation`, `StandingRules`, `AuditRate`, `AuditDraw`, `EpochSecret`, `PendingEarning`, `AccrualRules`, `Standby`,
            `HardwareClasses`, `HardwareRate`, `Payout`, `LedgerState`, `Cusum`, `AlarmReview`, `Escalation`, `InferenceJudge`. Every audit, probe and movement of credits goes
            through them; a node's work of an hour is one earning, and how many of its units are faked or drawn is sampled from the binomial distribution at the
            rate of the hour. The ledger's sum is checked to be zero at the end of every seed.

            Modelled: nodes (4 to 24 hours a day, work for 30 to 90 % of them), churn, who verifies whom, and hardware challenges: no proof is computed, it is
            accepted with a chance of (1−s)^q, and the middle one of three noisy attempts is what `HardwareRate` places. All assumptions are in
            `bench/Federation.Simulation/Scenario.cs`, those without a measurement behind them marked [uncalibrated]; errors of verifiers are correlated there,
            and one model drifts for three days. Audits of an hour come when it is over, as the beacon does. Loss does not count what a banned node would have
            earned later. Nobody appeals. Identities that share a card cash nothing to speak of; what they gain or not is the ratio of incomes above.
            """);
        return page.ToString();
    }

    private static (FakeAnswer, string)[] Answers { get; } =
    [
        (FakeAnswer.None, "the model's own (false alarms)"),
        (FakeAnswer.Garbage, "garbage"),
        (FakeAnswer.SmallerModel, "a smaller model's"),
        (FakeAnswer.SmallerModelRescored, "a smaller model's, scored by the right one"),
        (FakeAnswer.QuantisationStep, "one quantisation step lower (0.05 nat a token)"),
    ];

    private string Cashed() => Chart.Bars(
        "Cheated hours cashed by one identity",
        "Reference hours over its life, logarithmic; whiskers: least and most over the seeds",
        0.001,
        1000,
        [.. _summaries.Where(summary => !summary.Strategy.IsHonest).Select(summary => new Bar($"{summary.Strategy.Threat}  {summary.Strategy.Name}", summary.CashedHours))]);

    private string AuditRates() => Chart.Lines(
        "Share of units that are audited",
        "Logarithmic; bands: least and most over the seeds",
        "age of the node, days",
        [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1],
        isLogarithmic: true,
        (0.01, "floor, p_min"),
        Rates("honest", Statistics.Line.Honest),
        Rates("honest, four hours a day", Statistics.Line.Light),
        Rates("1 % garbage, until banned", Statistics.Line.Dishonest));

    private string HonestIncome()
    {
        var byDay = experiment.Seeds.Select(seed => seed.Statistics.HonestLost()).ToArray();
        var lost = Enumerable.Range(0, experiment.Scenario.Days).Select(day => Figure.Over(byDay.Select(days => days[day]))).ToArray();
        double[] ticks = lost.Max(figure => figure.Most) > 0.004 ? [0, 0.002, 0.004, 0.006, 0.008, 0.01] : [0, 0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.0035, 0.004];
        return Chart.Lines(
            "Income that honest nodes lost",
            "Forfeited, re-rated or unpaid in quarantine, of all they earned until then; band: least and most over the seeds",
            "day of the simulation",
            ticks,
            isLogarithmic: false,
            (0.002, "target: at most 0.2 %"),
            new Series("honest nodes", lost));
    }

    private Series Rates(string label, Statistics.Line line)
    {
        var bySeed = experiment.Seeds.Select(seed => seed.Statistics.Rates(line)).ToArray();
        return new Series(label, [.. Enumerable.Range(0, experiment.Scenario.Days).Select(day => Figure.Over(bySeed.Select(days => days[day])))]);
    }

    private static string Row(StrategySummary summary)
    {
        var strategy = summary.Strategy;
        return Cells(
            strategy.Threat,
            strategy.Name,
            string.Create(Culture, $"{summary.Identities:#,0}"),
            Percent(summary.Detected),
            Percent(summary.Banned),
            OrDash(summary.MeanDay, "0.00"),
            strategy.IsHonest ? "–" : $"{OrDash(summary.CashedHours.Mean, "0.000")} ({OrDash(summary.CashedHours95, "0.00")})",
            OrDash(summary.LostHours, "0.00"),
            strategy.IsHonest || summary.Identities == 0 ? "–" : double.IsInfinity(summary.LossToGain) ? "cashes 0" : OrDash(summary.LossToGain, "#,0.0"),
            $"{OrDash(100 * summary.FirstWeekOverhead, "0.0")} / {OrDash(100 * summary.Overhead, "0.0")} %");
    }

    /// <summary>A hub is its own case: what it loses is the settlement window of a day.</summary>
    private static string HubRow(string rate, HubStudy hub) => Cells(
        "T12",
        $"hub invents 1 % of 10 000 receipts a day, peers audit {rate}",
        "–",
        "100.0 %",
        "–",
        OrDash(hub.DaysUntilCaught, "0.00"),
        string.Create(Culture, $"{100 * hub.SettledShare:0.0} receipts"),
        "a day's receipts",
        hub.SettledShare > 0 ? OrDash(1 / (0.01 * hub.SettledShare), "#,0") : "cashes 0",
        "–");

    private static string Cells(params string[] cells) => $"| {string.Join(" | ", cells)} |";

    private static string Percent(double share) => double.IsNaN(share) ? "–" : $"{OrDash(100 * share, "0.0")} %";

    private static string OrDash(double value, string format) => double.IsNaN(value) ? "–" : value.ToString(format, Culture);

    private static string Power(AnswerPower power) => string.Create(Culture, $"{power.Verifier:0.0000} / {power.Arbiter:0.0000}");

    private string Whole(FakeAnswer answer, Drawing drawing) => experiment.WholeAnswers.TryGetValue((answer, drawing), out var power) ? Power(power) : "–";

    private void AppendAlarms(StringBuilder page)
    {
        var rules = new InferenceCheckOptions();
        page.AppendLine("## What an alarm comes to").AppendLine();
        page.AppendLine("The sum over many audits on normal scores. Behind an alarm, two arbiters each score the same answers anew, and both must find them");
        page.AppendLine(Culture, $"{rules.AlarmReviewScore:0.00} standard deviations off. The more of a score is the worker's own, the more of an honest node's bad luck comes back;");
        page.AppendLine(Culture, $"the population has {100 * experiment.Scenario.SharedDeviation:0} % [uncalibrated].").AppendLine();
        page.AppendLine(Culture, $"| shift of every audit, σ | audits until an alarm | {string.Join(" | ", Experiment.Shares.Select(share => string.Create(Culture, $"confirmed, {100 * share:0} % the worker's")))} |");
        page.AppendLine(Culture, $"| --- | --- |{string.Concat(Experiment.Shares.Select(_ => " --- |"))}");
        foreach (var shift in experiment.Alarms.GroupBy(study => study.Shift))
            page.AppendLine(Culture, $"| {(shift.Key == 0 ? "0, an honest node" : shift.Key)} | {shift.Average(study => study.Audits):#,0} | {string.Join(" | ", shift.Select(study => Percent(study.Upheld)))} |");
        page.AppendLine();
    }

    private void AppendWhatIf(StringBuilder page)
    {
        if (experiment.WhatIfs.IsEmpty) return;
        page.AppendLine("## What if").AppendLine();
        page.AppendLine(Culture, $"The same with one thing changed, {experiment.WhatIfs[0].Scenario.Nodes:#,0} nodes, one seed each.").AppendLine();
        page.AppendLine("| changed | cashed cheated, of hours credited | 0.5 σ: detected, mean day | honest forfeitures/node-yr | honest bans/node-yr | honest income lost | overhead wk 1 / mature |");
        page.AppendLine("| --- | --- | --- | --- | --- | --- | --- |");
        foreach (var (name, _, seed) in experiment.WhatIfs)
        {
            var shifted = Figures.Summary(Strategy.Others.First(strategy => strategy.Answer is FakeAnswer.HalfDeviation), [seed]);
            page.AppendLine(Cells(
                name,
                $"{OrDash(100 * Figures.CashedShare(seed), "0.000")} %",
                $"{OrDash(100 * shifted.Detected, "0")} %, {OrDash(shifted.MeanDay, "0.0")}",
                OrDash(Figures.HonestForfeitures(seed), "0.00"),
                OrDash(Figures.HonestBans(seed), "0.000"),
                $"{OrDash(100 * Figures.HonestLost(seed), "0.00")} %",
                $"{OrDash(100 * Figures.Overhead(seed, life => life.FirstWeek), "0.0")} / {OrDash(100 * Figures.Overhead(seed, life => life.Mature), "0.0")} %"));
        }

        page.AppendLine();
    }
}
