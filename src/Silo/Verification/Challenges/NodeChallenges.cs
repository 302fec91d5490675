using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.Contracts.Nodes;
using Federation.Protocol.Challenges;
using Federation.Protocol.V1;
using Federation.Silo.Hubs;
using Federation.Silo.Nodes;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.Epochs;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Options;
using ChallengeOutcome = Federation.Protocol.Challenges.ChallengeOutcome;

namespace Federation.Silo.Verification.Challenges;

/// <summary>What every node's challenges are made with.</summary>
internal sealed class ChallengeRoom(
    IOptions<ChallengeOptions> rules,
    IOptions<ChallengeScheduleOptions> schedule,
    IOptions<HardwareClassOptions> hardware,
    HardwareClasses classes,
    HubIdentity hub,
    EpochStore epochs,
    VerificationThread thread,
    InferenceBenchmark benchmark,
    IGrainFactory grains,
    TimeProvider time,
    ILogger<NodeChallenges> logger)
{
    private readonly UsedChallenges _used = new(rules.Value.RememberedChallenges);

    public ChallengeOptions Rules => rules.Value;

    public ChallengeScheduleOptions Schedule => schedule.Value;

    public HardwareClasses Classes => classes;

    public HardwareRate Rate { get; } = new(hardware.Value, rules.Value);

    public VerificationThread Thread => thread;

    public InferenceBenchmark Benchmark => benchmark;

    public TimeProvider Time => time;

    public ILogger Logger => logger;

    public INodeGrain Grain(string nodeId) => grains.GetGrain<INodeGrain>(nodeId);

    /// <summary>A new challenge of this epoch.</summary>
    public async Task<(ChallengeContext Context, ChallengeSeed Seed)> DrawAsync(CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        var epoch = EpochClosing.EpochOf(now);
        var current = await epochs.FindAsync(epoch, cancellationToken) ?? throw new InvalidOperationException($"Epoch {epoch} has no secret yet.");
        var last = (await epochs.ListAsync(epoch, 3, cancellationToken)).FirstOrDefault(row => row.State is EpochState.Revealed);
        // A hub's first hours have no beacon yet; the commitment is as unforeseeable to nodes.
        var (beaconEpoch, beacon) = last is null ? (epoch, current.Commitment) : (last.Epoch, last.Beacon);
        var id = ChallengeId.Read(RandomNumberGenerator.GetBytes(ChallengeId.Bytes));
        var slot = now.ToUnixTimeMilliseconds() / (long)schedule.Value.Slot.TotalMilliseconds;
        return (
            new ChallengeContext(hub.Id, bytes => hub.Sign(bytes), current.Secret, _used, rules.Value, time),
            new ChallengeSeed(id, slot, beaconEpoch, [.. beacon], [.. RandomNumberGenerator.GetBytes(SeedChain.HashBytes)]));
    }

    /// <summary>The challenges of one connection.</summary>
    public NodeChallenges For(NodeSession session, NodeIdentity node) => new(this, session, node);
}

/// <summary>
/// Challenges one connected node: until its hardware is measured, and then again and again at moments that nobody foresees. A round is an MM and a MEM challenge;
/// two of three decide. Runs beside the session and uses nothing that clients' work needs.
/// </summary>
internal sealed partial class NodeChallenges(ChallengeRoom room, NodeSession session, NodeIdentity node)
{
    private static readonly TimeSpan LeastWait = TimeSpan.FromMilliseconds(10);

    private readonly ILogger _logger = room.Logger;
    private readonly RoundTrip _roundTrip = new();
    private uint _pings;
    private long _unmeasuredSince = room.Time.GetTimestamp();
    private long _leasesBefore;
    // When the sitting began the node took work; and had none, and has not answered yet; and is in its benchmark.
    private bool _tookWork;
    private bool _owes;
    private bool _isBenchmarked;

    private HardwareClass Fallback => room.Classes.Find(room.Classes.Fallback);

