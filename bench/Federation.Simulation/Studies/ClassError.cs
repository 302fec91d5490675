namespace Federation.Simulation;

/// <summary>How often enrolment puts a card in a class it does not belong to.</summary>
/// <param name="Computing">Share of enrolments at which a worse card that computes everything is in time all the same.</param>
/// <param name="Skipping">Chance that a proof with as many cells left out as being in time takes is accepted: (1−s)^96.</param>
internal readonly record struct ClassError(double Computing, double Skipping)
{
    /// <summary>Openings at enrolment: three proofs of 32.</summary>
    public const int OpeningsAtEnrolment = 96;

    /// <summary>The better of the two for the cheat.</summary>
    public double Worst => Math.Max(Computing, Skipping);

    /// <summary>A worse card that claims to be a better one.</summary>
    public static ClassError Of(string card, string claim, int enrolments, Scenario scenario, Draws draws)
    {
        var machines = new Machines(scenario);
        var skipped = Machines.SkippedShare(machines.Find(card), machines.Find(claim));
        return new ClassError(Share(machines, card, claim, inTime: true, enrolments, draws), Math.Pow(1 - skipped, OpeningsAtEnrolment));
    }

    /// <summary>Share of honest enrolments, on hosts that are not throttled, that end in a lower class.</summary>
    public static double HonestRejected(string card, int enrolments, Scenario scenario, Draws draws) =>
        Share(new Machines(scenario), card, card, inTime: false, enrolments, draws);

    private static double Share(Machines machines, string card, string claim, bool inTime, int enrolments, Draws draws)
    {
        var (from, to) = (machines.Find(card), machines.Find(claim));
        var count = 0;
        for (var i = 0; i < enrolments; i++)
        {
            if (machines.Challenge(from, to, () => 1, memory: 1, draws).InTime == inTime) count++;
        }

        return (double)count / enrolments;
    }
}
