using System.Collections.Immutable;
using System.Globalization;
using Dapper;
using Federation.Protocol.Receipts;
using Federation.Protocol.Verification;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Sampling;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Verification;

/// <summary>Where the audit of an earning stands. The numbers are stored: never renumber.</summary>
internal enum AuditState
{
    /// <summary>Not drawn, or not yet.</summary>
    None = 0,

    /// <summary>Drawn; no verdict yet.</summary>
    Drawn = 1,

    /// <summary>A verifier disagrees; the arbiters are being heard.</summary>
    Doubted = 2,

    /// <summary>There is a verdict.</summary>
    Done = 3,
}

/// <summary>One earning on record.</summary>
/// <param name="Id">The receipt's id, hexadecimal; sb_… for standby.</param>
/// <param name="ReceiptId">The receipt; null for standby.</param>
/// <param name="Reference">What its movements in the ledger refer to.</param>
/// <param name="DeterminismClass">Of the answer; its later audits must pass with the same weights.</param>
/// <param name="Earning">Amount, state, and what it waits for.</param>
/// <param name="Credited">What was put on the pending balance; corrections may have made the amount less.</param>
/// <param name="Unpaid">Why not all of the work is paid; null when it is.</param>
/// <param name="Audit">Where its audit stands.</param>
/// <param name="AuditRate">The rate it is drawn by.</param>
/// <param name="AuditsPassed">What the node has passed with these weights by now.</param>
/// <param name="IsRooted">Its epoch is closed and its draw done; always for standby.</param>
/// <param name="CondemnedBy">The event that forfeits it; null when none does.</param>
/// <param name="ReRateTo">The class it is to be paid as; null when it is right.</param>
/// <param name="ReRatedBy">The event that decided so.</param>
/// <param name="Work">What it takes to work out its pay again.</param>
internal sealed record EarningRow(
    string Id,
    string? ReceiptId,
    string Reference,
    string DeterminismClass,
    PendingEarning Earning,
    Microcredits Credited,
    string? Unpaid,
    AuditState Audit,
    AuditRate AuditRate,
    long AuditsPassed,
    bool IsRooted,
    string? CondemnedBy,
    string? ReRateTo,
    string? ReRatedBy,
    EarnedWork Work)
{
    /// <summary>What keeps it from maturing.</summary>
    public HeldBy Held(DateTimeOffset now) => Earning.Held(now, AuditsPassed, IsRooted, Audit is AuditState.Drawn, Audit is AuditState.Doubted);
}

/// <summary>What a pay was worked out from.</summary>
internal readonly record struct EarnedWork(string HardwareClass, long ModelBytes, long PromptTokens, long CompletionTokens, long ReferenceMicroseconds, long PayableMicroseconds, int Multiplier);

/// <summary>Time on standby between two probes, or between a probe and what ended it.</summary>
/// <param name="From">When it began.</param>
/// <param name="To">When it ended.</param>
/// <param name="Credited">What it earned.</param>
/// <param name="Unpaid">Why it, or a part of it, is not paid; null when all of it is.</param>
internal sealed record StandbyGap(DateTimeOffset From, DateTimeOffset To, Microcredits Credited, string? Unpaid)
{
    /// <summary>What became of it, for the owner, in a sentence.</summary>
    public string Words => (Credited.IsPositive, Unpaid) switch
    {
        (true, null) => Format($"Paid from {From:u} to {To:u}: both probes were answered."),
        (true, _) => Format($"Paid from {From:u} to {To:u}: both probes were answered; {Unpaid}."),
        _ => Format($"Not paid from {From:u} to {To:u}: {Unpaid}."),
    };

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

/// <summary>A gap of standby as it is written down.</summary>
/// <param name="NodeId">Whose.</param>
/// <param name="AccountId">Who is paid.</param>
/// <param name="DeterminismClass">Of the probe's answer; empty when there was none.</param>
/// <param name="From">When it began.</param>
/// <param name="To">When it ended.</param>
/// <param name="HardwareClass">What the node is paid as.</param>
/// <param name="Unpaid">Why it, or a part of it, is not paid; null when all of it is.</param>
internal sealed record StandbyEntry(string NodeId, string AccountId, string DeterminismClass, DateTimeOffset From, DateTimeOffset To, string HardwareClass, string? Unpaid);

/// <summary>What a gap of standby earns, and the conditions under which that matures.</summary>
internal sealed record StandbyPay(Microcredits Amount, int Multiplier, DateTimeOffset CreditedAt, DateTimeOffset MaturesAt, long AuditsBefore, int AuditsNeeded);

/// <summary>Sums of earnings, microcredits.</summary>
internal readonly record struct EarningSums(long Minted, long Pending, long Matured, long Forfeited);

/// <summary>What nodes' work earned, from its booking to its end. Writes are statements, so that they share the commit of what they belong to.</summary>
internal sealed class EarningStore(HubDatabase database)
{
    /// <summary>Largest page.</summary>
    public const int ListMax = 1_000;

