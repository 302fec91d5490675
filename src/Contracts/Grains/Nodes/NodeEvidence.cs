namespace Federation.Contracts.Nodes;

/// <summary>How a hardware challenge ended.</summary>
[GenerateSerializer, Alias("Federation.ChallengeOutcome")]
public enum ChallengeOutcome
{
    /// <summary>Answered rightly and in time.</summary>
    Passed = 0,

    /// <summary>Answered rightly, too slowly for the node's class, in two of three attempts. No mark of fraud: the class is corrected.</summary>
    TooSlow = 1,

    /// <summary>What no honest node sends: a wrong opening, a broken chain, a forged signature.</summary>
    Fraud = 2,

    /// <summary>Not answered, by a node that took work and had none: declined, hung up on, or the benchmark refused. No mark of fraud; some in a row and the class lapses.</summary>
    Declined = 3,

    /// <summary>Nothing was measured, for the node's work. Only if that goes on for long the class lapses.</summary>
    Disturbed = 4,
}

/// <summary>A finished hardware challenge.</summary>
/// <param name="ReportId">Names the report: the same one twice counts once. At most 100 printable ASCII characters.</param>
/// <param name="Kind">What was asked: "MM", "MEM", "IB".</param>
/// <param name="Outcome">How it ended.</param>
/// <param name="HardwareClass">The class it measured, that of the weakest axis; empty where it measured none.</param>
/// <param name="Finding">What was found, for the owner, in a sentence.</param>
/// <param name="Details">The record behind it, a JSON object; empty when there is none.</param>
[GenerateSerializer, Immutable, Alias("Federation.ChallengeReport")]
public sealed record ChallengeReport(
    [property: Id(0)] string ReportId,
    [property: Id(1)] string Kind,
    [property: Id(2)] ChallengeOutcome Outcome,
    [property: Id(3)] string HardwareClass,
    [property: Id(4)] string Finding,
    [property: Id(5)] string Details)
{
    /// <summary>The class by matrix and memory challenges alone, where the inference benchmark measured a lesser one; <see langword="null"/>: the same.</summary>
    [Id(6)]
    public string? ComputeClass { get; init; }

    /// <summary>What the inference benchmark measured; <see langword="null"/> when it measured nothing.</summary>
    [Id(7)]
    public SpeedReport? Speed { get; init; }

    /// <summary>How long the node was connected since the last report of its challenges; of those that measured nothing.</summary>
    [Id(8)]
    public TimeSpan Connected { get; init; }
}

/// <summary>How fast a node answered an inference benchmark.</summary>
/// <param name="Model">With which model, by the node's name for it.</param>
/// <param name="Weights">The digest of its weights, or its name where the engine does not tell it.</param>
/// <param name="PromptNanoseconds">Time a token of the prompt took, ns; positive.</param>
/// <param name="TokenNanoseconds">Time a generated token took, ns; positive.</param>
[GenerateSerializer, Immutable, Alias("Federation.SpeedReport")]
public sealed record SpeedReport(
    [property: Id(0)] string Model,
    [property: Id(1)] string Weights,
    [property: Id(2)] long PromptNanoseconds,
    [property: Id(3)] long TokenNanoseconds);

/// <summary>The classes that were measured of a node.</summary>
/// <param name="Compute">By matrix and memory challenges.</param>
/// <param name="Paid">The one it is paid as: never a better one.</param>
[GenerateSerializer, Immutable, Alias("Federation.MeasuredClasses")]
public sealed record MeasuredClasses([property: Id(0)] string Compute, [property: Id(1)] string Paid)
{
    /// <summary>The node has not let itself be measured for too long: until it does it is paid as the least class, and no more a token than as the measured one.</summary>
    [Id(2)]
    public bool HasLapsed { get; init; }
}

/// <summary>How an audit stands or ended.</summary>
[GenerateSerializer, Alias("Federation.AuditOutcome")]
public enum AuditOutcome
{
    /// <summary>The answer is the model's.</summary>
    Passed = 0,

    /// <summary>The verifier disagrees; its arbiters are still to be heard. Until then the audited earning does not mature.</summary>
    Doubted = 1,

    /// <summary>The arbiters did not confirm the mismatch.</summary>
    Unconfirmed = 2,

    /// <summary>Both arbiters disagree with the node, too.</summary>
    Mismatch = 3,

    /// <summary>It could not be made, or says nothing; counts neither way.</summary>
    Inconclusive = 4,

    /// <summary>What no honest node sends: a revelation that contradicts its commitment, a forged signature, two receipts for one place.</summary>
    Fraud = 5,

    /// <summary>The answer itself keeps anybody from judging it, and others' answers to the same request do not. Neither passed nor a mismatch, but no way out: it takes away passes.</summary>
    Evaded = 6,
}

