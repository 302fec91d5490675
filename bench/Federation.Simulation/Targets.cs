using System.Collections.Immutable;
using System.Globalization;
using Federation.Silo.Verification.Inference;

namespace Federation.Simulation;

/// <summary>A row of §5: a figure beside its target.</summary>
/// <param name="Figure">What.</param>
/// <param name="Target">What it is to be.</param>
/// <param name="Measured">What it is.</param>
/// <param name="IsReached">Whether; null where this run is too short to tell.</param>
/// <param name="Missing">By how much not.</param>
/// <param name="Why">Why not.</param>
internal sealed record TargetRow(string Figure, string Target, string Measured, bool? IsReached, string Missing, string Why)
{
    /// <summary>The row's last cell.</summary>
    public string Result => IsReached switch
    {
        true => "reached",
        false => $"**missed** ({Missing})",
        null => "not measured",
    };
}

/// <summary>The table of §5.</summary>
internal static class Targets
{
    private static readonly CultureInfo Culture = CultureInfo.InvariantCulture;

    private const string Shifted =
        "What is cashed before the first audit meets a cheat, and what a nearly lossless change (T5) cashes until arbiters have confirmed two alarms of its sum; see *What an alarm comes to*.";

    private const string Scattered =
        "Identities with nothing in common are challenged at different moments, so on a card with little work most of their standby probes and challenges "
        + "meet it idle, and each is paid standby. "
        + "Simultaneous slots catch those that share an account or a network; random pairs are too rare to meet. A busy card makes sharing a loss.";

    private const string Absence =
        "T5, nearly lossless: all of its work is cheated, so there is hardly anything honest to forfeit; what it cashes is less than its first two days, until arbiters have confirmed two alarms. T3: a missed probe voids the two gaps beside it and nothing else. That makes absence cost more than it brings, whatever its length (§2.6), but ten times only "
        + "when absences are long and rare; what it brings is a tenth of the rate, and there is no penalty because honest nodes lose probes, too.";

    private const string Forfeited =
        "The first weeks have several times the audits of later ones, and a year is extrapolated from them; a drifting model and a ring that accuses are in it. "
        + "It is proportional to the assumed errors of verifiers and arbiters, which are not calibrated.";

    private const string Rescored =
        "Only the distribution of the draws tells, and its test waits for 500 tokens: every second audit of 256. An arbiter has one answer, so it never confirms; "
        + "such nodes are caught by their greedy traffic.";

    /// <summary>All rows.</summary>
    public static ImmutableArray<TargetRow> Of(Experiment experiment, IReadOnlyList<StrategySummary> summaries)
    {
        Figure Over(Func<SeedResult, double> figure) => Figure.Over(experiment.Seeds.Select(figure));
        var days = experiment.Scenario.Days;
        AnswerPower Whole(FakeAnswer answer, Drawing drawing) => experiment.WholeAnswers[(answer, drawing)];
        Figure Weaker(FakeAnswer answer) => One(Math.Min(Whole(answer, Drawing.Greedy).Verifier, Whole(answer, Drawing.Sampled).Verifier));
        double Scattered4(SeedResult seed) => Figures.IdentityIncome(seed, HardwareTrick.SharesCardScattered);
        return
        [
            AtLeast("Always-on cheaters banned within 24 h", 0.999, Over(Figures.BannedWithinADay), Percent, ""),
            AtLeast("1 % cheaters caught within 30 d, from enrolment", 0.95, Over(seed => Figures.CaughtWithinAMonth(seed, 0, days)), Percent, ""),
            AtLeast(
                "1 % cheaters caught within 30 d, after a 30-d long con", 0.90, Over(seed => Figures.CaughtWithinAMonth(seed, 30, days)), Percent, "Audits of a unit have come down to 1.6 to 2 % by then."),
            AtMost("Cheated hours cashed, of hours credited", 0.001, Over(Figures.CashedShare), Percent, Shifted),
            AtMost("the same, without the nearly lossless change", 0.001, Over(Figures.CashedShareWithoutShift), Percent, ""),
            LossToGain(summaries),
            AtMost("Honest nodes banned wrongly, a node-year", 0.001, Over(Figures.HonestBans), Percent, Bans(experiment)),
            AtMost("Honest forfeitures, a node-year, over all days", 0.1, Over(Figures.HonestForfeitures), Number, Forfeited),
            AtMost("the same, of nodes older than 30 days", 0.1, Over(Figures.HonestLateForfeitures), Number, Forfeited),
            AtMost("Honest income lost", 0.002, Over(Figures.HonestLost), Percent, "Forfeitures and re-ratings of honest nodes on busy hosts."),
            AtMost("Class error at enrolment, 3060 as 4090", 1e-6, One(experiment.Classes.Far.Worst), Scientific, ""),
            AtMost("Class error at enrolment, 4080 as 4090", 1e-3, One(experiment.Classes.Near.Worst), Scientific, ""),
            AtMost("Honest card put in a lower class at enrolment", 0.005, One(experiment.Classes.HonestRejected), Percent, ""),
            AtMost("Income of 4 identities on one card ÷ one, one account", 1.05, Over(seed => Figures.IdentityIncome(seed, HardwareTrick.SharesCardInAccount)), Number, Scattered),
            AtMost("the same, 4 accounts and networks", 1.05, Over(Scattered4), Number, Scattered),
            AtMost("the same, with work for less than half of the time", 1.05, Over(seed => Figures.IdentityIncome(seed, HardwareTrick.SharesCardScattered, 0, 0.5)), Number, Scattered),
            AtMost("Overhead, honest nodes after 30 days", 0.02, Over(seed => Figures.Overhead(seed, life => life.Mature)), Percent, ""),
            AtMost("Overhead, honest nodes in their first week", 0.05, Over(seed => Figures.Overhead(seed, life => life.FirstWeek)), Percent, ""),
            AtMost("Audits until a shift of 0.5 σ alarms", 100, One(experiment.Alarm(0.5).Audits), Count, ""),
            AtLeast("Audits until an honest node alarms", 30_000, One(experiment.Alarm(0).Audits), Count, ""),
            AtLeast("Hub inventing 1 % of 10 000 receipts caught in a day, p_h 5 %", 0.99, One(experiment.Hubs.AtFive.CaughtInADay), Percent, "1 − 0.95^100 = 99.4 %: the sample of hubs is small."),
            AtLeast("the same, p_h 1 %", 0.63, One(experiment.Hubs.AtOne.CaughtInADay), Percent, "1 − 0.99^100 = 63.4 %: the sample of hubs is small."),
            AtLeast("Audit power at 256 tokens, smaller model", 0.99, Weaker(FakeAnswer.SmallerModel), Percent, ""),
            AtLeast("the same, scored by the right model afterwards, greedy", 0.99, One(Whole(FakeAnswer.SmallerModelRescored, Drawing.Greedy).Verifier), Percent, ""),
            AtLeast("the same, scored by the right model afterwards, drawn", 0.99, One(Whole(FakeAnswer.SmallerModelRescored, Drawing.Sampled).Verifier), Percent, Rescored),
            AtLeast("Audit power at 256 tokens, one quantisation step", 0.95, Weaker(FakeAnswer.QuantisationStep), Percent, ""),
        ];
    }