    // An earning is rooted when the draw of its epoch is done; standby has no receipt to root.
    private const string From = """
        FROM earnings e
        LEFT JOIN epochs p ON p.epoch = e.epoch
        LEFT JOIN reputations r ON r.node_id = e.node_id AND r.weights = e.weights
        """;

    private const string IsDue = """
        e.state = 1 AND (e.condemned_by IS NOT NULL OR e.rerate_to IS NOT NULL OR (
          e.matures_at <= @now AND e.audit IN (0, 3) AND COALESCE(r.audits_passed, 0) - e.audits_before >= e.audits_needed AND (e.receipt_id IS NULL OR p.state = 3)))
        """;

    /// <summary>The row of a receipt that is about to be offered: nothing is credited yet.</summary>
    public static SqlStatement Book(
        Receipt receipt, ImmutableArray<byte> id, string accountId, string determinismClass, PaidWork paid, string? unpaid, Microcredits amount, long modelBytes, int multiplier) => new(
        """
        INSERT INTO earnings (id, receipt_id, node_id, account_id, reference, dc, weights, state, credited, amount, reference_us, payable_us, unpaid, hour, dispatch_ms, last_ms,
                              hardware_class, model_bytes, prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed)
        VALUES (@Id, @Id, @NodeId, @AccountId, @JobId, @DeterminismClass, @Weights, 0, @Amount, @Amount, @ReferenceMicroseconds, @PayableMicroseconds, @Unpaid, @Epoch, @DispatchMs, @LastMs,
                @HardwareClass, @ModelBytes, @PromptTokens, @CompletionTokens, @Multiplier, 1000000, 0, 0, 0)
        ON CONFLICT (id) DO NOTHING
        """,
        new
        {
            Id = Name(id),
            NodeId = receipt.Node.ToString(),
            AccountId = accountId,
            receipt.JobId,
            DeterminismClass = determinismClass,
            Weights = DeterminismClass.WeightsOf(determinismClass),
            Amount = amount.Value,
            receipt.ReferenceMicroseconds,
            PayableMicroseconds = paid.Microseconds,
            Unpaid = unpaid,
            receipt.Epoch,
            receipt.DispatchMs,
            receipt.LastMs,
            receipt.HardwareClass,
            ModelBytes = modelBytes,
            receipt.PromptTokens,
            receipt.CompletionTokens,
            Multiplier = multiplier,
        });

    /// <summary>The node has signed: the amount is in the pending purse.</summary>
    public static SqlStatement Credit(ImmutableArray<byte> id, DateTimeOffset now, DateTimeOffset maturesAt, AuditRate rate, long auditsBefore, int auditsNeeded) => new(
        """
        UPDATE earnings SET state = 1, credited_at = @Now, matures_at = @MaturesAt, audit_rate = @Rate, audits_before = @AuditsBefore, audits_needed = @AuditsNeeded
        WHERE id = @Id AND state = 0
        """,
        new { Id = Name(id), Now = Ms(now), MaturesAt = Ms(maturesAt), Rate = rate.Millionths, AuditsBefore = auditsBefore, AuditsNeeded = auditsNeeded });

