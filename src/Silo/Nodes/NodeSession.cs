using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Threading.Channels;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.Identity;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Receipts;
using Federation.Protocol.V1;
using Federation.Silo.Storage;
using Google.Protobuf;
using Grpc.Core;

namespace Federation.Silo.Nodes;

/// <summary>
/// One proved connection of a node. Reads what the node says, checks it, and hands it to whom it concerns: leases to their
/// consumers, inventory to the pools, receipts to the node's grain. Safe for use by several threads.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "The source has no timer; gateways may still ask it after the stream has ended.")]
internal sealed partial class NodeSession : INodeSession
{
    // Cancelled leases whose last messages may still be on their way; older ones are forgotten, and count as never given.
    private const int RememberedLeases = 4_096;

    // Answers to offers, of up to a hundred receipts each, that are judged at once, so that they share a commit, and that wait for it; beyond that the node's line waits.
    private const int AnswersAtOnce = 8;
    private const int AnswersWaiting = 32;

    // An engine's content type goes on in a header.
    private const int ContentTypeMax = 200;

    // The hub's own question whether anybody is there; those of challenges are numbered from one.
    private const uint LinePing = 0;

    // How long a message that is being written when the hub ends the session may take: given up, it would reset the call, and the node would not hear why.
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(1);

    private static readonly WriteOptions Coalesced = new(WriteFlags.BufferHint);

    private readonly NodeLinkOptions _options;
    private readonly SessionGrains _grains;
    private readonly TimeProvider _time;
    private readonly ILogger<NodeSession> _logger;
    private readonly Channel<HubMessage> _outbound;
    private readonly ConcurrentDictionary<string, Lease> _leases = new(StringComparer.Ordinal);
    private readonly EndedLeases _endedLeases = new(RememberedLeases);
    private readonly ConcurrentDictionary<string, byte> _starvedModels = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _ended = new();
    private readonly MessageBudget _budget;
    private readonly Channel<CheckMessage> _checks;
    private readonly Channel<OfferAnswer> _answers = Channel.CreateBounded<OfferAnswer>(new BoundedChannelOptions(AnswersWaiting) { SingleReader = true, SingleWriter = true });
    private readonly PendingReveals _reveals;
    private readonly LineWatch _watch;
    private readonly Lock _slotGate = new();
    // Under the gate: the leases of each engine, and of them those that yield.
    private readonly Dictionary<string, (int All, int Yielding)> _taken = new(StringComparer.Ordinal);
    private volatile NodeReport _report;
    private volatile SessionStatus? _endStatus;
    private long _offersUnanswered;
    private long _announcements;
    private long _lastHeard;
    private volatile bool _listens = true;
    // Nothing that is said to the node gets there, as far as the hub knows.
    private volatile bool _isUnreachable;
    private volatile bool _draining;
    private volatile bool _quarantined;
    private volatile Standing _standing;
    private long _roundTripTicks;
    private volatile bool _challenged;
    private long _leasesBegun;
    private int _working;
    private long _workingSince;
    private TimeSpan _worked;

