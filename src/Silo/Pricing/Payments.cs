using System.Collections.Immutable;
using Federation.Contracts.Jobs;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Idempotency;
using Federation.Silo.Jobs;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Accrual;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Pricing;

/// <summary>
/// Holds what jobs may cost before they are sent, and has them paid, or freed, when they are settled. Every transfer's id follows from the job's, so that whatever is asked again moves nothing again.
/// </summary>
/// <remarks>
/// <code>
///   hold:{job}.{try}  account → receiver, the most it may cost     before a route is tried; a later one frees it in the commit that makes its own
///   settle:{job}      what it did cost, the rest is free           with the job's record, and the answer where it may be asked for again, in one commit
///   void:{job}.{try}  nothing was delivered; or another node goes on, and two holds are made of the one
///   late:{job}        what it did cost, of a hold that had expired meanwhile
/// </code>
/// A hub that dies in between leaves a hold that expires by itself (<see cref="PricingOptions.HoldMargin"/>).
/// </remarks>
internal sealed partial class Payments(
    ILedger ledger, IOptions<PricingOptions> options, IOptions<GatewayOptions> gateway, IOptions<AccrualOptions> accrual, TimeProvider time, ILogger<Payments> logger)
{
    /// <summary>The options.</summary>
    public PricingOptions Options => options.Value;

    /// <summary>How long a hold lasts: the answer's time, and the time its settlement may have to wait.</summary>
    private TimeSpan HoldTime => gateway.Value.AnswerTimeout + options.Value.HoldMargin;

    /// <summary>Nothing is held yet.</summary>
    /// <param name="jobId">The job.</param>
    /// <param name="accountId">Who pays.</param>
    /// <param name="tokens">What it may come to.</param>
    /// <param name="terms">What the client asked of the price.</param>
    public Payment Begin(string jobId, string accountId, RequestTokens tokens, PaymentTerms terms) => new(jobId, LedgerAccountId.Available(accountId), tokens, terms, this);

    /// <summary>What a call may cost; nothing is held yet.</summary>
    /// <param name="call">Of whom, and as part of what: a line of a batch costs less.</param>
    /// <param name="tokens">What it may come to.</param>
    public Payment Begin(InferenceCall call, RequestTokens tokens)
        => Begin(call.RequestId, call.Caller.AccountId, tokens, new PaymentTerms(call.Terms.MaxCost, call.Origin is CallOrigin.Batch ? options.Value.BatchMillionths : Price.Whole));

    /// <summary>Holds, and frees what was held before in the same commit.</summary>
    /// <returns>What became of it: <see cref="TransferStatus.HoldExpired"/> where a hold of this id has ended before; <see langword="null"/> when the database did not answer in time.</returns>
    public async Task<TransferStatus?> HoldAsync(Transfer hold, Transfer? voided, CancellationToken cancellationToken)
    {
        var submitting = SubmitAsync(hold, voided);
        try
        {
            return await submitting.WaitAsync(options.Value.HoldPatience, time, cancellationToken);
        }
        catch (Exception exception) when (exception is TimeoutException or StorageException { IsTransient: true })
        {
            LogNotHeld(hold.Reference, exception);
            _ = FreeAsync(submitting, hold);
            return null;
        }
        catch (OperationCanceledException)
        {
            _ = FreeAsync(submitting, hold);
            throw;
        }
    }

    /// <summary>Ends a hold and makes two of what it held, in one commit.</summary>
    /// <returns><see cref="TransferStatus.Created"/>, or what stopped it; <see langword="null"/> when the database did not answer in time: what is held then, of the one or of the two, is freed or expires.</returns>
    public async Task<TransferStatus?> DivideAsync(Transfer end, Transfer first, Transfer second)
    {
        var submitting = ledger.SubmitAsync(LedgerUnit.Of(end, first, second));
        try
        {
            var result = await submitting.WaitAsync(options.Value.HoldPatience, time);
            if (!result.IsRecorded) return result.Status;
            if (result.Transfers.All(static transfer => transfer.Status is TransferStatus.Created)) return TransferStatus.Created;
            // What the same job left behind when it ran before may have ended.
        }
        catch (Exception exception) when (exception is TimeoutException or StorageException { IsTransient: true })
        {
            LogNotDivided(first.Reference, exception);
        }
        _ = FreeAsync(end);
        _ = FreeAsync(StatusAsync(submitting), first);
        _ = FreeAsync(StatusAsync(submitting), second);
        return null;

        static async Task<TransferStatus?> StatusAsync(Task<LedgerUnitResult> submitting) => (await submitting).Status;
    }

    /// <summary>A hold of this job, if the client's credits and the hub's books allow it.</summary>
    public Transfer HoldOf(string jobId, int attempt, LedgerAccountId payer, LedgerAccountId receiver, Microcredits amount)
        => Transfer.Hold(TransferId.Of($"hold:{jobId}.{attempt}"), payer, receiver, amount, HoldTime, TransferReason.Usage, jobId);

    /// <summary>The end of a hold that nothing was delivered for.</summary>
    public static Transfer VoidOf(string jobId, int attempt) => Transfer.VoidHold(TransferId.Of($"void:{jobId}.{attempt}"), TransferId.Of($"hold:{jobId}.{attempt}"), TransferReason.Usage, jobId);

    /// <summary>What an account has to spend now.</summary>
    /// <exception cref="StorageException">The database is away.</exception>
    public async Task<Microcredits> AvailableAsync(LedgerAccountId account, CancellationToken cancellationToken)
        => (await ledger.GetAccountAsync(account, cancellationToken))?.Available ?? Microcredits.Zero;

    /// <summary>Ends a hold that nothing was delivered for. One that cannot be ended now expires.</summary>
    public async Task FreeAsync(Transfer end)
    {
        try
        {
            var result = await ledger.SubmitAsync(end);
            if (!result.IsRecorded) LogNotFreed(end.Reference, result.Status);
        }
        catch (StorageException exception)
        {
            LogFreedLater(end.Reference, exception);
        }
    }

    /// <summary>Writes a job's record and has it paid in one commit.</summary>
    /// <param name="outcome">The job; its price is at most what its hold holds.</param>
    /// <returns>False when another attempt of the job was settled before.</returns>
    /// <exception cref="StorageException">Nothing of it is known to be on disk; the same may be submitted again.</exception>
    public async Task<bool> SettleAsync(JobOutcome outcome)
    {
        if (outcome.HoldId.Length == 0)
        {
            await ledger.SubmitAsync(new LedgerUnit { Rows = Rows(JobRow.Insert(outcome), outcome) });
            return true;
        }
        var settled = TransferId.Of($"settle:{outcome.JobId}");
        var hold = TransferId.Of(outcome.HoldId);
        var amount = new Microcredits(outcome.Price);
        Transfer end = amount.IsPositive ? Transfer.PostHold(settled, hold, amount, TransferReason.Usage, outcome.JobId) : Transfer.VoidHold(settled, hold, TransferReason.Usage, outcome.JobId);
        var result = await ledger.SubmitAsync(UnitOf(outcome, end));
        switch (result.Transfers[0].Status)
        {
            case var status when status.IsRecorded():
                return true;
            case TransferStatus.HoldExpired when amount.IsPositive && await ledger.GetHoldAsync(hold) is { } expired:
                return await SettleLateAsync(outcome, Transfer.Post(TransferId.Of($"late:{outcome.JobId}"), expired.DebitAccount, expired.CreditAccount, amount, TransferReason.Usage, outcome.JobId));
            case TransferStatus.HoldExpired:
                await ledger.SubmitAsync(new LedgerUnit { Rows = Rows(JobRow.Insert(outcome), outcome) });
                return true;
            case var status:
                // Another attempt's amount under the same id, or a hold that is none: this outcome is not the one that counts.
                LogRefused(outcome.JobId, status);
                return false;
        }
    }

    /// <summary>The hold is gone, the answer was given: it is paid from what is there, or not at all.</summary>
    private async Task<bool> SettleLateAsync(JobOutcome outcome, Transfer payment)
    {
        var result = await ledger.SubmitAsync(UnitOf(outcome, payment));
        if (result.Transfers[0].IsRecorded) return true;
        LogUnpaid(outcome.JobId, outcome.AccountId, payment.Amount, result.Status);
        await ledger.SubmitAsync(new LedgerUnit { Rows = Rows(JobRow.Insert(outcome with { Price = 0 }), outcome) });
        return true;
    }

    /// <summary>The movement, the hub's share of what a node's work cost, and the records.</summary>
    private LedgerUnit UnitOf(JobOutcome outcome, Transfer movement)
    {
        var fee = outcome.NodeId.Length > 0 ? Payout.Fee(movement.Amount, accrual.Value) : Microcredits.Zero;
        return new LedgerUnit
        {
            Transfers = fee.IsPositive
                ? [movement, Transfer.Post(TransferId.Of($"fee:{outcome.JobId}"), LedgerAccountId.Treasury, LedgerAccountId.Fees, fee, TransferReason.Fee, outcome.JobId)]
                : [movement],
            Rows = Rows(JobRow.InsertPaid(outcome), outcome),
        };
    }

    /// <summary>The job's record, and its answer's: whoever is killed behind the commit has both or neither.</summary>
    private static ImmutableArray<SqlStatement> Rows(SqlStatement job, JobOutcome outcome) => outcome.Answer is { } answer ? [job, GivenAnswers.Row(outcome.AccountId, outcome.JobId, answer)] : [job];

    private async Task<TransferStatus?> SubmitAsync(Transfer hold, Transfer? voided)
    {
        LedgerUnit unit = voided is null ? LedgerUnit.Of(hold) : LedgerUnit.Of(voided, hold);
        var result = await ledger.SubmitAsync(unit);
        // Where an earlier hold could not be ended (it expired) the new one still can be made.
        if (voided is not null && result.Transfers[0].Status is TransferStatus.HoldExpired) result = await ledger.SubmitAsync(unit = LedgerUnit.Of(hold));
        // The first job that a provider is paid for opens its account.
        if (result.Status is TransferStatus.CreditAccountNotFound) result = await ledger.SubmitAsync(unit with { Open = [hold.CreditAccount!.Value] });
        if (!result.IsRecorded) return result.Status;
        // On record from before: it holds something only where it has not ended.
        return result.Transfers[^1].Status is TransferStatus.Exists && await ledger.GetHoldAsync(hold.Id) is not { State: HoldState.Pending } ? TransferStatus.HoldExpired : result.Transfers[^1].Status;
    }

    /// <summary>Whoever asked was told that nothing is held; so nothing shall be, whenever the commit is through.</summary>
    private async Task FreeAsync(Task<TransferStatus?> submitting, Transfer hold)
    {
        try
        {
            if ((await submitting)?.IsRecorded() is not true) return;
            await FreeAsync(Transfer.VoidHold(TransferId.Of($"void:{hold.Id.Value["hold:".Length..]}"), hold.Id, TransferReason.Usage, hold.Reference));
        }
        catch (StorageException exception)
        {
            LogFreedLater(hold.Reference, exception);
        }
    }

    [LoggerMessage(4600, LogLevel.Warning, "Job {JobId}: its price could not be held, so it is not run")]
    private partial void LogNotHeld(string jobId, Exception exception);

    [LoggerMessage(4605, LogLevel.Warning, "Job {JobId}: what is held for it could not be divided, so no other node goes on with it, and what came is not charged")]
    private partial void LogNotDivided(string jobId, Exception exception);

    [LoggerMessage(4601, LogLevel.Warning, "Job {JobId}: what was held for it could not be freed ({Status})")]
    private partial void LogNotFreed(string jobId, TransferStatus status);

    [LoggerMessage(4602, LogLevel.Information, "Job {JobId}: what was held for it is free when the hold expires; the database is away")]
    private partial void LogFreedLater(string jobId, Exception exception);

    [LoggerMessage(4603, LogLevel.Error, "Job {JobId} of account {AccountId} is not paid: its settlement came after its hold had expired, and {Amount} could not be taken any more ({Status})")]
    private partial void LogUnpaid(string jobId, string accountId, Microcredits amount, TransferStatus status);

    [LoggerMessage(4604, LogLevel.Warning, "Job {JobId}: a settlement was refused ({Status}); another one counts")]
    private partial void LogRefused(string jobId, TransferStatus status);
}
