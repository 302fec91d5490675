using System.Collections.Immutable;
using Federation.Protocol.OpenAi;

namespace Federation.Contracts.Jobs;

/// <summary>
/// One unit of work. The grain is the job's fence: of all its attempts exactly one is settled. The key is the job's id.
/// </summary>
[Alias("Federation.Job")]
public interface IJobGrain : IGrainWithStringKey
{
    /// <summary>
    /// Records how the job ended. When this returns, the record is on disk. Settling again with the same attempt gives the same
    /// answer; with another attempt it is refused.
    /// </summary>
    [Alias("Settle")]
    Task<Settlement> Settle(JobOutcome outcome);
}

/// <summary>How a job ended.</summary>
[GenerateSerializer, Alias("Federation.JobStatus")]
public enum JobStatus
{
    /// <summary>The whole answer was delivered.</summary>
    Succeeded = 0,

    /// <summary>The client left; what was delivered counts.</summary>
    Cancelled = 1,

    /// <summary>The answer broke off.</summary>
    Failed = 2,
}

/// <summary>Everything the record of a finished job needs. Times are the hub's clock; the determinism class is that of the engine that answered, as it was when the job was sent.</summary>

[GenerateSerializer, Immutable, Alias("Federation.JobOutcome")]
public sealed record JobOutcome(
    [property: Id(0)] string JobId,
    [property: Id(1)] int Attempt,
    [property: Id(2)] string AccountId,
    [property: Id(3)] string KeyId,
    [property: Id(4)] JobKind Kind,
    [property: Id(5)] string Model,
    [property: Id(6)] string ModelDigest,
    [property: Id(7)] long ModelSizeBytes,
    [property: Id(8)] string NodeId,
    [property: Id(9)] JobStatus Status,
    [property: Id(10)] string FinishReason,
    [property: Id(11)] long PromptTokens,
    [property: Id(12)] long CompletionTokens,
    [property: Id(13)] ImmutableArray<byte> RequestHash,
    [property: Id(14)] ImmutableArray<byte> OutputHash,
    [property: Id(15)] long QueuedMs,
    [property: Id(16)] long DispatchMs,
    [property: Id(17)] long FirstMs,
    [property: Id(18)] long LastMs,
    [property: Id(19)] string DeterminismClass)
{
    /// <summary>What the node bound itself to about the answer's log-probabilities when it ended, 32 bytes; empty where it did not.</summary>
    [Id(20)] public ImmutableArray<byte> LogprobCommitment { get; init; } = [];

    /// <summary>Bytes of the request's body; 0 where nobody counted them.</summary>
    [Id(21)] public long RequestBytes { get; init; }

    /// <summary>UTF-8 bytes of all that the model said; 0 where nobody counted them, or where it says nothing, as with vectors.</summary>
    [Id(22)] public long TextBytes { get; init; }

    /// <summary>What the account pays, microcredits; at most what <see cref="HoldId"/> holds.</summary>
    [Id(40)] public long Price { get; init; }

    /// <summary>The hold that is paid from, or freed where the price is nothing; empty where nothing was held.</summary>
    [Id(41)] public string HoldId { get; init; } = string.Empty;

    /// <summary>The cloud provider that answered; empty where a node did.</summary>
    [Id(42)] public string Provider { get; init; } = string.Empty;

    /// <summary>Nobody waited for it: an asynchronous job, or a line of a batch.</summary>
    [Id(43)] public bool IsBackground { get; init; }

    /// <summary>The answer, where its client may ask for it again: on record in the commit that has it paid. <see langword="null"/> where it is not kept, or nothing was held.</summary>
    [Id(44)] public AnswerOnRecord? Answer { get; init; }

    /// <summary>
    /// Of the prompt's tokens, those that are the answer's own beginning, which another node gave under a job of its own: this one read them and is paid for that, the client is not asked to pay for them as a prompt.
    /// </summary>
    [Id(23)] public long CarriedTokens { get; init; }
}