/// <summary>The outcome of an audit or a canary.</summary>
/// <param name="ReportId">Names the report: the same one twice counts once. At most 100 printable ASCII characters.</param>
/// <param name="Kind">"audit" or "canary".</param>
/// <param name="Outcome">How it stands.</param>
/// <param name="ReceiptId">The audited receipt's id, hexadecimal; empty when there is none.</param>
/// <param name="DeterminismClass">The answer's; a receipt's own class counts where there is one.</param>
/// <param name="Finding">What was found, for the owner, in a sentence.</param>
/// <param name="Details">The record behind it, a JSON object; empty when there is none.</param>
[GenerateSerializer, Immutable, Alias("Federation.AuditReport")]
public sealed record AuditReport(
    [property: Id(0)] string ReportId,
    [property: Id(1)] string Kind,
    [property: Id(2)] AuditOutcome Outcome,
    [property: Id(3)] string ReceiptId,
    [property: Id(4)] string DeterminismClass,
    [property: Id(5)] string Finding,
    [property: Id(6)] string Details)
{
    /// <summary>What the audit leaves behind for later ones, written with its verdict or not at all; null: nothing.</summary>
    [Id(7)] public AuditHistory? History { get; init; }
}

/// <summary>What audits remember of a node with certain weights.</summary>
/// <param name="Weights">The weights.</param>
/// <param name="Json">Sums and draws, as the hub's judge writes them.</param>
[GenerateSerializer, Immutable, Alias("Federation.AuditHistory")]
public sealed record AuditHistory([property: Id(0)] string Weights, [property: Id(1)] string Json);

/// <summary>What became of one standby probe.</summary>
[GenerateSerializer, Alias("Federation.ProbeOutcome")]
public enum ProbeOutcome
{
    /// <summary>The first token came in time, and the answer went on to its end or gave way to work.</summary>
    Passed = 0,

    /// <summary>It did not. A first failure is followed by one retry.</summary>
    Failed = 1,

    /// <summary>
    /// Nobody can say: work came between, or the node had just become unfit for work. No mark, but no end of a paid gap either: who could make a probe count as
    /// answered by sending work to himself would never have to be there.
    /// </summary>
    Void = 2,
}

/// <summary>One standby probe.</summary>
/// <param name="ReportId">Names the probe: the same one twice counts once.</param>
/// <param name="SentAt">When it was sent, by the hub's clock.</param>
/// <param name="Outcome">What became of it.</param>
/// <param name="Worked">Time since the last probe that passed in which the node had work, by the hub's clock. Work is paid as work.</param>
/// <param name="DeterminismClass">Of the model that answered, or should have; empty where there was none.</param>
/// <param name="Finding">What was found, as what the probe did: "got no first token within 2 s".</param>
[GenerateSerializer, Immutable, Alias("Federation.ProbeReport")]
public sealed record ProbeReport(
    [property: Id(0)] string ReportId,
    [property: Id(1)] DateTimeOffset SentAt,
    [property: Id(2)] ProbeOutcome Outcome,
    [property: Id(3)] TimeSpan Worked,
    [property: Id(4)] string DeterminismClass,
    [property: Id(5)] string Finding);

/// <summary>What follows a probe.</summary>
/// <param name="RetryAt">When to probe once more, after a first failure; <see langword="null"/>: at a moment that nobody can foresee.</param>
/// <param name="CreditedMicrocredits">What the standby since the last probe earned.</param>
[GenerateSerializer, Immutable, Alias("Federation.ProbeFollowUp")]
public sealed record ProbeFollowUp([property: Id(0)] DateTimeOffset? RetryAt, [property: Id(1)] long CreditedMicrocredits);

/// <summary>What a report led to.</summary>
/// <param name="Standing">The node's standing now.</param>
/// <param name="Decision">What was decided and why, in words; empty when the node is unknown.</param>
/// <param name="Shadow">Decided and recorded, but not applied.</param>
[GenerateSerializer, Immutable, Alias("Federation.Ruling")]
public sealed record Ruling([property: Id(0)] Standing Standing, [property: Id(1)] string Decision, [property: Id(2)] bool Shadow);

/// <summary>The outcome of asking for, or deciding, an appeal.</summary>
[GenerateSerializer, Alias("Federation.AppealStatus")]
public enum AppealStatus
{
    /// <summary>Done.</summary>
    Done = 0,

    /// <summary>No such node, or no such appeal of it.</summary>
    Unknown = 1,

    /// <summary>There is no decision against the node to appeal against.</summary>
    NothingToAppeal = 2,

    /// <summary>An appeal against that decision was made before.</summary>
    AlreadyAppealed = 3,

    /// <summary>The appeal is decided already, in the other way.</summary>
    AlreadyDecided = 4,
}

/// <summary>The answer to an appeal's making or decision.</summary>
/// <param name="Status">What became of it.</param>
/// <param name="AppealId">Its id; empty unless done or there already.</param>
/// <param name="CompensationMicrocredits">What was given back.</param>
[GenerateSerializer, Immutable, Alias("Federation.AppealAnswer")]
public sealed record AppealAnswer([property: Id(0)] AppealStatus Status, [property: Id(1)] string AppealId, [property: Id(2)] long CompensationMicrocredits);
