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
/// <param name="Offset">Where it begins, bytes into the answer's text: a token that is shown alone cannot be moved to a place where it would look better.</param>
public sealed record CommittedToken(ReadOnlyMemory<byte> Token, short MilliNats, ImmutableArray<CommittedAlternative> Top, int Offset = 0);

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

    /// <summary>Longest token, bytes; no model has one as long.</summary>
    public const int TokenBytesMax = 1024;

    /// <summary>Thousandths of a nat, as a receipt's integers: rounded, and no lower than -32.768 nats.</summary>
    public static short ToMilliNats(double logprob) =>
        (short)Math.Clamp(double.IsNaN(logprob) ? short.MinValue : Math.Round(logprob * 1000), short.MinValue, 0);

    /// <summary>The same tokens, each where the ones before it end.</summary>
    public static ImmutableArray<CommittedToken> InOrder(IEnumerable<CommittedToken> tokens)
    {
        var offset = 0;
        var placed = ImmutableArray.CreateBuilder<CommittedToken>();
        foreach (var token in tokens)
        {
            placed.Add(token with { Offset = offset });
            offset += token.Token.Length;
        }

        return placed.ToImmutable();
    }

    /// <summary>What is hashed of a token, and what is shown of it: canonical CBOR, an array of its place, its bytes, its log-probability, and pairs of those for the likeliest.</summary>
    public static byte[] Encode(CommittedToken token)
    {
        var cbor = new CborWriter(CborConformanceMode.Canonical);
        cbor.WriteStartArray(4);
        cbor.WriteInt32(token.Offset);
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
        return cbor.Encode();
    }

    /// <summary>Reads <see cref="Encode"/>; null for what it does not write. Never throws for what a node sent.</summary>
    public static CommittedToken? TryDecode(ReadOnlyMemory<byte> encoded)
    {
        try
        {
            var cbor = new CborReader(encoded, CborConformanceMode.Canonical);
            if (cbor.ReadStartArray() != 4) return null;
            var (offset, token, milliNats) = (cbor.ReadInt32(), cbor.ReadByteString(), checked((short)cbor.ReadInt32()));
            if (cbor.ReadStartArray() is not (>= 0 and <= TopMax) || offset < 0 || token.Length > TokenBytesMax || milliNats > 0) return null;
            var top = ImmutableArray.CreateBuilder<CommittedAlternative>();
            while (cbor.PeekState() is not CborReaderState.EndArray)
            {
                if (cbor.ReadStartArray() != 2) return null;
                top.Add(new CommittedAlternative(cbor.ReadByteString(), checked((short)cbor.ReadInt32())));
                cbor.ReadEndArray();
            }

            cbor.ReadEndArray();
            cbor.ReadEndArray();
            return cbor.BytesRemaining == 0 ? new CommittedToken(token, milliNats, top.ToImmutable(), offset) : null;
        }
        catch (Exception e) when (e.IsBadCbor())
        {
            return null;
        }
    }

    /// <summary>The root over an answer's tokens, 32 bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than <see cref="TokensMax"/> tokens.</exception>
    public static byte[] Root(IReadOnlyList<CommittedToken> tokens) => Root([.. tokens.Select(Encode)]);

    /// <summary>The same over tokens as <see cref="Encode"/> writes them.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than <see cref="TokensMax"/> tokens.</exception>
    public static byte[] Root(IReadOnlyList<byte[]> encoded)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(encoded.Count, TokensMax);
        return Bind(encoded.Count, MerkleTree.Root(Leaves(encoded)));
    }

    /// <summary>The hashes beside the way from one token up to the root, lowest first.</summary>
    public static ImmutableArray<byte[]> Prove(IReadOnlyList<CommittedToken> tokens, int index) => MerkleTree.Split(Prove([.. tokens.Select(Encode)], [index])[0]);

    /// <summary>The same for several of the tokens as <see cref="Encode"/> writes them, each way's hashes one behind the other.</summary>
    public static ImmutableArray<byte[]> Prove(IReadOnlyList<byte[]> encoded, IEnumerable<int> indexes) => MerkleTree.Paths(Leaves(encoded), [.. indexes]);

    /// <summary>Whether a token is the one committed at <paramref name="index"/> of <paramref name="count"/>.</summary>
    public static bool Verify(ReadOnlySpan<byte> root, int count, int index, CommittedToken token, IReadOnlyList<byte[]> path) =>
        path.All(hash => hash.Length == MerkleTree.DigestBytes) && Verify(root, count, index, Encode(token), [.. path.SelectMany(hash => hash)]);

    /// <summary>The same for a token as it was shown, and its way's hashes one behind the other.</summary>
    public static bool Verify(ReadOnlySpan<byte> root, int count, int index, ReadOnlySpan<byte> encoded, ReadOnlySpan<byte> path)
    {
        var digest = Leaf(encoded);
        return count <= TokensMax && MerkleTree.TryClimb(count, index, path, digest) && CryptographicOperations.FixedTimeEquals(Bind(count, digest), root);
    }

    private static byte[] Leaves(IReadOnlyList<byte[]> encoded)
    {
        var leaves = new byte[encoded.Count * MerkleTree.DigestBytes];
        for (var i = 0; i < encoded.Count; i++) Leaf(encoded[i]).CopyTo(MerkleTree.At(leaves, i));
        return leaves;
    }

    private static byte[] Leaf(ReadOnlySpan<byte> encoded) => SHA256.HashData([MerkleTree.LeafPrefix, .. encoded]);

    private static byte[] Bind(int count, byte[] tree)
    {
        Span<byte> bound = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bound, count);
        return SHA256.HashData([.. "cf1/lp\0"u8, .. bound, .. tree]);
    }
}
