using System.Collections.Immutable;
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
    HubIdentity hub,
    IOptions<NodeLinkOptions> options,
    TimeProvider time,
    ILogger<NodeGrain> logger) : Grain, INodeGrain
{
    // Two rows a job, and a ledger unit takes 64.
    private const int BookingsPerCommit = LedgerUnit.PartsMax / 2;

    // A node's connection takes a bounded number of messages at once.
    private const int OffersAtOnce = 64;

    private static readonly TimeSpan OfferAgainAfter = TimeSpan.FromSeconds(15);

    private readonly Dictionary<string, Offer> _unanswered = new(StringComparer.Ordinal);
    private readonly Queue<(JobOutcome Outcome, TaskCompletionSource Done)> _bookings = [];
    private NodeRow? _node;
    private NodeConnection? _connection;
    private NodeReport? _report;
    private DateTimeOffset? _lastSeen;
    private string _hardwareClass = string.Empty;
    private ChainHead? _head;
    private bool _booking;

    private string Id => this.GetPrimaryKeyString();

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _node = await store.FindAsync(Id, cancellationToken);
        _lastSeen = _node?.LastSeenAt;
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
        if (before is not null) await CloseQuietlyAsync(before.Session, SessionEnd.Superseded);
        await store.RememberAsync(Id, connection.Report.AgentVersion, HardwareJson(connection.Report.Hardware), CancellationToken.None);
        _unanswered.Clear();
        foreach (var receipt in await receipts.ListOfferedAsync(Id, options.Value.MaxOfferedReceipts, CancellationToken.None)) _unanswered[Name(receipt.Id)] = new Offer(receipt.Payload, OfferedAt: null);
        await ReportToHubAsync();
        return ConnectionStatus.Connected;
    }

    public async Task Disconnect(string sessionId)
    {
        if (_connection?.SessionId != sessionId) return;
        _connection = null;
        _report = null;
        _lastSeen = time.GetUtcNow();
        await GrainFactory.GetGrain<IHubGrain>(0).RemoveNode(Id);
        await store.SetLastSeenAsync(Id, _lastSeen.Value, CancellationToken.None);
    }

    public async Task<ReportStatus> Report(string sessionId, NodeReport report)
    {
        if (_connection is null) return ReportStatus.NotConnected;
        if (_connection.SessionId != sessionId) return ReportStatus.Superseded;
        Accept(report);
        await ReportToHubAsync();
        await OfferUnansweredAsync();
        return ReportStatus.Taken;
    }

    public async Task Book(JobOutcome outcome)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _bookings.Enqueue((outcome, done));
        if (!_booking) await BookAllAsync();
        await done.Task;
    }

    public async Task<ReceiptSigning> SignReceipt(ImmutableArray<byte> receiptId, ImmutableArray<byte> signature, string objection)
    {
        var signing = await SignAsync(receiptId, signature, objection);
        _unanswered.Remove(Name(receiptId));
        return signing;
    }

    public Task<NodeView?> GetView() => Task.FromResult(_node is null ? null : View());

    public async Task<PullStatus> Pull(string engine, string model)
    {
        if (_connection is not { } connection || _report is not { } report) return PullStatus.NotConnected;
        if (report.Engines.All(candidate => candidate.Name != engine)) return PullStatus.NoSuchEngine;
        await connection.Session.Pull(engine, model);
        return PullStatus.Asked;
    }

    public async Task<bool> SetStanding(Standing standing)
    {
        if (_node is null) return false;
        await store.SetStandingAsync(Id, standing, CancellationToken.None);
        LogStanding(Id, _node.Standing, standing);
        _node = _node with { Standing = standing };
        if (standing is Standing.Banned && _connection is { } connection) await CloseQuietlyAsync(connection.Session, SessionEnd.Banned);
        return true;
    }

    // ------------------------------------------------------------------------------------------------------- receipts

    private async Task<ReceiptSigning> SignAsync(ImmutableArray<byte> receiptId, ImmutableArray<byte> signature, string objection)
    {
        if (_node is null || await receipts.FindAsync(Id, receiptId, CancellationToken.None) is not { } stored) return Signing(ReceiptSigningStatus.Unknown);
        if (stored.State is ReceiptState.Issued) return new ReceiptSigning(ReceiptSigningStatus.Issued, stored.HubSignature, stored.CreditedMicrocredits);
        if (signature.IsEmpty || stored.State is ReceiptState.Disputed)
        {
            LogDisputed(Id, Name(receiptId), objection);
            await ledger.SubmitAsync(new LedgerUnit { Rows = [ReceiptStore.Dispute(receiptId, objection)] });
            return Signing(ReceiptSigningStatus.Disputed);
        }
        var payload = stored.Payload.AsSpan();
        if (!PublicKeys.Verify(_node.PublicKey.AsSpan(), ReceiptCodec.NodeSigningBytes(payload), signature.AsSpan())) return Signing(ReceiptSigningStatus.WrongSignature);
        var hubSignature = hub.Sign(ReceiptCodec.HubSigningBytes(payload, signature.AsSpan()));
        var receipt = ReceiptCodec.Decode(stored.Payload.ToArray());
        await CreditAsync(receipt, new Microcredits(stored.CreditedMicrocredits), ReceiptStore.Issue(receiptId, [.. signature], hubSignature, time.GetUtcNow()));
        return new ReceiptSigning(ReceiptSigningStatus.Issued, [.. hubSignature], stored.CreditedMicrocredits);
    }

    /// <summary>Books whatever has gathered, commit after commit, until nothing is left.</summary>
    private async Task BookAllAsync()
    {
        _booking = true;
        try
        {
            while (_bookings.Count > 0)
            {
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
        try
        {
            var multiplier = await EarningMultiplierAsync();
            // A settlement whose answer was lost is asked for again, maybe of another activation than the one that wrote it.
            var booked = await receipts.ListBookedAsync([.. batch.Select(booking => booking.Outcome.JobId)], CancellationToken.None);
            var head = _head ?? await receipts.GetHeadAsync(Id, CancellationToken.None);
            var rows = ImmutableArray.CreateBuilder<SqlStatement>();
            var offers = new List<(ImmutableArray<byte> Id, ImmutableArray<byte> Payload)>(batch.Count);
            foreach (var (outcome, _) in batch)
            {
                if (!booked.Add(outcome.JobId)) continue;
                rows.Add(JobRow.Insert(outcome));
                if (outcome.PromptTokens + outcome.CompletionTokens == 0) continue;
                var receipt = ReceiptOf(outcome, head);
                var payload = ReceiptCodec.Encode(receipt);
                var id = ReceiptCodec.IdOf(payload);
                rows.Add(ReceiptStore.RowOf(receipt, id, payload, classes.CreditsFor(receipt.HardwareClass, receipt.ReferenceMicroseconds, multiplier), time.GetUtcNow()));
                offers.Add((id, [.. payload]));
                head = new ChainHead(receipt.Sequence, id);
            }
            // Nobody knows what is on disk after a commit that failed; the next batch looks.
            _head = null;
            await ledger.SubmitAsync(new LedgerUnit { Rows = rows.ToImmutable() });
            _head = head;
            foreach (var (_, done) in batch) done.TrySetResult();
            foreach (var (id, payload) in offers)
            {
                if (_unanswered.Count < options.Value.MaxOfferedReceipts) _unanswered[Name(id)] = new Offer(payload, OfferedAt: null);
            }
            await OfferUnansweredAsync();
        }
        catch (Exception exception)
        {
            // Whoever waits for a booking of this batch hears why it failed; the loop goes on with the next.
            foreach (var (_, done) in batch) done.TrySetException(exception);
        }
    }

    private Receipt ReceiptOf(JobOutcome outcome, ChainHead head) => new()
    {
        Epoch = outcome.LastMs / 3_600_000,
        Sequence = head.Sequence + 1,
        PreviousId = head.Id,
        JobId = outcome.JobId,
        Attempt = outcome.Attempt,
        Node = NodeId.Parse(Id),
        Hub = hub.Id,
        ClientHash = [.. SHA256.HashData(Encoding.UTF8.GetBytes($"cf1/client\0{hub.Id}\0{outcome.AccountId}"))],
        Model = outcome.Model,
        ModelDigest = outcome.ModelDigest,
        RequestHash = outcome.RequestHash,
        OutputHash = outcome.OutputHash,
        PromptTokens = outcome.PromptTokens,
        CompletionTokens = outcome.CompletionTokens,
        DispatchMs = outcome.DispatchMs,
        FirstMs = outcome.FirstMs,
        LastMs = outcome.LastMs,
        HardwareClass = _hardwareClass,
        ReferenceMicroseconds = classes.ReferenceMicroseconds(_hardwareClass, outcome.ModelSizeBytes, outcome.PromptTokens, outcome.CompletionTokens),
    };

    /// <summary>Offers what was not offered yet, and what the node left unanswered for long: an answer, or the record of it, was lost.</summary>
    private async Task OfferUnansweredAsync()
    {
        if (_connection is not { } connection) return;
        var due = _unanswered.Where(entry => entry.Value.OfferedAt is not { } at || time.GetElapsedTime(at) > OfferAgainAfter).Take(OffersAtOnce).ToImmutableArray();
        try
        {
            foreach (var (name, offer) in due)
            {
                _unanswered[name] = offer with { OfferedAt = time.GetTimestamp() };
                await connection.Session.OfferReceipt(offer.Payload);
            }
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            LogOfferFailed(Id, exception);
        }
    }

    private async Task CreditAsync(Receipt receipt, Microcredits amount, SqlStatement issue)
    {
        var pending = LedgerAccountId.Pending(_node!.AccountId);
        var unit = new LedgerUnit { Open = [pending], Rows = [issue] };
        if (amount.IsPositive)
            unit = unit with { Transfers = [Transfer.Post(TransferId.Of($"earn:{receipt.JobId}"), LedgerAccountId.Treasury, pending, amount, TransferReason.Earning, receipt.JobId)] };
        var result = await ledger.SubmitAsync(unit);
        if (!result.IsRecorded) throw new InvalidOperationException($"The ledger refused to credit job {receipt.JobId}: {result.Status}.");
    }

    private async Task<int> EarningMultiplierAsync()
        => (await GrainFactory.GetGrain<IAccountGrain>(_node!.AccountId).Admit(CancellationToken.None)).EarningMultiplier;

    private static string Name(ImmutableArray<byte> receiptId) => Convert.ToHexStringLower(receiptId.AsSpan());

    private static ReceiptSigning Signing(ReceiptSigningStatus status) => new(status, [], 0);

    // ----------------------------------------------------------------------------------------------------- appearance

    private void Accept(NodeReport report)
    {
        if (_report is null || !_report.Hardware.AsSpan().SequenceEqual(report.Hardware.AsSpan())) _hardwareClass = classes.ClassOf(Hardware.Parser.ParseFrom(report.Hardware.AsSpan()));
        _report = report;
        _lastSeen = time.GetUtcNow();
    }

    private Task ReportToHubAsync() => GrainFactory.GetGrain<IHubGrain>(0).ReportNode(View());

    private NodeView View() => new(
        Id, _node!.AccountId, _node.DisplayName, _node.Standing, _hardwareClass, _connection is not null, _lastSeen, _report);

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

    /// <summary>A receipt the node has not answered, and when it was last offered it.</summary>
    private sealed record Offer(ImmutableArray<byte> Payload, long? OfferedAt);

    [LoggerMessage(3200, LogLevel.Warning, "Node {NodeId} objects to receipt {ReceiptId}: {Objection}; nothing is credited for it")]
    private partial void LogDisputed(string nodeId, string receiptId, string objection);

    [LoggerMessage(3201, LogLevel.Information, "Node {NodeId}: standing {Before} → {After}, by the operator")]
    private partial void LogStanding(string nodeId, Standing before, Standing after);

    [LoggerMessage(3202, LogLevel.Debug, "Node {NodeId} could not be offered a receipt; it is offered again when it connects")]
    private partial void LogOfferFailed(string nodeId, Exception exception);

    [LoggerMessage(3203, LogLevel.Debug, "Node {NodeId}: an earlier session could not be closed")]
    private partial void LogCloseFailed(string nodeId, Exception exception);
}