/// <summary>An answer that was given to a request with an <c>Idempotency-Key</c>.</summary>
/// <param name="KeyHash">SHA-256 of the key.</param>
/// <param name="RequestHash">SHA-256 of what was asked.</param>
/// <param name="Route">Which way it came.</param>
/// <param name="NodeId">Who answered; empty where it was no node.</param>
/// <param name="Attempts">Who was asked, the one that answered counted.</param>
/// <param name="QueuedMs">How long the request waited for a node.</param>
/// <param name="Status">HTTP.</param>
/// <param name="ContentType">Of an answer that is no stream.</param>
/// <param name="IsStream">Whether it was streamed.</param>
/// <param name="IsKept">Whether its bytes are here; of one that was too large is remembered that it was given.</param>
/// <param name="Bytes">The engine's.</param>
/// <param name="GivenMs">When, unix milliseconds.</param>
/// <param name="ExpiresMs">Until when it is given again, unix milliseconds.</param>
[GenerateSerializer, Immutable, Alias("Federation.AnswerOnRecord")]
public sealed record AnswerOnRecord(
    [property: Id(0)] ImmutableArray<byte> KeyHash,
    [property: Id(1)] ImmutableArray<byte> RequestHash,
    [property: Id(2)] string Route,
    [property: Id(3)] string NodeId,
    [property: Id(4)] int Attempts,
    [property: Id(5)] long QueuedMs,
    [property: Id(6)] int Status,
    [property: Id(7)] string ContentType,
    [property: Id(8)] bool IsStream,
    [property: Id(9)] bool IsKept,
    [property: Id(10)] ImmutableArray<byte> Bytes,
    [property: Id(11)] long GivenMs,
    [property: Id(12)] long ExpiresMs);

/// <summary>The answer to <see cref="IJobGrain.Settle"/>.</summary>

[GenerateSerializer, Immutable, Alias("Federation.Settlement")]
public sealed record Settlement([property: Id(0)] bool Settled, [property: Id(1)] int SettledAttempt);

/// <summary>What a node says about receipts that it was offered, each named once; at most <see cref="Protocol.Receipts.ReceiptBatch.CountMax"/>.</summary>
/// <param name="Agreed">Ids of those that it signs, in the order of the batch.</param>
/// <param name="Signature">Over them all, 64 bytes; empty when there are none.</param>
/// <param name="Objections">Those that it does not agree with.</param>
[GenerateSerializer, Immutable, Alias("Federation.OfferAnswer")]
public sealed record OfferAnswer(
    [property: Id(0)] ImmutableArray<ImmutableArray<byte>> Agreed,
    [property: Id(1)] ImmutableArray<byte> Signature,
    [property: Id(2)] ImmutableArray<Objection> Objections);

/// <summary>A receipt that a node does not agree with, and why.</summary>
[GenerateSerializer, Immutable, Alias("Federation.Objection")]
public sealed record Objection([property: Id(0)] ImmutableArray<byte> ReceiptId, [property: Id(1)] string Words);

/// <summary>The answer to a receipt's signature.</summary>
/// <param name="Status">What became of it.</param>
/// <param name="HubSignature">What the receipt keeps of the hub's signature (<see cref="Protocol.Receipts.ReceiptSignature"/>); empty unless issued.</param>
/// <param name="CreditedMicrocredits">What it put on the owner's pending balance.</param>
[GenerateSerializer, Immutable, Alias("Federation.ReceiptSigning")]
public sealed record ReceiptSigning(
    [property: Id(0)] ReceiptSigningStatus Status,
    [property: Id(1)] ImmutableArray<byte> HubSignature,
    [property: Id(2)] long CreditedMicrocredits);

/// <summary>The outcome of a receipt's signature.</summary>
[GenerateSerializer, Alias("Federation.ReceiptSigningStatus")]
public enum ReceiptSigningStatus
{
    /// <summary>Signed by both; credited as pending. The same answer when it was so already.</summary>
    Issued = 0,

    /// <summary>The node objects, or the ledger refuses to credit it; kept for the operator, nothing is credited.</summary>
    Disputed = 1,

    /// <summary>No such receipt was offered to this node.</summary>
    Unknown = 2,

    /// <summary>The signature is not this node's over this batch: no honest node sends one, so its key is banned.</summary>
    WrongSignature = 3,

    /// <summary>The node signed too late for its answer to be audited; the hub objects, and nothing is credited.</summary>
    TooLate = 4,

    /// <summary>The hub could not check the signature now; the receipt stays offered.</summary>
    Unchecked = 5,
}
