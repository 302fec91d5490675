using Federation.Silo.Verification.Sampling;

namespace Federation.Simulation;

/// <summary>What is counted day by day: audit rates by a node's age, and what the honest earn and lose.</summary>
internal sealed class Statistics(int days)
{
    private readonly double[][] _rates = [.. Enumerable.Range(0, 3).Select(_ => new double[days])];
    private readonly double[][] _units = [.. Enumerable.Range(0, 3).Select(_ => new double[days])];
    private readonly double[] _honestCredited = new double[days];
    private readonly double[] _honestLost = new double[days];

    /// <summary>Whose audit rate.</summary>
    public enum Line
    {
        /// <summary>Honest nodes.</summary>
        Honest = 0,

        /// <summary>Honest nodes of four hours a day.</summary>
        Light = 1,

        /// <summary>Nodes with 1 % of garbage, until they are banned.</summary>
        Dishonest = 2,
    }

    /// <summary>Counts the rate at which an hour's units are audited.</summary>
    public void CountRate(SimulatedNode node, Strategy strategy, bool isLight, int hour, AuditRate rate, int units)
    {
        var age = Math.Min((hour - node.Life.EnrolledHour) / 24, days - 1);
        var share = (double)rate.Millionths / AuditRate.One;
        if (strategy.IsHonest) Add(Line.Honest);
        if (strategy.IsHonest && isLight) Add(Line.Light);
        if (strategy is { Share: 0.01, StartDay: 0, IsRing: false }) Add(Line.Dishonest);

        void Add(Line line)
        {
            _rates[(int)line][age] += share * units;
            _units[(int)line][age] += units;
        }
    }

    /// <summary>Counts what honest nodes earn and lose, microcredits.</summary>
    public void CountHonest(Strategy strategy, DateTimeOffset now, double credited, double lost)
    {
        if (!strategy.IsHonest) return;
        var day = Math.Min((int)(World.HoursAt(now) / 24), days - 1);
        _honestCredited[day] += credited;
        _honestLost[day] += lost;
    }

    /// <summary>Mean audit rate of units by the node's age in days; NaN where nobody was so old.</summary>
    public double[] Rates(Line line) => [.. _rates[(int)line].Zip(_units[(int)line], (rate, units) => units > 0 ? rate / units : double.NaN)];

    /// <summary>Share of all they earned until then that honest nodes have lost, by day.</summary>
    public double[] HonestLost()
    {
        var (credited, lost) = (0.0, 0.0);
        return [.. Enumerable.Range(0, days).Select(day => (lost += _honestLost[day]) / Math.Max(1, credited += _honestCredited[day]))];
    }
}