    /// <summary>A gap of standby: credited at once, without a receipt; or not paid at all, for the record, and then ended, since there is nothing to wait for.</summary>
    public static SqlStatement Standby(string id, StandbyEntry gap, StandbyPay? pay) => new(
        """
        INSERT INTO earnings (id, node_id, account_id, reference, dc, weights, state, credited, amount, reference_us, payable_us, unpaid, hour, dispatch_ms, last_ms,
                              hardware_class, model_bytes, prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed, credited_at, matures_at, ended_at)
        VALUES (@Id, @NodeId, @AccountId, @Id, @DeterminismClass, @Weights, @State, @Amount, @Amount, 0, 0, @Unpaid, @Hour, @FromMs, @ToMs,
                @HardwareClass, 0, 0, 0, @Multiplier, 0, 0, @AuditsBefore, @AuditsNeeded, @CreditedAt, @MaturesAt, @EndedAt)
        ON CONFLICT (id) DO NOTHING
        """,
        new
        {
            Id = id,
            gap.NodeId,
            gap.AccountId,
            gap.DeterminismClass,
            Weights = DeterminismClass.WeightsOf(gap.DeterminismClass),
            State = (long)(pay is null ? EarningState.Matured : EarningState.Pending),
            Amount = pay?.Amount.Value ?? 0,
            gap.Unpaid,
            Hour = Ms(gap.To) / 3_600_000,
            FromMs = Ms(gap.From),
            ToMs = Ms(gap.To),
            gap.HardwareClass,
            Multiplier = pay?.Multiplier ?? 1,
            AuditsBefore = pay?.AuditsBefore ?? 0,
            AuditsNeeded = pay?.AuditsNeeded ?? 0,
            CreditedAt = Ms(pay?.CreditedAt),
            MaturesAt = Ms(pay?.MaturesAt),
            EndedAt = pay is null ? Ms(gap.To) : (long?)null,
        });

    /// <summary>Decided: every earning of the node that has not matured is forfeited by this event. Carried out step by step.</summary>
    public static SqlStatement Condemn(string nodeId, string eventId) => new(
        "UPDATE earnings SET condemned_by = @EventId WHERE node_id = @NodeId AND state IN (0, 1) AND condemned_by IS NULL", new { NodeId = nodeId, EventId = eventId });

    /// <summary>An appeal was granted before all was carried out.</summary>
    public static SqlStatement Spare(string nodeId, string eventId) => new(
        "UPDATE earnings SET condemned_by = NULL WHERE node_id = @NodeId AND state IN (0, 1) AND condemned_by = @EventId", new { NodeId = nodeId, EventId = eventId });

    /// <summary>Decided: what was worked since then is paid as this class. Carried out step by step.</summary>
    public static SqlStatement MarkForReRate(string nodeId, string eventId, string hardwareClass, DateTimeOffset since) => new(
        "UPDATE earnings SET rerate_to = @HardwareClass, rerated_by = @EventId WHERE node_id = @NodeId AND state IN (0, 1) AND last_ms >= @Since AND hardware_class <> @HardwareClass",
        new { NodeId = nodeId, EventId = eventId, HardwareClass = hardwareClass, Since = Ms(since) });

    /// <summary>An earning is paid as another class.</summary>
    public static SqlStatement ReRate(string id, string hardwareClass, Microcredits amount) => new(
        "UPDATE earnings SET amount = @Amount, hardware_class = @HardwareClass, rerate_to = NULL WHERE id = @Id AND state = 1 AND rerate_to = @HardwareClass",
        new { Id = id, HardwareClass = hardwareClass, Amount = amount.Value });