    /// <summary>Runs until the connection ends.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        if (!room.Schedule.Enabled) return;
        try
        {
            await RepeatAsync(stop);
        }
        finally
        {
            await LeaveAsync();
        }
    }

    private async Task RepeatAsync(CancellationToken stop)
    {
        var wait = room.Schedule.FirstAfter;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(wait, room.Time, stop);
                var measured = await room.Grain(session.NodeId).GetMeasuredClasses();
                if (measured is { HasLapsed: false } && wait == room.Schedule.FirstAfter)
                {
                    wait = NextPeriod();
                    continue;
                }
                wait = await SitAsync(measured, stop) ? NextPeriod() : room.Schedule.AgainAfter;
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                LogPostponed(session.NodeId, exception);
                _owes = false;
                wait = room.Schedule.AgainAfter;
            }
        }
    }

    /// <summary>Exponential: how long ago the last one was says nothing about the next.</summary>
    private TimeSpan NextPeriod()
    {
        var uniform = (RandomNumberGenerator.GetInt32(int.MaxValue) + 1.0) / int.MaxValue;
        return room.Schedule.MeanPeriod * Math.Min(-Math.Log(uniform), 10);
    }

    // ---------------------------------------------------------------------------------------------------------- rounds

    /// <summary>As many rounds as it takes to decide, and an inference benchmark; <see langword="false"/> when they came to nothing.</summary>
    private async Task<bool> SitAsync(MeasuredClasses? known, CancellationToken stop)
    {
        var current = known?.Compute;
        if (current is not null) await WaitForLeisureAsync(stop);
        (_tookWork, _leasesBefore) = (session.Report.AcceptsWork, session.LeasesBegun);
        _owes = _tookWork && session.RunningLeases == 0;
        var attempts = new List<HardwarePlacement>();
        var details = string.Empty;
        while (attempts.Count < room.Schedule.EnrolmentRounds)
        {
            await PingAsync(stop);
            var (placement, evidence) = await RoundAsync(current ?? Claimed(), stop);
            if (evidence is { IsFraud: true })
            {
                await ReportAsync(Contracts.Nodes.ChallengeOutcome.Fraud, string.Empty, evidence.Result.Sentence, Evidence(evidence));
                return true;
            }
            if (placement is null)
            {
                await (_owes ? DeclinedAsync("The node declined a hardware challenge although it took work and had none.") : UnmeasuredAsync(Contracts.Nodes.ChallengeOutcome.Disturbed, "The node was not measured, for its work."));
                return false;
            }
            attempts.Add(placement);
            details = evidence is null ? string.Empty : Evidence(evidence);
            if (current is not null && IsDecided(attempts, current)) break;
        }
        var decided = BestOfTwo(attempts);
        var roundTrip = _roundTrip.Shortest < room.Rules.MaxRoundTrip ? _roundTrip.Shortest : room.Rules.MaxRoundTrip;
        // What the hardware lost is on record before anything that a node could hang up in; its inference is measured in the next sitting.
        var hasLost = !decided.IsMeasured || (known is not null && CreditsOf(decided.Class.Name) < CreditsOf(known.Paid));
        _isBenchmarked = !hasLost;
        var (benchmark, refused) = hasLost ? (null, false) : await room.Benchmark.MeasureAsync(session, node.AccountId, decided.Class.Name, roundTrip, stop);
        _isBenchmarked = false;
        // A new node has no class yet that it could keep by it.
        if (refused && _owes && known is not null)
        {
            await DeclinedAsync("The node did not answer the inference benchmark although it took work and had none.");
            return false;
        }
        // Who shows no inference now keeps what the last one showed.
        var paid = benchmark?.HardwareClass ?? (known is not null && CreditsOf(known.Paid) < CreditsOf(decided.Class.Name) && known.Paid != known.Compute ? known.Paid : decided.Class.Name);
        var slower = known is not null && CreditsOf(paid) < CreditsOf(known.Paid);
        var found = decided.IsMeasured ? $"The hardware was measured as {decided.Class.Name}" : $"Nothing was measured, which leaves the class {decided.Class.Name}";
        await ReportAsync(
            slower || !decided.IsMeasured ? Contracts.Nodes.ChallengeOutcome.TooSlow : Contracts.Nodes.ChallengeOutcome.Passed,
            paid,
            string.Create(CultureInfo.InvariantCulture, $"{found}, in {attempts.Count} rounds. {decided.Sentence}{Weakest(benchmark, paid, decided)}"),
            details,
            paid == decided.Class.Name ? null : decided.Class.Name,
            benchmark?.Report);
        if (benchmark is not null) await room.Benchmark.AuditAsync(session.NodeId, benchmark, stop);
        return true;

        static string Weakest(BenchmarkResult? benchmark, string paid, HardwarePlacement decided)
            => $"{(benchmark is null ? string.Empty : $" {benchmark.Sentence}")}{(paid == decided.Class.Name ? string.Empty : $" Inference is its weakest axis: it is paid as {paid}.")}";
    }

    /// <summary>Whoever keeps the class needs no second round; a better or a lesser class needs two that agree, or all three.</summary>
    internal static bool IsDecided(IReadOnlyList<HardwarePlacement> attempts, string current)
        => attempts.Count == 1 ? attempts[0].IsMeasured && attempts[0].Class.Name == current : attempts.DistinctBy(attempt => attempt.Class.Name).Count() < attempts.Count;

    /// <summary>The best class that two rounds reach: one busy moment costs no class, and one lucky one wins none.</summary>
    internal static HardwarePlacement BestOfTwo(IReadOnlyList<HardwarePlacement> attempts)
        => attempts.OrderByDescending(attempt => attempt.Class.CreditsPerHour).ThenByDescending(attempt => attempt.IsMeasured).ElementAt(Math.Min(1, attempts.Count - 1));

    /// <summary>One round: the placement that it measured, or the verdict that forbids one, or neither when it came to nothing.</summary>
    private async Task<(HardwarePlacement? Placement, ChallengeVerdict? Evidence)> RoundAsync(string className, CancellationToken stop)
    {
        session.IsChallenged = true;
        try
        {
            return await MeasureAsync(className, stop);
        }
        finally
        {
            session.IsChallenged = false;
        }
    }

    private async Task<(HardwarePlacement? Placement, ChallengeVerdict? Evidence)> MeasureAsync(string className, CancellationToken stop)
    {
        var leasesBefore = session.LeasesBegun;
        var wasIdle = session.RunningLeases == 0;
        // What everybody can do comes first: a false claim is found out in seconds, not in deadlines.
        var cells = room.Rules.EnrolmentCells;
        var matrix = await ChallengeAsync(ChallengePlan.Matrix(Fallback, room.Rules, cells), stop);
        var target = room.Classes.Find(className);
        if (matrix is { FasterThanClass: true } && target != Fallback) matrix = await ChallengeAsync(ChallengePlan.Matrix(target, room.Rules, cells), stop) is { SpeedRatio: > 0 } tested ? tested : matrix;
        if (!IsUndisturbed()) _owes = false;
        if (matrix is null || matrix.IsFraud) return (null, matrix);
        var memory = await ChallengeAsync(ChallengePlan.Memory(matrix.Plan.Class, room.Rules, MemoryBytes(matrix.Plan.Class)), stop);
        if (!IsUndisturbed()) _owes = false;
        if (memory is null || memory.IsFraud) return (null, memory);
        if (!IsUndisturbed())
        {
            LogDisturbed(session.NodeId);
            return (null, null);
        }
        // Late or withheld: nothing was measured, and the least class is what remains.
        if (matrix.SpeedRatio == 0 || memory.SpeedRatio == 0) return (new HardwarePlacement(Fallback, 0, (matrix.SpeedRatio == 0 ? matrix : memory).Result.Sentence), memory);
        var placement = room.Rate.Place(MeasuredHardware.From(matrix, memory));
        LogMeasured(session.NodeId, placement.Class.Name, matrix.Result.Sentence, memory.Result.Sentence);
        return (placement, memory);

        bool IsUndisturbed() => wasIdle && session.LeasesBegun == leasesBefore;
    }

    private long MemoryBytes(HardwareClass target)
    {
        if (target == Fallback) return room.Schedule.CpuMemoryBytes;
        var claimed = Claim().Devices.Select(device => (long)device.MemoryTotalBytes).DefaultIfEmpty(0).Max();
        return Math.Max(room.Schedule.CpuMemoryBytes, Math.Min(claimed, (long)(target.MemoryGigabytes * 1e9)) - room.Rules.MemoryReserveBytes);
    }

    private async Task WaitForLeisureAsync(CancellationToken stop)
    {
        var began = room.Time.GetTimestamp();
        while (session.RunningLeases > 0 && room.Time.GetElapsedTime(began) < room.Schedule.WaitForLeisure) await Task.Delay(TimeSpan.FromSeconds(1), room.Time, stop);
    }

    private long CreditsOf(string className) => room.Classes.Find(className).CreditsPerHour;

    private string Claimed() => room.Classes.ClassOf(Claim());

    private Hardware Claim() => Hardware.Parser.ParseFrom(session.Report.Hardware.AsSpan());

    // ------------------------------------------------------------------------------------------------------ the talk

    /// <summary>One challenge to its verdict; <see langword="null"/> when the node declined it or is not there any more.</summary>
    private async Task<ChallengeVerdict?> ChallengeAsync(ChallengePlan plan, CancellationToken stop)
    {
        var challenge = await IssueAsync(plan, stop);
        session.Send(new HubMessage { ChallengeStart = new Signed { Message = UnsafeByteOperations.UnsafeWrap(challenge.StartMessage) } });
        var (since, window) = (room.Time.GetTimestamp(), plan.Deadline + room.Rules.MaxRoundTrip);
        while (true)
        {
            if (await NextAsync(since, window, stop) is not { } said)
            {
                if (challenge.Expire(room.Time.GetTimestamp()) is { Verdict: { } late }) return Tell(late);
                continue;
            }
            var step = said.Message.MessageCase switch
            {
                NodeMessage.MessageOneofCase.ChallengeCommit => challenge.TakeCommit(said.Message.ChallengeCommit.Message.Memory, said.At),
                // Up to a second of arithmetic, on the thread that gives way to everybody.
                NodeMessage.MessageOneofCase.ChallengeProof => await room.Thread.RunAsync(() => challenge.TakeProof(said.Message.ChallengeProof.Message.Memory, said.At, stop), stop),
                NodeMessage.MessageOneofCase.ChallengeDecline when IsOf(challenge, said.Message.ChallengeDecline) => null,
                _ => ChallengeStep.Refused("Not a word of this challenge."),
            };
            if (step is null)
            {
                LogDeclined(session.NodeId, Printable.Of(said.Message.ChallengeDecline.Reason, 200));
                return null;
            }
            if (step.Verdict is { } verdict) return Tell(verdict);
            if (step.Refusal is { } refusal) LogRefused(session.NodeId, refusal);
            if (step.Reply.IsEmpty)
            {
                // Whoever talks of other things does not stop the clock.
                if (challenge.Expire(said.At) is { Verdict: { } late }) return Tell(late);
                continue;
            }
            session.Send(new HubMessage { ChallengeOpen = new Signed { Message = UnsafeByteOperations.UnsafeWrap(step.Reply) } });
            (since, window) = (said.At, room.Rules.ProofWindow);
        }
    }

    private async Task<ChallengeSession> IssueAsync(ChallengePlan plan, CancellationToken stop)
    {
        while (true)
        {
            var (context, seed) = await room.DrawAsync(stop);
            var target = new ChallengeTarget(node.PublicKey.AsMemory(), _roundTrip.Shortest);
            if (ChallengeSession.TryIssue(context, plan, target, seed, room.Time.GetTimestamp()) is { } challenge) return challenge;
            // One of a kind in a slot: the next one begins soon.
            await Task.Delay(room.Schedule.Slot, room.Time, stop);
        }
    }

    private ChallengeVerdict Tell(ChallengeVerdict verdict)
    {
        session.Send(new HubMessage { ChallengeResult = new Signed { Message = UnsafeByteOperations.UnsafeWrap(verdict.ResultMessage) } });
        LogVerdict(session.NodeId, verdict.Plan.Parameters.Kind, verdict.Outcome, verdict.Result.Sentence);
        return verdict;
    }

    private async Task PingAsync(CancellationToken stop)
    {
        const int pings = 5;
        for (var i = 0; i < pings; i++)
        {
            var number = ++_pings;
            var sentAt = room.Time.GetTimestamp();
            session.Send(new HubMessage { Ping = new Ping { Number = number } });
            while (await NextAsync(sentAt, room.Schedule.PingTimeout, stop) is { } said && room.Time.GetElapsedTime(sentAt, said.At) <= room.Schedule.PingTimeout)
            {
                if (said.Message.Pong?.Number != number) continue;
                _roundTrip.Add(room.Time.GetElapsedTime(sentAt, said.At));
                break;
            }
        }
    }

    /// <summary>The node's next word; <see langword="null"/> when none came in the <paramref name="window"/> that began at <paramref name="since"/>.</summary>
    private async ValueTask<CheckMessage?> NextAsync(long since, TimeSpan window, CancellationToken stop)
    {
        if (session.Checks.TryRead(out var ready)) return ready;
        var left = window - room.Time.GetElapsedTime(since);
        // At least a moment, so that a clock that stands still is waited for.
        var within = left > LeastWait ? left : LeastWait;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using var timeout = new CancellationTokenSource(within, room.Time);
        using var registration = timeout.Token.Register(patience.Cancel);
        try
        {
            return await session.Checks.ReadAsync(patience.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return null;
        }
        catch (System.Threading.Channels.ChannelClosedException)
        {
            throw new OperationCanceledException("The connection is over.");
        }
    }

    private static bool IsOf(ChallengeSession challenge, ChallengeDecline decline) => decline.ChallengeId.Span.SequenceEqual(challenge.Start.Id.ToArray());

    // -------------------------------------------------------------------------------------------------------- evidence

    private async Task ReportAsync(Contracts.Nodes.ChallengeOutcome outcome, string className, string finding, string details, string? computeClass = null, SpeedReport? speed = null)
    {
        (_owes, _unmeasuredSince) = (false, room.Time.GetTimestamp());
        var report = new ChallengeReport($"challenge:{Guid.CreateVersion7():N}", speed is null ? "MM+MEM" : "MM+MEM+IB", outcome, className, finding, details) { ComputeClass = computeClass, Speed = speed };
        var ruling = await room.Grain(session.NodeId).RecordChallenge(report);
        LogRuling(session.NodeId, finding, ruling.Decision);
    }

    /// <summary>The node hung up, maybe in the midst of a sitting, which is as good as declining it; or the hub did, and then it is nobody's fault.</summary>
    private async Task LeaveAsync()
    {
        if (session.EndStatus is { Code: StatusCode.Unavailable }) return;
        _tookWork |= session.Report.AcceptsWork;
        try
        {
            if (_owes && (_isBenchmarked || session.LeasesBegun == _leasesBefore)) await DeclinedAsync("The node hung up in a hardware challenge although it took work and had none.");
            else if (room.Time.GetElapsedTime(_unmeasuredSince) >= room.Schedule.AgainAfter) await UnmeasuredAsync(Contracts.Nodes.ChallengeOutcome.Disturbed, "The node left.");
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogPostponed(session.NodeId, exception);
        }
    }

    private Task DeclinedAsync(string finding) => UnmeasuredAsync(Contracts.Nodes.ChallengeOutcome.Declined, finding);

    /// <summary>Nothing was measured. While the node takes no work, and earns nothing, its time does not count.</summary>
    private async Task UnmeasuredAsync(Contracts.Nodes.ChallengeOutcome outcome, string finding)
    {
        _owes = false;
        var now = room.Time.GetTimestamp();
        var connected = _tookWork ? room.Time.GetElapsedTime(_unmeasuredSince, now) : TimeSpan.Zero;
        if (outcome is Contracts.Nodes.ChallengeOutcome.Disturbed && connected == TimeSpan.Zero)
        {
            _unmeasuredSince = now;
            return;
        }
        var ruling = await room.Grain(session.NodeId).RecordChallenge(
            new ChallengeReport($"challenge:{Guid.CreateVersion7():N}", "MM+MEM+IB", outcome, string.Empty, finding, string.Empty) { Connected = connected });
        _unmeasuredSince = now;
        if (ruling.Decision.Length > 0) LogRuling(session.NodeId, finding, ruling.Decision);
    }

    /// <summary>How it went; of a fraud also the messages as they travelled, so that anybody can come to the verdict again.</summary>
    private static string Evidence(ChallengeVerdict verdict) => JsonSerializer.Serialize(
        new ChallengeEvidence(
            verdict.Result.Id.ToString(),
            verdict.Outcome,
            verdict.Result.Sentence,
            verdict.Result.ElapsedMicroseconds,
            verdict.Result.PerSecond,
            verdict.IsFraud ? [.. verdict.Evidence.Select(message => Convert.ToBase64String(message.Span))] : []),
        ChallengeJson.Default.ChallengeEvidence);

    [LoggerMessage(7200, LogLevel.Information, "Node {NodeId}: {Kind} challenge {Outcome}. {Sentence}")]
    private partial void LogVerdict(string nodeId, ChallengeKind kind, ChallengeOutcome outcome, string sentence);

    [LoggerMessage(7201, LogLevel.Information, "Node {NodeId} declined a challenge: {Why}")]
    private partial void LogDeclined(string nodeId, string why);

    [LoggerMessage(7202, LogLevel.Information, "Node {NodeId} said something in a challenge that does not belong there: {What}")]
    private partial void LogRefused(string nodeId, string what);

    [LoggerMessage(7203, LogLevel.Information, "Node {NodeId} worked for clients during a challenge: its time does not count")]
    private partial void LogDisturbed(string nodeId);

    [LoggerMessage(7204, LogLevel.Debug, "Node {NodeId} measured as {HardwareClass}: {Matrix} {Memory}")]
    private partial void LogMeasured(string nodeId, string hardwareClass, string matrix, string memory);

    [LoggerMessage(7205, LogLevel.Information, "Node {NodeId}: {Finding} {Decision}")]
    private partial void LogRuling(string nodeId, string finding, string decision);

    [LoggerMessage(7206, LogLevel.Warning, "Node {NodeId}: a challenge could not be made now; tried again later")]
    private partial void LogPostponed(string nodeId, Exception exception);
}

/// <summary>What stays on record of a challenge.</summary>
internal sealed record ChallengeEvidence(string Challenge, ChallengeOutcome Outcome, string Sentence, long ElapsedMicroseconds, long PerSecond, ImmutableArray<string> Messages);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true)]
[JsonSerializable(typeof(ChallengeEvidence))]
internal sealed partial class ChallengeJson : JsonSerializerContext;
