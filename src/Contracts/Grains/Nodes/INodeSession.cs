using System.Collections.Immutable;
using Federation.Protocol.OpenAi;

namespace Federation.Contracts.Nodes;

/// <summary>
/// The far end of a node's connection, on whichever silo holds it. Soft: it dies with the stream.
/// </summary>
public interface INodeSession : IGrainObserver
{
    /// <summary>Sends the lease to the node; its events go to <paramref name="sink"/>, in order.</summary>
    Task<AssignStatus> Assign(LeaseAssignment assignment, ILeaseSink sink);

    /// <summary>The consumer of a lease took this many bytes; the node may send as many more.</summary>
    Task Grant(string leaseId, int bytes);

    /// <summary>Stops a lease: the client left, or its time is up.</summary>
    Task Cancel(string leaseId, string reason);

    /// <summary>Offers the node receipts to sign, at most <see cref="Protocol.Receipts.ReceiptBatch.CountMax"/>.</summary>
    Task OfferReceipts(ImmutableArray<ImmutableArray<byte>> payloads);

    /// <summary>Asks the node to fetch a model.</summary>
    Task Pull(string engine, string model);

    /// <summary>The hub's opinion of the node changed. In quarantine it is offered to nobody; the connection stays for checks.</summary>
    Task SetStanding(Standing standing);

    /// <summary>Asks the node to show some of the log-probabilities it committed to for a lease that has ended.</summary>
    /// <param name="leaseId">The lease.</param>
    /// <param name="positions">Numbers of tokens, ascending, no two alike.</param>
    Task<Reveal> AskReveal(string leaseId, ImmutableArray<int> positions);

    /// <summary>Ends the connection.</summary>
    Task Close(SessionEnd reason);
}

/// <summary>Why a hub ends a connection.</summary>
[GenerateSerializer, Alias("Federation.SessionEnd")]
public enum SessionEnd
{
    /// <summary>The node connected anew.</summary>
    Superseded = 0,

    /// <summary>The node was banned.</summary>
    Banned = 1,

    /// <summary>The silo stops; the node should dial another.</summary>
    Stopping = 2,
}

/// <summary>The outcome of <see cref="INodeSession.Assign"/>.</summary>
[GenerateSerializer, Alias("Federation.AssignStatus")]
public enum AssignStatus
{
    /// <summary>Sent; events follow.</summary>
    Sent = 0,

    /// <summary>The engine has no free slot now.</summary>
    NoSlot = 1,

    /// <summary>The connection is gone or draining.</summary>
    Gone = 2,
}

/// <summary>One attempt of a job on one node.</summary>
/// <param name="LeaseId">Names the attempt.</param>
/// <param name="JobId">The job.</param>
/// <param name="Kind">What the body is.</param>
/// <param name="Model">Which of the engine's models.</param>
/// <param name="Engine">Which of the node's engines.</param>
/// <param name="Body">What the engine is asked.</param>
/// <param name="Stream">Whether the body asks for a stream.</param>
/// <param name="TimeLeft">Until the answer must be whole.</param>
/// <param name="Attempt">1 for the first.</param>
/// <param name="Yields">The hub's own curiosity: given only to a node that has nothing to do, and broken off as soon as anybody wants the node to work.</param>
/// <param name="Unpaid">Nobody pays for it as work: the time it takes is standby like any other.</param>
[GenerateSerializer, Immutable, Alias("Federation.LeaseAssignment")]
public sealed record LeaseAssignment(
    [property: Id(0)] string LeaseId,
    [property: Id(1)] string JobId,
    [property: Id(2)] JobKind Kind,
    [property: Id(3)] string Model,
    [property: Id(4)] string Engine,
    [property: Id(5)] ReadOnlyMemory<byte> Body,
    [property: Id(6)] bool Stream,
    [property: Id(7)] TimeSpan TimeLeft,
    [property: Id(8)] int Attempt,
    [property: Id(9)] bool Yields = false,
    [property: Id(10)] bool Unpaid = false);

/// <summary>A node's answer to <see cref="INodeSession.AskReveal"/>, not yet held against its commitment.</summary>
/// <param name="Status">Whether there was one.</param>
/// <param name="Count">Tokens the commitment covers, as the node says.</param>
/// <param name="Tokens">In the order they were asked for; some may be missing.</param>
[GenerateSerializer, Immutable, Alias("Federation.Reveal")]
public sealed record Reveal([property: Id(0)] RevealStatus Status, [property: Id(1)] int Count, [property: Id(2)] ImmutableArray<ShownToken> Tokens)
{
    /// <summary>The node shows nothing, as if it had forgotten, and of no other lease did it so before in this connection; asked again about this one, it still is the first.</summary>
    [Id(3)] public bool IsFirstForgotten { get; init; }

    /// <summary>No answer.</summary>
    public static Reveal None(RevealStatus why) => new(why, 0, []);
}

