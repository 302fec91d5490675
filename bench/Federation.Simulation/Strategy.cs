using System.Collections.Immutable;

namespace Federation.Simulation;

/// <summary>What stands in a unit that was not done as asked.</summary>
internal enum FakeAnswer
{
    /// <summary>Nothing of the kind: the model's own answer.</summary>
    None,

    /// <summary>Anything at all, or an old answer.</summary>
    Garbage,

    /// <summary>The answer of a smaller model, with its own log-probabilities.</summary>
    SmallerModel,

    /// <summary>The answer of a smaller model, with log-probabilities that the right one gave it afterwards.</summary>
    SmallerModelRescored,

    /// <summary>The right model one quantisation step lower.</summary>
    QuantisationStep,

    /// <summary>A nearly lossless change: half a standard deviation of honest audits.</summary>
    HalfDeviation,
}

/// <summary>What is done about the hardware.</summary>
internal enum HardwareTrick
{
    /// <summary>Nothing: the card is the one that is claimed.</summary>
    None,

    /// <summary>Claims the better card and computes every challenge honestly.</summary>
    ClaimsMore,

    /// <summary>Claims the better card and leaves out as many cells of a challenge as it must to be in time.</summary>
    SkipsCells,

    /// <summary>Enrols with the better card and works on the worse one.</summary>
    SwapsCard,

    /// <summary>Four identities on one card, under one account.</summary>
    SharesCardInAccount,

    /// <summary>Four identities on one card, under accounts and networks that have nothing in common.</summary>
    SharesCardScattered,
}

/// <summary>A way to behave. §1 has the threats by their numbers.</summary>
/// <param name="Threat">The number of the threat, or "honest".</param>
/// <param name="Name">What it does, as tables say it.</param>
internal sealed record Strategy(string Threat, string Name)
{
    /// <summary>Identities that share a card.</summary>
    public const int IdentitiesPerCard = 4;

    /// <summary>φ: share of units that are faked.</summary>
    public double Share { get; init; }

    /// <summary>Days after enrolment on which it begins; honest until then.</summary>
    public int StartDay { get; init; }

    /// <summary>What a faked unit is.</summary>
    public FakeAnswer Answer { get; init; }

    /// <summary>Share of a faked unit's credit that is not earned: all of it, or what inflated counts add.</summary>
    public double UnearnedShare { get; init; } = 1;

    /// <summary>About the hardware.</summary>
    public HardwareTrick Trick { get; init; }

    /// <summary>The card it has; null: any.</summary>
    public string? Card { get; init; }

    /// <summary>The card it claims; null: the one it has.</summary>
    public string? Claim { get; init; }

    /// <summary>Mean time away while claiming standby, and between absences, minutes; 0: always there.</summary>
    public double AbsenceMinutes { get; init; }

    /// <summary>Units an hour that its own API client asks for and pays.</summary>
    public double OwnTraffic { get; init; }

    /// <summary>Verifies in favour of its ring, and accuses others when it can.</summary>
    public bool IsRing { get; init; }

    /// <summary>Calls every answer right that it is to verify.</summary>
    public bool IsLazyVerifier { get; init; }

    /// <summary>Not a cheat but a broken card.</summary>
    public bool IsFault { get; init; }

    /// <summary>All of them run on the same card for the same hours, so that incomes compare.</summary>
    public bool IsComparable { get; init; }

    /// <summary>Whether it does what it is asked.</summary>
    public bool IsHonest => Threat == "honest";

    /// <summary>Whether everything it answers is faked from its first hour on, in a way that one audit can see.</summary>
    public bool IsAlwaysOn => Share >= 1 && StartDay == 0 && UnearnedShare >= 1 && Answer is not (FakeAnswer.None or FakeAnswer.HalfDeviation);

    /// <summary>The honest.</summary>
    public static Strategy Honest { get; } = new("honest", "honest");