    public NodeSession(
        string nodeId,
        string sessionId,
        NodeReport report,
        NodeLinkOptions options,
        SessionGrains grains,
        TimeProvider time,
        ILogger<NodeSession> logger)
    {
        NodeId = nodeId;
        SessionId = sessionId;
        _report = report;
        _options = options;
        _grains = grains;
        _time = time;
        _logger = logger;
        _budget = new MessageBudget(options.MessagesPerSecond, options.MessageBurst, time);
        _reveals = new PendingReveals(options, time);
        _watch = new LineWatch(options.PingAfter, options.PingTimeout, time);
        _lastHeard = time.GetTimestamp();
        _checks = Channel.CreateBounded<CheckMessage>(new BoundedChannelOptions(options.MaxCheckMessages) { SingleReader = true, SingleWriter = true });
        _outbound = Channel.CreateBounded<HubMessage>(new BoundedChannelOptions(options.MaxOutbound) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    }

    public string NodeId { get; }

    public string SessionId { get; }

    /// <summary>Whether the hub gives the node no work for now, checks excepted.</summary>
    public bool IsQuarantined
    {
        get => _quarantined;
        init => _quarantined = value;
    }

    /// <inheritdoc cref="NodeConnection.Network"/>
    public string Network { get; init; } = string.Empty;

    /// <summary>Whose the node is.</summary>
    public string AccountId { get; init; } = string.Empty;

    /// <summary>What the hub thinks of it.</summary>
    public Standing Standing
    {
        get => _standing;
        init => _standing = value;
    }

    /// <summary>How grains reach the session; set before it runs.</summary>
    public INodeSession? Reference { get; set; }

    /// <summary>What the node said last.</summary>
    public NodeReport Report => _report with { RunningLeases = _leases.Count };

    private INodeSession OwnReference => Reference ?? throw new InvalidOperationException("The session has no reference yet.");

    /// <summary>When bytes came last over its connection; <see langword="null"/> where nobody counts them.</summary>
    public HeardBytes? Bytes { get; init; }

    /// <summary>When the node said something last: timestamp of this silo's clock.</summary>
    public long LastHeard => Interlocked.Read(ref _lastHeard);

    /// <summary>Whether work runs on the node, and the hub listens for what becomes of it.</summary>
    public bool OwesAnswer => _listens && Volatile.Read(ref _working) > 0;

    /// <summary>How long the node has said nothing to a hub that listened.</summary>
    public TimeSpan Silence => _listens ? _time.GetElapsedTime(Interlocked.Read(ref _lastHeard)) : TimeSpan.Zero;

    /// <summary>Leases running now.</summary>
    public int RunningLeases => _leases.Count;

    /// <summary>Leases given to the node so far: while it stays the same, none has begun.</summary>
    public long LeasesBegun => Interlocked.Read(ref _leasesBegun);

    /// <summary>The node computes for a challenge: whatever is measured of it meanwhile says nothing.</summary>
    public bool IsChallenged
    {
        get => _challenged;
        set => _challenged = value;
    }

    /// <summary>The node takes work and has none: what it may be paid standby for.</summary>
    public bool StandsBy => TakesWork && _leases.IsEmpty;

    /// <summary>The node takes work, has none, and judges others' answers meanwhile. Several at once do not disturb each other; a probe or a benchmark beside them would measure little.</summary>
    private bool OnlyScores => TakesWork && _leases.Values.All(running => running.Scores);

    private bool TakesWork => _report.AcceptsWork && !_draining && !_quarantined && !_challenged && !_ended.IsCancellationRequested;

    /// <summary>How long, in all, the node had a lease to work on, one or several at once; those that nobody pays for do not count. By the hub's clock.</summary>
    public TimeSpan Worked
    {
        get
        {
            lock (_slotGate) return _working > 0 ? _worked + _time.GetElapsedTime(_workingSince) : _worked;
        }
    }

    /// <summary>The node's words in challenges, in order, each with the moment at which it came.</summary>
    public ChannelReader<CheckMessage> Checks => _checks.Reader;

    /// <summary>Cancelled when the session is over.</summary>
    public CancellationToken Ended => _ended.Token;

    /// <summary>Why the hub ended the session; <see langword="null"/> while it did not.</summary>
    public SessionStatus? EndStatus => _endStatus;

    // --------------------------------------------------------------------------------- what the hub wants of the node

    public Task<AssignStatus> Assign(LeaseAssignment assignment, ILeaseSink sink)
    {
        var status = TryAssign(assignment, out var lease);
        if (status == AssignStatus.Sent) _ = PumpAsync(lease!, sink);
        return Task.FromResult(status);
    }

    /// <summary>Sends the lease to the node; its events come on the lease's channel.</summary>
    public AssignStatus TryAssign(LeaseAssignment assignment, out Lease? lease)
    {
        lease = null;
        Lease[] yielding;
        lock (_slotGate)
        {
            if (_draining || _ended.IsCancellationRequested) return AssignStatus.Gone;
            if (assignment.Yields && !(assignment.Kind is JobKind.Score ? OnlyScores : StandsBy)) return AssignStatus.NoSlot;
            if (FreeSlots(assignment.Engine, assignment.Yields) <= 0)
            {
                if (!assignment.Yields) _starvedModels.TryAdd(assignment.Model, 0);
                return AssignStatus.NoSlot;
            }
            yielding = assignment.Yields || _taken.Values.All(taken => taken.Yielding == 0) ? [] : [.. _leases.Values.Where(running => running.Yields)];
            lease = new Lease(assignment.LeaseId, assignment.Model, assignment.Engine, _options.WindowBytes, assignment.Yields, assignment.Unpaid) { Scores = assignment.Kind is JobKind.Score, AssignedAt = _time.GetTimestamp() };
            Interlocked.Increment(ref _leasesBegun);
            if (!_leases.TryAdd(lease.LeaseId, lease)) throw new InvalidOperationException($"Lease {lease.LeaseId} was assigned before.");
            Count(lease, 1);
            if (!lease.Unpaid && _working++ == 0) _workingSince = _time.GetTimestamp();
        }
        // The node hears of it first, so that the slot is free when the work comes.
        foreach (var running in yielding) Cancel(running.LeaseId, "work has come");
        var sent = Send(new HubMessage
        {
            Assign = new Assign
            {
                LeaseId = assignment.LeaseId,
                JobId = assignment.JobId,
                Kind = assignment.Kind.Word(),
                Model = assignment.Model,
                Engine = assignment.Engine,
                // The body is shared with the retry loop and never changed by anyone.
                Body = UnsafeByteOperations.UnsafeWrap(assignment.Body),
                Stream = assignment.Stream,
                Attempt = (uint)assignment.Attempt,
                DeadlineMs = (uint)Math.Clamp(assignment.TimeLeft.TotalMilliseconds, 0, uint.MaxValue),
            },
        });
        if (sent) return AssignStatus.Sent;
        EndLease(lease, new LeaseEvent.Failed(LeaseFailure.NodeLost, "the connection is full"));
        return AssignStatus.Gone;
    }

    public Task Grant(string leaseId, int bytes)
    {
        if (_leases.TryGetValue(leaseId, out var lease))
        {
            lease.Grant(bytes);
            Send(new HubMessage { Window = new Window { LeaseId = leaseId, Bytes = (uint)bytes } });
        }
        return Task.CompletedTask;
    }

    public Task Cancel(string leaseId, string reason)
    {
        if (_leases.TryGetValue(leaseId, out var lease))
        {
            Send(new HubMessage { Cancel = new Cancel { LeaseId = leaseId, Reason = reason } });
            EndLease(lease, new LeaseEvent.Failed(LeaseFailure.Cancelled, reason));
        }
        return Task.CompletedTask;
    }

    public Task OfferReceipts(ImmutableArray<ImmutableArray<byte>> payloads)
    {
        Interlocked.Increment(ref _offersUnanswered);
        var offers = new ReceiptOffers();
        // The payloads are shared with the record of what is offered and never changed by anyone.
        foreach (var payload in payloads) offers.Payloads.Add(UnsafeByteOperations.UnsafeWrap(payload.AsMemory()));
        Send(new HubMessage { ReceiptOffers = offers });
        return Task.CompletedTask;
    }

    public Task Pull(string engine, string model)
    {
        Send(new HubMessage { PullModel = new PullModel { Engine = engine, Model = model } });
        return Task.CompletedTask;
    }

    public Task SetStanding(Standing standing)
    {
        _quarantined = standing is Standing.Quarantined;
        _standing = standing;
        return _quarantined ? WithdrawAsync() : AnnounceOnceAsync();
    }

    public Task<Reveal> AskReveal(string leaseId, ImmutableArray<int> positions) => _reveals.AskAsync(leaseId, positions, Send, _ended.Token);

    public Task Close(SessionEnd reason)
    {
        End(reason switch
        {
            SessionEnd.Superseded => new SessionStatus(StatusCode.Aborted, "the node connected anew"),
            SessionEnd.Banned => new SessionStatus(StatusCode.PermissionDenied, "the node is banned"),
            SessionEnd.Stopping => new SessionStatus(StatusCode.Unavailable, "the hub is stopping; dial again"),
            _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, null),
        });
        return Task.CompletedTask;
    }

