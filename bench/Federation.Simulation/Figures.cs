namespace Federation.Simulation;

/// <summary>One figure over the seeds.</summary>
/// <param name="Mean">Mean.</param>
/// <param name="Least">Least.</param>
/// <param name="Most">Most.</param>
internal readonly record struct Figure(double Mean, double Least, double Most)
{
    /// <summary>Over those seeds that have one; NaN if none has.</summary>
    public static Figure Over(IEnumerable<double> values)
    {
        var known = values.Where(value => !double.IsNaN(value)).ToArray();
        return known.Length == 0 ? new Figure(double.NaN, double.NaN, double.NaN) : new Figure(known.Average(), known.Min(), known.Max());
    }
}

/// <summary>The figures of §5 that come out of the population, by seed.</summary>
internal static class Figures
{
    private const int HoursPerDay = 24;
    private const double HoursPerYear = 365.25 * 24;
    private const double UnitsPerHour = 60;

    /// <summary>Share of always-on cheats that were banned within 24 hours of their enrolment.</summary>
    public static double BannedWithinADay(SeedResult seed) => Share(
        seed.Lives.Where(life => life.Strategy.IsAlwaysOn && (life.BannedHour is not null || life.HoursSinceStart >= HoursPerDay)),
        life => life.BannedHour - life.StartHour <= HoursPerDay);

    /// <summary>Share of those with 1 % of garbage who were caught within 30 days of beginning; NaN when the simulation is too short.</summary>
    public static double CaughtWithinAMonth(SeedResult seed, int startDay, int days) => Share(
        seed.Lives.Where(life => life.Strategy is { Share: 0.01, IsRing: false } strategy && strategy.StartDay == startDay
            && life.StartHour + (29 * HoursPerDay) <= days * HoursPerDay
            && (life.DetectedHour is not null || life.HoursSinceStart >= 29 * HoursPerDay)),
        life => life.DetectedHour - life.StartHour <= 30 * HoursPerDay);

    /// <summary>Cheated hours that were cashed, share of all hours credited.</summary>
    public static double CashedShare(SeedResult seed) =>
        seed.Lives.Where(life => !life.Strategy.IsFault).Sum(life => life.CheatedCashed) / seed.Lives.Sum(life => life.Credited);

    /// <summary>The same without the strategy that no single answer betrays.</summary>
    public static double CashedShareWithoutShift(SeedResult seed) =>
        seed.Lives.Where(life => !life.Strategy.IsFault && life.Strategy.Answer is not FakeAnswer.HalfDeviation).Sum(life => life.CheatedCashed)
            / seed.Lives.Sum(life => life.Credited);

    /// <summary>Confirmed forfeitures of honest nodes a node-year, and of those only that are older than 30 days.</summary>
    public static double HonestForfeitures(SeedResult seed) => Honest(seed).Sum(life => life.Forfeitures) / HonestNodeYears(seed);

    /// <inheritdoc cref="HonestForfeitures"/>
    public static double HonestLateForfeitures(SeedResult seed) =>
        Honest(seed).Sum(life => life.LateForfeitures) / (Honest(seed).Sum(life => Math.Max(0, life.EndHour - life.EnrolledHour - Life.SettledHours)) / HoursPerYear);

    /// <summary>Bans of honest nodes a node-year.</summary>
    public static double HonestBans(SeedResult seed) => Honest(seed).Count(life => life.BannedHour is not null) / HonestNodeYears(seed);

    /// <summary>Share of what honest nodes earned, and of what they would have in quarantine, that they lost.</summary>
    public static double HonestLost(SeedResult seed) => seed.Statistics.HonestLost()[^1];

    /// <summary>Share of their idle time that honest nodes are not paid for, because a probe was lost.</summary>
    public static double HonestStandbyLost(SeedResult seed)
    {
        var lost = Honest(seed).Sum(life => life.StandbyLostHours);
        return lost / (lost + Honest(seed).Sum(life => life.StandbyPaidHours));
    }

    /// <summary>Verification per paid work of honest nodes, in their first week and after thirty days.</summary>
    public static double Overhead(SeedResult seed, Func<Life, Effort> part) =>
        Honest(seed).Sum(life => part(life).Checks) / Honest(seed).Sum(life => part(life).Work);

    /// <summary>What identities that share a card get together, over what one gets who has it alone.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="trick">How they share it.</param>
    /// <param name="from">Only those with work for this share of their time, or more.</param>
    /// <param name="to">And for less than this.</param>
    public static double IdentityIncome(SeedResult seed, HardwareTrick trick, double from = 0, double to = 1)
    {
        return Strategy.IdentitiesPerCard * PerHour(life => life.Strategy.Trick == trick && life.Utilisation >= from && life.Utilisation < to)
            / PerHour(life => life.Strategy == Strategy.HonestComparable && life.Utilisation >= from && life.Utilisation < to);

        double PerHour(Func<Life, bool> who) =>
            seed.Lives.Where(who).Sum(life => (double)life.IncomeMicrocredits) / seed.Lives.Where(who).Sum(life => life.EndHour - life.EnrolledHour);
    }

