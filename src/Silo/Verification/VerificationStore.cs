using System.Collections.Immutable;
using Dapper;
using Federation.Contracts.Nodes;
using Federation.Silo.Nodes;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Standings;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Verification;

/// <summary>A node's standing on record, and the class that was measured.</summary>
/// <param name="Standing">The standing and what it rests on.</param>
/// <param name="Reason">Why, in words.</param>
/// <param name="HardwareClass">The measured class; null until one is.</param>
/// <param name="MeasuredAt">When it was measured.</param>
/// <param name="Measurement">How, in words.</param>
/// <param name="ComputeClass">The class by matrix and memory challenges, where inference is slower and the measured class a lesser one; otherwise null.</param>
internal sealed record StandingRow(NodeStanding Standing, string Reason, string? HardwareClass, DateTimeOffset? MeasuredAt, string? Measurement, string? ComputeClass = null)
{
    /// <summary>Sittings declined in a row since the node was last measured.</summary>
    public int Declines { get; init; }

    /// <summary>How long the node was connected, as far as that was reported, since it was last measured.</summary>
    public TimeSpan Unmeasured { get; init; }

    /// <summary>Whether the measured class counts no more until the node sits again.</summary>
    public bool HasLapsed(StandingOptions options) => Declines >= options.DeclinesMax || Unmeasured >= options.UnmeasuredMax;
}

/// <summary>One piece of evidence on record, and what was decided on it.</summary>
/// <param name="Sequence">Its place among all; 0 before it is written.</param>
/// <param name="Id">Whoever reported made it.</param>
/// <param name="NodeId">About whom.</param>
/// <param name="At">When it was decided.</param>
/// <param name="Kind">What was looked at: challenge, audit, canary, probe, job, appeal, operator.</param>
/// <param name="Evidence">What was found out.</param>
/// <param name="DeterminismClass">Where that matters; otherwise null.</param>
/// <param name="ReceiptId">The receipt in question, if any.</param>
/// <param name="Consequences">What was decided beside the standing.</param>
/// <param name="Shadow">Decided and not applied.</param>
/// <param name="Standing">The standing after it.</param>
/// <param name="Finding">What was found, in words.</param>
/// <param name="Decision">What was decided and why, in words.</param>
/// <param name="Details">The record behind it, JSON; null when there is none.</param>
internal sealed record VerificationEvent(
    long Sequence,
    string Id,
    string NodeId,
    DateTimeOffset At,
    string Kind,
    Evidence Evidence,
    string? DeterminismClass,
    string? ReceiptId,
    Consequences Consequences,
    bool Shadow,
    Standing Standing,
    string Finding,
    string Decision,
    string? Details);

/// <summary>An owner's request to look again at a decision.</summary>
internal sealed record AppealRow(
    string Id, string NodeId, string EventId, string Words, string State, DateTimeOffset CreatedAt, DateTimeOffset? DecidedAt, string? Answer, long? Compensation);

/// <summary>What is known and was decided about nodes. Writes are statements, so that a decision and its consequences share one commit.</summary>
internal sealed class VerificationStore(HubDatabase database)
{
    /// <summary>Largest page.</summary>
    public const int ListMax = 1_000;

    private const double Billion = 1e9;

    /// <summary>Writes a standing; the node's own row repeats it.</summary>
    public static ImmutableArray<SqlStatement> Write(string nodeId, StandingRow row) =>
    [
        new(
            """
            INSERT INTO standings (node_id, standing, since, reason, audits_passed, challenges_passed, challenge_passed_at, mismatch_at, shadow_mismatch_at, hardware_class, measured_at, measurement, compute_class, declines, unmeasured_ms)
            VALUES (@NodeId, @Standing, @Since, @Reason, @AuditsPassed, @ChallengesPassed, @ChallengePassedAt, @MismatchAt, @ShadowMismatchAt, @HardwareClass, @MeasuredAt, @Measurement, @ComputeClass, @Declines, @UnmeasuredMs)
            ON CONFLICT (node_id) DO UPDATE SET standing = excluded.standing, since = excluded.since, reason = excluded.reason, audits_passed = excluded.audits_passed,
              challenges_passed = excluded.challenges_passed, challenge_passed_at = excluded.challenge_passed_at, mismatch_at = excluded.mismatch_at,
              shadow_mismatch_at = excluded.shadow_mismatch_at, hardware_class = excluded.hardware_class, measured_at = excluded.measured_at, measurement = excluded.measurement, compute_class = excluded.compute_class,
              declines = excluded.declines, unmeasured_ms = excluded.unmeasured_ms
            """,
            new
            {
                NodeId = nodeId,
                Standing = NodeStore.Word(row.Standing.Standing),
                Since = Ms(row.Standing.Since),
                row.Reason,
                row.Standing.AuditsPassed,
                row.Standing.ChallengesPassed,
                ChallengePassedAt = Ms(row.Standing.ChallengePassedAt),
                MismatchAt = Ms(row.Standing.MismatchAt),
                ShadowMismatchAt = Ms(row.Standing.ShadowMismatchAt),
                row.HardwareClass,
                MeasuredAt = Ms(row.MeasuredAt),
                row.Measurement,
                row.ComputeClass,
                row.Declines,
                UnmeasuredMs = (long)row.Unmeasured.TotalMilliseconds,
            }),
        new("UPDATE nodes SET standing = @Standing WHERE id = @NodeId", new { NodeId = nodeId, Standing = NodeStore.Word(row.Standing.Standing) }),
    ];

