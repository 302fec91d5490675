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

    /// <summary>Where a request stands that waits in <see cref="Acquire"/>; <see langword="null"/> when it does not, or no longer.</summary>
    [Alias("Locate")]
    Task<QueuePlace?> Locate(string leaseId);

    /// <summary>The lease is over; its slot is free, unless <paramref name="end"/> says otherwise.</summary>
    /// <param name="leaseId">The lease.</param>
    /// <param name="end">How it ended.</param>
    /// <param name="tokensPerSecond">How fast the answer came, in the hub's own count; 0 where it says nothing of the node.</param>
    [Alias("Release")]
    Task Release(string leaseId, LeaseEnd end, double tokensPerSecond = 0);

    /// <summary>An engine of a session can serve this model; replaces what was said of it before.</summary>
    [Alias("Announce")]
    Task Announce(PoolMember member);

    /// <summary>An engine of a session no longer serves this model.</summary>
    [Alias("WithdrawEngine")]
    Task Withdraw(string sessionId, string engine);
}

/// <summary>An engine that can serve a model, and the session it is reached by: of a node with several that have the model, each is a member.</summary>

[GenerateSerializer, Immutable, Alias("Federation.PoolMember")]
public sealed record PoolMember(
    [property: Id(0)] string SessionId,
    [property: Id(1)] long Version,
    [property: Id(2)] string NodeId,
    [property: Id(3)] string Engine,
    [property: Id(4)] int Slots,
    [property: Id(5)] int FreeSlots,
    [property: Id(6)] ModelReport Model,
    [property: Id(7)] INodeSession Session)
{
    /// <summary>Which engine of which session. A session's id has no slash, whatever a node calls its engines.</summary>
    public string Id => IdOf(SessionId, Engine);

    /// <summary>Whose the node is.</summary>
    [Id(8)] public string AccountId { get; init; } = string.Empty;

    /// <summary>What the hub thinks of it.</summary>
    [Id(9)] public Standing Standing { get; init; }

    /// <summary>How long the node takes to take a lease, the way there and back with it; zero: not known yet.</summary>
    [Id(10)] public TimeSpan RoundTrip { get; init; }

    /// <inheritdoc cref="Id"/>
    public static string IdOf(string sessionId, string engine) => $"{sessionId}/{engine}";

    /// <summary>Whether an <see cref="Id"/> is that of an engine of the session.</summary>
    public static bool IsOf(string id, string sessionId) => id.Length > sessionId.Length && id[sessionId.Length] == '/' && id.StartsWith(sessionId, StringComparison.Ordinal);
}

/// <summary>A job that wants a node.</summary>
/// <param name="JobId">The job, or the part of it that is still to be answered.</param>
/// <param name="Attempt">Which try at it this is, from 1.</param>
/// <param name="AccountId">Under what name it stands in the queue.</param>
/// <param name="Weight">Its share of the turns, beside other accounts'.</param>
/// <param name="Excluded">Who failed at it before: sessions by their id, or single engines of them by <see cref="PoolMember.Id"/>.</param>
/// <param name="Patience">How long it waits.</param>
/// <param name="Kind">What is asked.</param>
[GenerateSerializer, Immutable, Alias("Federation.LeaseRequest")]
public sealed record LeaseRequest(
    [property: Id(0)] string JobId,
    [property: Id(1)] int Attempt,
    [property: Id(2)] string AccountId,
    [property: Id(3)] double Weight,
    [property: Id(4)] ImmutableArray<string> Excluded,
    [property: Id(5)] TimeSpan Patience,
    [property: Id(6)] JobKind Kind)
{
    /// <summary>The lease that a grant gives. Known beforehand, so that whoever never hears of the grant can give it back.</summary>
    public string LeaseId => $"{JobId}.{Attempt}";

    /// <summary>The answer has begun on another node, and its client waits in the middle of it: only an engine that can go on with it may have it, and it stands behind nobody of its account.</summary>
    [Id(7)] public bool Continues { get; init; }

    /// <summary>Weights that a node must have, as far as it tells; empty: any.</summary>
    [Id(8)] public string Digest { get; init; } = string.Empty;

    /// <summary>Whose request it is: the queue may know it by another name.</summary>
    [Id(9)] public string Caller { get; init; } = string.Empty;

    /// <summary>Whose nodes may read the request.</summary>
    [Id(10)] public Privacy Privacy { get; init; }

    /// <summary>Which of the hub's nodes come first.</summary>
    [Id(11)] public NodeSources Sources { get; init; } = NodeSources.Alike;

    /// <summary>Hashes of ever longer beginnings of the request, the caller's own: who has read one of them goes on sooner. Empty where none is worth it.</summary>
    [Id(12)] public ImmutableArray<ulong> Prefixes { get; init; } = [];
}

