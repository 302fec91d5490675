using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Formats.Cbor;
using System.Security.Cryptography;

namespace Federation.Protocol.Verification;

/// <summary>A token that could have stood at a place, and its log-probability in thousandths of a nat.</summary>
/// <param name="Token">What it adds to the text.</param>
/// <param name="MilliNats">See <see cref="LogprobCommitment.ToMilliNats"/>.</param>
public sealed record CommittedAlternative(ReadOnlyMemory<byte> Token, short MilliNats);

/// <summary>What a worker binds itself to about one token of its answer.</summary>
/// <param name="Token">What it adds to the text; empty for the end token.</param>
/// <param name="MilliNats">Its log-probability, thousandths of a nat.</param>
/// <param name="Top">The likeliest tokens at its place, best first; at most <see cref="LogprobCommitment.TopMax"/> count.</param>
public sealed record CommittedToken(ReadOnlyMemory<byte> Token, short MilliNats, ImmutableArray<CommittedAlternative> Top);

/// <summary>
/// The receipt's <c>lp_commit</c> (verification.md §2.1): one hash over the log-probabilities of an answer, given before the worker knows
/// whether it will be audited. The numbers themselves leave the node only in an audit, whole or for some positions with their paths.
/// </summary>
/// <remarks>
/// A Merkle tree as in RFC 6962 §2.1, and the root binds the number of tokens: an answer cannot be shortened behind its own proof.
/// </remarks>
public static class LogprobCommitment
{
    /// <summary>Likeliest tokens that a leaf holds.</summary>
    public const int TopMax = 5;

    /// <summary>Tokens one commitment covers at most.</summary>
    public const int TokensMax = 1 << 20;

    /// <summary>Thousandths of a nat, as a receipt's integers: rounded, and no lower than -32.768 nats.</summary>
    public static short ToMilliNats(double logprob) =>
        (short)Math.Clamp(double.IsNaN(logprob) ? short.MinValue : Math.Round(logprob * 1000), short.MinValue, 0);

    /// <summary>The root over an answer's tokens, 32 bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than <see cref="TokensMax"/> tokens.</exception>
    public static byte[] Root(IReadOnlyList<CommittedToken> tokens)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokens.Count, TokensMax);
        return Bind(tokens.Count, MerkleTree.Root(Leaves(tokens)));
    }

    /// <summary>The hashes beside the way from one token up to the root, lowest first.</summary>
    public static ImmutableArray<byte[]> Prove(IReadOnlyList<CommittedToken> tokens, int index) => MerkleTree.Split(MerkleTree.Path(Leaves(tokens), index));

    /// <summary>Whether a token is the one committed at <paramref name="index"/> of <paramref name="count"/>.</summary>
    public static bool Verify(ReadOnlySpan<byte> root, int count, int index, CommittedToken token, IReadOnlyList<byte[]> path)
    {
        var digest = Leaf(token);
        return count <= TokensMax && MerkleTree.TryClimb(count, index, path, digest) && CryptographicOperations.FixedTimeEquals(Bind(count, digest), root);
    }

    private static byte[] Leaves(IReadOnlyList<CommittedToken> tokens) => [.. tokens.SelectMany(Leaf)];

    private static byte[] Leaf(CommittedToken token)
    {
        var cbor = new CborWriter(CborConformanceMode.Canonical);
        cbor.WriteStartArray(3);
        cbor.WriteByteString(token.Token.Span);
        cbor.WriteInt32(token.MilliNats);
        cbor.WriteStartArray(Math.Min(TopMax, token.Top.Length));
        foreach (var top in token.Top.Take(TopMax))
        {
            cbor.WriteStartArray(2);
            cbor.WriteByteString(top.Token.Span);
            cbor.WriteInt32(top.MilliNats);
            cbor.WriteEndArray();
        }

        cbor.WriteEndArray();
        cbor.WriteEndArray();
        return SHA256.HashData([MerkleTree.LeafPrefix, .. cbor.Encode()]);
    }

    private static byte[] Bind(int count, byte[] tree)
    {
        Span<byte> bound = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bound, count);
        return SHA256.HashData([.. "cf1/lp\0"u8, .. bound, .. tree]);
    }
}