    /// <summary>Writes what audits changed; the rest is <see cref="WriteUnits"/>'s.</summary>
    public static SqlStatement WriteAudits(string nodeId, string weights, in Reputation reputation) => new(
        """
        INSERT INTO reputations (node_id, weights, passes_e9, failures_e9, audit_all_units, audits_passed, recent_units_e9, counted_at, abandoned_e9)
        VALUES (@NodeId, @Weights, @Passes, @Failures, @AuditAllUnits, @AuditsPassed, @RecentUnits, @CountedAt, @Abandoned)
        ON CONFLICT (node_id, weights) DO UPDATE SET passes_e9 = excluded.passes_e9, failures_e9 = excluded.failures_e9, audit_all_units = excluded.audit_all_units, audits_passed = excluded.audits_passed
        """,
        Parameters(nodeId, weights, reputation));

    /// <summary>Writes how many units come and what of them was abandoned; what audits change stays as it is.</summary>
    public static SqlStatement WriteUnits(string nodeId, string weights, in Reputation reputation) => new(
        """
        INSERT INTO reputations (node_id, weights, passes_e9, failures_e9, audit_all_units, audits_passed, recent_units_e9, counted_at, abandoned_e9)
        VALUES (@NodeId, @Weights, @Passes, @Failures, @AuditAllUnits, @AuditsPassed, @RecentUnits, @CountedAt, @Abandoned)
        ON CONFLICT (node_id, weights) DO UPDATE SET recent_units_e9 = excluded.recent_units_e9, counted_at = excluded.counted_at, abandoned_e9 = excluded.abandoned_e9
        """,
        Parameters(nodeId, weights, reputation));

    /// <summary>Adds an event; the same again changes nothing.</summary>
    public static SqlStatement Add(VerificationEvent happened) => new(
        """
        INSERT INTO verification_events (id, node_id, at, kind, evidence, dc, receipt_id, consequences, shadow, standing, finding, decision, details)
        VALUES (@Id, @NodeId, @At, @Kind, @Evidence, @DeterminismClass, @ReceiptId, @Consequences, @Shadow, @Standing, @Finding, @Decision, @Details)
        ON CONFLICT (id) DO NOTHING
        """,
        new
        {
            happened.Id,
            happened.NodeId,
            At = Ms(happened.At),
            happened.Kind,
            Evidence = (long)happened.Evidence,
            happened.DeterminismClass,
            happened.ReceiptId,
            Consequences = (long)happened.Consequences,
            Shadow = happened.Shadow ? 1L : 0L,
            Standing = NodeStore.Word(happened.Standing),
            happened.Finding,
            happened.Decision,
            happened.Details,
        });

    /// <summary>Adds an appeal.</summary>
    public static SqlStatement Add(AppealRow appeal, string accountId) => new(
        """
        INSERT INTO appeals (id, node_id, account_id, event_id, words, state, created_at)
        VALUES (@Id, @NodeId, @AccountId, @EventId, @Words, 'open', @CreatedAt)
        ON CONFLICT (id) DO NOTHING
        """,
        new { appeal.Id, appeal.NodeId, AccountId = accountId, appeal.EventId, appeal.Words, CreatedAt = Ms(appeal.CreatedAt) });