    /// <summary>Summary of one strategy over all seeds.</summary>
    public static StrategySummary Summary(Strategy strategy, IReadOnlyList<SeedResult> seeds)
    {
        IEnumerable<Life> Begun(SeedResult seed) => seed.Lives.Where(life => life.Strategy == strategy && life.HoursSinceStart > 0);
        var lives = seeds.SelectMany(Begun).ToArray();
        var cashed = lives.Select(life => life.CheatedCashed / UnitsPerHour).Order().ToArray();
        var detected = lives.Where(life => life.DetectedHour is not null).ToArray();
        // Less than a microcredit an identity is what floating point leaves behind.
        var gain = lives.Sum(life => life.GainMicrocredits) is var sum && sum < lives.Length ? 0 : sum;
        return new StrategySummary
        {
            Strategy = strategy,
            Identities = lives.Length,
            Detected = Share(lives, life => life.DetectedHour is not null),
            Banned = Share(lives, life => life.BannedHour is not null),
            MeanDay = detected.Length == 0 ? double.NaN : detected.Average(life => (life.DetectedHour!.Value - life.StartHour) / (double)HoursPerDay),
            CashedHours = Figure.Over(seeds.Select(seed => Mean(Begun(seed), life => life.CheatedCashed / UnitsPerHour))),
            CashedHours95 = cashed.Length == 0 ? double.NaN : cashed[(int)(0.95 * (cashed.Length - 1))],
            LostHours = Mean(lives, life => life.HonestLost / UnitsPerHour),
            LossToGain = gain > 0 ? lives.Sum(life => life.LossMicrocredits) / gain : double.PositiveInfinity,
            GainCredits = Mean(lives, life => life.GainMicrocredits / 1e6),
            FirstWeekOverhead = lives.Sum(life => life.FirstWeek.Checks) / lives.Sum(life => life.FirstWeek.Work),
            Overhead = lives.Sum(life => life.Whole.Checks) / lives.Sum(life => life.Whole.Work),
            Alarms = Mean(lives, life => life.CusumAlarms),
        };
    }

    private static IEnumerable<Life> Honest(SeedResult seed) => seed.Lives.Where(life => life.Strategy.IsHonest);

    /// <summary>Years that honest nodes were known, all together.</summary>
    public static double HonestNodeYears(SeedResult seed) => Honest(seed).Sum(life => life.EndHour - life.EnrolledHour) / HoursPerYear;

    private static double Mean(IEnumerable<Life> lives, Func<Life, double> value) => lives.Select(value).DefaultIfEmpty(double.NaN).Average();

    private static double Share(IEnumerable<Life> lives, Func<Life, bool> isTrue) => Mean(lives, life => isTrue(life) ? 1 : 0);
}

/// <summary>What a strategy came to.</summary>
internal sealed record StrategySummary
{
    /// <summary>The strategy.</summary>
    public required Strategy Strategy { get; init; }

    /// <summary>Identities that had begun, over all seeds.</summary>
    public required int Identities { get; init; }

    /// <summary>Share of them that were detected: a confirmed mismatch, fraud, or a re-rating of who had no right to the class.</summary>
    public required double Detected { get; init; }

    /// <summary>Share that were banned.</summary>
    public required double Banned { get; init; }

    /// <summary>Mean days from the beginning until detection.</summary>
    public required double MeanDay { get; init; }

    /// <summary>Cheated hours an identity cashed: mean, and by seed; and the 95th percentile.</summary>
    public required Figure CashedHours { get; init; }

    /// <inheritdoc cref="CashedHours"/>
    public required double CashedHours95 { get; init; }

    /// <summary>Honest hours an identity lost.</summary>
    public required double LostHours { get; init; }

    /// <summary>What cheating cost over what it cashed; infinite where nothing was cashed.</summary>
    public required double LossToGain { get; init; }

    /// <summary>Credits an identity cashed by cheating.</summary>
    public required double GainCredits { get; init; }

    /// <summary>Verification per paid work in the first week and over the whole life.</summary>
    public required double FirstWeekOverhead { get; init; }

    /// <inheritdoc cref="FirstWeekOverhead"/>
    public required double Overhead { get; init; }

    /// <summary>Alarms of the sum an identity.</summary>
    public required double Alarms { get; init; }
}