/// <summary>Whose nodes may read a request.</summary>
[GenerateSerializer, Alias("Federation.Privacy")]
public enum Privacy
{
    /// <summary>Anybody's.</summary>
    Any = 0,

    /// <summary>Nodes that have been checked often enough, the operator's, and the caller's own.</summary>
    Trusted = 1,

    /// <summary>The caller's own.</summary>
    Own = 2,
}

/// <summary>Which of the hub's nodes serve a model, and which of them come first.</summary>
/// <param name="Own">Place of the operator's nodes; the lower comes first, below 0: they do not serve it.</param>
/// <param name="Contributors">Place of everybody else's.</param>
[GenerateSerializer, Immutable, Alias("Federation.NodeSources")]
public readonly record struct NodeSources([property: Id(0)] int Own, [property: Id(1)] int Contributors)
{
    /// <summary>All of them, none before the others.</summary>
    public static NodeSources Alike { get; } = new(0, 0);
}

/// <summary>A node that was considered for a request, and what became of it.</summary>
/// <param name="NodeId">The node.</param>
/// <param name="Verdict">"chosen", or why not.</param>
/// <param name="Loaded">The model was in its memory.</param>
/// <param name="Running">Leases it had from the pool.</param>
/// <param name="Slots">Those it serves at once.</param>
/// <param name="TokensPerSecond">As measured; 0: not yet.</param>
/// <param name="RoundTrip">As measured; zero: not yet.</param>
[GenerateSerializer, Immutable, Alias("Federation.RouteCandidate")]
public sealed record RouteCandidate(
    [property: Id(0)] string NodeId,
    [property: Id(1)] string Verdict,
    [property: Id(2)] bool Loaded,
    [property: Id(3)] int Running,
    [property: Id(4)] int Slots,
    [property: Id(5)] double TokensPerSecond,
    [property: Id(6)] TimeSpan RoundTrip);

/// <summary>A place in a model's queue.</summary>
/// <param name="Position">1 for whoever is served next, as it looks now.</param>
/// <param name="Eta">How long it may take, from what answers took lately; <see langword="null"/> where nothing is known.</param>
/// <param name="Hint">What it waits for: "a free slot", "a node with the model", "the model to be loaded".</param>
[GenerateSerializer, Immutable, Alias("Federation.QueuePlace")]
public sealed record QueuePlace([property: Id(0)] int Position, [property: Id(1)] TimeSpan? Eta, [property: Id(2)] string Hint);

/// <summary>The answer to <see cref="IModelPoolGrain.Acquire"/>.</summary>
[GenerateSerializer, Immutable, Alias("Federation.LeaseGrant")]
public sealed record LeaseGrant(
    [property: Id(0)] LeaseGrantStatus Status,
    [property: Id(1)] string LeaseId,
    [property: Id(2)] PoolMember? Member,
    [property: Id(3)] TimeSpan RetryAfter)
{
    /// <summary>Why this node, in a word or two; empty without a lease.</summary>
    [Id(4)] public string Why { get; init; } = string.Empty;

    /// <summary>Nodes that were considered, as many as the pool tells of.</summary>
    [Id(5)] public ImmutableArray<RouteCandidate> Candidates { get; init; } = [];

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

    /// <summary>There are nodes that have the model, and none that the request's privacy or the model's sources allow.</summary>
    NotAllowed = 4,
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

    /// <summary>The node's engine failed, and the request is not to blame: others are asked first for a while.</summary>
    EngineFailed = 3,
}
