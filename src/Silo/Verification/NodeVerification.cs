using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Federation.Contracts.Nodes;
using Federation.Protocol.Verification;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Nodes;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.CommonSlots;
using Federation.Silo.Verification.Sampling;
using Federation.Silo.Verification.Standings;

namespace Federation.Silo.Verification;

/// <summary>
/// All that is judged about one node: evidence comes in, and standing, reputation, ledger and the record of it change together, in one commit, or
/// not at all. Every report has an id and counts once, whoever repeats it.
/// </summary>
/// <remarks>
/// What takes a movement for each of many earnings (a forfeiture, another class) is decided in that one commit and carried out in bounded steps after it; nothing
/// matures in between, and a step that was missed is made up for by the next <see cref="SettleAsync"/>. Belongs to the node's grain; reports wait for each other.
/// </remarks>
internal sealed partial class NodeVerification(
    NodeRow node,
    VerificationStore store,
    EarningStore earnings,
    ILedger ledger,
    HardwareClasses classes,
    Neighbourhood neighbourhood,
    StandingOptions standingOptions,
    AccrualOptions accrualOptions,
    TimeProvider time,
    ILogger<NodeVerification> logger)
{
    // One transfer and one row for each.
    private const int EarningsPerCommit = LedgerUnit.PartsMax / 2;

    // A node with more than that to move goes on at the next look.
    private const int CommitsPerSettlement = 64;

    // It becomes the reference, and a part of the id, of movements in the ledger.
    private const int ReportIdMax = 100;

    private readonly NodeReputations _reputations = new(node.Id, store, time);
    private readonly LedgerAccountId _pending = LedgerAccountId.Pending(node.AccountId);
    private readonly LedgerAccountId _available = LedgerAccountId.Available(node.AccountId);
    private readonly Settlement _settlement = new(classes, LedgerAccountId.Pending(node.AccountId), LedgerAccountId.Available(node.AccountId));
    private readonly NodeStandby _standby = new(accrualOptions);
    private StandingRow? _standing;
    private bool _isStale;
    private Task _turn = Task.CompletedTask;

    /// <summary>The standing, once loaded; until then the node row's.</summary>
    public Standing Standing => _standing?.Standing.Standing ?? node.Standing;

    /// <summary>The class that was measured; null until one is.</summary>
    public string? MeasuredClass => _standing?.HardwareClass;

    /// <summary>The class by matrix and memory challenges; null until one is measured.</summary>
    public string? ComputeClass => _standing?.ComputeClass ?? _standing?.HardwareClass;

    /// <summary>Whether the measured class counts no more, until the node lets itself be measured again.</summary>
    public bool ClassHasLapsed => _standing?.HasLapsed(standingOptions) ?? false;

    /// <summary>Reads what is on record.</summary>
    public async Task LoadAsync()
    {
        if (_standing is not null && !_isStale) return;
        _isStale = false;
        _standing = await store.FindStandingAsync(node.Id, node.CreatedAt, CancellationToken.None)
            ?? new StandingRow(NodeStanding.New(node.CreatedAt) with { Standing = node.Standing }, "The node is new: everything is checked.", null, null, null);
    }

    // ------------------------------------------------------------------------------------------------------- evidence

    /// <summary>Takes in the result of a hardware challenge.</summary>
    public Task<Ruling> RecordChallengeAsync(ChallengeReport report) => JudgeAsync(report.ReportId, async () =>
    {
        if (report.Outcome is ChallengeOutcome.Declined or ChallengeOutcome.Disturbed) return await RecordUnmeasuredAsync(report);
        var evidence = report.Outcome switch
        {
            ChallengeOutcome.Passed => Evidence.ChallengePassed,
            ChallengeOutcome.TooSlow => Evidence.ChallengeTooSlow,
            ChallengeOutcome.Fraud => Evidence.Fraud,
            _ => throw new ArgumentOutOfRangeException(nameof(report), report.Outcome, null),
        };
        var before = _standing!;
        var decision = StandingRules.Decide(before.Standing, evidence, standingOptions, time.GetUtcNow());
        var after = Row(before, decision);
        if (report.HardwareClass.Length > 0 && evidence is not Evidence.Fraud) after = after with { HardwareClass = report.HardwareClass, MeasuredAt = time.GetUtcNow(), Measurement = report.Finding, ComputeClass = report.ComputeClass, Declines = 0, Unmeasured = TimeSpan.Zero };
        var rows = ImmutableArray.CreateBuilder<SqlStatement>();
        if (report.Speed is { } speed) rows.Add(SpeedStore.Write(node.Id, report.ComputeClass ?? report.HardwareClass, speed, time.GetUtcNow()));
        if ((decision.Applied & Consequences.ReRate) != 0 && report.HardwareClass.Length > 0)
            rows.Add(EarningStore.MarkForReRate(node.Id, report.ReportId, report.HardwareClass, before.Standing.ChallengePassedAt ?? node.CreatedAt));
        return await CommitAsync(new Report(report.ReportId, $"challenge {report.Kind}", null, null, report.Finding, NullIfEmpty(report.Details)), decision, after, rows);
    });

    /// <summary>Nothing was measured. What that costs at most is a better class than the least, and only until the node sits.</summary>
    private async Task<Ruling> RecordUnmeasuredAsync(ChallengeReport report)
    {
        var before = _standing!;
        if (before.HardwareClass is not { } measured || classes.CreditsPerHour(measured) <= classes.CreditsPerHour(classes.Fallback) || before.HasLapsed(standingOptions)) return new Ruling(Standing, string.Empty, false);
        var declined = report.Outcome is ChallengeOutcome.Declined;
        var after = before with { Declines = before.Declines + (declined ? 1 : 0), Unmeasured = before.Unmeasured + report.Connected };
        var lapses = after.HasLapsed(standingOptions);
        if (lapses)
        {
            var why = after.Declines >= standingOptions.DeclinesMax ? Format($"it did not sit {after.Declines} times in a row") : Format($"it was connected for {after.Unmeasured.TotalHours:0.#} h without being measured");
            after = after with { Measurement = $"The node is paid as {classes.Fallback} until it sits hardware challenges again: {why}. Before: {before.Measurement}" };
        }
        if (!lapses && !declined)
        {
            await SubmitAsync(new LedgerUnit { Rows = VerificationStore.Write(node.Id, after) });
            _standing = after;
            return new Ruling(Standing, string.Empty, false);
        }
        var decision = StandingRules.Decide(before.Standing, lapses ? Evidence.ClassLapsed : Evidence.ChallengeDeclined, standingOptions, time.GetUtcNow());
        return await CommitAsync(new Report(report.ReportId, $"challenge {report.Kind}", null, null, report.Finding, NullIfEmpty(report.Details)), decision, after, ImmutableArray<SqlStatement>.Empty);
    }

    /// <summary>Takes in how an audit or a canary stands.</summary>
    public Task<Ruling> RecordAuditAsync(AuditReport report) => JudgeAsync(report.ReportId, async () =>
    {
        var (evidence, state) = report.Outcome switch
        {
            AuditOutcome.Passed => (Evidence.AuditPassed, AuditState.Done),
            AuditOutcome.Doubted => (Evidence.AuditDoubted, AuditState.Doubted),
            AuditOutcome.Unconfirmed => (Evidence.AuditUnconfirmed, AuditState.Done),
            AuditOutcome.Mismatch => (Evidence.AuditMismatch, AuditState.Done),
            AuditOutcome.Inconclusive => (Evidence.AuditInconclusive, AuditState.Done),
            AuditOutcome.Evaded => (Evidence.AuditEvaded, AuditState.Done),
            AuditOutcome.Fraud => (Evidence.Fraud, AuditState.Done),
            _ => throw new ArgumentOutOfRangeException(nameof(report), report.Outcome, null),
        };
        var audited = report.ReceiptId.Length > 0 ? await earnings.FindAsync(report.ReceiptId, CancellationToken.None) : null;
        var determinismClass = audited?.DeterminismClass ?? report.DeterminismClass;
        var decision = StandingRules.Decide(_standing!.Standing, evidence, standingOptions, time.GetUtcNow());
        var rows = ImmutableArray.CreateBuilder<SqlStatement>();
        if (audited is not null) rows.Add(EarningStore.SetAudit(report.ReceiptId, state));
        var weights = DeterminismClass.WeightsOf(determinismClass);
        var after = (await _reputations.FindAsync(weights)).After(evidence, standingOptions);
        rows.Add(VerificationStore.WriteAudits(node.Id, weights, after));
        if (report.History is { } history) rows.Add(InferenceHistories.Write(node.Id, history, time.GetUtcNow()));
        var ruling = await CommitAsync(
            new Report(report.ReportId, report.Kind, determinismClass, NullIfEmpty(report.ReceiptId), report.Finding, NullIfEmpty(report.Details)), decision, Row(_standing!, decision), rows);
        _reputations.Keep(weights, after);
        return ruling;
    });

    /// <summary>The node took a job and gave it up or let it time out. Not for what its client or the hub did.</summary>
    public Task<Ruling> RecordAbandonmentAsync(string jobId, string determinismClass, string finding) => JudgeAsync($"abandoned:{jobId}", async () =>
    {
        var decision = StandingRules.Decide(_standing!.Standing, Evidence.Abandoned, standingOptions, time.GetUtcNow());
        var weights = DeterminismClass.WeightsOf(determinismClass);
        var known = await _reputations.FindAsync(weights);
        var after = _reputations.Change(weights, known, reputation => reputation.After(Evidence.Abandoned, standingOptions));
        return await CommitAsync(
            new Report($"abandoned:{jobId}", "job", determinismClass, null, finding, null), decision, Row(_standing!, decision), [VerificationStore.WriteUnits(node.Id, weights, after)]);
    });

    /// <summary>The node answered receipts that it was offered with a signature that its key did not make over them.</summary>
    /// <param name="receiptIds">The receipts, one or more.</param>
    /// <param name="signature">What it answered with.</param>
    /// <param name="replayed">A receipt that this is its signature of; <see langword="null"/>: of none.</param>
    public Task<Ruling> RecordForgeryAsync(ImmutableArray<string> receiptIds, ImmutableArray<byte> signature, string? replayed)
    {
        // One for each time that the node was let back in: whoever was forgiven may forge the same again, and is banned until then.
        var id = string.Create(CultureInfo.InvariantCulture, $"forgery:{receiptIds[0]}:{(_standing?.Standing.Since ?? node.CreatedAt).ToUnixTimeMilliseconds():x}");
        return JudgeAsync(id, () => Standing is Standing.Banned ? Task.FromResult(new Ruling(Standing, string.Empty, false)) : CondemnForgeryAsync(id, receiptIds, signature, replayed));
    }

    private Task<Ruling> CondemnForgeryAsync(string id, ImmutableArray<string> receiptIds, ImmutableArray<byte> signature, string? replayed)
    {
        var decision = StandingRules.Decide(_standing!.Standing, Evidence.Fraud, standingOptions, time.GetUtcNow());
        var what = receiptIds.Length == 1 ? "a receipt" : Format($"{receiptIds.Length} receipts");
        var finding = replayed is null
            ? $"The node answered {what} with a signature that its key did not make over {(receiptIds.Length == 1 ? "it" : "them")}."
            : $"The node answered {what} with its old signature of another one, {replayed}.";
        var details = new JsonObject { ["signature"] = Convert.ToHexStringLower(signature.AsSpan()) };
        if (receiptIds.Length > 1) details["receipts"] = new JsonArray([.. receiptIds.Select(receipt => (JsonNode)receipt)]);
        return CommitAsync(new Report(id, "receipt", null, receiptIds[0], finding, details.ToJsonString()), decision, Row(_standing!, decision), []);
    }

    /// <summary>Takes in what became of a standby probe. A missed one is kept as an event; every gap, paid or not and why not, shows among the earnings.</summary>
    /// <param name="report">The probe.</param>
    /// <param name="self">The node as its neighbours see it.</param>
    /// <param name="hardwareClass">What the node is paid as.</param>
    /// <param name="multiplier">The owner's tier's.</param>
    public async Task<ProbeFollowUp> RecordProbeAsync(ProbeReport report, Neighbour self, string hardwareClass, int multiplier)
    {
        using var turn = await TurnAsync();
        var verdict = _standby.Judge(report);
        var paid = Microcredits.Zero;
        if (verdict.Step.Missed) await RecordMissedProbeAsync(report, verdict, hardwareClass);
        else if (verdict.Gap is { } gap) paid = await EndGapAsync(report, gap, verdict.Step.Paid, self, hardwareClass, multiplier);
        _standby.Accept(verdict);
        return new ProbeFollowUp(verdict.Step.RetryAt, paid.Value);
    }

    /// <summary>The node is there and takes work: from now on probes may pay.</summary>
    public void BeginStandby() => _standby.Begin(time.GetUtcNow());

    /// <summary>The node left, or takes no work: what it is not there for is not paid, nor what no later probe confirms.</summary>
    /// <param name="why">For the record, in words.</param>
    /// <param name="hardwareClass">What the node is paid as.</param>
    public async Task LeaveStandbyAsync(string why, string hardwareClass)
    {
        if (_standby.IsNothing) return;
        using var turn = await TurnAsync();
        if (_standby.Leave() is { } from) await SubmitAsync(new LedgerUnit { Rows = [EarningStore.Standby($"sb_left:{Guid.CreateVersion7():N}", Gap(string.Empty, from, time.GetUtcNow(), hardwareClass, why), null)] });
    }

    private async Task RecordMissedProbeAsync(ProbeReport report, StandbyVerdict verdict, string hardwareClass)
    {
        var decision = StandingRules.Decide(_standing!.Standing, Evidence.ProbeMissed, standingOptions, time.GetUtcNow());
        var finding = $"T{verdict.Said.AsSpan(1)}.";
        ImmutableArray<SqlStatement> rows = verdict.Gap is { } gap ? [EarningStore.Standby(StandbyId(report), Gap(report, gap.From, hardwareClass, gap.Unpaid), null)] : [];
        await CommitAsync(new Report(report.ReportId, "probe", NullIfEmpty(report.DeterminismClass), null, finding, null), decision, Row(_standing!, decision), rows);
    }

    private async Task<Microcredits> EndGapAsync(ProbeReport report, StandbyEnd gap, TimeSpan paid, Neighbour self, string hardwareClass, int multiplier)
    {
        var amount = gap.Unpaid is null ? Standby.Pay(paid, classes.CreditsPerHour(hardwareClass), multiplier, accrualOptions) : Microcredits.Zero;
        var unpaid = gap.Unpaid
            ?? (Standing is Standing.Quarantined or Standing.Banned ? "nothing is paid to a node that is quarantined or banned"
                : !amount.IsPositive ? report.Worked > TimeSpan.Zero ? "all of it was work, which is paid as work" : "it is too short to earn anything"
                : await neighbourhood.WhyUnpaidAsync(self, CancellationToken.None));
        if (unpaid is not null)
        {
            await SubmitAsync(new LedgerUnit { Rows = [EarningStore.Standby(StandbyId(report), Gap(report, gap.From, hardwareClass, unpaid), null)] });
            return Microcredits.Zero;
        }
        var id = StandbyId(report);
        var weights = DeterminismClass.WeightsOf(report.DeterminismClass);
        var (now, reputation) = (time.GetUtcNow(), await _reputations.FindAsync(weights));
        var maturesAt = now + AccrualRules.MaturityAge(now, node.CreatedAt, await _reputations.CountPeersAsync(weights), accrualOptions, standingOptions);
        var work = report.Worked > TimeSpan.Zero ? Format($"{report.Worked.TotalSeconds:0.#} s of it were work, which is paid as work") : null;
        await SubmitAsync(new LedgerUnit
        {
            Open = [_pending],
            Transfers = [Transfer.Post(TransferId.Of($"earn:{id}"), LedgerAccountId.Treasury, _pending, amount, TransferReason.Standby, id)],
            Rows =
            [
                EarningStore.Standby(
                    id, Gap(report, gap.From, hardwareClass, work), new StandbyPay(amount, multiplier, now, maturesAt, reputation.AuditsPassed, standingOptions.AuditsToMature)),
            ],
        });
        return amount;
    }

    private StandbyEntry Gap(ProbeReport report, DateTimeOffset from, string hardwareClass, string? unpaid) => Gap(report.DeterminismClass, from, report.SentAt, hardwareClass, unpaid);

    private StandbyEntry Gap(string determinismClass, DateTimeOffset from, DateTimeOffset to, string hardwareClass, string? unpaid)
        => new(node.Id, node.AccountId, determinismClass, from, to, hardwareClass, unpaid);

    private static string StandbyId(ProbeReport report) => $"sb_{report.ReportId}";

    /// <summary>An operator's word.</summary>
    public Task<Ruling> SetStandingAsync(Standing standing)
    {
        var id = $"op_{Guid.CreateVersion7():N}";
        return JudgeAsync(id, () =>
        {
            var decision = StandingRules.Set(_standing!.Standing, standing, time.GetUtcNow());
            return CommitAsync(new Report(id, "operator", null, null, "An operator set the standing.", null), decision, Row(_standing!, decision), []);
        });
    }

    // --------------------------------------------------------------------------------------------------------- credit

    /// <summary>
    /// Credits receipts that both have signed, in one commit: the amounts to the owner's pending purse, once each, and the conditions under which they mature. One that the ledger refuses stops none of the others: it is objected
    /// to, since the ledger would refuse it ever again.
    /// </summary>
    /// <returns>Those that were refused.</returns>
    public async Task<ImmutableArray<SignedReceipt>> CreditAsync(ImmutableArray<SignedReceipt> receipts)
    {
        var refused = ImmutableArray.CreateBuilder<SignedReceipt>();
        while (!receipts.IsEmpty && await TryCreditAsync(receipts) is (var culprit, var status))
        {
            LogRefused(node.Id, EarningStore.Name(culprit.Receipt.Id), culprit.Receipt.Content.JobId, status);
            await SubmitAsync(new LedgerUnit { Rows = [ReceiptStore.Dispute(culprit.Receipt, Format($"the ledger refused to credit it: {status}"))] });
            refused.Add(culprit);
            receipts = receipts.Remove(culprit);
        }
        return refused.ToImmutable();
    }

    /// <summary>Credits all of these receipts, or none; then the one that the ledger refuses, and why.</summary>
    private async Task<(SignedReceipt Culprit, TransferStatus Status)?> TryCreditAsync(ImmutableArray<SignedReceipt> receipts)
    {
        await LoadAsync();
        var known = new Dictionary<string, (int Peers, Reputation Found)>(StringComparer.Ordinal);
        foreach (var weights in receipts.Select(signed => DeterminismClass.WeightsOf(signed.Receipt.DeterminismClass)).Distinct(StringComparer.Ordinal).ToArray())
            known[weights] = (await _reputations.CountPeersAsync(weights), await _reputations.FindAsync(weights));
        var now = time.GetUtcNow();
        var rows = ImmutableArray.CreateBuilder<SqlStatement>(2 * receipts.Length + known.Count);
        var transfers = ImmutableArray.CreateBuilder<Transfer>();
        var paid = new List<SignedReceipt>();
        var counted = new Dictionary<string, Reputation>(StringComparer.Ordinal);
        foreach (var signed in receipts)
        {
            var (content, weights) = (signed.Receipt.Content, DeterminismClass.WeightsOf(signed.Receipt.DeterminismClass));
            var (peers, found) = known[weights];
            var reputation = counted[weights] = _reputations.Change(weights, found, before => before.AfterUnit(standingOptions, now));
            var isTooFast = AccrualRules.IsTooFast(content.ReferenceMicroseconds, content.DispatchMs, content.LastMs, accrualOptions);
            var rate = isTooFast ? AuditRate.Always : AuditRate.Of(reputation.AuditRate(standingOptions, peers));
            var maturesAt = now + AccrualRules.MaturityAge(now, node.CreatedAt, peers, accrualOptions, standingOptions);
            rows.Add(ReceiptStore.Issue(signed.Receipt, signed.NodeSignature, signed.HubSignature, now));
            rows.Add(EarningStore.Credit(signed.Receipt.Id, now, maturesAt, rate, reputation.AuditsPassed, standingOptions.AuditsToMature));
            var amount = new Microcredits(signed.Receipt.CreditedMicrocredits);
            if (!amount.IsPositive) continue;
            transfers.Add(Transfer.Post(TransferId.Of($"earn:{content.JobId}"), LedgerAccountId.Treasury, _pending, amount, TransferReason.Earning, content.JobId));
            paid.Add(signed);
        }
        foreach (var (weights, reputation) in counted) rows.Add(VerificationStore.WriteUnits(node.Id, weights, reputation));
        var result = await TrySubmitAsync(new LedgerUnit { Open = [_pending], Transfers = transfers.ToImmutable(), Rows = rows.ToImmutable() });
        for (var i = 0; i < paid.Count; i++)
        {
            if (result.Transfers[i] is { IsRecorded: false, Status: not TransferStatus.ChainFailed } refusal) return (paid[i], refusal.Status);
        }
        return null;
    }

    /// <summary>Moves what is due: matured earnings to the available purse, forfeited ones back to the treasury, pay of another class down to it.</summary>
    /// <returns>How many earnings moved; at most a bounded number, the rest at the next call.</returns>
    public async Task<int> SettleAsync()
    {
        using var turn = await TurnAsync();
        return await SettleInTurnAsync();
    }

    private async Task<int> SettleInTurnAsync()
    {
        var moved = 0;
        for (var commit = 0; commit < CommitsPerSettlement; commit++)
        {
            var now = time.GetUtcNow();
            var due = await earnings.ListToSettleAsync(node.Id, now, EarningsPerCommit, CancellationToken.None);
            if (due.IsEmpty) break;
            var transfers = ImmutableArray.CreateBuilder<Transfer>(due.Length);
            var rows = ImmutableArray.CreateBuilder<SqlStatement>(due.Length);
            foreach (var earning in due)
            {
                var (transfer, row) = _settlement.Of(earning, now);
                if (transfer is not null) transfers.Add(transfer);
                rows.Add(row);
            }
            await SubmitAsync(new LedgerUnit { Open = [_available], Transfers = transfers.ToImmutable(), Rows = rows.ToImmutable() });
            moved += due.Length;
        }
        if (moved > 0) LogSettled(node.Id, moved);
        return moved;
    }

    // -------------------------------------------------------------------------------------------------------- appeals

    /// <summary>The owner asks to look again at the last decision against the node.</summary>
    public async Task<AppealAnswer> AppealAsync(string words)
    {
        using var turn = await TurnAsync();
        if (await store.FindLastAdverseEventAsync(node.Id, CancellationToken.None) is not { } against) return new AppealAnswer(AppealStatus.NothingToAppeal, string.Empty, 0);
        // One decision, one appeal: its id is made from the decision's.
        var id = $"apl_{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(against.Id)).AsSpan(0, 16))}";
        if ((await store.ListAppealsAsync(node.Id, VerificationStore.ListMax, CancellationToken.None)).Any(appeal => appeal.Id == id)) return new AppealAnswer(AppealStatus.AlreadyAppealed, id, 0);
        await SubmitAsync(new LedgerUnit { Rows = [VerificationStore.Add(new AppealRow(id, node.Id, against.Id, words, "open", time.GetUtcNow(), null, null, null), node.AccountId)] });
        LogAppeal(node.Id, id);
        return new AppealAnswer(AppealStatus.Done, id, 0);
    }

    /// <summary>An operator decides an appeal.</summary>
    public async Task<AppealAnswer> DecideAppealAsync(string appealId, bool granted, string answer, string decidedBy)
    {
        using var turn = await TurnAsync();
        if ((await store.ListAppealsAsync(node.Id, VerificationStore.ListMax, CancellationToken.None)).FirstOrDefault(row => row.Id == appealId) is not { } appeal)
            return new AppealAnswer(AppealStatus.Unknown, string.Empty, 0);
        if (appeal.State != "open")
            return new AppealAnswer(appeal.State == (granted ? "granted" : "refused") ? AppealStatus.Done : AppealStatus.AlreadyDecided, appealId, appeal.Compensation ?? 0);
        // What the decision still has to take it takes first, so that the sum is the whole of it.
        while (granted && await SettleInTurnAsync() > 0)
        {
        }
        var compensation = granted ? new Microcredits(await store.ForfeitedByAsync(appeal.EventId, CancellationToken.None)) : Microcredits.Zero;
        var now = time.GetUtcNow();
        var decision = StandingRules.Decide(_standing!.Standing, granted ? Evidence.AppealGranted : Evidence.AppealRefused, standingOptions, now);
        var rows = ImmutableArray.CreateBuilder<SqlStatement>();
        rows.Add(VerificationStore.Decide(appealId, granted, answer, decidedBy, compensation.Value, now));
        if (granted) rows.Add(EarningStore.Spare(node.Id, appeal.EventId));
        ImmutableArray<Transfer> transfers = compensation.IsPositive
            ? [Transfer.Post(TransferId.Of($"appeal:{appealId}"), LedgerAccountId.Treasury, _available, compensation, TransferReason.Adjustment, appealId)]
            : [];
        await CommitAsync(new Report($"decided:{appealId}", "appeal", null, null, answer, null), decision, Row(_standing!, decision), rows, transfers);
        return new AppealAnswer(AppealStatus.Done, appealId, compensation.Value);
    }

    // -------------------------------------------------------------------------------------------------------- details

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string? NullIfEmpty(string text) => text.Length > 0 ? text : null;

    private static StandingRow Row(StandingRow before, in StandingDecision decision)
        => before with { Standing = decision.After, Reason = decision.ChangesStanding ? decision.Words : before.Reason };

    private async Task<Ruling> JudgeAsync(string reportId, Func<Task<Ruling>> judge)
    {
        if (reportId is not { Length: > 0 and <= ReportIdMax } || !reportId.All(static c => c is > ' ' and <= '~')) throw new ArgumentException($"A report's id is 1 to {ReportIdMax} printable ASCII characters.", nameof(reportId));
        using var turn = await TurnAsync();
        if (await store.FindEventAsync(reportId, CancellationToken.None) is { } known) return new Ruling(Standing, known.Decision, known.Shadow);
        var ruling = await judge();
        await SettleInTurnAsync();
        return ruling;
    }

    private async Task<Ruling> CommitAsync(
        Report report, StandingDecision decision, StandingRow after, ImmutableArray<SqlStatement>.Builder rows, ImmutableArray<Transfer> transfers = default)
        => await CommitAsync(report, decision, after, rows.ToImmutable(), transfers);

    private async Task<Ruling> CommitAsync(Report report, StandingDecision decision, StandingRow after, ImmutableArray<SqlStatement> rows, ImmutableArray<Transfer> transfers = default)
    {
        var happened = new VerificationEvent(
            0, report.Id, node.Id, time.GetUtcNow(), report.Kind, decision.Evidence, report.DeterminismClass, report.ReceiptId, decision.Consequences, decision.Shadow,
            decision.After.Standing, report.Finding, decision.Words, report.Details);
        rows = [VerificationStore.Add(happened), .. VerificationStore.Write(node.Id, after), .. rows];
        if ((decision.Applied & Consequences.Forfeit) != 0) rows = rows.Add(EarningStore.Condemn(node.Id, report.Id));
        await SubmitAsync(new LedgerUnit { Open = transfers.IsDefaultOrEmpty ? [] : [_available], Transfers = transfers.IsDefault ? [] : transfers, Rows = rows });
        _standing = after;
        if (decision.ChangesStanding || decision.Consequences is not Consequences.None) LogDecided(node.Id, decision.Words);
        return new Ruling(after.Standing.Standing, decision.Words, decision.Shadow);
    }

    private async Task SubmitAsync(LedgerUnit unit)
    {
        if (await TrySubmitAsync(unit) is { IsRecorded: false } refused) throw new InvalidOperationException($"The ledger refused a movement of node {node.Id}: {refused.Status}.");
    }

    private async Task<LedgerUnitResult> TrySubmitAsync(LedgerUnit unit)
    {
        try
        {
            var result = await ledger.SubmitAsync(unit);
            if (!result.IsRecorded) Forget();
            return result;
        }
        catch
        {
            Forget();
            throw;
        }

        // Nobody knows what is on disk after a commit that failed; the next report reads it. What was known stays meanwhile: work goes on beside.
        void Forget()
        {
            _isStale = true;
            _reputations.Forget();
        }
    }

    /// <summary>Waits for whoever came before; the next one waits until what is returned is disposed.</summary>
    private async Task<Turn> TurnAsync()
    {
        var before = _turn;
        var turn = new Turn(new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        _turn = turn.Done.Task;
        await before;
        try
        {
            await LoadAsync();
            return turn;
        }
        catch
        {
            turn.Dispose();
            throw;
        }
    }

    private readonly record struct Turn(TaskCompletionSource Done) : IDisposable
    {
        public void Dispose() => Done.TrySetResult();
    }

    private sealed record Report(string Id, string Kind, string? DeterminismClass, string? ReceiptId, string Finding, string? Details);

    [LoggerMessage(3250, LogLevel.Information, "Node {NodeId}: {Decision}")]
    private partial void LogDecided(string nodeId, string decision);

    [LoggerMessage(3251, LogLevel.Debug, "Node {NodeId}: {Count} earnings matured, were forfeited, or are paid as another class")]
    private partial void LogSettled(string nodeId, int count);

    [LoggerMessage(3253, LogLevel.Error, "Node {NodeId}: the ledger refuses to credit receipt {ReceiptId} of job {JobId} ({Status}); the hub objects to it")]
    private partial void LogRefused(string nodeId, string receiptId, string jobId, TransferStatus status);

    [LoggerMessage(3252, LogLevel.Information, "The owner of node {NodeId} appeals: {AppealId}")]
    private partial void LogAppeal(string nodeId, string appealId);
}

/// <summary>A receipt that both have signed.</summary>
/// <param name="Receipt">As it was booked.</param>
/// <param name="NodeSignature">What it keeps of the node's signature.</param>
/// <param name="HubSignature">And of the hub's.</param>
internal sealed record SignedReceipt(StoredReceipt Receipt, byte[] NodeSignature, byte[] HubSignature);
