namespace Federation.Silo.Verification.Challenges;

/// <summary>What attempts at a class amount to.</summary>
internal enum AttemptDecision
{
    /// <summary>Another attempt is needed.</summary>
    Undecided,

    /// <summary>The class is kept.</summary>
    Kept,

    /// <summary>The class is lost; fraud is another matter.</summary>
    Lost,
}

/// <summary>
/// Two of three attempts decide: where 2 % of them meet a busy machine, an honest node loses its class once in 850 times instead of once in 50.
/// </summary>
internal static class AttemptRule
{
    private const int Needed = 2;

    /// <summary>What the attempts of the last <paramref name="window"/> amount to.</summary>
    /// <param name="attempts">When each was decided, and whether it passed; in any order.</param>
    /// <param name="now">The time.</param>
    /// <param name="window">Older attempts do not count.</param>
    public static AttemptDecision Decide(IEnumerable<(DateTimeOffset At, bool Passed)> attempts, DateTimeOffset now, TimeSpan window)
    {
        var (passed, failed) = (0, 0);
        foreach (var attempt in attempts.Where(attempt => attempt.At > now - window).OrderBy(attempt => attempt.At))
        {
            if (attempt.Passed) passed++;
            else failed++;
            // The second of a kind decides; what came after it is another question's.
            if (passed == Needed) return AttemptDecision.Kept;
            if (failed == Needed) return AttemptDecision.Lost;
        }
        return AttemptDecision.Undecided;
    }
}
