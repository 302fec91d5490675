using System.Collections.Immutable;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Receipts;

/// <summary>
/// What one lease did, in the hub's measure: signed by the node, counter-signed by the hub, chained per node. Anybody can
/// check one offline. Times are the hub's clock, milliseconds since 1970 UTC.
/// </summary>
/// <remarks>
/// Encoded by <see cref="ReceiptCodec"/>. Fields that are added later get keys of their own there; a decoder refuses keys it does not know, since what it
/// cannot read it must not sign.
/// </remarks>
public sealed record Receipt
{
    /// <summary>The hour this receipt belongs to: whole hours since 1970 UTC at <see cref="LastMs"/>.</summary>
    public required long Epoch { get; init; }

    /// <summary>1, 2, 3… per node.</summary>
    public required long Sequence { get; init; }

    /// <summary>Id of the node's receipt before this one; 32 zero bytes for the first.</summary>
    public required ImmutableArray<byte> PreviousId { get; init; }

    /// <summary>The job and its attempt.</summary>
    public required string JobId { get; init; }

    /// <summary>1 for the first lease of the job.</summary>
    public required int Attempt { get; init; }

    /// <summary>Who did the work.</summary>
    public required NodeId Node { get; init; }

    /// <summary>Who gave it.</summary>
    public required HubId Hub { get; init; }

    /// <summary>SHA-256 that stands for the client's account without naming it.</summary>
    public required ImmutableArray<byte> ClientHash { get; init; }

    /// <summary>The model's name as the client asked for it.</summary>
    public required string Model { get; init; }

    /// <summary>Digest of the weights as the node's engine tells it; empty where it does not.</summary>
    public required string ModelDigest { get; init; }

    /// <summary>SHA-256 of the request body: prompt and parameters together.</summary>
    public required ImmutableArray<byte> RequestHash { get; init; }

    /// <summary>SHA-256 of the bytes the engine answered.</summary>
    public required ImmutableArray<byte> OutputHash { get; init; }

    /// <summary>Prompt tokens paid for.</summary>
    public required long PromptTokens { get; init; }

    /// <summary>Completion tokens paid for.</summary>
    public required long CompletionTokens { get; init; }

    /// <summary>The lease was sent to the node.</summary>
    public required long DispatchMs { get; init; }

    /// <summary>The first byte of output arrived.</summary>
    public required long FirstMs { get; init; }

    /// <summary>The last byte of output arrived.</summary>
    public required long LastMs { get; init; }

    /// <summary>The hardware class the work is paid as.</summary>
    public required string HardwareClass { get; init; }

    /// <summary>Reference work, microseconds: the tokens divided by the class's reference speed; never wall clock.</summary>
    public required long ReferenceMicroseconds { get; init; }

    /// <summary>Whose answers compare with this one: the canonical text of a <see cref="Verification.DeterminismClass"/>; empty where it is not known.</summary>
    public string DeterminismClass { get; init; } = string.Empty;

    /// <summary>
    /// What the node bound itself to about the log-probabilities of its answer, before it could know whether it is audited: 32 bytes (<see cref="Verification.LogprobCommitment"/>); empty where
    /// its engine gives none.
    /// </summary>
    public ImmutableArray<byte> LogprobCommitment { get; init; } = [];
}
