using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Standings;

namespace Federation.Simulation;

/// <summary>
/// What is simulated beside the rules: how many nodes for how long, and how the honest world misbehaves. Every figure that was not measured
/// on this code is marked [uncalibrated], as in the hub's options.
/// </summary>
internal sealed record Scenario
{
    /// <summary>Nodes at any time; who leaves is replaced. At least 100.</summary>
    public int Nodes { get; init; } = 10_000;

    /// <summary>Virtual days.</summary>
    public int Days { get; init; } = 60;

    /// <summary>Share of nodes that do what they are asked.</summary>
    public double HonestShare { get; init; } = 0.70;

    /// <summary>Chance that a node leaves for good, a day; another one comes in its place. [uncalibrated]</summary>
    public double LeavesPerDay { get; init; } = 0.005;

    /// <summary>Chance that the owner of a banned node comes back with a new key, one to three days later. [uncalibrated]</summary>
    public double ComesBack { get; init; } = 0.5;

    /// <summary>Share of honest hosts that are throttled always: 60 to 95 % of their card's speed.</summary>
    public double ThrottledHosts { get; init; } = 0.02;

    /// <summary>Share of challenge attempts that meet a host that is busy with something else: 40 to 80 % of its speed.</summary>
    public double BusyAttempts { get; init; } = 0.02;

    /// <summary>Standard deviation of a challenge's time on an idle host, share of it. [uncalibrated]</summary>
    public double TimingNoise { get; init; } = 0.015;

    /// <summary>What the network adds to a challenge's time at most after the round trip was subtracted, share of it: 200 ms of 5 s (§2.2).</summary>
    public double RoundTripError { get; init; } = 0.04;

    /// <summary>Share of standby probes that are lost on the way. P12.</summary>
    public double LostProbes { get; init; } = 0.005;

    /// <summary>Share of units that an honest node gives up: it crashes about every ten days. [uncalibrated]</summary>
    public double AbandonedUnits { get; init; } = 0.0002;

    /// <summary>Share of honest audits that disagree all the same. §3. [uncalibrated]</summary>
    public double SoftMismatches { get; init; } = 0.002;

    /// <summary>
    /// Chance that an arbiter repeats the error of a verifier who disagreed with an honest answer. Errors are correlated, since a borderline answer is borderline
    /// for everybody: two arbiters repeat it in 1 % of cases, as in §3. [uncalibrated]
    /// </summary>
    public double ArbiterErrors { get; init; } = 0.1;

    /// <summary>
    /// Share of the variance of an honest answer's score that is the worker's own, and so comes back when an arbiter scores the answer anew; the rest is the scorer's. Half, when worker and
    /// scorers are equally noisy. [uncalibrated]
    /// </summary>
    public double SharedDeviation { get; init; } = 0.5;

    /// <summary>The hub's bounds of what it keeps for arbiters.</summary>
    public AuditOptions Audits { get; init; } = new();

    /// <summary>A model drifts: on these days, in one determinism class, this share of honest audits disagrees. [uncalibrated]</summary>
    public (int FromDay, int ToDay, double SoftMismatches) Drift { get; init; } = (20, 23, 0.01);

    /// <summary>Determinism classes of many nodes, the first ones larger.</summary>
    public int LargeClasses { get; init; } = 20;

    /// <summary>Determinism classes of three nodes each.</summary>
    public int SmallClasses { get; init; } = 10;

    /// <summary>χ: share of audits that are canaries. §2.5.</summary>
    public double Canaries { get; init; } = 0.30;

    /// <summary>h: what scoring an answer costs of what writing it cost. §2.4.</summary>
    public double Scoring { get; init; } = 0.15;

    /// <summary>Canaries an hour that a quarantined node gets while it is online. [uncalibrated]</summary>
    public int CanariesInQuarantine { get; init; } = 20;

    /// <summary>A hardware challenge's time on the node, seconds (§1, T1), and how many come in an hour online.</summary>
    public (double Seconds, double PerHour) Challenge { get; init; } = (8, 0.5);

    /// <summary>An enrolment's challenges, seconds on the node.</summary>
    public double EnrolmentSeconds { get; init; } = 40;

    /// <summary>A standby probe on the node, seconds: 16 tokens.</summary>
    public double ProbeSeconds { get; init; } = 0.5;

    /// <summary>Cells opened of one MM proof at a re-test; at enrolment 32 of each of three.</summary>
    public int OpeningsAtRetest { get; init; } = 16;

    /// <summary>Simultaneous slots a day for all identities of an account or a network. §1, T2.</summary>
    public double SlotsPerDay { get; init; } = 1.5;

    /// <summary>The hub's rules of standing, applied: nothing would be decided in shadow mode.</summary>
    public StandingOptions Standing { get; init; } = new() { ShadowMode = false };

    /// <summary>The hub's rules of accrual.</summary>
    public AccrualOptions Accrual { get; init; } = new();
}