    /// <summary>Queues a message for the node. A node too slow to take them is disconnected.</summary>
    public bool Send(HubMessage message)
    {
        if (_outbound.Writer.TryWrite(message)) return true;
        if (_ended.IsCancellationRequested) return false;
        _isUnreachable = true;
        End(new SessionStatus(StatusCode.ResourceExhausted, $"more than {_options.MaxOutbound} messages wait for the node"));
        return false;
    }

    // ------------------------------------------------------------------------------------------- the life of the stream

    /// <summary>Runs until either side ends the connection.</summary>
    /// <exception cref="RpcException">The node broke the protocol, or the hub ended the session: the status says why.</exception>
    public async Task RunAsync(IAsyncStreamReader<NodeMessage> inbound, IServerStreamWriter<HubMessage> outbound, CancellationToken aborted)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(aborted, _ended.Token);
        using var cut = CancellationTokenSource.CreateLinkedTokenSource(aborted);
        var writing = WriteAsync(outbound, stop.Token, cut.Token);
        var announcing = AnnounceAsync(stop.Token);
        var judging = JudgeAnswersAsync();
        try
        {
            while (await inbound.MoveNext(stop.Token))
            {
                Interlocked.Exchange(ref _lastHeard, _time.GetTimestamp());
                var handling = HandleAsync(inbound.Current);
                if (!handling.IsCompletedSuccessfully) await DeafAsync(handling);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The node hung up or the hub ended the session; which one, the lines below tell.
        }
        catch (InvalidProtocolBufferException)
        {
            throw Violation(StatusCode.InvalidArgument, "a malformed message");
        }
        catch (Exception exception) when (exception is RpcException { StatusCode: StatusCode.Cancelled } or IOException)
        {
            // The same, seen by the stream's reader first.
        }
        finally
        {
            await _ended.CancelAsync();
            _outbound.Writer.TryComplete();
            _checks.Writer.TryComplete();
            _answers.Writer.TryComplete();
            // First of all: clients wait for it, and an announcement may take as long as a database does.
            FailAllLeases();
            if (!_isUnreachable) await writing.WaitAsync(LastWords, _time, aborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await cut.CancelAsync();
            await Task.WhenAll(writing, announcing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await WithdrawAsync();
            // What the node has signed it has signed, also when it left at once.
            await judging.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        await judging;
        if (_endStatus is { } status) throw status.ToException();
    }

    /// <summary>What the node says meanwhile waits, and its silence is the hub's.</summary>
    private async ValueTask DeafAsync(ValueTask handling)
    {
        _listens = false;
        try
        {
            await handling;
        }
        finally
        {
            Interlocked.Exchange(ref _lastHeard, _time.GetTimestamp());
            _listens = true;
        }
    }

    /// <summary>Looks whether a node that owes an answer is still there: one that is silent is asked. Nobody waits for a probe: whether that is missed is for the prober to say.</summary>
    public LineState Look()
    {
        if (_ended.IsCancellationRequested) return LineState.Fine;
        var state = _watch.Look(LastHeard, Bytes?.At ?? 0, Volatile.Read(ref _working) > 0, _listens);
        if (state is LineState.Ask) Send(new HubMessage { Ping = new Ping { Number = LinePing } });
        return state;
    }

    /// <summary>Cuts off a node that does not answer; it has lost its leases.</summary>
    /// <param name="withMany">Most of the hub's lines fell silent together: it is the hub that is cut off, and no node is blamed.</param>
    public void GiveUp(bool withMany)
    {
        _isUnreachable = true;
        if (withMany) LogCutOff(NodeId, Silence.TotalSeconds, RunningLeases);
        else LogDead(NodeId, Silence.TotalSeconds, RunningLeases);
        End(withMany
            ? new SessionStatus(StatusCode.Unavailable, "the hub was cut off from most of its nodes; dial again")
            : new SessionStatus(StatusCode.DeadlineExceeded, $"no answer to a ping for {_options.PingTimeout.TotalSeconds:0.#} s"));
    }

    /// <summary>Ends the session with this status, unless it has one already.</summary>
    public void End(SessionStatus status)
    {
        Interlocked.CompareExchange(ref _endStatus, status, null);
        _ended.Cancel();
    }

    /// <summary>Writes what waits for the node, in order.</summary>
    /// <param name="outbound">The node's line.</param>
    /// <param name="stop">Nothing more is begun.</param>
    /// <param name="cut">What is being written is given up, and the call with it.</param>
    private async Task WriteAsync(IServerStreamWriter<HubMessage> outbound, CancellationToken stop, CancellationToken cut)
    {
        try
        {
            await foreach (var message in _outbound.Reader.ReadAllAsync(stop))
            {
                if (stop.IsCancellationRequested) return;
                // What waits already shares a flush with what goes before.
                outbound.WriteOptions = _outbound.Reader.TryPeek(out _) ? Coalesced : null;
                await outbound.WriteAsync(message, cut);
                if (message.Ping is { Number: LinePing }) _watch.Asked();
            }
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogWriteFailed(NodeId, exception);
            await _ended.CancelAsync();
        }
    }

    // ---------------------------------------------------------------------------------------------- what the node says

    private ValueTask HandleAsync(NodeMessage message)
    {
        switch (message.MessageCase)
        {
            case NodeMessage.MessageOneofCase.Chunk:
                TakeChunk(message.Chunk);
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Head:
                TakeHead(message.Head);
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Accept:
                TakeAccept(message.Accept);
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Done:
                TakeDone(message.Done);
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Bundle:
                return TakeBundleAsync(message.Bundle);
            case NodeMessage.MessageOneofCase.Failed:
                EndLease(LeaseOf(message.Failed.LeaseId), new LeaseEvent.Failed(Failures.FromWire(message.Failed.Reason), Shorten(message.Failed.Detail)));
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Refuse:
                TakeRefusal(message.Refuse);
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Heartbeat:
                Spend();
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Inventory:
                Spend();
                return new ValueTask(TakeInventoryAsync(message.Inventory));
            case NodeMessage.MessageOneofCase.Policy:
                Spend();
                return new ValueTask(TakePolicyAsync(message.Policy));
            case NodeMessage.MessageOneofCase.ReceiptAnswers:
                // An answer to an offer costs nothing, since the hub asked for it.
                if (Interlocked.Decrement(ref _offersUnanswered) < 0)
                {
                    Interlocked.Increment(ref _offersUnanswered);
                    Spend();
                }
                return TakeAnswersAsync(message.ReceiptAnswers);
            case NodeMessage.MessageOneofCase.Drain:
                Spend();
                return new ValueTask(TakeDrainAsync(message.Drain));
            case NodeMessage.MessageOneofCase.PullProgress:
                Spend();
                TakePull(message.PullProgress);
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.AuditReveal:
                // The hub asked for it, or the connection ends.
                if (_reveals.Take(message.AuditReveal) is { } fault) throw Violation(fault.Code, fault.Detail);
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Pong when message.Pong.Number == LinePing:
                // That it came is all it says.
                Spend();
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.ChallengeCommit:
            case NodeMessage.MessageOneofCase.ChallengeProof:
            case NodeMessage.MessageOneofCase.ChallengeDecline:
            case NodeMessage.MessageOneofCase.Pong:
                Spend();
                TakeCheck(message);
                return ValueTask.CompletedTask;
            case NodeMessage.MessageOneofCase.Hello:
                throw Violation(StatusCode.InvalidArgument, "a second hello");
            case NodeMessage.MessageOneofCase.None:
                // A message of a newer agent: ignored, as the protocol promises.
                Spend();
                return ValueTask.CompletedTask;
            default:
                throw new InvalidOperationException($"Message {message.MessageCase} is not handled.");
        }
    }

    /// <summary>Each as if it had come alone. What a lease's consumer is told at once wakes it once.</summary>
    private async ValueTask TakeBundleAsync(Bundle bundle)
    {
        if (bundle.Messages.Count == 0) throw Violation(StatusCode.InvalidArgument, "a bundle of nothing");
        foreach (var message in bundle.Messages)
        {
            if (message.MessageCase is NodeMessage.MessageOneofCase.Bundle) throw Violation(StatusCode.InvalidArgument, "a bundle in a bundle");
            await HandleAsync(message);
        }
    }

    /// <summary>
    /// Pays for a message that nothing else bounds. Those of a lease it holds are free: a lease has one beginning, one end, and a
    /// window between.
    /// </summary>
    private void Spend()
    {
        if (!_budget.TrySpend()) throw Violation(StatusCode.ResourceExhausted, $"more than {_options.MessagesPerSecond} messages a second");
    }

    /// <summary>Notes when it came, before anything else takes time; what it says is judged by whoever runs the challenge.</summary>
    private void TakeCheck(NodeMessage message)
    {
        if (!_checks.Writer.TryWrite(new CheckMessage(message, _time.GetTimestamp()))) throw Violation(StatusCode.ResourceExhausted, "more words about challenges than there are challenges");
    }

    private void TakeAccept(Accept accept)
    {
        if (LeaseOf(accept.LeaseId) is not { } lease) return;
        if (!lease.TryAccept()) throw Violation(StatusCode.InvalidArgument, $"lease {lease.LeaseId} was accepted before");
        // One slow answer to a lease is no distance.
        var (known, taken) = (_roundTripTicks, _time.GetElapsedTime(lease.AssignedAt).Ticks);
        Interlocked.Exchange(ref _roundTripTicks, known == 0 ? taken : ((known * 7) + taken) / 8);
    }

    private void TakeHead(Head head)
    {
        var lease = LeaseOf(head.LeaseId);
        if (lease is null) return;
        if (head.Status is < 200 or > 599) throw Violation(StatusCode.InvalidArgument, $"status {head.Status} is not an HTTP answer");
        if (!lease.TryBegin((int)head.Status, FitForHeader(head.ContentType))) throw Violation(StatusCode.InvalidArgument, $"a second head for lease {lease.LeaseId}");
    }

    private void TakeChunk(Chunk chunk)
    {
        var lease = LeaseOf(chunk.LeaseId, chunk.Data.Length + Lease.ChunkOverheadBytes);
        if (lease is null) return;
        if (chunk.Data.Length > _options.MaxChunkBytes) throw Violation(StatusCode.ResourceExhausted, $"a chunk of {chunk.Data.Length} bytes; at most {_options.MaxChunkBytes}");
        switch (lease.TryTake(chunk.Sequence, chunk.Data.Memory))
        {
            case ChunkVerdict.Taken:
                return;
            case ChunkVerdict.BeforeHead:
                throw Violation(StatusCode.InvalidArgument, $"a chunk before the head of lease {lease.LeaseId}");
            case ChunkVerdict.OutOfOrder:
                throw Violation(StatusCode.InvalidArgument, $"chunk {chunk.Sequence} of lease {lease.LeaseId} is out of order");
            case ChunkVerdict.OverWindow:
                throw Violation(StatusCode.ResourceExhausted, $"lease {lease.LeaseId} sent more than its window");
            default:
                throw new InvalidOperationException("Not a verdict.");
        }
    }

    private void TakeDone(Done done)
    {
        var lease = LeaseOf(done.LeaseId);
        if (lease is null) return;
        if (!lease.HasBegun) throw Violation(StatusCode.InvalidArgument, $"the end of lease {lease.LeaseId} before its head");
        var usage = done.Usage ?? new Usage();
        if (done.LogprobCommitment.Length is not (0 or 32)) throw Violation(StatusCode.InvalidArgument, $"a commitment of {done.LogprobCommitment.Length} bytes");
        if (usage.PromptTokens > int.MaxValue || usage.CompletionTokens > int.MaxValue) throw Violation(StatusCode.InvalidArgument, "token counts out of range");
        EndLease(lease, new LeaseEvent.Done((int)usage.PromptTokens, (int)usage.CompletionTokens, [.. done.OutputSha256.Span], Shorten(done.FinishReason)) { LogprobCommitment = [.. done.LogprobCommitment.Span] });
    }

    private void TakeRefusal(Refuse refuse)
    {
        var lease = LeaseOf(refuse.LeaseId);
        if (lease is null) return;
        if (lease.HasBegun) throw Violation(StatusCode.InvalidArgument, $"lease {lease.LeaseId} was refused after its head");
        if (refuse.Reason is RefuseReason.NoSlot) _starvedModels.TryAdd(lease.Model, 0);
        EndLease(lease, new LeaseEvent.Refused(Failures.FromWire(refuse.Reason)));
    }

    /// <summary>Keeps the latest step of each pull; of many, those heard of last.</summary>
    private void TakePull(PullProgress progress)
    {
        var pull = new PullReport(
            Shorten(progress.Engine),
            Shorten(progress.Model),
            Shorten(progress.Status),
            (long)Math.Min(progress.CompletedBytes, long.MaxValue),
            (long)Math.Min(progress.TotalBytes, long.MaxValue),
            progress.Finished,
            Shorten(progress.Error));
        LogPull(NodeId, pull.Model, pull.Error.Length > 0 ? pull.Error : pull.Status);
        var others = _report.Pulls.Where(other => (other.Engine, other.Model) != (pull.Engine, pull.Model));
        _report = _report with { Pulls = [.. others.TakeLast(_options.MaxPulls - 1), pull] };
    }

    private async Task TakeInventoryAsync(Inventory inventory)
    {
        if (Reports.WhyInvalid(inventory, _options) is { } problem) throw Violation(StatusCode.InvalidArgument, problem);
        var before = Offers();
        _report = _report with { Engines = Reports.Engines(inventory) };
        await WithdrawAsync(before.Except(Offers()));
        await AnnounceOnceAsync();
    }

    private Task TakePolicyAsync(Policy policy)
    {
        _report = Reports.With(_report, policy);
        return AnnounceOnceAsync();
    }

    private ValueTask TakeAnswersAsync(ReceiptAnswers answers)
    {
        var count = answers.Signed.Count + answers.Objections.Count;
        if (count is 0 or > ReceiptBatch.CountMax) throw Violation(StatusCode.InvalidArgument, $"an answer about {count} receipts; 1 to {ReceiptBatch.CountMax} are offered at once");
        var ids = answers.Signed.Concat(answers.Objections.Select(objection => objection.ReceiptId)).ToHashSet();
        if (ids.Any(id => id.Length != SHA256.HashSizeInBytes) || answers.Signature.Length != (answers.Signed.Count > 0 ? SigningKey.SignatureBytes : 0))
            throw Violation(StatusCode.InvalidArgument, "a receipt signature of the wrong length");
        if (ids.Count < count) throw Violation(StatusCode.InvalidArgument, "two answers about one receipt");
        var answer = new OfferAnswer(
            [.. answers.Signed.Select(Bytes)], Bytes(answers.Signature), [.. answers.Objections.Select(objection => new Objection(Bytes(objection.ReceiptId), Shorten(objection.Objection)))]);
        return _answers.Writer.WriteAsync(answer, _ended.Token);

        static ImmutableArray<byte> Bytes(ByteString bytes) => [.. bytes.Span];
    }

    /// <summary>Beside the line: receipts wait for the disk, and the answers to clients that come behind their signature must not.</summary>
    private async Task JudgeAnswersAsync()
    {
        try
        {
            var batch = new List<OfferAnswer>(AnswersAtOnce);
            while (await _answers.Reader.WaitToReadAsync())
            {
                batch.Clear();
                while (batch.Count < AnswersAtOnce && _answers.Reader.TryRead(out var next)) batch.Add(next);
                await Task.WhenAll(batch.Select(JudgeAnswerAsync));
            }
        }
        catch
        {
            // Nobody judges any more: the session ends, and whoever runs it hears why.
            await _ended.CancelAsync();
            throw;
        }
    }

    private async Task JudgeAnswerAsync(OfferAnswer answer)
    {
        ImmutableArray<ReceiptSigning> signings;
        try
        {
            signings = await _grains.SignReceiptsAsync(NodeId, answer);
        }
        catch (Exception exception) when (IsPassing(exception))
        {
            // The receipts stay offered, and are offered again.
            LogSigningFailed(NodeId, exception);
            return;
        }
        var issued = new ReceiptsIssued();
        for (var i = 0; i < signings.Length; i++)
        {
            switch (signings[i].Status)
            {
                case ReceiptSigningStatus.Issued:
                    issued.Receipts.Add(new IssuedReceipt
                    {
                        ReceiptId = UnsafeByteOperations.UnsafeWrap((i < answer.Agreed.Length ? answer.Agreed[i] : answer.Objections[i - answer.Agreed.Length].ReceiptId).AsMemory()),
                        HubSignature = UnsafeByteOperations.UnsafeWrap(signings[i].HubSignature.AsMemory()),
                        CreditedMicrocredits = signings[i].CreditedMicrocredits,
                    });
                    break;
                case ReceiptSigningStatus.Disputed:
                case ReceiptSigningStatus.TooLate:
                case ReceiptSigningStatus.Unchecked:
                    break;
                case ReceiptSigningStatus.Unknown:
                    EndFor(StatusCode.PermissionDenied, "a signature for a receipt that was not offered to this node");
                    return;
                case ReceiptSigningStatus.WrongSignature:
                    EndFor(StatusCode.Unauthenticated, "a receipt signature that is not this node's");
                    return;
                default:
                    throw new InvalidOperationException($"Status {signings[i].Status} is not handled.");
            }
        }
        if (issued.Receipts.Count > 0) Send(new HubMessage { ReceiptsIssued = issued });
    }

    private async Task TakeDrainAsync(Drain drain)
    {
        LogDraining(NodeId, Shorten(drain.Reason), _leases.Count);
        lock (_slotGate) _draining = true;
        await WithdrawAsync();
    }

    /// <summary>
    /// The lease a message is about. A lease that ended a moment ago gives <see langword="null"/>: its last messages were on their
    /// way. One the node never held ends the connection, since only a broken or hostile node invents one.
    /// </summary>
    private Lease? LeaseOf(string leaseId, int cost = Lease.ChunkOverheadBytes)
    {
        if (_leases.TryGetValue(leaseId, out var lease)) return lease;
        switch (_endedLeases.Take(leaseId, cost))
        {
            case LateMessage.Expected:
                return null;
            case LateMessage.TooMuch:
                throw Violation(StatusCode.ResourceExhausted, $"lease {leaseId} goes on after its end");
            case LateMessage.Unknown:
                break;
            default:
                throw new InvalidOperationException("Not an answer.");
        }
        throw Violation(StatusCode.PermissionDenied, $"lease '{Shorten(leaseId)}' was not given to this node");
    }

    private void EndLease(Lease? lease, LeaseEvent last)
    {
        if (lease is null) return;
        _endedLeases.Add(lease.LeaseId, lease.WindowLeft);
        lock (_slotGate)
        {
            if (_leases.TryRemove(lease.LeaseId, out _))
            {
                Count(lease, -1);
                if (!lease.Unpaid && --_working == 0) _worked += _time.GetElapsedTime(_workingSince);
            }
        }
        lease.TryEnd(last);
        if (!_starvedModels.IsEmpty) _ = AnnounceStarvedAsync();
    }

    private void FailAllLeases()
    {
        // Under the gate, so that a lease is either seen here or refused by TryAssign.
        Lease[] left;
        lock (_slotGate) left = [.. _leases.Values];
        var last = _endStatus is { Code: StatusCode.Unavailable } status
            ? new LeaseEvent.Failed(LeaseFailure.HubLost, status.Detail)
            : _draining && _endStatus is null ? new LeaseEvent.Failed(LeaseFailure.HandedBack, "the node was leaving, as it had said")
            : new LeaseEvent.Failed(LeaseFailure.NodeLost, "the node's connection is gone");
        foreach (var lease in left) EndLease(lease, last);
    }

    /// <summary>A silo or the database is away for a moment: no reason to cut a node off in the middle of its answers.</summary>
    private static bool IsPassing(Exception exception) => exception is OrleansException or TimeoutException or StorageException { IsTransient: true };

    private RpcException Violation(StatusCode code, string what) => EndFor(code, what).ToException();

    /// <summary>Ends the session for what the node did, which says more than that it is banned for it.</summary>
    private SessionStatus EndFor(StatusCode code, string what)
    {
        LogViolation(NodeId, what);
        var status = new SessionStatus(code, what);
        _endStatus = status;
        _ended.Cancel();
        return status;
    }

    /// <summary>Words of a node in a log line: bounded, on one line.</summary>
    private static string Shorten(string text) => Printable.Of(text, 200);

    /// <summary>A content type goes on to the client in a header, where nothing but ASCII can stand; nothing where it is not fit.</summary>
    private static string FitForHeader(string text) => text.Length <= ContentTypeMax && text.All(static character => character is >= ' ' and <= '~') ? text : string.Empty;

    // ------------------------------------------------------------------------------------------ what the pools are told

    /// <summary>Slots that work may have, since what yields makes room for it; or slots that nobody has at all.</summary>
    private int FreeSlots(string engine, bool forWhatYields = false)
    {
        var slots = _report.Engines.FirstOrDefault(candidate => candidate.Name == engine)?.Slots ?? 0;
        if (!_report.AcceptsWork) return 0;
        lock (_slotGate)
        {
            var (all, thatYield) = _taken.GetValueOrDefault(engine);
            return slots - (forWhatYields ? all : all - thatYield);
        }
    }

    private void Count(Lease lease, int change)
    {
        var (all, thatYield) = _taken.GetValueOrDefault(lease.Engine);
        if (all + change == 0) _taken.Remove(lease.Engine);
        else _taken[lease.Engine] = (all + change, thatYield + (lease.Yields ? change : 0));
    }

    private async Task AnnounceAsync(CancellationToken stop)
    {
        using var period = new PeriodicTimer(_grains.AnnouncePeriod, _time);
        do
        {
            if (Silence > _options.Heartbeat * _options.SilentHeartbeats)
            {
                End(new SessionStatus(StatusCode.DeadlineExceeded, $"no heartbeat for {Silence.TotalSeconds:0} s"));
                return;
            }
            await AnnounceOnceAsync();
        }
        while (await period.WaitForNextTickAsync(stop));
    }

    private async Task AnnounceOnceAsync()
    {
        if (_draining) return;
        try
        {
            foreach (var engine in _report.Engines)
            {
                foreach (var model in engine.Models) await AnnounceModelAsync(engine, model);
            }
            switch (await _grains.ReportAsync(NodeId, SessionId, Report))
            {
                case ReportStatus.Taken:
                    break;
                case ReportStatus.NotConnected:
                    await _grains.ConnectAsync(NodeId, new NodeConnection(SessionId, OwnReference, Report) { Network = Network });
                    break;
                case ReportStatus.Superseded:
                    await Close(SessionEnd.Superseded);
                    break;
                default:
                    throw new InvalidOperationException("Not a status.");
            }
        }
        catch (Exception exception) when (IsPassing(exception))
        {
            // A silo is going or gone; the next period tells its successor.
            LogAnnounceFailed(NodeId, exception);
        }
    }

    private async Task AnnounceStarvedAsync()
    {
        foreach (var (name, _) in _starvedModels)
        {
            if (!_starvedModels.TryRemove(name, out _)) continue;
            try
            {
                foreach (var engine in _report.Engines)
                {
                    foreach (var model in engine.Models.Where(model => model.Name == name)) await AnnounceModelAsync(engine, model);
                }
            }
            catch (Exception exception) when (IsPassing(exception))
            {
                LogAnnounceFailed(NodeId, exception);
            }
        }
    }

    /// <summary>Offers a model, unless the node is leaving or in quarantine: a pool that it has withdrawn from must not hear of it again.</summary>
    private Task AnnounceModelAsync(EngineReport engine, ModelReport model) => _draining || _quarantined || _ended.IsCancellationRequested ? Task.CompletedTask : _grains.AnnounceAsync(model.Name, new PoolMember(
        SessionId,
        Interlocked.Increment(ref _announcements),
        NodeId,
        engine.Name,
        engine.Slots,
        FreeSlots(engine.Name),
        model,
        OwnReference)
    {
        AccountId = AccountId,
        Standing = _standing,
        RoundTrip = TimeSpan.FromTicks(Interlocked.Read(ref _roundTripTicks)),
    });

    /// <summary>Which engine has which model.</summary>
    private ImmutableArray<(string Engine, string Model)> Offers() => [.. _report.Engines.SelectMany(static engine => engine.Models.Select(model => (engine.Name, model.Name)))];

    private Task WithdrawAsync() => WithdrawAsync(Offers());

    private async Task WithdrawAsync(IEnumerable<(string Engine, string Model)> offers)
    {
        foreach (var (engine, model) in offers)
        {
            try
            {
                await _grains.WithdrawAsync(model, SessionId, engine);
            }
            catch (Exception exception) when (IsPassing(exception))
            {
                // The pool forgets a silent session by itself.
                LogAnnounceFailed(NodeId, exception);
            }
        }
    }

    /// <summary>Carries a lease's events to a consumer on another silo, each batch after the one before was taken.</summary>
    private async Task PumpAsync(Lease lease, ILeaseSink sink)
    {
        const int batchMax = 64;
        try
        {
            while (await lease.Events.WaitToReadAsync())
            {
                var batch = ImmutableArray.CreateBuilder<LeaseEvent>();
                while (batch.Count < batchMax && lease.Events.TryRead(out var item)) batch.Add(item);
                await sink.Take(new LeaseEvents(batch.ToImmutable()));
            }
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            LogConsumerLost(NodeId, lease.LeaseId, exception);
            await Cancel(lease.LeaseId, "the client's silo is gone");
        }
    }
}

/// <summary>A word of a node in a challenge.</summary>
/// <param name="Message">A commitment, a proof, a refusal or the answer to a ping.</param>
/// <param name="At">When it came: timestamp of this silo's clock.</param>
internal readonly record struct CheckMessage(NodeMessage Message, long At);
