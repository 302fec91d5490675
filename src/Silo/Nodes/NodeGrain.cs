using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Federation.Contracts.Accounts;
using Federation.Contracts.Hubs;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Protocol.V1;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Hubs;
using Federation.Silo.Jobs;
using Federation.Silo.Storage;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.CommonSlots;
using Google.Protobuf;
using Microsoft.Extensions.Options;
using Orleans.Concurrency;

namespace Federation.Silo.Nodes;

/// <inheritdoc cref="INodeGrain"/>
/// <remarks>
/// Reentrant, so that many jobs can be booked in one commit. The chain of receipts stays strict all the same: one booking loop
/// at a time takes what has gathered, chains it, writes it, and only then moves the chain's head.
/// </remarks>
[Reentrant]
internal sealed partial class NodeGrain(
    NodeStore store,
    ReceiptStore receipts,
    ILedger ledger,
    HardwareClasses classes,
    ReferenceSpeeds speeds,
    NodeVerifications verifications,
    HubIdentity hub,
    IOptions<NodeLinkOptions> options,
    TimeProvider time,
    ILogger<NodeGrain> logger) : Grain, INodeGrain
{
    // What is booked in one commit is offered in one batch. A ledger unit takes the three rows of each job.
    private const int BookingsPerCommit = ReceiptBatch.CountMax;

    private static readonly TimeSpan OfferAgainAfter = TimeSpan.FromSeconds(15);

    private readonly Dictionary<string, Offer> _unanswered = new(StringComparer.Ordinal);
    private readonly Queue<(JobOutcome Outcome, TaskCompletionSource Done)> _bookings = [];
    private NodeRow? _node;
    private VerificationKey? _key;
    private NodeVerification? _verification;
    private NodeAccrual? _accrual;
    private NodeConnection? _connection;
    private NodeReport? _report;
    private DateTimeOffset? _lastSeen;
    private string _hardwareClass = string.Empty;
    private int _slots;
    private ChainHead? _head;
    private readonly Dictionary<string, Task> _judging = new(StringComparer.Ordinal);
    private bool _booking;
    private Task _offering = Task.CompletedTask;
    private bool _offerAgain;

    private string Id => this.GetPrimaryKeyString();

    /// <summary>What is judged about the node; only of a node that is known.</summary>
    private NodeVerification Verification => _verification ??= verifications.For(_node!);

    private NodeAccrual Accrual => _accrual ??= verifications.AccrualOf(Id);

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _node = await store.FindAsync(Id, cancellationToken);
        _lastSeen = _node?.LastSeenAt;
        if (_node is null) return;
        await Verification.LoadAsync();
        // Work may be booked before the node's connection is heard of again.
        _hardwareClass = ClassOf();
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        _key?.Dispose();
        return Task.CompletedTask;
    }

    public async Task<EnrolmentStatus> Enrol(NodeEnrolment enrolment)
    {
        if (_node is null)
        {
            var node = new NodeRow(Id, enrolment.AccountId, enrolment.PublicKey, enrolment.DisplayName, Standing.Probation, time.GetUtcNow(), null);
            if (await store.TryAddAsync(node, HardwareJson(enrolment.Hardware), CancellationToken.None))
            {
                _node = node;
                return EnrolmentStatus.Enrolled;
            }
            _node = await store.FindAsync(Id, CancellationToken.None);
        }
        if (_node!.Standing is Standing.Banned) return EnrolmentStatus.Banned;
        return _node.AccountId == enrolment.AccountId ? EnrolmentStatus.AlreadyEnrolled : EnrolmentStatus.OwnedByAnotherAccount;
    }

    public Task<NodeIdentity?> GetIdentity() => Task.FromResult(_node is { } node ? new NodeIdentity(node.AccountId, node.PublicKey, node.Standing) : null);

    public async Task<ConnectionStatus> Connect(NodeConnection connection)
    {
        if (_node is null) return ConnectionStatus.Unknown;
        if (_node.Standing is Standing.Banned) return ConnectionStatus.Banned;
        var before = _connection;
        _connection = connection;
        Accept(connection.Report);
        // A session that this activation has not seen may have begun long after the one before ended.
        await Verification.LeaveStandbyAsync("the node connected anew before the next probe", _hardwareClass);
        await StandByAsync();
        if (before is not null) await CloseQuietlyAsync(before.Session, SessionEnd.Superseded);
        await store.RememberAsync(Id, connection.Report.AgentVersion, HardwareJson(connection.Report.Hardware), CancellationToken.None);
        _unanswered.Clear();
        // What the session before said of some of them may be on its way to the record still: whoever judges them next reads it there.
        foreach (var receipt in await receipts.ListOfferedAsync(Id, options.Value.MaxOfferedReceipts, CancellationToken.None)) _unanswered[Name(receipt.Id)] = new Offer(receipt.Payload, Receipt: null, OfferedAt: null);
        await ReportToHubAsync();
        return ConnectionStatus.Connected;
    }

    public async Task Disconnect(string sessionId)
    {
        if (_connection?.SessionId != sessionId) return;
        _connection = null;
        _report = null;
        _lastSeen = time.GetUtcNow();
        await Verification.LeaveStandbyAsync("the node left before the next probe", _hardwareClass);
        await GrainFactory.GetGrain<IHubGrain>(0).RemoveNode(Id);
        await store.SetLastSeenAsync(Id, _lastSeen.Value, CancellationToken.None);
    }

    public async Task<ReportStatus> Report(string sessionId, NodeReport report)
    {
        if (_connection is null) return ReportStatus.NotConnected;
        if (_connection.SessionId != sessionId) return ReportStatus.Superseded;
        Accept(report);
        await StandByAsync();
        await ReportToHubAsync();
        OfferUnanswered();
        return ReportStatus.Taken;
    }

    public async Task Book(JobOutcome outcome)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _bookings.Enqueue((outcome, done));
        if (!_booking) await BookAllAsync();
        await done.Task;
    }

    public async Task<ImmutableArray<ReceiptSigning>> SignReceipts(OfferAnswer answer)
    {
        ImmutableArray<ImmutableArray<byte>> ids = [.. answer.Agreed, .. answer.Objections.Select(objection => objection.ReceiptId)];
        string[] names = [.. ids.Select(Name)];
        var judged = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await ComeAfter(names, judged.Task);
        var offers = new Offer?[names.Length];
        for (var i = 0; i < names.Length; i++) _unanswered.Remove(names[i], out offers[i]);
        ImmutableArray<ReceiptSigning> signings = [];
        try
        {
            return signings = await JudgeAsync(answer, ids, offers);
        }
        finally
        {
            for (var i = 0; i < names.Length; i++)
            {
                // Nobody knows what is on disk after a commit that failed.
                if (offers[i] is { } offer && (signings.IsEmpty || signings[i].Status is ReceiptSigningStatus.Unchecked or ReceiptSigningStatus.Unknown)) _unanswered[names[i]] = offer with { Receipt = null };
                if (_judging.GetValueOrDefault(names[i]) == judged.Task) _judging.Remove(names[i]);
            }
            judged.SetResult();
        }
    }

    public Task<NodeView?> GetView() => Task.FromResult(_node is null ? null : View());

    public Task<NodeConnection?> GetConnection() => Task.FromResult(_connection);

    public async Task<PullStatus> Pull(string engine, string model)
    {
        if (_connection is not { } connection || _report is not { } report) return PullStatus.NotConnected;
        if (report.Engines.All(candidate => candidate.Name != engine)) return PullStatus.NoSuchEngine;
        await connection.Session.Pull(engine, model);
        return PullStatus.Asked;
    }

    // --------------------------------------------------------------------------------------------------- verification

    public async Task<bool> SetStanding(Standing standing)
    {
        if (_node is null) return false;
        await ApplyAsync(await Verification.SetStandingAsync(standing));
        return true;
    }

    public Task<MeasuredClasses?> GetMeasuredClasses()
        => Task.FromResult(_node is not null && Verification is { ComputeClass: { } compute, MeasuredClass: { } paid } ? new MeasuredClasses(compute, paid) { HasLapsed = Verification.ClassHasLapsed } : null);

    public async Task<Ruling> RecordChallenge(ChallengeReport report)
    {
        if (_node is null) return Unknown();
        var ruling = await Verification.RecordChallengeAsync(report);
        // From now on the measured class is what work is paid as.
        _hardwareClass = ClassOf();
        return await ApplyAsync(ruling);
    }

    public async Task<Ruling> RecordAudit(AuditReport report) => _node is null ? Unknown() : await ApplyAsync(await Verification.RecordAuditAsync(report));

    public async Task<Ruling> RecordAbandonment(string jobId, string determinismClass, string finding)
        => _node is null ? Unknown() : await ApplyAsync(await Verification.RecordAbandonmentAsync(jobId, determinismClass, finding));

    public async Task<ProbeFollowUp> RecordProbe(string sessionId, ProbeReport report) => _connection?.SessionId == sessionId
        ? await Verification.RecordProbeAsync(report, new Neighbour(Id, _node!.AccountId, _connection.Network), _hardwareClass, await EarningMultiplierAsync())
        : new ProbeFollowUp(null, 0);

    public async Task<int> SettleEarnings() => _node is null ? 0 : await Verification.SettleAsync();

    public async Task<AppealAnswer> Appeal(string words) => _node is null ? new AppealAnswer(AppealStatus.Unknown, string.Empty, 0) : await Verification.AppealAsync(words);

    public async Task<AppealAnswer> DecideAppeal(string appealId, bool granted, string answer, string decidedBy)
    {
        if (_node is null) return new AppealAnswer(AppealStatus.Unknown, string.Empty, 0);
        var decided = await Verification.DecideAppealAsync(appealId, granted, answer, decidedBy);
        await ApplyAsync(new Ruling(Verification.Standing, answer, false));
        return decided;
    }

    /// <summary>Standby goes on while the node takes work and is let; it ends with either, and begins again from nothing.</summary>
    private Task StandByAsync()
    {
        if (_report is not { AcceptsWork: true }) return Verification.LeaveStandbyAsync($"the node took no work from then on{(_report is { WhyNot.Length: > 0 } paused ? $" ({paused.WhyNot})" : string.Empty)}", _hardwareClass);
        if (Verification.Standing is Standing.Quarantined or Standing.Banned) return Verification.LeaveStandbyAsync("the node is given no work while it is quarantined or banned", _hardwareClass);
        Verification.BeginStandby();
        return Task.CompletedTask;
    }

    /// <summary>What the node's grain has to do about a ruling: a banned node is hung up on.</summary>
    private async Task<Ruling> ApplyAsync(Ruling ruling)
    {
        if (_node!.Standing == ruling.Standing) return ruling;
        LogStanding(Id, _node.Standing, ruling.Standing);
        _node = _node with { Standing = ruling.Standing };
        if (_connection is not { } connection) return ruling;
        await StandByAsync();
        if (ruling.Standing is Standing.Banned) await CloseQuietlyAsync(connection.Session, SessionEnd.Banned);
        else await TellStandingAsync(connection.Session, ruling.Standing);
        await ReportToHubAsync();
        return ruling;
    }

    private async Task TellStandingAsync(INodeSession session, Standing standing)
    {
        try
        {
            await session.SetStanding(standing);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            // Its silo is gone; the node's next connection begins with the standing.
            LogCloseFailed(Id, exception);
        }
    }

    private static Ruling Unknown() => new(Standing.Probation, string.Empty, false);

    // ------------------------------------------------------------------------------------------------------- receipts

    /// <summary>What is said about one receipt is judged in the order in which it is said: waits for all that was said about any of these, and has all that will be said wait.</summary>
    private Task ComeAfter(string[] names, Task judged)
    {
        if (names.Distinct(StringComparer.Ordinal).Count() < names.Length) throw new ArgumentException("One receipt is named twice.", nameof(names));
        var earlier = new List<Task>();
        foreach (var name in names)
        {
            if (_judging.TryGetValue(name, out var before)) earlier.Add(before);
            _judging[name] = judged;
        }
        return Task.WhenAll(earlier);
    }

    private async Task<ImmutableArray<ReceiptSigning>> JudgeAsync(OfferAnswer answer, ImmutableArray<ImmutableArray<byte>> ids, Offer?[] offers)
    {
        var signings = new ReceiptSigning[ids.Length];
        // One receipt that was never offered to it, and nothing of the answer counts.
        Array.Fill(signings, Signing(ReceiptSigningStatus.Unknown));
        if (_node is null || await FindAsync(ids, offers) is not { } stored) return [.. signings];
        var disputes = ImmutableArray.CreateBuilder<SqlStatement>();
        var signed = new List<int>();
        for (var i = 0; i < stored.Length; i++)
        {
            if (stored[i].State is ReceiptState.Issued) signings[i] = new ReceiptSigning(ReceiptSigningStatus.Issued, stored[i].HubSignature, stored[i].CreditedMicrocredits);
            else if (stored[i].State is ReceiptState.Disputed) signings[i] = Signing(ReceiptSigningStatus.Disputed);
            else if (i >= answer.Agreed.Length)
            {
                var objection = answer.Objections[i - answer.Agreed.Length].Words;
                LogDisputed(Id, Name(ids[i]), objection);
                disputes.Add(ReceiptStore.Dispute(stored[i], objection));
                signings[i] = Signing(ReceiptSigningStatus.Disputed);
            }
            // Whoever is banned is paid for nothing more, also not for what it had not signed yet.
            else if (Verification.Standing is not Standing.Banned) signed.Add(i);
        }
        if (disputes.Count > 0) await ledger.SubmitAsync(new LedgerUnit { Rows = disputes.ToImmutable() });
        if (signed.Count == 0) return [.. signings];
        var batch = ReceiptBatch.OfNode(answer.Agreed);
        switch (FindingOf(_node.PublicKey, batch.SigningBytes, answer.Signature))
        {
            case SignatureFinding.Right:
                await IssueAsync(signed, ids, stored, batch.Kept(answer.Signature.AsSpan()), signings);
                break;
            case SignatureFinding.Wrong:
                var replayed = await receipts.FindSignedAsync(Id, answer.Signature, CancellationToken.None);
                await ApplyAsync(await Verification.RecordForgeryAsync([.. signed.Select(i => Name(ids[i]))], answer.Signature, replayed));
                foreach (var i in signed) signings[i] = Signing(ReceiptSigningStatus.WrongSignature);
                break;
            default:
                LogUnchecked(Id, signed.Count, Name(ids[signed[0]]));
                foreach (var i in signed) signings[i] = Signing(ReceiptSigningStatus.Unchecked);
                break;
        }
        return [.. signings];
    }

    /// <summary>Counter-signs what the node signed in time, all of it with one signature, and credits it.</summary>
    private async Task IssueAsync(List<int> signed, ImmutableArray<ImmutableArray<byte>> ids, StoredReceipt[] stored, ImmutableArray<byte[]> nodeSignatures, ReceiptSigning[] signings)
    {
        var now = time.GetUtcNow();
        var tooLate = ImmutableArray.CreateBuilder<SqlStatement>();
        foreach (var i in signed)
        {
            if (now - stored[i].BookedAt is var after && after <= options.Value.SignWithin) continue;
            var why = string.Create(
                CultureInfo.InvariantCulture, $"the node signed it {after.TotalMinutes:0} minutes after the job; after {options.Value.SignWithin.TotalMinutes:0.#} its answer might not be kept for an audit, so it earns nothing");
            LogTooLate(Id, Name(ids[i]), why);
            tooLate.Add(ReceiptStore.Dispute(stored[i], why));
            signings[i] = Signing(ReceiptSigningStatus.TooLate);
        }
        if (tooLate.Count > 0) await ledger.SubmitAsync(new LedgerUnit { Rows = tooLate.ToImmutable() });
        int[] inTime = [.. signed.Where(i => signings[i].Status is not ReceiptSigningStatus.TooLate)];
        if (inTime.Length == 0) return;
        var batch = ReceiptBatch.OfHub([.. inTime.Select(i => (ids[i], nodeSignatures[i]))]);
        var hubSignatures = batch.Kept(hub.Sign(batch.SigningBytes));
        var refused = await Verification.CreditAsync([.. inTime.Zip(hubSignatures, (i, hubSignature) => new SignedReceipt(stored[i], nodeSignatures[i], hubSignature))]);
        foreach (var (i, hubSignature) in inTime.Zip(hubSignatures))
        {
            signings[i] = refused.Any(receipt => receipt.Receipt == stored[i])
                ? Signing(ReceiptSigningStatus.Disputed)
                : new ReceiptSigning(ReceiptSigningStatus.Issued, [.. hubSignature], stored[i].CreditedMicrocredits);
        }
    }

    /// <summary>What is on record of these receipts; <see langword="null"/> when one of them was never offered to this node.</summary>
    private async Task<StoredReceipt[]?> FindAsync(ImmutableArray<ImmutableArray<byte>> ids, Offer?[] offers)
    {
        ImmutableArray<byte>[] doubtful = [.. ids.Where((_, i) => offers[i]?.Receipt is null)];
        var found = doubtful.Length > 0 ? await receipts.FindAsync(Id, doubtful, CancellationToken.None) : null;
        var stored = new StoredReceipt[ids.Length];
        for (var i = 0; i < ids.Length; i++)
        {
            if ((offers[i]?.Receipt ?? found?.GetValueOrDefault(Name(ids[i]))) is not { } receipt) return null;
            stored[i] = receipt;
        }
        return stored;
    }

    /// <summary>Books whatever has gathered, commit after commit, until nothing is left.</summary>
    private async Task BookAllAsync()
    {
        _booking = true;
        try
        {
            while (_bookings.Count > 0)
            {
                // Only the node's pay waits for this: clients of free work have their answers already.
                if (options.Value.Gather > TimeSpan.Zero && _bookings.Count < BookingsPerCommit && _bookings.All(booking => booking.Outcome.Price == 0)) await Task.Delay(options.Value.Gather, time);
                var batch = new List<(JobOutcome Outcome, TaskCompletionSource Done)>(BookingsPerCommit);
                while (batch.Count < BookingsPerCommit && _bookings.TryDequeue(out var next)) batch.Add(next);
                await BookBatchAsync(batch);
            }
        }
        finally
        {
            _booking = false;
        }
    }

    private async Task BookBatchAsync(List<(JobOutcome Outcome, TaskCompletionSource Done)> batch)
    {
        var knewHead = _head is not null;
        try
        {
            var multiplier = await EarningMultiplierAsync();
            var free = await FreeClientsAsync(batch.Select(booking => booking.Outcome.AccountId));
            await Accrual.PrepareAsync([.. batch.Select(booking => HourOf(booking.Outcome)).Distinct()], batch.Min(booking => booking.Outcome.DispatchMs));
            // A settlement whose answer was lost is asked for again, maybe of another activation than the one that wrote it.
            var booked = await receipts.ListBookedAsync([.. batch.Select(booking => booking.Outcome.JobId)], CancellationToken.None);
            var rates = await RatesAsync(batch.Select(booking => booking.Outcome));
            var head = _head ?? await receipts.GetHeadAsync(Id, CancellationToken.None);
            var rows = ImmutableArray.CreateBuilder<SqlStatement>();
            var offers = new List<StoredReceipt>(batch.Count);
            foreach (var (outcome, _) in batch)
            {
                if (!booked.Add(outcome.JobId)) continue;
                rows.Add(JobRow.Insert(outcome));
                if (outcome.PromptTokens + outcome.CompletionTokens == 0) continue;
                var rate = rates[ModelOf(outcome)];
                var receipt = ReceiptOf(outcome, head, rate);
                var payload = ReceiptCodec.Encode(receipt);
                var id = ReceiptCodec.IdOf(payload);
                var client = new PayingClient(outcome.AccountId == _node!.AccountId, free.Contains(outcome.AccountId), new Microcredits(outcome.Price));
                if (Verification.Standing is Standing.Trusted) verifications.Yields.Add(outcome, _node.AccountId);
                var believed = verifications.Yields.Believe(outcome, _node.AccountId);
                var paid = Accrual.Take(receipt.Epoch, rate.Times.WorkMicroseconds(believed.PromptTokens, believed.CompletionTokens), receipt.DispatchMs, receipt.LastMs, _slots);
                var amount = Payout.Of(rate.CreditsFor(classes, receipt.PromptTokens, receipt.CompletionTokens, receipt.ReferenceMicroseconds, paid.Microseconds, multiplier), client, verifications.Accrual);
                var now = time.GetUtcNow();
                rows.Add(ReceiptStore.RowOf(receipt, id, payload, amount, now));
                rows.Add(EarningStore.Book(receipt, id, _node.AccountId, outcome.DeterminismClass, paid, Payout.WhyNothing(client) ?? paid.Unpaid ?? believed.Unpaid, amount, rate.ModelBytes, multiplier));
                offers.Add(new StoredReceipt(id, ImmutableCollectionsMarshal.AsImmutableArray(payload), ReceiptState.Offered, [], [], amount.Value, outcome.DeterminismClass, Id, now, string.Empty) { Content = receipt });
                head = new ChainHead(receipt.Sequence, id);
            }
            // Nobody knows what is on disk after a commit that failed; the next batch looks.
            _head = null;
            await ledger.SubmitAsync(new LedgerUnit { Rows = rows.ToImmutable() });
            _head = head;
            foreach (var (_, done) in batch) done.TrySetResult();
            foreach (var receipt in offers)
            {
                if (_unanswered.Count < options.Value.MaxOfferedReceipts) _unanswered[Name(receipt.Id)] = new Offer(receipt.Payload, receipt, OfferedAt: null);
            }
            OfferUnanswered();
        }
        catch (StorageException exception) when (knewHead && exception.Failure is StorageFailure.Rejected)
        {
            // Another activation, made while this one's silo counted as dead, has booked behind the head that this one knew.
            LogAnotherBooked(Id, exception);
            _accrual?.Forget();
            await BookBatchAsync(batch);
        }
        catch (Exception exception)
        {
            _accrual?.Forget();
            // Whoever waits for a booking of this batch hears why it failed; the loop goes on with the next.
            foreach (var (_, done) in batch) done.TrySetException(exception);
        }
    }

    private static (string Weights, long Bytes) ModelOf(JobOutcome outcome) => (SpeedStore.WeightsOf(outcome.ModelDigest, outcome.Model), outcome.ModelSizeBytes);

    /// <summary>What work is paid by now, for each model of a batch.</summary>
    private async Task<Dictionary<(string, long), PayRate>> RatesAsync(IEnumerable<JobOutcome> outcomes)
    {
        var hardwareClass = _hardwareClass;
        var rates = new Dictionary<(string, long), PayRate>();
        foreach (var (weights, bytes) in outcomes.Select(ModelOf).Distinct())
            rates[(weights, bytes)] = await speeds.PayRateAsync(hardwareClass, weights, bytes, _node!.AccountId, CancellationToken.None);
        return rates;
    }

    private Receipt ReceiptOf(JobOutcome outcome, ChainHead head, PayRate rate) => new()
    {
        Epoch = HourOf(outcome),
        Sequence = head.Sequence + 1,
        PreviousId = head.Id,
        JobId = outcome.JobId,
        Attempt = outcome.Attempt,
        Node = NodeId.Parse(Id),
        Hub = hub.Id,
        ClientHash = [.. SHA256.HashData(Encoding.UTF8.GetBytes($"cf1/client\0{hub.Id}\0{outcome.AccountId}"))],
        Model = outcome.Model,
        ModelDigest = outcome.ModelDigest,
        DeterminismClass = outcome.DeterminismClass,
        LogprobCommitment = outcome.LogprobCommitment,
        RequestHash = outcome.RequestHash,
        OutputHash = outcome.OutputHash,
        PromptTokens = outcome.PromptTokens,
        CompletionTokens = outcome.CompletionTokens,
        DispatchMs = outcome.DispatchMs,
        FirstMs = outcome.FirstMs,
        LastMs = outcome.LastMs,
        HardwareClass = rate.HardwareClass,
        ReferenceMicroseconds = rate.Times.WorkMicroseconds(outcome.PromptTokens, outcome.CompletionTokens),
    };

    /// <summary>
    /// Offers what was not offered yet, and what the node left unanswered for long: an answer, or the record of it, was lost. Beside everything else, since
    /// bookings wait for no node.
    /// </summary>
    private void OfferUnanswered()
    {
        _offerAgain = true;
        if (_offering.IsCompleted) _offering = OfferUnansweredAsync();
    }

    private async Task OfferUnansweredAsync()
    {
        try
        {
            while (_offerAgain && _connection is { } connection)
            {
                _offerAgain = false;
                var due = _unanswered.Where(entry => entry.Value.OfferedAt is not { } at || time.GetElapsedTime(at) > OfferAgainAfter).Take(ReceiptBatch.CountMax).ToImmutableArray();
                if (due.IsEmpty) continue;
                foreach (var (name, offer) in due) _unanswered[name] = offer with { OfferedAt = time.GetTimestamp() };
                await connection.Session.OfferReceipts([.. due.Select(entry => entry.Value.Payload)]);
                // There may be more.
                _offerAgain |= due.Length == ReceiptBatch.CountMax;
            }
        }
        catch (Exception exception)
        {
            LogOfferFailed(Id, exception);
        }
    }

    private static long HourOf(JobOutcome outcome) => outcome.LastMs / 3_600_000;

    /// <summary>Those of these accounts that pay nothing by their tier.</summary>
    private async Task<HashSet<string>> FreeClientsAsync(IEnumerable<string> accounts)
    {
        var free = new HashSet<string>(StringComparer.Ordinal);
        foreach (var account in accounts.Distinct(StringComparer.Ordinal))
        {
            // An account that is gone was there when it asked; its tier nobody knows any more.
            if (await GrainFactory.GetGrain<IAccountGrain>(account).GetTerms() is { IsOpen: true, Tier: Tier.Free }) free.Add(account);
        }
        return free;
    }

    private async Task<int> EarningMultiplierAsync()
        => (await GrainFactory.GetGrain<IAccountGrain>(_node!.AccountId).GetTerms()).EarningMultiplier;

    private static string Name(ImmutableArray<byte> receiptId) => Convert.ToHexStringLower(receiptId.AsSpan());

    /// <summary>What is right needs no second look, nor its key a second reading.</summary>
    private SignatureFinding FindingOf(ImmutableArray<byte> publicKey, byte[] data, ImmutableArray<byte> signature)
    {
        _key ??= VerificationKey.TryRead(publicKey.AsSpan());
        return _key?.Verify(data, signature.AsSpan()) is true ? SignatureFinding.Right : SignatureCheck.Of(() => PublicKeys.Verify(publicKey.AsSpan(), data, signature.AsSpan()));
    }

    private static ReceiptSigning Signing(ReceiptSigningStatus status) => new(status, [], 0);

    // ----------------------------------------------------------------------------------------------------- appearance

    private void Accept(NodeReport report)
    {
        _hardwareClass = ClassOf();
        _report = report;
        _slots = Math.Max(1, report.Engines.Sum(engine => engine.Slots));
        _lastSeen = time.GetUtcNow();
    }

    /// <summary>What the node is paid as: the class that was measured. A name proves nothing, so until then it is the least; so it is again when the node is not measured for long.</summary>
    private string ClassOf() => _verification is { ClassHasLapsed: false, MeasuredClass: { } measured } ? measured : classes.Fallback;

    private Task ReportToHubAsync() => GrainFactory.GetGrain<IHubGrain>(0).ReportNode(View());

    private NodeView View() => new(
        Id, _node!.AccountId, _node.DisplayName, _node.Standing, _hardwareClass, _connection is not null, _lastSeen, _report)
    { Network = _connection?.Network ?? string.Empty };

    private static string HardwareJson(ImmutableArray<byte> hardware) => JsonFormatter.Default.Format(Hardware.Parser.ParseFrom(hardware.AsSpan()));

    private async Task CloseQuietlyAsync(INodeSession session, SessionEnd reason)
    {
        try
        {
            await session.Close(reason);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            // Its silo is gone, and the session with it.
            LogCloseFailed(Id, exception);
        }
    }

    /// <summary>A receipt the node has not answered, what is on record of it where that is known for certain, and when it was last offered it.</summary>
    private sealed record Offer(ImmutableArray<byte> Payload, StoredReceipt? Receipt, long? OfferedAt);

    [LoggerMessage(3200, LogLevel.Warning, "Node {NodeId} objects to receipt {ReceiptId}: {Objection}; nothing is credited for it")]
    private partial void LogDisputed(string nodeId, string receiptId, string objection);

    [LoggerMessage(3206, LogLevel.Warning, "Node {NodeId}: another activation has booked receipts; these are chained anew")]
    private partial void LogAnotherBooked(string nodeId, Exception exception);

    [LoggerMessage(3204, LogLevel.Information, "Node {NodeId}, receipt {ReceiptId}: {Why}")]
    private partial void LogTooLate(string nodeId, string receiptId, string why);

    [LoggerMessage(3205, LogLevel.Error, "Node {NodeId}: its signature of {Count} receipts, {ReceiptId} first, could not be checked, as no signature can be on this machine now; they stay offered")]
    private partial void LogUnchecked(string nodeId, int count, string receiptId);

    [LoggerMessage(3201, LogLevel.Information, "Node {NodeId}: standing {Before} → {After}")]
    private partial void LogStanding(string nodeId, Standing before, Standing after);

    [LoggerMessage(3202, LogLevel.Debug, "Node {NodeId} could not be offered a receipt; it is offered again when it connects")]
    private partial void LogOfferFailed(string nodeId, Exception exception);

    [LoggerMessage(3203, LogLevel.Debug, "Node {NodeId}: an earlier session could not be closed")]
    private partial void LogCloseFailed(string nodeId, Exception exception);
}
