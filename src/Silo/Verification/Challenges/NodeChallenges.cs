using System.Globalization;
using System.Security.Cryptography;
using Federation.Contracts.Nodes;
using Federation.Protocol.Challenges;
using Federation.Protocol.V1;
using Federation.Silo.Hubs;
using Federation.Silo.Nodes;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.Epochs;
using Grpc.Core;
using Microsoft.Extensions.Options;

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

    /// <summary>When the next sitting comes, nodes must not foresee.</summary>
    public Random Random { get; } = new UnforeseeableRandom();

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

    /// <summary>What is said in the challenges of one connection.</summary>
    public ChallengeTalk TalkTo(NodeSession session, NodeIdentity node) => new(this, session, node);

    /// <summary>The challenges of one connection.</summary>
    public NodeChallenges For(ChallengeTalk talk) => new(this, talk);
}

/// <summary>
/// Challenges one connected node: until its hardware is measured, and then again and again at moments that nobody foresees. A round is an MM and a MEM challenge;
/// two of three decide. Runs beside the session and uses nothing that clients' work needs.
/// </summary>
internal sealed partial class NodeChallenges(ChallengeRoom room, ChallengeTalk talk)
{
    private readonly ILogger _logger = room.Logger;
    private readonly NodeSession _session = talk.Session;
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
                var measured = await room.Grain(_session.NodeId).GetMeasuredClasses();
                if (measured is { HasLapsed: false } && wait == room.Schedule.FirstAfter)
                {
                    wait = NextPeriod();
                    continue;
                }
                wait = await SitInTurnAsync(measured, stop) ? NextPeriod() : room.Schedule.AgainAfter;
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                LogPostponed(_session.NodeId, exception);
                _owes = false;
                wait = room.Schedule.AgainAfter;
            }
        }
    }

    private TimeSpan NextPeriod() => PoissonProcess.Wait(room.Random.NextDouble(), room.Schedule.MeanPeriod);

    // ---------------------------------------------------------------------------------------------------------- rounds

    /// <summary>A sitting, unless a common slot is going on.</summary>
    private async Task<bool> SitInTurnAsync(MeasuredClasses? known, CancellationToken stop)
    {
        if (!talk.TryBegin()) return false;
        try
        {
            return await SitAsync(known, stop);
        }
        finally
        {
            talk.End();
        }
    }

    /// <summary>As many rounds as it takes to decide, and an inference benchmark; <see langword="false"/> when they came to nothing.</summary>
    private async Task<bool> SitAsync(MeasuredClasses? known, CancellationToken stop)
    {
        var current = known?.Compute;
        if (current is not null) await WaitForLeisureAsync(stop);
        (_tookWork, _leasesBefore) = (_session.Report.AcceptsWork, _session.LeasesBegun);
        _owes = _tookWork && _session.RunningLeases == 0;
        var attempts = new List<HardwarePlacement>();
        var details = string.Empty;
        while (attempts.Count < room.Schedule.EnrolmentRounds)
        {
            await talk.PingAsync(stop);
            var (placement, evidence) = await RoundAsync(current ?? Claimed(), stop);
            if (evidence is { IsFraud: true })
            {
                await ReportAsync(Contracts.Nodes.ChallengeOutcome.Fraud, string.Empty, evidence.Result.Sentence, ChallengeEvidence.JsonOf(evidence));
                return true;
            }
            if (placement is null)
            {
                await (_owes ? DeclinedAsync("The node declined a hardware challenge although it took work and had none.") : UnmeasuredAsync(Contracts.Nodes.ChallengeOutcome.Disturbed, "The node was not measured, for its work."));
                return false;
            }
            attempts.Add(placement);
            details = evidence is null ? string.Empty : ChallengeEvidence.JsonOf(evidence);
            if (current is not null && IsDecided(attempts, current)) break;
        }
        var decided = BestOfTwo(attempts);
        // What the hardware lost is on record before anything that a node could hang up in; its inference is measured in the next sitting.
        var hasLost = !decided.IsMeasured || (known is not null && CreditsOf(decided.Class.Name) < CreditsOf(known.Paid));
        _isBenchmarked = !hasLost;
        var (benchmark, lack) = hasLost ? (null, BenchmarkLack.NothingToAsk) : await room.Benchmark.MeasureAsync(_session, talk.Node.AccountId, decided.Class.Name, talk.RoundTrip, stop);
        _isBenchmarked = false;
        // A new node has no class yet that it could keep by it.
        if (lack is BenchmarkLack.Refused && _owes && known is not null)
        {
            await DeclinedAsync("The node did not answer the inference benchmark although it took work and had none.");
            return false;
        }
        var (paid, isProvisional) = benchmark is not null ? (benchmark.HardwareClass, false) : WithoutBenchmark(decided.Class, known, lack, Fallback, room.Classes);
        var slower = known is not null && CreditsOf(paid) < CreditsOf(known.Paid);
        var found = decided.IsMeasured ? $"The hardware was measured as {decided.Class.Name}" : $"Nothing was measured, which leaves the class {decided.Class.Name}";
        await ReportAsync(
            slower || !decided.IsMeasured ? Contracts.Nodes.ChallengeOutcome.TooSlow : Contracts.Nodes.ChallengeOutcome.Passed,
            paid,
            string.Create(CultureInfo.InvariantCulture, $"{found}, in {attempts.Count} rounds. {decided.Sentence}{(isProvisional ? Awaited(lack, paid) : Weakest(benchmark, paid, decided))}"),
            details,
            paid == decided.Class.Name ? null : decided.Class.Name,
            benchmark?.Report);
        if (benchmark is not null) await room.Benchmark.AuditAsync(_session.NodeId, benchmark, stop);
        // A new node that had work need not wait hours for its class.
        return !isProvisional;

        static string Weakest(BenchmarkResult? benchmark, string paid, HardwarePlacement decided)
            => $"{(benchmark is null ? string.Empty : $" {benchmark.Sentence}")}{(paid == decided.Class.Name ? string.Empty : $" Inference is its weakest axis: it is paid as {paid}.")}";
    }

    /// <summary>
    /// What a node is paid as whose inference was not measured in this sitting. One that is new and has something to infer with has no class but the least until it shows what its engine makes of the
    /// hardware: whoever refused the benchmark would else be paid for the matrices alone. Afterwards it keeps what the last benchmark showed, or waits for the first on the least.
    /// </summary>
    /// <param name="decided">Its class by matrix and memory.</param>
    /// <param name="known">What it was before; null for a new node.</param>
    /// <param name="lack">Why there is no benchmark.</param>
    /// <param name="fallback">The least class.</param>
    /// <param name="classes">For their order.</param>
    internal static (string Paid, bool IsProvisional) WithoutBenchmark(HardwareClass decided, MeasuredClasses? known, BenchmarkLack lack, HardwareClass fallback, HardwareClasses classes)
    {
        if (known is null) return lack is BenchmarkLack.NothingToAsk || decided.Name == fallback.Name ? (decided.Name, false) : (fallback.Name, true);
        var keeps = known.Paid != known.Compute && classes.CreditsPerHour(known.Paid) < classes.CreditsPerHour(decided.Name);
        return (keeps ? known.Paid : decided.Name, false);
    }

    private static string Awaited(BenchmarkLack lack, string paid) =>
        $" {(lack is BenchmarkLack.Refused ? "It did not answer the inference benchmark" : "Its inference benchmark gave way to work, or decided nothing")}: until it passes one, it is paid as {paid}.";

    /// <summary>Whoever keeps the class needs no second round; a better or a lesser class needs two that agree, or all three.</summary>
    internal static bool IsDecided(IReadOnlyList<HardwarePlacement> attempts, string current)
        => attempts.Count == 1 ? attempts[0].IsMeasured && attempts[0].Class.Name == current : attempts.DistinctBy(attempt => attempt.Class.Name).Count() < attempts.Count;

    /// <summary>The best class that two rounds reach: one busy moment costs no class, and one lucky one wins none.</summary>
    internal static HardwarePlacement BestOfTwo(IReadOnlyList<HardwarePlacement> attempts)
        => attempts.OrderByDescending(attempt => attempt.Class.CreditsPerHour).ThenByDescending(attempt => attempt.IsMeasured).ElementAt(Math.Min(1, attempts.Count - 1));

    /// <summary>One round: the placement that it measured, or the verdict that forbids one, or neither when it came to nothing.</summary>
    private async Task<(HardwarePlacement? Placement, ChallengeVerdict? Evidence)> RoundAsync(string className, CancellationToken stop)
    {
        _session.IsChallenged = true;
        try
        {
            return await MeasureAsync(className, stop);
        }
        finally
        {
            _session.IsChallenged = false;
        }
    }

    private async Task<(HardwarePlacement? Placement, ChallengeVerdict? Evidence)> MeasureAsync(string className, CancellationToken stop)
    {
        var leasesBefore = _session.LeasesBegun;
        var wasIdle = _session.RunningLeases == 0;
        // What everybody can do comes first: a false claim is found out in seconds, not in deadlines.
        var cells = room.Rules.EnrolmentCells;
        var matrix = await talk.AskAsync(ChallengePlan.Matrix(Fallback, room.Rules, cells), stop);
        var target = room.Classes.Find(className);
        if (matrix is { FasterThanClass: true } && target != Fallback) matrix = await talk.AskAsync(ChallengePlan.Matrix(target, room.Rules, cells), stop) is { SpeedRatio: > 0 } tested ? tested : matrix;
        if (!IsUndisturbed()) _owes = false;
        if (matrix is null || matrix.IsFraud) return (null, matrix);
        var memory = await talk.AskAsync(ChallengePlan.Memory(matrix.Plan.Class, room.Rules, MemoryBytes(matrix.Plan.Class)), stop);
        if (!IsUndisturbed()) _owes = false;
        if (memory is null || memory.IsFraud) return (null, memory);
        if (!IsUndisturbed())
        {
            LogDisturbed(_session.NodeId);
            return (null, null);
        }
        // Late or withheld: nothing was measured, and the least class is what remains.
        if (matrix.SpeedRatio == 0 || memory.SpeedRatio == 0) return (new HardwarePlacement(Fallback, 0, (matrix.SpeedRatio == 0 ? matrix : memory).Result.Sentence), memory);
        var placement = room.Rate.Place(MeasuredHardware.From(matrix, memory));
        LogMeasured(_session.NodeId, placement.Class.Name, matrix.Result.Sentence, memory.Result.Sentence);
        return (placement, memory);

        bool IsUndisturbed() => wasIdle && _session.LeasesBegun == leasesBefore;
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
        while (_session.RunningLeases > 0 && room.Time.GetElapsedTime(began) < room.Schedule.WaitForLeisure) await Task.Delay(TimeSpan.FromSeconds(1), room.Time, stop);
    }

    private long CreditsOf(string className) => room.Classes.Find(className).CreditsPerHour;

    private string Claimed() => room.Classes.ClassOf(Claim());

    private Hardware Claim() => Hardware.Parser.ParseFrom(_session.Report.Hardware.AsSpan());

    // -------------------------------------------------------------------------------------------------------- evidence

    private async Task ReportAsync(Contracts.Nodes.ChallengeOutcome outcome, string className, string finding, string details, string? computeClass = null, SpeedReport? speed = null)
    {
        (_owes, _unmeasuredSince) = (false, room.Time.GetTimestamp());
        var report = new ChallengeReport($"challenge:{Guid.CreateVersion7():N}", speed is null ? "MM+MEM" : "MM+MEM+IB", outcome, className, finding, details) { ComputeClass = computeClass, Speed = speed };
        var ruling = await room.Grain(_session.NodeId).RecordChallenge(report);
        LogRuling(_session.NodeId, finding, ruling.Decision);
    }

    /// <summary>The node hung up, maybe in the midst of a sitting, which is as good as declining it; or the hub did, and then it is nobody's fault.</summary>
    private async Task LeaveAsync()
    {
        if (_session.EndStatus is { Code: StatusCode.Unavailable }) return;
        _tookWork |= _session.Report.AcceptsWork;
        try
        {
            if (_owes && (_isBenchmarked || _session.LeasesBegun == _leasesBefore)) await DeclinedAsync("The node hung up in a hardware challenge although it took work and had none.");
            else if (room.Time.GetElapsedTime(_unmeasuredSince) >= room.Schedule.AgainAfter) await UnmeasuredAsync(Contracts.Nodes.ChallengeOutcome.Disturbed, "The node left.");
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogPostponed(_session.NodeId, exception);
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
        var ruling = await room.Grain(_session.NodeId).RecordChallenge(
            new ChallengeReport($"challenge:{Guid.CreateVersion7():N}", "MM+MEM+IB", outcome, string.Empty, finding, string.Empty) { Connected = connected });
        _unmeasuredSince = now;
        if (ruling.Decision.Length > 0) LogRuling(_session.NodeId, finding, ruling.Decision);
    }

    [LoggerMessage(7203, LogLevel.Information, "Node {NodeId} worked for clients during a challenge: its time does not count")]
    private partial void LogDisturbed(string nodeId);

    [LoggerMessage(7204, LogLevel.Debug, "Node {NodeId} measured as {HardwareClass}: {Matrix} {Memory}")]
    private partial void LogMeasured(string nodeId, string hardwareClass, string matrix, string memory);

    [LoggerMessage(7205, LogLevel.Information, "Node {NodeId}: {Finding} {Decision}")]
    private partial void LogRuling(string nodeId, string finding, string decision);

    [LoggerMessage(7206, LogLevel.Warning, "Node {NodeId}: a challenge could not be made now; tried again later")]
    private partial void LogPostponed(string nodeId, Exception exception);
}
