using System.Collections.Immutable;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Challenges;

namespace Federation.Simulation;

/// <summary>
/// Cards, and what challenges find out about them. Proofs are not computed here: their soundness is (1−s)^q, their timing is a model. What was measured is
/// placed by the hub's own <see cref="HardwareRate"/>.
/// </summary>
internal sealed class Machines(Scenario scenario)
{
    /// <summary>Attempts within ten minutes, of which two decide.</summary>
    private const int Attempts = 3;

    private static readonly ImmutableArray<(string Name, double Share)> Cards =
    [
        ("rtx-3060-12gb", 0.30), ("rtx-3080-10gb", 0.25), ("rtx-4080-16gb", 0.20), ("rtx-4090-24gb", 0.20), ("a100-40gb", 0.03), ("a100-80gb", 0.02),
    ];

    private static readonly ChallengeOptions Rules = new();

    private readonly HardwareClassOptions _options = new();
    private readonly HardwareRate _rate = new(new HardwareClassOptions(), Rules);

    /// <summary>The class of that name.</summary>
    public HardwareClass Find(string name) => _options.Classes.First(hardware => hardware.Name == name);

    /// <summary>A card as people have them. [uncalibrated]</summary>
    public HardwareClass Any(Draws draws)
    {
        var left = draws.Uniform();
        foreach (var (name, share) in Cards)
        {
            left -= share;
            if (left < 0) return Find(name);
        }

        return Find(Cards[0].Name);
    }

    /// <summary>One challenge of three attempts.</summary>
    /// <param name="card">The card that computes.</param>
    /// <param name="target">The class it is to prove.</param>
    /// <param name="speed">Share of the card's speed that this host has for it: 1, less when throttled or shared.</param>
    /// <param name="memory">Share of its memory.</param>
    /// <param name="draws">Chance.</param>
    /// <returns>Whether two of three were in time for the class, and the class that was measured.</returns>
    public (bool InTime, HardwareClass Measured) Challenge(HardwareClass card, HardwareClass target, Func<double> speed, double memory, Draws draws)
    {
        Span<double> seen = stackalloc double[Attempts];
        for (var i = 0; i < Attempts; i++) seen[i] = Seen(speed(), draws);
        seen.Sort();
        // The middle one of three: two attempts were at least as fast.
        var median = seen[Attempts / 2];
        var resident = Math.Max(0, (card.MemoryGigabytes * memory) - (Rules.MemoryReserveBytes / 1e9));
        var measured = Find(_rate.Place(new MeasuredHardware(card.MatrixTeraops * median, card.GigabytesPerSecond * median, resident)).Class.Name);
        return (measured.CreditsPerHour >= target.CreditsPerHour, measured);
    }

    /// <summary>Share of a proof's cells that a card must leave out to be in time for a class; 0 when none.</summary>
    public static double SkippedShare(HardwareClass card, HardwareClass claim) => Math.Max(0, 1 - (card.MatrixTeraops / (Rules.Tolerance * claim.MatrixTeraops)));

    /// <summary>Whether a proof with so much left out is accepted all the same: none of the opened cells was.</summary>
    public static bool IsAccepted(double skipped, int openings, Draws draws) => draws.Happens(Math.Pow(1 - skipped, openings));

    /// <summary>The share of the card's speed that one attempt shows the hub.</summary>
    private double Seen(double speed, Draws draws)
    {
        if (draws.Happens(scenario.BusyAttempts)) speed *= draws.Uniform(0.4, 0.8);
        return speed / ((1 + (scenario.TimingNoise * draws.Normal())) * (1 + (scenario.RoundTripError * draws.Uniform())));
    }
}
