using System.Collections.Immutable;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Challenges;

/// <summary>The messages of a challenge, in their order. Each is signed by its sender in a domain of its own.</summary>
/// <remarks>
/// There is deliberately none in which the node is told a vector r and answers C·r: C·r = A(B·r) costs O(n²), so the answer would prove nothing of the O(n³) product.
/// </remarks>
public enum ChallengeMessage
{
    /// <summary>The hub asks: <see cref="ChallengeStart"/>.</summary>
    Start = 1,

    /// <summary>The node has computed and binds itself to the result: <see cref="ChallengeCommit"/>.</summary>
    Commit = 2,

    /// <summary>The hub says what it wants to see: <see cref="ChallengeOpen"/>.</summary>
    Open = 3,

    /// <summary>The node shows it: <see cref="ChallengeProof"/>.</summary>
    Proof = 4,

    /// <summary>The hub says how it went: <see cref="ChallengeResult"/>.</summary>
    Result = 5,
}

/// <summary>The hub's request. The node has <see cref="DeadlineMs"/> for the commitment; the faster, the better its class.</summary>
public sealed record ChallengeStart
{
    /// <summary>The challenge.</summary>
    public required ChallengeId Id { get; init; }

    /// <summary>How much is to be computed.</summary>
    public required ChallengeParameters Parameters { get; init; }

    /// <summary>Who asks.</summary>
    public required HubId Hub { get; init; }

    /// <summary>Who is asked.</summary>
    public required NodeId Node { get; init; }

    /// <summary>The time slot: challenges of one slot start together, on all hubs, so that one device cannot answer for two.</summary>
    public required long Slot { get; init; }

    /// <summary>The epoch whose beacon is used.</summary>
    public required long Epoch { get; init; }

    /// <summary>That beacon, 32 bytes.</summary>
    public required ImmutableArray<byte> Beacon { get; init; }

    /// <summary>32 random bytes, for this challenge only.</summary>
    public required ImmutableArray<byte> Nonce { get; init; }

    /// <summary>Until the commitment must have arrived, milliseconds from when this was sent.</summary>
    public required long DeadlineMs { get; init; }
}

/// <summary>The node's commitment. What the hub times is its arrival.</summary>
public sealed record ChallengeCommit
{
    /// <summary>The challenge.</summary>
    public required ChallengeId Id { get; init; }

    /// <summary><see cref="SeedChain.Final"/> of all roots.</summary>
    public required ImmutableArray<byte> Final { get; init; }

    /// <summary>How long it took by the node's own clock, milliseconds: a hint for people, no measure.</summary>
    public required long ElapsedMs { get; init; }
}

/// <summary>One row of one product, or one segment in one pass.</summary>
/// <param name="Round">The round, counted from 0.</param>
/// <param name="Index">The row or segment, counted from 0.</param>
public readonly record struct ChallengeCell(int Round, int Index);

/// <summary>What the hub wants to see, drawn after the commitment: <see cref="ChallengeDraw"/>.</summary>
public sealed record ChallengeOpen
{
    /// <summary>Most cells that can be asked for.</summary>
    public const int MaxCells = 256;

    /// <summary>The challenge.</summary>
    public required ChallengeId Id { get; init; }

    /// <summary>The cells; one may come twice.</summary>
    public required ImmutableArray<ChallengeCell> Cells { get; init; }
}

/// <summary>One cell, shown.</summary>
/// <param name="Block">The block of hashes that the cell's stands in, as <see cref="LeafTree"/> has it.</param>
/// <param name="Path">The block's path to the root of the round, bottom up.</param>
public readonly record struct ChallengeOpening(ImmutableArray<ulong> Block, ImmutableArray<byte> Path);

/// <summary>The node's proof.</summary>
public sealed record ChallengeProof
{
    /// <summary>The challenge.</summary>
    public required ChallengeId Id { get; init; }

    /// <summary>The roots of all rounds, 32 bytes each, in order, so that every link of the chain can be walked again.</summary>
    public required ImmutableArray<byte> Roots { get; init; }

    /// <summary>The cells, in the order they were asked for.</summary>
    public required ImmutableArray<ChallengeOpening> Openings { get; init; }
}

/// <summary>What came of a challenge. The numbers are stable: they are on the wire and on disk.</summary>
public enum ChallengeOutcome
{
    /// <summary>The result is right and came in time for the class.</summary>
    Passed = 1,

    /// <summary>The result is right, but slower than the class allows. The class is wrong or the machine was busy; nobody lied.</summary>
    TooSlow = 2,

    /// <summary>No commitment before the deadline. As <see cref="TooSlow"/>: nobody can tell a slow machine from a false claim.</summary>
    Late = 3,

    /// <summary>A commitment, but no proof before its deadline. No evidence of a lie, but what a liar does when the draw goes against him.</summary>
    Withheld = 4,

    /// <summary>Something the node signed is wrong in a way that no honest node's can be.</summary>
    Fraud = 5,
}

/// <summary>The hub's verdict, public, with what anybody needs to come to it again.</summary>
public sealed record ChallengeResult
{
    /// <summary>Longest <see cref="Sentence"/>, characters.</summary>
    public const int MaxSentenceLength = 300;

    /// <summary>Longest <see cref="HardwareClass"/>, characters.</summary>
    public const int MaxClassLength = 64;

    /// <summary>The challenge.</summary>
    public required ChallengeId Id { get; init; }

    /// <summary>How it went.</summary>
    public required ChallengeOutcome Outcome { get; init; }

    /// <summary>From sending the request to receiving the commitment on the hub's clock, less the round trip, microseconds; 0 without a commitment.</summary>
    public required long ElapsedMicroseconds { get; init; }

    /// <summary>The round trip that was taken off, microseconds.</summary>
    public required long RoundTripMicroseconds { get; init; }

    /// <summary>The measured speed: operations a second (MM) or bytes a second (MEM); 0 where nothing was measured.</summary>
    public required long PerSecond { get; init; }

    /// <summary>The class that was tested for.</summary>
    public required string HardwareClass { get; init; }

    /// <summary>What happened, in words.</summary>
    public required string Sentence { get; init; }

    /// <summary>SHA-256 over the challenge's messages: <see cref="ChallengeCodec.TranscriptHash"/>.</summary>
    public required ImmutableArray<byte> TranscriptHash { get; init; }
}