    /// <summary>Honest, on the card and for the hours of those who share a card.</summary>
    public static Strategy HonestComparable { get; } = new("honest", "honest, alone on one 4090") { Card = "rtx-4090-24gb", IsComparable = true };

    /// <summary>The dishonest and the broken, each as many as the others.</summary>
    public static ImmutableArray<Strategy> Others { get; } =
    [
        new("T1", "3060 claims to be a 4090, computes honestly") { Card = "rtx-3060-12gb", Claim = "rtx-4090-24gb", Trick = HardwareTrick.ClaimsMore },
        new("T1", "3060 as a 4090, skips cells to be in time") { Card = "rtx-3060-12gb", Claim = "rtx-4090-24gb", Trick = HardwareTrick.SkipsCells },
        new("T1", "4080 as a 4090, skips cells to be in time") { Card = "rtx-4080-16gb", Claim = "rtx-4090-24gb", Trick = HardwareTrick.SkipsCells },
        new("T1", "enrols with a 4090, works on a 3060") { Card = "rtx-3060-12gb", Claim = "rtx-4090-24gb", Trick = HardwareTrick.SwapsCard },
        new("T2", "4 identities on one 4090, one account") { Card = "rtx-4090-24gb", Trick = HardwareTrick.SharesCardInAccount, IsComparable = true },
        new("T2", "4 identities on one 4090, 4 accounts and networks") { Card = "rtx-4090-24gb", Trick = HardwareTrick.SharesCardScattered, IsComparable = true },
        new("T3", "away half of its standby, 5 min at a time") { AbsenceMinutes = 5 },
        new("T3", "away half of its standby, 60 min at a time") { AbsenceMinutes = 60 },
        new("T4", "garbage, always") { Share = 1, Answer = FakeAnswer.Garbage },
        new("T4", "garbage, 10 % of units") { Share = 0.1, Answer = FakeAnswer.Garbage },
        new("T4", "garbage, 1 % of units") { Share = 0.01, Answer = FakeAnswer.Garbage },
        new("T4", "garbage, 0.2 % of units") { Share = 0.002, Answer = FakeAnswer.Garbage },
        new("T5", "smaller model, always") { Share = 1, Answer = FakeAnswer.SmallerModel },
        new("T5", "one quantisation step lower, always") { Share = 1, Answer = FakeAnswer.QuantisationStep },
        new("T5", "nearly lossless change (0.5 σ), always") { Share = 1, Answer = FakeAnswer.HalfDeviation },
        new("T6", "smaller model writes, the right one scores, always") { Share = 1, Answer = FakeAnswer.SmallerModelRescored },
        new("T7", "cached answers, 30 % of units") { Share = 0.3, Answer = FakeAnswer.Garbage },
        new("T8", "3060 claims to be a 4090, hands jobs to somebody's API") { Card = "rtx-3060-12gb", Claim = "rtx-4090-24gb", Trick = HardwareTrick.ClaimsMore },
        new("T9", "own client pays for jobs, 30 units an hour") { OwnTraffic = 30 },
        new("T10", "14 days honest, then garbage always") { Share = 1, StartDay = 14, Answer = FakeAnswer.Garbage },
        new("T10", "30 days honest, then 1 % garbage") { Share = 0.01, StartDay = 30, Answer = FakeAnswer.Garbage },
        new("T11", "ring in one class: 1 % garbage, verifiers cover and accuse") { Share = 0.01, Answer = FakeAnswer.Garbage, IsRing = true },
        new("T11", "lazy verifier: never looks, always agrees") { IsLazyVerifier = true },
        new("T15", "token counts 30 % too high, always") { Share = 1, Answer = FakeAnswer.Garbage, UnearnedShare = 0.3 / 1.3 },
        new("fault", "broken card: 0.5 % of units wrong") { Share = 0.005, Answer = FakeAnswer.Garbage, IsFault = true },
    ];
}
