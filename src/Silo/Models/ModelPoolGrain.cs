using System.Collections.Immutable;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Microsoft.Extensions.Options;
using Orleans.Concurrency;

namespace Federation.Silo.Models;

/// <summary>
/// Matches the jobs that wait for one model with the nodes that have it. Reentrant, since a job waits inside
/// <see cref="Acquire"/>; nothing here awaits between reading and changing state, so the turns stay simple.
/// </summary>
[Reentrant]
internal sealed partial class ModelPoolGrain(IOptions<PoolOptions> options, TimeProvider time, ILogger<ModelPoolGrain> logger)
    : Grain, IModelPoolGrain
{
    private readonly PoolOptions _options = options.Value;
    private readonly Dictionary<string, Member> _members = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Lease> _leases = new(StringComparer.Ordinal);
    private readonly FairQueue<Waiter> _waiting = new(options.Value.AgeAfter);
    private readonly StickyNodes _sticky = new(options.Value.MaxSticky);
    private long _grants;
    private double _serviceSeconds;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        this.RegisterGrainTimer(Sweep, new GrainTimerCreationOptions { DueTime = _options.AnnouncePeriod, Period = _options.AnnouncePeriod, Interleave = true });
        return Task.CompletedTask;
    }

    public async Task<LeaseGrant> Acquire(LeaseRequest request, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested) return LeaseGrant.None(LeaseGrantStatus.TimedOut, TimeSpan.Zero);
        var waiter = new Waiter(request);
        // Whoever asks again for the same attempt has lost the first answer; the slot it took must not be lost with it.
        if (TakeBack(waiter.LeaseId) is not null) Match();
        if (_waiting.Count == 0 && Choose(waiter) is { } free) return GrantTo(waiter, free);
        if (Hopeless(waiter) is { } refusal) return refusal;
        // There are no more broken answers than there were slots.
        if (_waiting.Count >= _options.MaxWaiting && !request.Continues)
        {
            LogQueueFull(this.GetPrimaryKeyString(), _waiting.Count);
            return LeaseGrant.None(LeaseGrantStatus.QueueFull, EstimateWait());
        }
        _waiting.Enqueue(waiter, request.Continues ? waiter.LeaseId : request.AccountId, request.Weight, Now);
        Match();
        try
        {
            return await waiter.Granted.Task.WaitAsync(request.Patience, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            // A grant that came in the same moment stands; else the job leaves the queue.
            return _waiting.Remove(waiter) ? LeaseGrant.None(LeaseGrantStatus.TimedOut, EstimateWait()) : await waiter.Granted.Task;
        }
        catch (OperationCanceledException)
        {
            if (!_waiting.Remove(waiter) && await waiter.Granted.Task is { Member: not null } unwanted) await Release(unwanted.LeaseId, LeaseEnd.Finished);
            return LeaseGrant.None(LeaseGrantStatus.TimedOut, TimeSpan.Zero);
        }
    }

    public Task<QueuePlace?> Locate(string leaseId)
    {
        var position = 0;
        foreach (var waiter in _waiting.InOrder())
        {
            position++;
            if (waiter.LeaseId == leaseId)
            {
                var hint = _members.Count == 0 ? "a node with the model" : _members.Values.All(static member => !member.Info.Model.Loaded) ? "the model to be loaded" : "a free slot";
                return Task.FromResult<QueuePlace?>(new QueuePlace(position, _members.Count == 0 ? null : WaitAt(position), hint));
            }
        }
        return Task.FromResult<QueuePlace?>(null);
    }

    public Task Release(string leaseId, LeaseEnd end, double tokensPerSecond = 0)
    {
        if (end is LeaseEnd.Finished && _leases.TryGetValue(leaseId, out var lease)) NoteService(time.GetElapsedTime(lease.GrantedAt));
        if (TakeBack(leaseId) is { } member)
        {
            member.NoteSpeed(tokensPerSecond);
            switch (end)
            {
                case LeaseEnd.Finished:
                    // One request that no engine can answer is no sickness of any: the next that is answered clears it.
                    member.FailedAt = null;
                    break;
                case LeaseEnd.NoSlot:
                    // The node is the authority on its slots: it is asked again when it announces a free one.
                    member.Full = true;
                    break;
                case LeaseEnd.EngineFailed:
                    member.FailedAt = time.GetTimestamp();
                    break;
                case LeaseEnd.NodeLost:
                    foreach (var (id, _) in _members.Where(entry => entry.Value.Info.SessionId == member.Info.SessionId).ToImmutableArray()) _members.Remove(id);
                    RefuseTheHopeless();
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(end), end, null);
            }
        }
        Match();
        return Task.CompletedTask;
    }

    public Task Announce(PoolMember member)
    {
        if (_members.TryGetValue(member.Id, out var known))
        {
            if (known.Info.Version >= member.Version) return Task.CompletedTask;
            known.Info = member;
        }
        else
        {
            var node = _members.Values.FirstOrDefault(other => other.Info.SessionId == member.SessionId)?.Node ?? new Turns();
            _members.Add(member.Id, known = new Member(member, node) { Granted = _leases.Values.Count(lease => lease.MemberId == member.Id) });
            LogJoined(this.GetPrimaryKeyString(), member.NodeId, member.Slots);
        }
        known.LastHeard = time.GetTimestamp();
        known.Full = member.FreeSlots <= 0;
        Match();
        return Task.CompletedTask;
    }

    public Task Withdraw(string sessionId, string engine)
    {
        if (_members.Remove(PoolMember.IdOf(sessionId, engine), out var member))
        {
            LogLeft(this.GetPrimaryKeyString(), member.Info.NodeId);
            RefuseTheHopeless();
        }
        return Task.CompletedTask;
    }

    private TimeSpan Now => time.GetElapsedTime(0);

    /// <summary>Gives free slots to those who wait, in fair order, until either runs out.</summary>
    private void Match()
    {
        while (_waiting.Count > 0 && _waiting.TryDequeue(waiter => Choose(waiter) is not null, out var next, Now))
        {
            next.Granted.TrySetResult(GrantTo(next, Choose(next)!.Value));
        }
    }

    /// <summary>The best member with a free slot, see <see cref="NodeChoice"/>, and why it is the best.</summary>
    private (Member Member, string Why)? Choose(Waiter waiter)
    {
        Member? best = null;
        NodeFacts bestFacts = default;
        NodeFacts? next = null;
        var sticky = _members.Count < 2 || waiter.Request.Prefixes.IsEmpty ? null : StickyFor(waiter);
        var usual = UsualSpeed();
        foreach (var member in _members.Values)
        {
            if (!member.HasFreeSlot || !MayServe(waiter, member)) continue;
            var facts = member.FactsFor(waiter.Request, sticky, usual, Rests(member) || HasFailed(waiter.Request, member.Info.SessionId));
            if (best is null) (best, bestFacts) = (member, facts);
            else if (NodeChoice.Compare(facts, bestFacts) < 0) (best, bestFacts, next) = (member, facts, bestFacts);
            else if (next is not { } second || NodeChoice.Compare(facts, second) < 0) next = facts;
        }
        return best is null ? null : (best, NodeChoice.Why(bestFacts, next));
    }

    /// <summary>Its engine failed a moment ago: one that refuses at once would always be the first with a free slot.</summary>
    private bool Rests(Member member) => member.FailedAt is { } at && time.GetElapsedTime(at) < _options.FailureRest;

    /// <summary>An engine of the same node failed at this request: what it failed by may be the node's, so other nodes come first.</summary>
    private static bool HasFailed(LeaseRequest request, string sessionId)
    {
        foreach (var id in request.Excluded)
        {
            if (PoolMember.IsOf(id, sessionId)) return true;
        }
        return false;
    }

    private string? StickyFor(Waiter waiter) => _sticky.Find(waiter.Request.Prefixes, id => _members.TryGetValue(id, out var member) && member.HasFreeSlot && MayServe(waiter, member));

    private static bool MayServe(Waiter waiter, Member member) => WhyNot(waiter.Request, member) is null;

    /// <summary>Why a member may not have the request, in words for its owner; <see langword="null"/> when it may.</summary>
    private static string? WhyNot(LeaseRequest request, Member member)
        => WhyNotAllowed(request, member)
            ?? (request.Excluded.Contains(member.Info.SessionId) || request.Excluded.Contains(member.Id) ? "failed before"
            : request.Continues && !member.Info.Model.Continues.Contains(request.Kind.Word()) ? "cannot go on with a begun answer"
            : request.Digest.Length > 0 && member.Info.Model.Digest.Length > 0 && member.Info.Model.Digest != request.Digest ? "other weights"
            : null);

    /// <summary>The same for what no time will change.</summary>
    private static string? WhyNotAllowed(LeaseRequest request, Member member)
    {
        var isOperators = member.Info.AccountId == OperatorAccount.AccountId;
        if (member.SourceFor(request) < 0) return "source not allowed";
        var isPrivate = request.Privacy switch
        {
            Privacy.Any => true,
            Privacy.Trusted => isOperators || member.Info.Standing is Standing.Trusted || member.Info.AccountId == request.Caller,
            Privacy.Own => member.Info.AccountId == request.Caller,
            _ => throw new InvalidOperationException($"Privacy {request.Privacy} is not handled."),
        };
        return isPrivate ? null : "privacy";
    }

    /// <summary>Whoever may have none of the nodes that are there hears it at once, and why.</summary>
    private LeaseGrant? Hopeless(Waiter waiter)
        => _members.Count == 0 || _members.Values.Any(member => MayServe(waiter, member)) ? null
            : LeaseGrant.None(_members.Values.All(member => WhyNotAllowed(waiter.Request, member) is not null) ? LeaseGrantStatus.NotAllowed : LeaseGrantStatus.NoNode, TimeSpan.Zero) with { Candidates = Told(waiter, null) };

    private LeaseGrant GrantTo(Waiter waiter, (Member Member, string Why) choice)
    {
        var (member, why) = choice;
        // Told as it was when it was chosen.
        var grant = LeaseGrant.On(waiter.LeaseId, member.Info) with { Why = why, Candidates = Told(waiter, member) };
        // The same again, of two that waited under one id.
        TakeBack(waiter.LeaseId);
        member.Granted++;
        member.LastGrant = member.Node.LastGrant = ++_grants;
        _leases[waiter.LeaseId] = new Lease(member.Id, time.GetTimestamp());
        if (_options.MaxSticky > 0 && !waiter.Request.Prefixes.IsEmpty) _sticky.Note(waiter.Request.Prefixes, member.Id);
        return grant;
    }

    /// <summary>What a node is believed to do that has not been measured: as much as the others.</summary>
    private double UsualSpeed()
    {
        var (sum, known) = (0.0, 0);
        foreach (var member in _members.Values)
        {
            if (member.TokensPerSecond <= 0) continue;
            sum += member.TokensPerSecond;
            known++;
        }
        return known > 0 ? sum / known : 1;
    }

    /// <summary>What is told of the choice: the node that was taken, and some of the others with why they were not.</summary>
    private ImmutableArray<RouteCandidate> Told(Waiter waiter, Member? chosen)
    {
        var told = ImmutableArray.CreateBuilder<RouteCandidate>(Math.Min(_members.Count, _options.MaxCandidates));
        if (chosen is not null) told.Add(chosen.Tell("chosen"));
        foreach (var member in _members.Values)
        {
            if (told.Count >= _options.MaxCandidates) break;
            if (member != chosen) told.Add(member.Tell(WhyNot(waiter.Request, member) ?? (!member.HasFreeSlot ? "no free slot" : Rests(member) ? "failed lately" : "not the best")));
        }
        return told.DrainToImmutable();
    }

    /// <summary>Ends a lease; the member whose slot it was, if that is still here.</summary>
    private Member? TakeBack(string leaseId)
    {
        if (!_leases.Remove(leaseId, out var lease) || !_members.TryGetValue(lease.MemberId, out var member)) return null;
        member.Granted--;
        return member;
    }

    /// <summary>Whoever may have none of the nodes that are left would wait for nothing.</summary>
    private void RefuseTheHopeless()
    {
        foreach (var (waiter, refusal) in _waiting.InOrder().Select(waiter => (waiter, Refusal: Hopeless(waiter))).Where(entry => entry.Refusal is not null).ToImmutableArray())
        {
            _waiting.Remove(waiter);
            waiter.Granted.TrySetResult(refusal!);
        }
    }

    private Task Sweep(CancellationToken cancellationToken)
    {
        var silence = _options.AnnouncePeriod * _options.SilentPeriods;
        foreach (var (id, member) in _members.Where(entry => time.GetElapsedTime(entry.Value.LastHeard) > silence).ToImmutableArray())
        {
            _members.Remove(id);
            LogSilent(this.GetPrimaryKeyString(), member.Info.NodeId, silence);
        }
        foreach (var (leaseId, _) in _leases.Where(entry => time.GetElapsedTime(entry.Value.GrantedAt) > _options.LeaseLifetime).ToImmutableArray())
        {
            LogLeaseLost(this.GetPrimaryKeyString(), leaseId, _options.LeaseLifetime);
            _ = Release(leaseId, LeaseEnd.Finished);
        }
        RefuseTheHopeless();
        // While nodes have the model, jobs wait for it or run on it, the pool is worth its memory.
        if (_members.Count == 0 && _waiting.Count == 0 && _leases.Count == 0) DeactivateOnIdle();
        return Task.CompletedTask;
    }

    /// <summary>For Retry-After: when the last of those who wait may have been served. Without a measured answer, a second for each full round of the slots.</summary>
    private TimeSpan EstimateWait()
    {
        var rounds = 1 + (_waiting.Count / Slots);
        return TimeSpan.FromSeconds(Math.Clamp((WaitAt(_waiting.Count + 1) ?? TimeSpan.FromSeconds(rounds)).TotalSeconds, 1, 60));
    }

    private int Slots => Math.Max(1, _members.Values.Sum(member => member.Info.Slots));

    /// <summary>How long whoever stands there waits: as many rounds of the slots as there are before it, of answers as long as they were lately.</summary>
    private TimeSpan? WaitAt(int position) => _serviceSeconds > 0 ? TimeSpan.FromSeconds(_serviceSeconds * (1 + ((position - 1) / Slots))) : null;

    /// <summary>A running mean, since what a model is asked changes with the day.</summary>
    private void NoteService(TimeSpan took) => _serviceSeconds = _serviceSeconds > 0 ? (_serviceSeconds * 0.9) + (took.TotalSeconds * 0.1) : took.TotalSeconds;

    private sealed class Waiter(LeaseRequest request)
    {
        public LeaseRequest Request { get; } = request;

        public string LeaseId { get; } = request.LeaseId;

        /// <summary>Set and awaited on the grain's own scheduler, so that no other thread has to carry the answer there.</summary>
        public TaskCompletionSource<LeaseGrant> Granted { get; } = new();
    }

    /// <summary>A node's turns, which its engines share: by naming many it has no more of them.</summary>
    private sealed class Turns
    {
        public long LastGrant { get; set; }
    }

    private sealed class Member(PoolMember info, Turns node)
    {
        /// <summary>Whichever is announced, it stays this one's.</summary>
        public string Id { get; } = info.Id;

        public PoolMember Info { get; set; } = info;

        public Turns Node { get; } = node;

        public int Granted { get; set; }

        public bool Full { get; set; }

        public long LastHeard { get; set; }

        public long LastGrant { get; set; }

        /// <summary>When its engine failed last; null for never.</summary>
        public long? FailedAt { get; set; }

        public bool HasFreeSlot => !Full && Granted < Info.Slots;

        /// <summary>A running mean over some answers: a node's speed changes with what its owner does beside.</summary>
        public double TokensPerSecond { get; private set; }

        public void NoteSpeed(double tokensPerSecond)
        {
            if (tokensPerSecond > 0 && double.IsFinite(tokensPerSecond)) TokensPerSecond = TokensPerSecond > 0 ? (TokensPerSecond * 0.8) + (tokensPerSecond * 0.2) : tokensPerSecond;
        }

        public int SourceFor(LeaseRequest request) => Info.AccountId == OperatorAccount.AccountId ? request.Sources.Own : request.Sources.Contributors;

        public NodeFacts FactsFor(LeaseRequest request, string? sticky, double usualSpeed, bool rests)
            => new(SourceFor(request), rests, Id == sticky, Info.Model.Loaded, Granted, Info.Slots, TokensPerSecond > 0 ? TokensPerSecond : usualSpeed, Info.Standing, Info.RoundTrip, Node.LastGrant, LastGrant);

        public RouteCandidate Tell(string verdict) => new(Info.NodeId, verdict, Info.Model.Loaded, Granted, Info.Slots, Math.Round(TokensPerSecond, 1), Info.RoundTrip);
    }

    private readonly record struct Lease(string MemberId, long GrantedAt);
}
