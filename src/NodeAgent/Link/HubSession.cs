using System.Collections.Concurrent;
using System.Threading.Channels;
using Federation.NodeAgent.Compute;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Hardware;
using Federation.Protocol.Identity;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>What a session needs of the agent around it.</summary>
internal sealed record AgentParts(
    NodeKey Key, EngineWatch Engines, IHardwareProbe Hardware, Contribution Contribution, WorkedToday Worked, WorkLog Work, RevealLog Reveals, ReceiptSigner Receipts, IChallengeDevices ChallengeDevices, AgentStatusFile Status, string Version, TimeProvider Time, ILoggerFactory Loggers);

/// <summary>One connection to the hub, from its challenge to its end.</summary>
internal sealed partial class HubSession(AgentParts agent, Task<Protocol.V1.Hardware> hardware, ILogger<HubSession> logger)
{
    // Leases wait here when the line is slow; each has at most one message under way beside its window.
    private const int OutboundMax = 256;

    // More questions than a hub asks of one node at once.
    private const int RevealsMax = 64;

    // Each of up to a hundred receipts.
    private const int ReceiptsMax = 16;

    // Each takes its engine's line and the owner's disk.
    private const int PullsMax = 4;

    // Of a lease and of its job; they are kept for hours.
    private const int IdLengthMax = 128;

    private const int ModelLengthMax = 512;

    // Below it a chunk would be mostly envelope.
    private const uint LeastChunkBytes = 256;

    // Larger ones would keep the first message waiting for the last.
    private const int BundleBytesMax = 64 * 1024;

    private static readonly TimeSpan LongestHeartbeat = TimeSpan.FromHours(1);

    // How far away the node is changes slowly.
    private static readonly TimeSpan AcceptPeriod = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan PolicyPeriod = TimeSpan.FromSeconds(1);

    private static readonly WriteOptions Coalesced = new(WriteFlags.BufferHint);

    private readonly ConcurrentDictionary<string, LeaseRun> _leases = new(StringComparer.Ordinal);
    private readonly Channel<NodeMessage> _outbound = Channel.CreateBounded<NodeMessage>(new BoundedChannelOptions(OutboundMax) { SingleReader = true });
    private readonly Channel<AuditRequest> _reveals = Channel.CreateBounded<AuditRequest>(new BoundedChannelOptions(RevealsMax) { SingleReader = true });
    private readonly Channel<HubMessage> _receipts = Channel.CreateBounded<HubMessage>(new BoundedChannelOptions(ReceiptsMax) { SingleReader = true });
    private readonly Lock _slots = new();
    private volatile bool _draining;
    private int _pulls;
    private long? _acceptedAt;
    private Welcome _limits = new();
    private HubId _hub;
    private ChallengeDesk? _challenges;
    private Inventories? _inventories;
    private Policy _policy = new();
    private ModelFilter _models = new([], null);

    /// <summary>The hub let the node in; it can be given work now.</summary>
    public bool IsWelcome { get; private set; }

    /// <summary>Leases running now.</summary>
    public int RunningLeases => _leases.Count;

