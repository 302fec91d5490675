using System.Buffers.Binary;
using System.Collections.Immutable;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Receipts;

namespace Federation.NodeAgent.Link;

/// <summary>What this node did for one lease, as far as it must know to judge a receipt.</summary>
/// <param name="JobId">The job.</param>
/// <param name="Attempt">The lease's number within the job.</param>
/// <param name="RequestHash">SHA-256 of the request body.</param>
/// <param name="OutputHash">SHA-256 of the output, as far as it got.</param>
/// <param name="OutputPrefixes">
/// <see cref="Shorten"/> of the SHA-256 after each chunk: where the client left or the line broke, the hub counts what it had taken by
/// then, and the node may believe to have said more.
/// </param>
/// <param name="Usage">The engine's count; <see langword="null"/> where it did not say.</param>
/// <param name="Commitment">What the node bound itself to at the end; empty where it did not.</param>
internal sealed record WorkRecord(string JobId, int Attempt, ImmutableArray<byte> RequestHash, ImmutableArray<byte> OutputHash, ImmutableArray<ulong> OutputPrefixes, TokenUsage? Usage, ImmutableArray<byte> Commitment)
{
    /// <summary>The first eight bytes: enough to know one of a few thousand outputs again.</summary>
    public static ulong Shorten(ReadOnlySpan<byte> hash) => BinaryPrimitives.ReadUInt64BigEndian(hash);

    /// <summary>Whether the node said this, and maybe more after it.</summary>
    public bool Began(ReadOnlySpan<byte> outputHash) => OutputHash.AsSpan().SequenceEqual(outputHash) || OutputPrefixes.Contains(Shorten(outputHash));
}

/// <summary>The leases this node finished lately, to hold receipts against. Bounded; safe for use by several threads.</summary>
internal sealed class WorkLog(int capacity)
{
    private readonly Dictionary<(string JobId, int Attempt), WorkRecord> _records = [];
    private readonly Queue<(string JobId, int Attempt)> _order = [];
    private readonly Lock _gate = new();

    public void Add(WorkRecord record)
    {
        lock (_gate)
        {
            if (!_records.TryAdd((record.JobId, record.Attempt), record)) return;
            _order.Enqueue((record.JobId, record.Attempt));
            if (_order.Count > capacity) _records.Remove(_order.Dequeue());
        }
    }

    /// <summary>Why the node must not sign this receipt; <see langword="null"/> when it says what the node did.</summary>
    public string? WhyWrong(Receipt receipt)
    {
        WorkRecord? record;
        lock (_gate) _records.TryGetValue((receipt.JobId, receipt.Attempt), out record);
        if (record is null) return "this node does not remember the job";
        if (!record.RequestHash.AsSpan().SequenceEqual(receipt.RequestHash.AsSpan())) return "the request is another one";
        if (!record.Began(receipt.OutputHash.AsSpan())) return "the output is another one";
        if (record.Usage is { } usage && (receipt.PromptTokens > usage.PromptTokens || receipt.CompletionTokens > usage.CompletionTokens)) return "it counts more tokens than the engine did";
        // A client that left before the end leaves the hub without it.
        if (!receipt.LogprobCommitment.IsEmpty && !receipt.LogprobCommitment.SequenceEqual(record.Commitment)) return "its commitment is another one";
        return null;
    }
}