/// <summary>One token of a reveal.</summary>
/// <param name="Position">Its number.</param>
/// <param name="Content">The leaf, at most 16 KiB.</param>
/// <param name="Path">The hashes beside its way to the root, one behind the other.</param>
[GenerateSerializer, Immutable, Alias("Federation.ShownToken")]
public sealed record ShownToken([property: Id(0)] int Position, [property: Id(1)] ImmutableArray<byte> Content, [property: Id(2)] ImmutableArray<byte> Path);

/// <summary>What became of a question for a reveal.</summary>
[GenerateSerializer, Alias("Federation.RevealStatus")]
public enum RevealStatus
{
    /// <summary>The node answered.</summary>
    Shown = 0,

    /// <summary>The node did not answer in time.</summary>
    Silent = 1,

    /// <summary>The connection is gone.</summary>
    Gone = 2,

    /// <summary>The node is being asked too much already; later it may not be.</summary>
    Busy = 3,
}

/// <summary>Where the events of one lease go: the silo that serves the client.</summary>
public interface ILeaseSink : IGrainObserver
{
    /// <summary>Some events, in order. The next batch is sent when this one was taken.</summary>
    Task Take(LeaseEvents events);
}

/// <summary>What a node said about a lease, in order.</summary>
[GenerateSerializer, Immutable, Alias("Federation.LeaseEvents")]
public sealed record LeaseEvents([property: Id(0)] ImmutableArray<LeaseEvent> Items);

/// <summary>One thing a node, or the loss of it, said about a lease.</summary>
[GenerateSerializer, Immutable, Alias("Federation.LeaseEvent")]
public abstract record LeaseEvent
{
    private LeaseEvent()
    {
    }

    /// <summary>The node does not take the lease.</summary>
    [GenerateSerializer, Immutable, Alias("Federation.LeaseEvent.Refused")]
    public sealed record Refused([property: Id(0)] LeaseRefusal Reason) : LeaseEvent;

    /// <summary>The engine's answer begins.</summary>
    [GenerateSerializer, Immutable, Alias("Federation.LeaseEvent.Head")]
    public sealed record Head([property: Id(0)] int Status, [property: Id(1)] string ContentType) : LeaseEvent;

    /// <summary>Bytes of the engine, untouched.</summary>
    [GenerateSerializer, Immutable, Alias("Federation.LeaseEvent.Chunk")]
    public sealed record Chunk([property: Id(0)] ReadOnlyMemory<byte> Data) : LeaseEvent;

    /// <summary>The engine finished. The node's own counts, which the hub does not take for granted.</summary>
    [GenerateSerializer, Immutable, Alias("Federation.LeaseEvent.Done")]
    public sealed record Done(
        [property: Id(0)] int PromptTokens,
        [property: Id(1)] int CompletionTokens,
        [property: Id(2)] ImmutableArray<byte> OutputHash,
        [property: Id(3)] string FinishReason) : LeaseEvent
    {
        /// <summary>What the node binds itself to about the answer's log-probabilities, 32 bytes; empty where it does not.</summary>
        [Id(4)] public ImmutableArray<byte> LogprobCommitment { get; init; } = [];
    }

    /// <summary>The node gave the lease up.</summary>
    [GenerateSerializer, Immutable, Alias("Federation.LeaseEvent.Failed")]
    public sealed record Failed([property: Id(0)] LeaseFailure Reason, [property: Id(1)] string Detail) : LeaseEvent;
}

/// <summary>Why a node does not take a lease. Another node may.</summary>
[GenerateSerializer, Alias("Federation.LeaseRefusal")]
public enum LeaseRefusal
{
    /// <summary>The node did not say.</summary>
    Unspecified = 0,

    /// <summary>No free slot.</summary>
    NoSlot = 1,

    /// <summary>The model is no longer there.</summary>
    ModelGone = 2,

    /// <summary>The owner paused the node.</summary>
    Paused = 3,

    /// <summary>The node is leaving.</summary>
    Draining = 4,
}

/// <summary>Why a lease ended without an answer.</summary>
[GenerateSerializer, Alias("Federation.LeaseFailure")]
public enum LeaseFailure
{
    /// <summary>The node did not say.</summary>
    Unspecified = 0,

    /// <summary>The engine does not answer.</summary>
    EngineUnreachable = 1,

    /// <summary>The engine broke off.</summary>
    EngineError = 2,

    /// <summary>The hub cancelled it. Only the hub's own word, never the node's.</summary>
    Cancelled = 3,

    /// <summary>Its time was up.</summary>
    Deadline = 4,

    /// <summary>The node's connection is gone.</summary>
    NodeLost = 5,

    /// <summary>The node broke the protocol.</summary>
    ProtocolViolation = 6,

    /// <summary>The hub's own end is gone or stops: nothing that the node did.</summary>
    HubLost = 7,

    /// <summary>The node stopped it, as one would that the hub had cancelled; the hub had not.</summary>
    GivenUp = 8,

    /// <summary>The node left, having said that it would, and its time to finish was up: another one goes on.</summary>
    HandedBack = 9,
}