    /// <summary>An appeal is decided.</summary>
    public static SqlStatement Decide(string appealId, bool granted, string answer, string decidedBy, long compensation, DateTimeOffset now) => new(
        "UPDATE appeals SET state = @State, answer = @Answer, decided_by = @DecidedBy, decided_at = @Now, compensation = @Compensation WHERE id = @Id AND state = 'open'",
        new { Id = appealId, State = granted ? "granted" : "refused", Answer = answer, DecidedBy = decidedBy, Now = Ms(now), Compensation = compensation });

    /// <summary>The standing on record; null when nothing was heard of the node yet.</summary>
    /// <param name="nodeId">Whose.</param>
    /// <param name="enrolledAt">From the node's own row.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    public Task<StandingRow?> FindStandingAsync(string nodeId, DateTimeOffset enrolledAt, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QuerySingleOrDefaultAsync<StoredStanding>("SELECT * FROM standings WHERE node_id = @nodeId", new { nodeId }))?.ToRow(enrolledAt),
        cancellationToken);

    /// <summary>The node's reputation with certain weights; null when it has none.</summary>
    public async Task<Reputation?> FindReputationAsync(string nodeId, string weights, CancellationToken cancellationToken) => await database.ReadAsync(
        async connection => (await connection.QuerySingleOrDefaultAsync<StoredReputation>(
            "SELECT * FROM reputations WHERE node_id = @nodeId AND weights = @weights", new { nodeId, weights }))?.ToReputation(),
        cancellationToken);

    /// <summary>All reputations of a node.</summary>
    public Task<ImmutableArray<(string Weights, Reputation Reputation)>> ListReputationsAsync(string nodeId, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<StoredReputation>("SELECT * FROM reputations WHERE node_id = @nodeId ORDER BY weights LIMIT @ListMax", new { nodeId, ListMax }))
            .Select(row => (row.Weights, row.ToReputation())).ToImmutableArray(),
        cancellationToken);

    /// <summary>Nodes with these weights that are not banned.</summary>
    public Task<int> CountPeersAsync(string weights, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.ExecuteScalarAsync<int>(
            "SELECT COUNT(*) FROM reputations r JOIN nodes n ON n.id = r.node_id WHERE r.weights = @weights AND n.standing <> 'banned'", new { weights }),
        cancellationToken);

    public async Task<VerificationEvent?> FindEventAsync(string id, CancellationToken cancellationToken)
        => (await ListAsync("id = @id", new { id }, cancellationToken)).SingleOrDefault();

    /// <summary>A node's events, the newest first, before <paramref name="before"/>.</summary>
    public Task<ImmutableArray<VerificationEvent>> ListEventsAsync(string nodeId, long before, int limit, CancellationToken cancellationToken)
        => ListAsync("node_id = @nodeId AND seq < @before ORDER BY seq DESC LIMIT @limit", new { nodeId, before, limit }, cancellationToken);

    /// <summary>The last decision that took something from the node: credits, its class, or its standing; null when there is none.</summary>
    public async Task<VerificationEvent?> FindLastAdverseEventAsync(string nodeId, CancellationToken cancellationToken)
    {
        const Consequences Taking = Consequences.Forfeit | Consequences.Ban | Consequences.ReRate;
        return (await ListAsync(
            "node_id = @nodeId AND shadow = 0 AND ((consequences & @taking) <> 0 OR (evidence = @byOperator AND standing IN ('quarantined', 'banned'))) ORDER BY seq DESC LIMIT 1",
            new { nodeId, taking = (long)Taking, byOperator = (long)Evidence.OperatorDecision },
            cancellationToken)).SingleOrDefault();
    }

    /// <summary>A node's appeals, the newest first.</summary>
    public Task<ImmutableArray<AppealRow>> ListAppealsAsync(string nodeId, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<StoredAppeal>(
            $"SELECT {StoredAppeal.Columns} FROM appeals WHERE node_id = @nodeId ORDER BY created_at DESC, id DESC LIMIT @limit", new { nodeId, limit })).Select(row => row.ToRow()).ToImmutableArray(),
        cancellationToken);

    /// <summary>What the ledger says was forfeited by an event, microcredits: every such movement refers to it.</summary>
    public Task<long> ForfeitedByAsync(string eventId, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.ExecuteScalarAsync<long>(
            "SELECT CAST(COALESCE(SUM(amount), 0) AS bigint) FROM ledger_transfers WHERE reference = @eventId AND reason = @reason",
            new { eventId, reason = (long)Accounts.Ledger.TransferReason.Forfeiture }),
        cancellationToken);

    private Task<ImmutableArray<VerificationEvent>> ListAsync(string condition, object parameters, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<StoredEvent>($"SELECT * FROM verification_events WHERE {condition}", parameters)).Select(row => row.ToEvent()).ToImmutableArray(),
        cancellationToken);

    private static object Parameters(string nodeId, string weights, in Reputation reputation) => new
    {
        NodeId = nodeId,
        Weights = weights,
        Passes = (long)Math.Round(reputation.Passes * Billion),
        Failures = (long)Math.Round(reputation.Failures * Billion),
        reputation.AuditAllUnits,
        reputation.AuditsPassed,
        RecentUnits = (long)Math.Round(reputation.RecentUnits * Billion),
        CountedAt = Ms(reputation.CountedAt),
        Abandoned = (long)Math.Round(reputation.Abandoned * Billion),
    };

    private static Standing StandingOf(string word)
        => NodeStore.TryParseStanding(word, out var standing) ? standing : throw new InvalidOperationException($"There is no standing '{word}'.");

    private sealed class StoredStanding
    {
        public required string Standing { get; init; }

        public required long Since { get; init; }

        public required string Reason { get; init; }

        public required long Audits_passed { get; init; }

        public required long Challenges_passed { get; init; }

        public long? Challenge_passed_at { get; init; }

        public long? Mismatch_at { get; init; }

        public long? Shadow_mismatch_at { get; init; }

        public string? Hardware_class { get; init; }

        public long? Measured_at { get; init; }

        public string? Measurement { get; init; }

        public string? Compute_class { get; init; }

        public required long Declines { get; init; }

        public required long Unmeasured_ms { get; init; }

        public StandingRow ToRow(DateTimeOffset enrolledAt) => new(
            new NodeStanding(
                StandingOf(Standing), At(Since), enrolledAt, (int)Audits_passed, (int)Challenges_passed, At(Challenge_passed_at), At(Mismatch_at), At(Shadow_mismatch_at)),
            Reason,
            Hardware_class,
            At(Measured_at),
            Measurement,
            Compute_class)
        { Declines = (int)Declines, Unmeasured = TimeSpan.FromMilliseconds(Unmeasured_ms) };
    }

    private sealed class StoredReputation
    {
        public required string Weights { get; init; }

        public required long Passes_e9 { get; init; }

        public required long Failures_e9 { get; init; }

        public required long Audit_all_units { get; init; }

        public required long Audits_passed { get; init; }

        public required long Recent_units_e9 { get; init; }

        public required long Counted_at { get; init; }

        public required long Abandoned_e9 { get; init; }

        public Reputation ToReputation() => new(
            Passes_e9 / Billion, Failures_e9 / Billion, (int)Audit_all_units, Audits_passed, Recent_units_e9 / Billion, At(Counted_at), Abandoned_e9 / Billion);
    }

    private sealed class StoredEvent
    {
        public required long Seq { get; init; }

        public required string Id { get; init; }

        public required string Node_id { get; init; }

        public required long At { get; init; }

        public required string Kind { get; init; }

        public required long Evidence { get; init; }

        public string? Dc { get; init; }

        public string? Receipt_id { get; init; }

        public required long Consequences { get; init; }

        public required long Shadow { get; init; }

        public required string Standing { get; init; }

        public required string Finding { get; init; }

        public required string Decision { get; init; }

        public string? Details { get; init; }

        public VerificationEvent ToEvent() => new(
            Seq,
            Id,
            Node_id,
            UnixTime.At(At),
            Kind,
            (Evidence)Evidence,
            Dc,
            Receipt_id,
            (Consequences)Consequences,
            Shadow == 1,
            StandingOf(Standing),
            Finding,
            Decision,
            Details);
    }

    private sealed class StoredAppeal
    {
        public const string Columns = "id, node_id, event_id, words, state, created_at, decided_at, answer, compensation";

        public required string Id { get; init; }

        public required string Node_id { get; init; }

        public required string Event_id { get; init; }

        public required string Words { get; init; }

        public required string State { get; init; }

        public required long Created_at { get; init; }

        public long? Decided_at { get; init; }

        public string? Answer { get; init; }

        public long? Compensation { get; init; }

        public AppealRow ToRow() => new(Id, Node_id, Event_id, Words, State, At(Created_at), At(Decided_at), Answer, Compensation);
    }
}