    /// <summary>An earning has matured or is forfeited.</summary>
    public static SqlStatement End(string id, EarningState state, DateTimeOffset now) => new(
        "UPDATE earnings SET state = @State, ended_at = @Now WHERE id = @Id AND state = 1", new { Id = id, State = (long)state, Now = Ms(now) });

    /// <summary>Where the audit of a receipt's earning stands.</summary>
    public static SqlStatement SetAudit(string receiptId, AuditState state) => new(
        "UPDATE earnings SET audit = @State WHERE id = @Id", new { Id = receiptId, State = (long)state });

    /// <summary>What the node is to be paid for in that hour, µs of reference work.</summary>
    public Task<long> CreditedInHourAsync(string nodeId, long hour, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.ExecuteScalarAsync<long>("SELECT CAST(COALESCE(SUM(payable_us), 0) AS bigint) FROM earnings WHERE node_id = @nodeId AND hour = @hour", new { nodeId, hour }),
        cancellationToken);

    /// <summary>When work ran that is paid and that ended after a moment, the earliest end first.</summary>
    public Task<ImmutableArray<(long From, long To)>> ListIntervalsAsync(string nodeId, long afterMs, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<(long, long)>(
            // By hour, since that is indexed.
            "SELECT dispatch_ms, last_ms FROM earnings WHERE node_id = @nodeId AND hour >= @hour AND last_ms > @afterMs AND payable_us > 0 ORDER BY last_ms LIMIT 100000",
            new { nodeId, hour = afterMs / 3_600_000, afterMs })).ToImmutableArray(),
        cancellationToken);