    private static string Bans(Experiment experiment)
    {
        var honest = experiment.Seeds.Select(seed => (Years: Figures.HonestNodeYears(seed), Rate: Figures.HonestBans(seed))).ToArray();
        return string.Create(
            Culture,
            $"{honest.Sum(seed => seed.Years * seed.Rate):0} bans in {honest.Sum(seed => seed.Years):0} node-years, too few to measure a rate of one in a thousand. A second confirmed mismatch within 30 days and 200 audits bans, and chance alone brings some about.");
    }

    private static TargetRow LossToGain(IReadOnlyList<StrategySummary> summaries)
    {
        var cheats = summaries.Where(summary => summary.Strategy is { IsHonest: false, IsFault: false } && summary.Identities > 0).OrderBy(summary => summary.LossToGain).ToArray();
        var poor = cheats.Count(summary => summary.LossToGain < 10);
        var worst = cheats.Take(Math.Max(3, poor + 1)).Where(summary => !double.IsInfinity(summary.LossToGain))
            .Select(summary => string.Create(Culture, $"{summary.LossToGain:0.0} ({summary.Strategy.Threat}, {summary.Strategy.Name})"));
        return new TargetRow(
            "Loss/gain for every strategy that cashes anything", "≥ 10", $"{string.Join("; ", worst)}; all others more", poor == 0, $"{poor} of {cheats.Length} strategies", Absence);
    }

    private static Figure One(double value) => new(value, value, value);

    private static TargetRow AtLeast(string name, double target, Figure figure, Func<double, string> format, string why)
    {
        bool? isReached = double.IsNaN(figure.Mean) ? null : figure.Mean >= target;
        return new TargetRow(name, $"≥ {format(target)}", Text(figure, format), isReached, $"by {format(target - figure.Mean)}", why);
    }

    private static TargetRow AtMost(string name, double target, Figure figure, Func<double, string> format, string why)
    {
        bool? isReached = double.IsNaN(figure.Mean) ? null : figure.Mean <= target;
        return new TargetRow(name, $"≤ {format(target)}", Text(figure, format), isReached, string.Create(Culture, $"{figure.Mean / target:0.0} times"), why);
    }

    private static string Text(Figure figure, Func<double, string> format) => double.IsNaN(figure.Mean) ? "–"
        : figure.Least == figure.Most ? format(figure.Mean)
        : $"{format(figure.Mean)} [{format(figure.Least)} … {format(figure.Most)}]";

    private static string Percent(double value) => (100 * value).ToString(value is > 0.9 and < 1 ? "0.00" : Math.Abs(value) < 0.01 ? "0.000" : "0.0", Culture) + " %";

    private static string Number(double value) => value.ToString("0.000", Culture);

    private static string Count(double value) => value.ToString("#,0", Culture);

    private static string Scientific(double value) => value.ToString("0E+0", Culture);
}
