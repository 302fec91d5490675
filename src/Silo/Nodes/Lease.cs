using System.Threading.Channels;
using Federation.Contracts.Nodes;

namespace Federation.Silo.Nodes;

/// <summary>
/// One attempt of a job, as the silo that holds the node's stream sees it: what the node may still send, and what it said.
/// The window bounds the memory, so the channel needs no bound of its own. One writer (the stream), one reader (the consumer).
/// </summary>
internal sealed class Lease(string leaseId, string model, string engine, int windowBytes, bool yields = false, bool unpaid = false)
{
    /// <summary>What a chunk costs of the window beyond its data, so that empty chunks cannot pile up. Both ends count so.</summary>
    public const int ChunkOverheadBytes = 64;

    private readonly Channel<LeaseEvent> _events = Channel.CreateUnbounded<LeaseEvent>(
        new UnboundedChannelOptions { SingleReader = true, SingleWriter = false });

    private long _windowLeft = windowBytes;
    private ulong _nextSequence;
    private bool _accepted;
    private bool _headSeen;

    public string LeaseId { get; } = leaseId;

    public string Model { get; } = model;

    public string Engine { get; } = engine;

    /// <inheritdoc cref="LeaseAssignment.Yields"/>
    public bool Yields { get; } = yields;

    /// <inheritdoc cref="LeaseAssignment.Unpaid"/>
    public bool Unpaid { get; } = unpaid;

    /// <summary>Another node's answer is judged.</summary>
    public bool Scores { get; init; }

    /// <summary>When the node was told of it: timestamp of this silo's clock.</summary>
    public long AssignedAt { get; init; }

    /// <summary>What the node may still send, bytes; below zero when it oversteps.</summary>
    public long WindowLeft => Interlocked.Read(ref _windowLeft);

    /// <summary>Ends after <see cref="LeaseEvent.Done"/>, <see cref="LeaseEvent.Failed"/> or <see cref="LeaseEvent.Refused"/>.</summary>
    public ChannelReader<LeaseEvent> Events => _events.Reader;

    /// <summary>The consumer took <paramref name="bytes"/>.</summary>
    public void Grant(int bytes) => Interlocked.Add(ref _windowLeft, bytes);

    /// <summary>The engine's answer has begun.</summary>
    public bool HasBegun => _headSeen;

    /// <summary>The node takes the lease; it says so once.</summary>
    public bool TryAccept() => !_accepted && (_accepted = true);

    /// <summary>The engine's answer begins; a second head breaks the protocol.</summary>
    public bool TryBegin(int status, string contentType)
    {
        if (_headSeen) return false;
        _headSeen = true;
        return _events.Writer.TryWrite(new LeaseEvent.Head(status, contentType));
    }

    /// <summary>Output in order, within the window, after the head; anything else breaks the protocol.</summary>
    public ChunkVerdict TryTake(ulong sequence, ReadOnlyMemory<byte> data)
    {
        if (!_headSeen) return ChunkVerdict.BeforeHead;
        if (sequence != _nextSequence) return ChunkVerdict.OutOfOrder;
        if (Interlocked.Add(ref _windowLeft, -(data.Length + ChunkOverheadBytes)) < 0) return ChunkVerdict.OverWindow;
        _nextSequence++;
        _events.Writer.TryWrite(new LeaseEvent.Chunk(data));
        return ChunkVerdict.Taken;
    }

    /// <summary>The lease's last event. Only the first one counts.</summary>
    public bool TryEnd(LeaseEvent last) => _events.Writer.TryWrite(last) && _events.Writer.TryComplete();
}

/// <summary>What <see cref="Lease.TryTake"/> thinks of a chunk.</summary>
internal enum ChunkVerdict
{
    Taken,
    BeforeHead,
    OutOfOrder,
    OverWindow,
}