    /// <summary>Runs until the hub or <paramref name="stop"/> ends it; stopping lets running leases finish for <paramref name="drainTimeout"/>.</summary>
    /// <exception cref="RpcException">The hub ended it, or the line broke.</exception>
    /// <exception cref="HubUnreachableException">Whoever answered is not the hub this node joined.</exception>
    public async Task RunAsync(Uri link, HubId hub, TimeSpan drainTimeout, CancellationToken stop)
    {
        _hub = hub;
        using var channel = HubChannel.Open(link);
        using var lost = new CancellationTokenSource();
        using var call = HubCall.Open(channel, lost.Token);
        var helpers = new List<Task>();
        try
        {
            await GreetAsync(call, lost.Token).ConfigureAwait(false);
            helpers.Add(WriteAsync(call.RequestStream, lost));
            helpers.Add(BeatAsync(lost.Token));
            helpers.Add(RevealAsync(lost.Token));
            helpers.Add(AgreeAsync(lost.Token));
            helpers.Add(TellPolicyAsync(lost.Token));
            helpers.Add(TellInventoryAsync(lost.Token));
            helpers.Add(DrainAsync(drainTimeout, lost, stop));
            while (await call.ResponseStream.MoveNext(lost.Token).ConfigureAwait(false)) await HandleAsync(call.ResponseStream.Current, lost.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (stop.IsCancellationRequested && exception is OperationCanceledException or RpcException { StatusCode: StatusCode.Cancelled })
        {
            // The drain is done and has closed the line.
        }
        finally
        {
            await lost.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(helpers).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // ------------------------------------------------------------------------------------------------------ handshake

    private async Task GreetAsync(AsyncDuplexStreamingCall<NodeMessage, HubMessage> call, CancellationToken cancellationToken)
    {
        var challenge = (await NextAsync(call.ResponseStream, cancellationToken).ConfigureAwait(false)).Challenge
            ?? throw new HubUnreachableException("The hub did not begin with a challenge.");
        if (HubId.FromPublicKey(challenge.HubPublicKey.Span) != _hub || challenge.HubId != _hub.ToString())
            throw new HubUnreachableException($"This is not the hub the node joined ({_hub}) but {challenge.HubId}. If the hub was set up anew, join it again.");
        if (challenge.Nonce.Length != Proofs.NonceBytes) throw new HubUnreachableException($"The hub's nonce has {challenge.Nonce.Length} bytes, not {Proofs.NonceBytes}.");
        _challenges = new ChallengeDesk(
            agent.Key, _hub, challenge.HubPublicKey.Memory, agent.ChallengeDevices, () => !_leases.IsEmpty, SendAsync, agent.Time, agent.Loggers.CreateLogger<ChallengeDesk>());
        _policy = agent.Contribution.Now();
        _models = agent.Contribution.Models;
        var machine = await hardware.WaitAsync(cancellationToken).ConfigureAwait(false);
        _inventories = new Inventories(agent.Version, machine);
        var hello = new Hello
        {
            NodeId = agent.Key.NodeId,
            Signature = ByteString.CopyFrom(agent.Key.Sign(Proofs.Connection(_hub, challenge.Nonce.Span, NodeId.Parse(agent.Key.NodeId)))),
            AgentVersion = agent.Version,
            Hardware = machine,
            Inventory = _inventories.Of(agent.Engines.Current, _models),
            Policy = _policy,
        };
        await call.RequestStream.WriteAsync(new NodeMessage { Hello = hello }, cancellationToken).ConfigureAwait(false);
        _limits = (await NextAsync(call.ResponseStream, cancellationToken).ConfigureAwait(false)).Welcome
            ?? throw new HubUnreachableException("The hub did not say welcome.");
        if (_limits.MaxChunkBytes < LeastChunkBytes) throw new HubUnreachableException($"The hub wants chunks of {_limits.MaxChunkBytes} bytes; an answer cannot be sent with less than {LeastChunkBytes}.");
        if (TimeSpan.FromMilliseconds(_limits.HeartbeatMs) > LongestHeartbeat) throw new HubUnreachableException($"The hub wants a heartbeat every {_limits.HeartbeatMs} ms, which is none.");
        IsWelcome = true;
        LogWelcome(_hub.ToString(), hello.Inventory.Engines.Sum(engine => engine.Models.Count));
    }

    private static async Task<HubMessage> NextAsync(IAsyncStreamReader<HubMessage> stream, CancellationToken cancellationToken)
        => await stream.MoveNext(cancellationToken).ConfigureAwait(false) ? stream.Current : throw new HubUnreachableException("The hub ended the conversation.");

    // ---------------------------------------------------------------------------------------------- what the hub says

    private async ValueTask HandleAsync(HubMessage message, CancellationToken lost)
    {
        switch (message.MessageCase)
        {
            case HubMessage.MessageOneofCase.Assign:
                await TakeAsync(message.Assign, lost).ConfigureAwait(false);
                break;
            case HubMessage.MessageOneofCase.Cancel:
                if (_leases.TryGetValue(message.Cancel.LeaseId, out var cancelled)) cancelled.Cancel();
                break;
            case HubMessage.MessageOneofCase.Window:
                if (_leases.TryGetValue(message.Window.LeaseId, out var granted)) granted.Grant(message.Window.Bytes);
                break;
            case HubMessage.MessageOneofCase.ReceiptOffers:
            case HubMessage.MessageOneofCase.ReceiptsIssued:
                await _receipts.Writer.WriteAsync(message, lost).ConfigureAwait(false);
                break;
            case HubMessage.MessageOneofCase.Ping:
                await SendAsync(new NodeMessage { Pong = new Pong { Number = message.Ping.Number } }, lost).ConfigureAwait(false);
                break;
            case HubMessage.MessageOneofCase.ChallengeStart:
                await _challenges!.StartAsync(message.ChallengeStart.Message.Memory, _draining ? "the agent is stopping" : _policy.PausedReason, lost).ConfigureAwait(false);
                break;
            case HubMessage.MessageOneofCase.ChallengeOpen:
                _challenges!.Open(message.ChallengeOpen.Message.Memory);
                break;
            case HubMessage.MessageOneofCase.ChallengeResult:
                _challenges!.Hear(message.ChallengeResult.Message.Memory);
                break;
            case HubMessage.MessageOneofCase.AuditRequest:
                await _reveals.Writer.WriteAsync(message.AuditRequest, lost).ConfigureAwait(false);
                break;
            case HubMessage.MessageOneofCase.PullModel:
                await PullAsync(message.PullModel, lost).ConfigureAwait(false);
                break;
            default:
                // A message of a newer hub: ignored, as the protocol promises.
                break;
        }
    }

    private async ValueTask TakeAsync(Assign assign, CancellationToken lost)
    {
        var (lease, refusal, detail) = TryBegin(assign);
        if (lease is null)
        {
            LogRefused(Brief(assign.LeaseId), refusal, detail);
            await SendAsync(new NodeMessage { Refuse = new Refuse { LeaseId = assign.LeaseId, Reason = refusal, Detail = detail } }, lost).ConfigureAwait(false);
            return;
        }
        if (_acceptedAt is not { } last || agent.Time.GetElapsedTime(last) >= AcceptPeriod)
        {
            _acceptedAt = agent.Time.GetTimestamp();
            await SendAsync(new NodeMessage { Accept = new Accept { LeaseId = assign.LeaseId } }, lost).ConfigureAwait(false);
        }
        // Off the reading loop: a lease lives as long as its answer.
        _ = RunAsync(lease, lost);
    }

    private (LeaseRun? Lease, RefuseReason Refusal, string Detail) TryBegin(Assign assign)
    {
        if (assign.LeaseId.Length is 0 or > IdLengthMax || assign.JobId.Length is 0 or > IdLengthMax) return (null, RefuseReason.Unspecified, $"the ids of a lease and its job have 1 to {IdLengthMax} characters");
        if (_draining) return (null, RefuseReason.Draining, "the agent is stopping");
        if (_policy.Paused) return (null, RefuseReason.Paused, _policy.PausedReason);
        if (!JobKinds.TryParse(assign.Kind, out var kind)) return (null, RefuseReason.ModelGone, $"this agent knows no jobs of kind '{Brief(assign.Kind)}'");
        if (agent.Engines.Current.Find(assign.Engine) is not { } engine || engine.Inventory.Models.All(model => model.Name != assign.Model))
            return (null, RefuseReason.ModelGone, $"engine '{Brief(assign.Engine)}' has no model '{Brief(assign.Model)}'");
        if (kind is JobKind.Score && engine.Engine is not IScoringEngine) return (null, RefuseReason.ModelGone, $"engine '{Brief(assign.Engine)}' cannot score");
        var lease = new LeaseRun(assign, kind, engine.Engine, _limits, SendAsync, agent.Work, agent.Reveals, agent.Time, logger);
        var detail = $"all {engine.Engine.Slots} slots are taken";
        lock (_slots)
        {
            if (_leases.ContainsKey(assign.LeaseId)) detail = "this lease runs already";
            else if (_leases.Values.Count(running => running.Engine == engine.Engine && !running.IsCancelled) < engine.Engine.Slots && _leases.TryAdd(assign.LeaseId, lease)) return (lease, default, string.Empty);
        }
        lease.Dispose();
        return (null, RefuseReason.NoSlot, detail);
    }

    /// <summary>What the hub calls something, short enough for a log and an answer.</summary>
    private static string Brief(string word) => word.Length <= IdLengthMax ? word : string.Concat(word.AsSpan(0, IdLengthMax), "…");

    private async Task RunAsync(LeaseRun lease, CancellationToken lost)
    {
        await Task.Yield();
        agent.Worked.Begin();
        try
        {
            await lease.RunAsync(lost).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is OperationCanceledException or ChannelClosedException)
        {
            // The line is gone; the hub knows what it did not get.
        }
        catch (Exception exception)
        {
            // One lease's failure is not the agent's; but it is nobody's fault but ours.
            LogLeaseFailed(lease.LeaseId, exception);
        }
        finally
        {
            _leases.TryRemove(lease.LeaseId, out _);
            agent.Worked.End();
            lease.Dispose();
        }
    }

    /// <summary>Off the reading loop: a reveal hashes a whole answer.</summary>
    private async Task RevealAsync(CancellationToken lost)
    {
        await foreach (var request in _reveals.Reader.ReadAllAsync(lost).ConfigureAwait(false))
            await SendAsync(new NodeMessage { AuditReveal = agent.Reveals.Reveal(request) }, lost).ConfigureAwait(false);
    }

    /// <summary>Off the reading loop, in order: a batch of receipts is read and signed for milliseconds, and the next lease must not wait for it.</summary>
    private async Task AgreeAsync(CancellationToken lost)
    {
        await foreach (var message in _receipts.Reader.ReadAllAsync(lost).ConfigureAwait(false))
        {
            if (message.MessageCase is HubMessage.MessageOneofCase.ReceiptsIssued) agent.Receipts.Take(message.ReceiptsIssued);
            else if (agent.Receipts.Answer(message.ReceiptOffers, _hub) is { } answers) await SendAsync(new NodeMessage { ReceiptAnswers = answers }, lost).ConfigureAwait(false);
        }
    }

    /// <summary>Has an engine fetch a model beside the session, if not too many are under way.</summary>
    private async ValueTask PullAsync(PullModel pull, CancellationToken lost)
    {
        if (Interlocked.Increment(ref _pulls) <= PullsMax)
        {
            _ = FetchAsync(pull, lost);
            return;
        }
        Interlocked.Decrement(ref _pulls);
        var refused = new PullProgress { Engine = Brief(pull.Engine), Model = Brief(pull.Model), Error = $"{PullsMax} models are being fetched already" };
        await SendAsync(new NodeMessage { PullProgress = refused }, lost).ConfigureAwait(false);
    }

    private async Task FetchAsync(PullModel pull, CancellationToken lost)
    {
        var progress = new PullProgress { Engine = pull.Engine, Model = pull.Model };
        try
        {
            var engine = agent.Engines.Current.Find(pull.Engine)?.Engine ?? throw new PullFailedException($"there is no engine '{Brief(pull.Engine)}'");
            if (pull.Model.Length is 0 or > ModelLengthMax) throw new PullFailedException($"a model's name has 1 to {ModelLengthMax} characters");
            await foreach (var step in engine.PullAsync(pull.Model, lost).ConfigureAwait(false))
            {
                progress = new PullProgress
                {
                    Engine = pull.Engine,
                    Model = pull.Model,
                    Status = step.Status,
                    CompletedBytes = (ulong)(step.CompletedBytes ?? 0),
                    TotalBytes = (ulong)(step.TotalBytes ?? 0),
                };
                await SendAsync(new NodeMessage { PullProgress = progress }, lost).ConfigureAwait(false);
            }
            progress = progress.Clone();
            progress.Finished = true;
        }
        catch (Exception exception) when (exception is PullFailedException or EngineUnavailableException or NotSupportedException)
        {
            progress = progress.Clone();
            progress.Error = exception.Message;
        }
        catch (Exception exception) when (exception is OperationCanceledException or ChannelClosedException)
        {
            return;
        }
        finally
        {
            Interlocked.Decrement(ref _pulls);
        }
        await SendAsync(new NodeMessage { PullProgress = progress }, lost).ConfigureAwait(false);
    }

    // -------------------------------------------------------------------------------------------- what the node says

    private ValueTask SendAsync(NodeMessage message, CancellationToken cancellationToken) => _outbound.Writer.WriteAsync(message, cancellationToken);

    private async Task WriteAsync(IClientStreamWriter<NodeMessage> stream, CancellationTokenSource lost)
    {
        try
        {
            await foreach (var message in _outbound.Reader.ReadAllAsync(lost.Token).ConfigureAwait(false))
            {
                // What waits already shares a message, or at least a flush, with what goes before.
                var whole = Gather(message);
                stream.WriteOptions = _outbound.Reader.TryPeek(out _) ? Coalesced : null;
                await stream.WriteAsync(whole, lost.Token).ConfigureAwait(false);
            }
            await stream.CompleteAsync().ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is RpcException or InvalidOperationException or IOException)
        {
            // The reading side learns the reason; here it only matters that nobody waits for this writer any more.
            LogWriteFailed(exception);
            _outbound.Writer.TryComplete();
        }
    }

    /// <summary>This message with those that wait behind it, as far as they fit into one.</summary>
    private NodeMessage Gather(NodeMessage first)
    {
        if (_limits.MaxBundleBytes == 0 || !_outbound.Reader.TryPeek(out var next)) return first;
        var most = Math.Min(_limits.MaxBundleBytes, BundleBytesMax);
        var bytes = (long)first.CalculateSize() + LeaseRun.BundledBytes;
        var bundle = first.Bundle;
        while (next is not null && (bytes += next.CalculateSize() + LeaseRun.BundledBytes) <= most && _outbound.Reader.TryRead(out next))
        {
            bundle ??= new Bundle { Messages = { first } };
            if (next.Bundle is { } inner) bundle.Messages.Add(inner.Messages);
            else bundle.Messages.Add(next);
            _outbound.Reader.TryPeek(out next);
        }
        return bundle is null || first.Bundle is not null ? first : new NodeMessage { Bundle = bundle };
    }

    private async Task BeatAsync(CancellationToken lost)
    {
        using var period = new PeriodicTimer(TimeSpan.FromMilliseconds(Math.Max(100, _limits.HeartbeatMs)), agent.Time);
        do
        {
            var load = await agent.Hardware.DetectLoadAsync(lost).ConfigureAwait(false);
            agent.Contribution.Note(load);
            var slots = agent.Engines.Current.Engines.Sum(state => state.Engine.Slots);
            var heartbeat = new Heartbeat { Running = (uint)_leases.Count, FreeSlots = (uint)Math.Max(0, slots - _leases.Count) };
            if (load.CpuLoad is { } cpu) heartbeat.CpuLoad = cpu;
            heartbeat.Devices.AddRange(load.Devices.Select(device => device.ToMessage()));
            await SendAsync(new NodeMessage { Heartbeat = heartbeat }, lost).ConfigureAwait(false);
            WriteStatus();
        }
        while (await period.WaitForNextTickAsync(lost).ConfigureAwait(false));
    }

    private async Task TellPolicyAsync(CancellationToken lost)
    {
        using var period = new PeriodicTimer(PolicyPeriod, agent.Time);
        while (await period.WaitForNextTickAsync(lost).ConfigureAwait(false))
        {
            agent.Worked.Save();
            var now = agent.Contribution.Now();
            if (!agent.Contribution.Models.Equals(_models))
            {
                _models = agent.Contribution.Models;
                await SendInventoryAsync(agent.Engines.Current, lost).ConfigureAwait(false);
            }
            if (now.Equals(_policy)) continue;
            _policy = now;
            LogPolicy(now.Paused ? now.PausedReason : "takes work");
            WriteStatus();
            await SendAsync(new NodeMessage { Policy = now }, lost).ConfigureAwait(false);
        }
    }

    private void WriteStatus()
        => agent.Status.Write(new AgentStatus(_hub.ToString(), agent.Key.NodeId, Connected: true, _leases.Count, _policy.PausedReason, agent.Receipts.CreditedMicrocredits) { Engines = EngineStatus.Of(agent.Engines.Current, _models) });

    private async Task TellInventoryAsync(CancellationToken lost)
    {
        await foreach (var snapshot in agent.Engines.ChangesAsync(lost).ConfigureAwait(false)) await SendInventoryAsync(snapshot, lost).ConfigureAwait(false);
    }

    private ValueTask SendInventoryAsync(EngineSnapshot snapshot, CancellationToken lost)
        => SendAsync(new NodeMessage { Inventory = _inventories!.Of(snapshot, _models) }, lost);

    /// <summary>Leaving is graceful: no new leases, the running ones finish, then the line is closed.</summary>
    private async Task DrainAsync(TimeSpan timeout, CancellationTokenSource lost, CancellationToken stop)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, lost.Token);
        await Task.Delay(Timeout.InfiniteTimeSpan, agent.Time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (lost.IsCancellationRequested) return;
        _draining = true;
        LogDraining(_leases.Count);
        await SendAsync(new NodeMessage { Drain = new Drain { Reason = "the agent is stopping" } }, lost.Token).ConfigureAwait(false);
        var started = agent.Time.GetTimestamp();
        while (!_leases.IsEmpty && agent.Time.GetElapsedTime(started) < timeout)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(50), agent.Time, lost.Token).ConfigureAwait(false);
        }
        // A moment for the receipts of what has just finished.
        await Task.Delay(TimeSpan.FromMilliseconds(200), agent.Time, lost.Token).ConfigureAwait(false);
        _outbound.Writer.TryComplete();
        await Task.Delay(TimeSpan.FromMilliseconds(200), agent.Time, lost.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await lost.CancelAsync().ConfigureAwait(false);
    }

    [LoggerMessage(5000, LogLevel.Information, "Connected to hub {HubId} with {Models} models")]
    private partial void LogWelcome(string hubId, int models);

    [LoggerMessage(5001, LogLevel.Information, "Lease {LeaseId} is refused, {Reason}: {Detail}")]
    private partial void LogRefused(string leaseId, RefuseReason reason, string detail);

    [LoggerMessage(5002, LogLevel.Error, "Lease {LeaseId} failed")]
    private partial void LogLeaseFailed(string leaseId, Exception exception);

    [LoggerMessage(5003, LogLevel.Debug, "The hub no longer takes messages")]
    private partial void LogWriteFailed(Exception exception);

    [LoggerMessage(5004, LogLevel.Information, "The node: {What}")]
    private partial void LogPolicy(string what);

    [LoggerMessage(5005, LogLevel.Information, "Stopping: {Running} leases may finish")]
    private partial void LogDraining(int running);
}
