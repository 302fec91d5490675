using System.Globalization;
using Federation.Silo.Accounts.Ledger;

namespace Federation.Silo.Verification.Accrual;

/// <summary>Where an earning stands. The numbers are stored: never renumber, never reuse.</summary>
internal enum EarningState
{
    /// <summary>Booked; the node has not signed for it yet, so nothing is credited.</summary>
    Booked = 0,

    /// <summary>In the owner's pending purse.</summary>
    Pending = 1,

    /// <summary>In the owner's available purse.</summary>
    Matured = 2,

    /// <summary>Back in the treasury.</summary>
    Forfeited = 3,
}

/// <summary>What still keeps an earning pending.</summary>
[Flags]
internal enum HeldBy
{
    /// <summary>Nothing: it matures.</summary>
    Nothing = 0,

    /// <summary>Too few later audits have passed.</summary>
    Audits = 1,

    /// <summary>Too little time has passed.</summary>
    Time = 2,

    /// <summary>The epoch it is rooted in is not closed.</summary>
    Root = 4,

    /// <summary>It was drawn for an audit that has no verdict yet.</summary>
    Audit = 8,

    /// <summary>A verifier doubts it, and the arbiters have not answered.</summary>
    Dispute = 16,
}

/// <summary>What one receipt earned, until it has matured or is forfeited. State in, state out: nothing else decides.</summary>
/// <param name="State">Where it stands.</param>
/// <param name="Amount">What moves when it does.</param>
/// <param name="CreditedAt">When it was put in the pending purse.</param>
/// <param name="MaturesAt">The earliest moment it may leave it.</param>
/// <param name="AuditsBefore">Audits that the node had passed with these weights when it was credited: <see cref="Standings.Reputation.AuditsPassed"/>.</param>
/// <param name="AuditsNeeded">How many more must pass.</param>
internal readonly record struct PendingEarning(
    EarningState State, Microcredits Amount, DateTimeOffset CreditedAt, DateTimeOffset MaturesAt, long AuditsBefore, int AuditsNeeded)
{
    /// <summary>Audits passed since it was credited, at most as many as are needed.</summary>
    /// <param name="auditsPassed">What the node has passed with these weights by now.</param>
    public int AuditsSince(long auditsPassed) => (int)Math.Clamp(auditsPassed - AuditsBefore, 0, AuditsNeeded);

    /// <summary>What keeps it from maturing.</summary>
    /// <param name="now">Now.</param>
    /// <param name="auditsPassed">What the node has passed with these weights by now.</param>
    /// <param name="isRooted">Its epoch is closed and its root published.</param>
    /// <param name="awaitsAudit">It was drawn, and there is no verdict yet.</param>
    /// <param name="isDisputed">A verifier doubts it, and the arbiters have not answered.</param>
    public HeldBy Held(DateTimeOffset now, long auditsPassed, bool isRooted, bool awaitsAudit, bool isDisputed)
        => (auditsPassed - AuditsBefore < AuditsNeeded ? HeldBy.Audits : 0)
            | (now < MaturesAt ? HeldBy.Time : 0)
            | (isRooted ? 0 : HeldBy.Root)
            | (awaitsAudit ? HeldBy.Audit : 0)
            | (isDisputed ? HeldBy.Dispute : 0);

    /// <summary>The earning after it matured.</summary>
    /// <exception cref="InvalidOperationException">It is not pending, or something holds it.</exception>
    public PendingEarning Mature(HeldBy held) => State is EarningState.Pending && held is HeldBy.Nothing
        ? this with { State = EarningState.Matured }
        : throw new InvalidOperationException($"An earning that is {State} and held by {held} does not mature.");

    /// <summary>The earning after a forfeiture: what has matured is never touched.</summary>
    public PendingEarning Forfeit() => State is EarningState.Pending ? this with { State = EarningState.Forfeited } : this;

    /// <summary>Why it is held, for its owner: "held because 3 of 10 audits have passed and 5 h of 24 h".</summary>
    public string Words(HeldBy held, DateTimeOffset now, long auditsPassed)
    {
        if (State is EarningState.Matured) return "matured";
        if (State is EarningState.Forfeited) return "forfeited";
        if (held is HeldBy.Nothing) return "matures at the next look";
        var reasons = new List<string>(5);
        if ((held & HeldBy.Audits) != 0) reasons.Add(string.Create(CultureInfo.InvariantCulture, $"{AuditsSince(auditsPassed)} of {AuditsNeeded} later audits have passed"));
        if ((held & HeldBy.Time) != 0) reasons.Add($"{Hours(now - CreditedAt)} of {Hours(MaturesAt - CreditedAt)} have gone by");
        if ((held & HeldBy.Root) != 0) reasons.Add("its epoch is not closed yet");
        if ((held & HeldBy.Audit) != 0) reasons.Add("it was drawn for an audit that has no verdict yet");
        if ((held & HeldBy.Dispute) != 0) reasons.Add("a verifier doubts it and the arbiters have not answered");
        return $"held because {(reasons.Count == 1 ? reasons[0] : $"{string.Join(", ", reasons[..^1])} and {reasons[^1]}")}";
    }

    private static string Hours(TimeSpan span) => string.Create(CultureInfo.InvariantCulture, $"{Math.Floor(Math.Max(0, span.TotalHours)):0} h");
}
