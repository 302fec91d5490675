using System.Collections.Immutable;
using Federation.Contracts.Models;
using Federation.Protocol.OpenAi;
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
    private readonly FairQueue<Waiter> _waiting = new();
    private long _grants;

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
        if (TakeBack(request.LeaseId) is not null) Match();
        if (Choose(waiter) is { } free && _waiting.Count == 0) return GrantTo(waiter, free);
        if (_members.Count > 0 && !_members.Values.Any(member => MayServe(waiter, member))) return LeaseGrant.None(LeaseGrantStatus.NoNode, TimeSpan.Zero);
        // There are no more broken answers than there were slots.
        if (_waiting.Count >= _options.MaxWaiting && !request.Continues)
        {
            LogQueueFull(this.GetPrimaryKeyString(), _waiting.Count);
            return LeaseGrant.None(LeaseGrantStatus.QueueFull, EstimateWait());
        }
        _waiting.Enqueue(waiter, request.Continues ? request.LeaseId : request.AccountId, request.Weight);
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

    public Task Release(string leaseId, LeaseEnd end)
    {
        if (TakeBack(leaseId) is { } member)
        {
            switch (end)
            {
                case LeaseEnd.Finished:
                    break;
                case LeaseEnd.NoSlot:
                    // The node is the authority on its slots: it is asked again when it announces a free one.
                    member.Full = true;
                    break;
                case LeaseEnd.NodeLost:
                    _members.Remove(member.Info.SessionId);
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
        if (_members.TryGetValue(member.SessionId, out var known))
        {
            if (known.Info.Version >= member.Version) return Task.CompletedTask;
            known.Info = member;
        }
        else
        {
            _members.Add(member.SessionId, known = new Member(member) { Granted = _leases.Values.Count(lease => lease.SessionId == member.SessionId) });
            LogJoined(this.GetPrimaryKeyString(), member.NodeId, member.Slots);
        }
        known.LastHeard = time.GetTimestamp();
        known.Full = member.FreeSlots <= 0;
        Match();
        return Task.CompletedTask;
    }

    public Task Withdraw(string sessionId)
    {
        if (_members.Remove(sessionId, out var member))
        {
            LogLeft(this.GetPrimaryKeyString(), member.Info.NodeId);
            RefuseTheHopeless();
        }
        return Task.CompletedTask;
    }

    /// <summary>Gives free slots to those who wait, in fair order, until either runs out.</summary>
    private void Match()
    {
        while (_waiting.Count > 0 && _waiting.TryDequeue(waiter => Choose(waiter) is not null, out var next))
        {
            next.Granted.TrySetResult(GrantTo(next, Choose(next)!));
        }
    }

    /// <summary>The best member with a free slot: the model loaded first, then the emptiest, then the one that rested longest.</summary>
    private Member? Choose(Waiter waiter)
    {
        Member? best = null;
        foreach (var member in _members.Values)
        {
            if (member.HasFreeSlot && MayServe(waiter, member) && (best is null || member.IsBetterThan(best))) best = member;
        }
        return best;
    }

    private static bool MayServe(Waiter waiter, Member member)
        => !waiter.Request.ExcludedSessions.Contains(member.Info.SessionId)
            && (!waiter.Request.Continues || member.Info.Model.Continues.Contains(waiter.Request.Kind.Word()))
            && (waiter.Request.Digest.Length == 0 || member.Info.Model.Digest.Length == 0 || member.Info.Model.Digest == waiter.Request.Digest);

    private LeaseGrant GrantTo(Waiter waiter, Member member)
    {
        var leaseId = waiter.Request.LeaseId;
        // The same again, of two that waited under one id.
        TakeBack(leaseId);
        member.Granted++;
        member.LastGrant = ++_grants;
        _leases[leaseId] = new Lease(member.Info.SessionId, time.GetTimestamp());
        return LeaseGrant.On(leaseId, member.Info);
    }

    /// <summary>Ends a lease; the member whose slot it was, if that is still here.</summary>
    private Member? TakeBack(string leaseId)
    {
        if (!_leases.Remove(leaseId, out var lease) || !_members.TryGetValue(lease.SessionId, out var member)) return null;
        member.Granted--;
        return member;
    }

    /// <summary>Whoever excluded every node that is left would wait for nothing.</summary>
    private void RefuseTheHopeless()
    {
        if (_members.Count == 0) return;
        foreach (var waiter in _waiting.InOrder().Where(waiter => !_members.Values.Any(member => MayServe(waiter, member))).ToImmutableArray())
        {
            _waiting.Remove(waiter);
            waiter.Granted.TrySetResult(LeaseGrant.None(LeaseGrantStatus.NoNode, TimeSpan.Zero));
        }
    }

    private Task Sweep(CancellationToken cancellationToken)
    {
        var silence = _options.AnnouncePeriod * _options.SilentPeriods;
        foreach (var (sessionId, member) in _members.Where(entry => time.GetElapsedTime(entry.Value.LastHeard) > silence).ToImmutableArray())
        {
            _members.Remove(sessionId);
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

    /// <summary>A coarse guess for Retry-After: a second for each full round of the slots in front of the last one.</summary>
    private TimeSpan EstimateWait()
    {
        var slots = Math.Max(1, _members.Values.Sum(member => member.Info.Slots));
        return TimeSpan.FromSeconds(Math.Clamp(1 + (_waiting.Count / slots), 1, 60));
    }

    private sealed class Waiter(LeaseRequest request)
    {
        public LeaseRequest Request { get; } = request;

        /// <summary>Set and awaited on the grain's own scheduler, so that no other thread has to carry the answer there.</summary>
        public TaskCompletionSource<LeaseGrant> Granted { get; } = new();
    }

    private sealed class Member(PoolMember info)
    {
        public PoolMember Info { get; set; } = info;

        public int Granted { get; set; }

        public bool Full { get; set; }

        public long LastHeard { get; set; }

        public long LastGrant { get; set; }

        public bool HasFreeSlot => !Full && Granted < Info.Slots;

        public bool IsBetterThan(Member other)
        {
            if (Info.Model.Loaded != other.Info.Model.Loaded) return Info.Model.Loaded;
            // Shares of the slots, compared without dividing.
            var mine = (long)Granted * other.Info.Slots;
            var theirs = (long)other.Granted * Info.Slots;
            return mine != theirs ? mine < theirs : LastGrant < other.LastGrant;
        }
    }

    private readonly record struct Lease(string SessionId, long GrantedAt);
}
