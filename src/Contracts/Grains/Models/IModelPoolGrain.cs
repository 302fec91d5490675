using System.Collections.Immutable;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;

namespace Federation.Contracts.Models;

/// <summary>
/// Who can serve one model and who waits for it. One per model per hub; the key is the model's name. Everything it knows is
/// soft: sessions announce themselves again and again, so a pool that moved to another silo is whole within an announcement's period.
/// </summary>
[Alias("Federation.ModelPool")]
public interface IModelPoolGrain : IGrainWithStringKey
{
    /// <summary>Waits, fairly, for a node with a free slot. Cancelling leaves the queue.</summary>
    [Alias("Acquire"), ResponseTimeout("00:10:00")]
    Task<LeaseGrant> Acquire(LeaseRequest request, CancellationToken cancellationToken);

    /// <summary>The lease is over; its slot is free, unless <paramref name="end"/> says otherwise.</summary>
    [Alias("Release")]
    Task Release(string leaseId, LeaseEnd end);

    /// <summary>A session can serve this model; replaces what it said before.</summary>
    [Alias("Announce")]
    Task Announce(PoolMember member);

    /// <summary>A session no longer serves this model.</summary>
    [Alias("Withdraw")]
    Task Withdraw(string sessionId);
}

/// <summary>A session that can serve a model.</summary>

[GenerateSerializer, Immutable, Alias("Federation.PoolMember")]
public sealed record PoolMember(
    [property: Id(0)] string SessionId,
    [property: Id(1)] long Version,
    [property: Id(2)] string NodeId,
    [property: Id(3)] string Engine,
    [property: Id(4)] int Slots,
    [property: Id(5)] int FreeSlots,
    [property: Id(6)] ModelReport Model,
    [property: Id(7)] INodeSession Session);

/// <summary>A job that wants a node.</summary>

[GenerateSerializer, Immutable, Alias("Federation.LeaseRequest")]
public sealed record LeaseRequest(
    [property: Id(0)] string JobId,
    [property: Id(1)] int Attempt,
    [property: Id(2)] string AccountId,
    [property: Id(3)] double Weight,
    [property: Id(4)] ImmutableArray<string> ExcludedSessions,
    [property: Id(5)] TimeSpan Patience,
    [property: Id(6)] JobKind Kind)
{
    /// <summary>The lease that a grant gives. Known beforehand, so that whoever never hears of the grant can give it back.</summary>
    public string LeaseId => $"{JobId}.{Attempt}";

    /// <summary>The answer has begun on another node, and its client waits in the middle of it: only an engine that can go on with it may have it, and it stands behind nobody of its account.</summary>
    [Id(7)] public bool Continues { get; init; }

    /// <summary>Weights that a node must have, as far as it tells; empty: any.</summary>
    [Id(8)] public string Digest { get; init; } = string.Empty;
}

/// <summary>The answer to <see cref="IModelPoolGrain.Acquire"/>.</summary>
[GenerateSerializer, Immutable, Alias("Federation.LeaseGrant")]
public sealed record LeaseGrant(
    [property: Id(0)] LeaseGrantStatus Status,
    [property: Id(1)] string LeaseId,
    [property: Id(2)] PoolMember? Member,
    [property: Id(3)] TimeSpan RetryAfter)
{
    /// <summary>A lease on <paramref name="member"/>.</summary>
    public static LeaseGrant On(string leaseId, PoolMember member) => new(LeaseGrantStatus.Granted, leaseId, member, TimeSpan.Zero);

    /// <summary>No lease, and when to try again.</summary>
    public static LeaseGrant None(LeaseGrantStatus why, TimeSpan retryAfter) => new(why, string.Empty, null, retryAfter);
}

/// <summary>Whether a lease was granted, and why not.</summary>
[GenerateSerializer, Alias("Federation.LeaseGrantStatus")]
public enum LeaseGrantStatus
{
    /// <summary>Granted.</summary>
    Granted = 0,

    /// <summary>Every node was busy until patience ended.</summary>
    TimedOut = 1,

    /// <summary>Too many wait already.</summary>
    QueueFull = 2,

    /// <summary>No node that may still be asked has the model.</summary>
    NoNode = 3,
}

/// <summary>How a lease ended, to the pool.</summary>
[GenerateSerializer, Alias("Federation.LeaseEnd")]
public enum LeaseEnd
{
    /// <summary>The slot is free again.</summary>
    Finished = 0,

    /// <summary>The node had no slot after all: ask it again only when it says that one is free.</summary>
    NoSlot = 1,

    /// <summary>The node is gone.</summary>
    NodeLost = 2,
}