    /// <summary>Nodes that have earnings to move.</summary>
    public Task<ImmutableArray<string>> ListNodesToSettleAsync(DateTimeOffset now, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<string>($"SELECT DISTINCT e.node_id {From} WHERE {IsDue} LIMIT @limit", new { now = Ms(now), limit })).ToImmutableArray(),
        cancellationToken);

    /// <summary>A node's earnings that are to be moved, the oldest first.</summary>
    public Task<ImmutableArray<EarningRow>> ListToSettleAsync(string nodeId, DateTimeOffset now, int limit, CancellationToken cancellationToken)
        => ListAsync($"e.node_id = @nodeId AND {IsDue} ORDER BY e.credited_at, e.id LIMIT @limit", new { nodeId, now = Ms(now), limit }, cancellationToken);

    /// <summary>A node's pending earnings, the next to mature first.</summary>
    public Task<ImmutableArray<EarningRow>> ListPendingAsync(string nodeId, int limit, CancellationToken cancellationToken)
        => ListAsync("e.node_id = @nodeId AND e.state = 1 ORDER BY e.matures_at, e.id LIMIT @limit", new { nodeId, limit }, cancellationToken);

    /// <summary>A node's standby that ended within the last so many hours, paid or not, the latest first.</summary>
    public Task<ImmutableArray<StandbyGap>> ListStandbyAsync(string nodeId, DateTimeOffset since, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<(long From, long To, long Credited, string? Unpaid)>(
            // By hour, since that is indexed.
            "SELECT dispatch_ms, last_ms, credited, unpaid FROM earnings WHERE node_id = @nodeId AND hour >= @hour AND receipt_id IS NULL ORDER BY last_ms DESC, id LIMIT @limit",
            new { nodeId, hour = Ms(since) / 3_600_000, limit }))
            .Select(row => new StandbyGap(At(row.From), At(row.To), new Microcredits(row.Credited), row.Unpaid)).ToImmutableArray(),
        cancellationToken);

    /// <summary>The earning of a receipt; null when there is none.</summary>
    public async Task<EarningRow?> FindAsync(string receiptId, CancellationToken cancellationToken)
        => (await ListAsync("e.id = @receiptId AND e.receipt_id IS NOT NULL", new { receiptId }, cancellationToken)).SingleOrDefault();

    /// <summary>What a node's earnings add up to.</summary>
    public Task<EarningSums> SumAsync(string nodeId, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var rows = await connection.QueryAsync<(long State, long Credited, long Amount)>(
                "SELECT state, CAST(SUM(credited) AS bigint), CAST(SUM(amount) AS bigint) FROM earnings WHERE node_id = @nodeId AND state > 0 GROUP BY state", new { nodeId });
            var sums = default(EarningSums);
            foreach (var (state, credited, amount) in rows)
            {
                sums = sums with { Minted = sums.Minted + credited, Forfeited = sums.Forfeited + credited - amount };
                sums = (EarningState)state switch
                {
                    EarningState.Pending => sums with { Pending = amount },
                    EarningState.Matured => sums with { Matured = amount },
                    EarningState.Forfeited => sums with { Forfeited = sums.Forfeited + amount },
                    _ => throw new InvalidOperationException($"Unknown state of an earning {state}."),
                };
            }
            return sums;
        },
        cancellationToken);

    /// <summary>A receipt's id as it is stored.</summary>
    public static string Name(ImmutableArray<byte> receiptId) => Convert.ToHexStringLower(receiptId.AsSpan());

    private Task<ImmutableArray<EarningRow>> ListAsync(string condition, object parameters, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<Stored>(
            $"""
            SELECT e.id, e.receipt_id, e.reference, e.dc, e.state, e.credited, e.amount, e.unpaid, e.audit, e.audit_rate, e.audits_before, e.audits_needed, e.credited_at, e.matures_at,
                   e.condemned_by, e.rerate_to, e.rerated_by, e.hardware_class, e.model_bytes, e.prompt_tokens, e.completion_tokens, e.reference_us, e.payable_us, e.multiplier,
                   COALESCE(r.audits_passed, 0) AS audits_passed, p.state AS epoch_state
            {From} WHERE {condition}
            """,
            parameters)).Select(row => row.ToRow()).ToImmutableArray(),
        cancellationToken);

    private sealed class Stored
    {
        public required string Id { get; init; }

        public string? Receipt_id { get; init; }

        public required string Reference { get; init; }

        public required string Dc { get; init; }

        public required long State { get; init; }

        public required long Credited { get; init; }

        public required long Amount { get; init; }

        public string? Unpaid { get; init; }

        public required long Audit { get; init; }

        public required long Audit_rate { get; init; }

        public required long Audits_before { get; init; }

        public required long Audits_needed { get; init; }

        public long? Credited_at { get; init; }

        public long? Matures_at { get; init; }

        public string? Condemned_by { get; init; }

        public string? Rerate_to { get; init; }

        public string? Rerated_by { get; init; }

        public required string Hardware_class { get; init; }

        public required long Model_bytes { get; init; }

        public required long Prompt_tokens { get; init; }

        public required long Completion_tokens { get; init; }

        public required long Reference_us { get; init; }

        public required long Payable_us { get; init; }

        public required long Multiplier { get; init; }

        public required long Audits_passed { get; init; }

        public long? Epoch_state { get; init; }

        public EarningRow ToRow() => new(
            Id,
            Receipt_id,
            Reference,
            Dc,
            new PendingEarning(
                (EarningState)State, new Microcredits(Amount), At(Credited_at ?? 0), At(Matures_at ?? 0), Audits_before, (int)Audits_needed),
            new Microcredits(Credited),
            Unpaid,
            (AuditState)Audit,
            new AuditRate((int)Audit_rate),
            Audits_passed,
            Receipt_id is null || Epoch_state == 3,
            Condemned_by,
            Rerate_to,
            Rerated_by,
            new EarnedWork(Hardware_class, Model_bytes, Prompt_tokens, Completion_tokens, Reference_us, Payable_us, (int)Multiplier));
    }
}
