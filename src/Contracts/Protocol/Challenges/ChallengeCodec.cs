using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Challenges;

/// <summary>
/// The one encoding of a challenge's messages: deterministic CBOR (RFC 8949 §4.2.1), a map with integer keys, no floats, no indefinite lengths. What travels is the payload
/// followed by the sender's signature over it. Nothing here throws anything but <see cref="FormatException"/> on hostile input, nor allocates more than it was sent.
/// </summary>
public static class ChallengeCodec
{
    private const int Version = 1;

    /// <summary>Longest message but a proof, bytes with signature.</summary>
    public const int MaxMessageBytes = 8 * 1024;

    private const int DigestBytes = SeedChain.HashBytes;

    /// <summary>A payload and its sender's signature, as they travel.</summary>
    /// <param name="payload">What one of the <c>Encode</c> methods gave.</param>
    /// <param name="kind">What it is.</param>
    /// <param name="sign">Signs with the sender's key.</param>
    public static byte[] Sign(byte[] payload, ChallengeMessage kind, Func<byte[], byte[]> sign)
    {
        ArgumentNullException.ThrowIfNull(sign);
        return [.. payload, .. sign(DomainOf(kind).Prefix(payload))];
    }

    /// <summary>Whether a message ends with this key's signature over what comes before.</summary>
    public static bool IsSignedBy(ReadOnlySpan<byte> publicKey, ChallengeMessage kind, ReadOnlySpan<byte> message)
        => message.Length > SigningKey.SignatureBytes
            && PublicKeys.Verify(publicKey, DomainOf(kind).Prefix(message[..^SigningKey.SignatureBytes]), message[^SigningKey.SignatureBytes..]);

    /// <summary>The challenge a message belongs to, whoever sent it: for finding out who should read it.</summary>
    /// <exception cref="FormatException">It is none of a challenge's messages.</exception>
    public static ChallengeId IdOf(ReadOnlyMemory<byte> message) => CborFieldReader.ReadId(message, Version);

    /// <summary>SHA-256 over the messages of a challenge as they travelled, each after its length.</summary>
    public static byte[] TranscriptHash(params ReadOnlySpan<ReadOnlyMemory<byte>> messages)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> length = stackalloc byte[sizeof(int)];
        foreach (var message in messages)
        {
            BinaryPrimitives.WriteInt32LittleEndian(length, message.Length);
            hash.AppendData(length);
            hash.AppendData(message.Span);
        }
        return hash.GetHashAndReset();
    }

    // -------------------------------------------------------------------------------------------------------------- start

    /// <summary>The canonical bytes.</summary>
    public static byte[] Encode(ChallengeStart start)
    {
        ArgumentNullException.ThrowIfNull(start);
        return new CborFieldWriter(12, Version)
            .Bytes(start.Id.ToArray(), ChallengeId.Bytes)
            .Integer((long)start.Parameters.Kind)
            .Text(start.Hub.ToString())
            .Text(start.Node.ToString())
            .Integer(start.Slot)
            .Integer(start.Parameters.Size)
            .Integer(start.Parameters.Rounds)
            .Integer(start.Parameters.FillDepth)
            .Integer(start.Epoch)
            .Bytes(start.Beacon.AsSpan(), DigestBytes)
            .Bytes(start.Nonce.AsSpan(), DigestBytes)
            .Integer(start.DeadlineMs)
            .ToArray();
    }

    /// <summary>Reads a signed start.</summary>
    /// <exception cref="FormatException">It is none; the message says why.</exception>
    public static ChallengeStart DecodeStart(ReadOnlyMemory<byte> message) => CborFieldReader.Read(message, MaxMessageBytes, "a start", 12, Version, fields =>
    {
        var id = fields.Id();
        var kind = fields.Integer();
        var hub = HubId.Parse(fields.Text());
        var node = NodeId.Parse(fields.Text());
        var slot = fields.Integer();
        var (size, rounds, fillDepth) = (fields.Integer(), fields.Integer(), fields.Integer());
        var start = new ChallengeStart
        {
            Id = id,
            Parameters = ChallengeParameters.Create(kind, size, rounds, fillDepth),
            Hub = hub,
            Node = node,
            Slot = slot,
            Epoch = fields.Integer(),
            Beacon = fields.Bytes(DigestBytes),
            Nonce = fields.Bytes(DigestBytes),
            DeadlineMs = fields.Integer(),
        };
        return start.DeadlineMs > 0 ? start : throw new FormatException($"The deadline is {start.DeadlineMs} ms.");
    });

    // ------------------------------------------------------------------------------------------------------------- commit

    /// <summary>The canonical bytes.</summary>
    public static byte[] Encode(ChallengeCommit commit)
    {
        ArgumentNullException.ThrowIfNull(commit);
        return new CborFieldWriter(3, Version)
            .Bytes(commit.Id.ToArray(), ChallengeId.Bytes)
            .Bytes(commit.Final.AsSpan(), DigestBytes)
            .Integer(commit.ElapsedMs)
            .ToArray();
    }

    /// <summary>Reads a signed commitment.</summary>
    /// <exception cref="FormatException">It is none; the message says why.</exception>
    public static ChallengeCommit DecodeCommit(ReadOnlyMemory<byte> message) => CborFieldReader.Read(message, MaxMessageBytes, "a commitment", 3, Version, fields =>
        new ChallengeCommit { Id = fields.Id(), Final = fields.Bytes(DigestBytes), ElapsedMs = fields.Integer() });

    // --------------------------------------------------------------------------------------------------------------- open

    /// <summary>The canonical bytes.</summary>
    public static byte[] Encode(ChallengeOpen open)
    {
        ArgumentNullException.ThrowIfNull(open);
        if (open.Cells.Length is < 1 or > ChallengeOpen.MaxCells) throw new ArgumentException($"1 to {ChallengeOpen.MaxCells} cells are opened, not {open.Cells.Length}.", nameof(open));
        return new CborFieldWriter(2, Version)
            .Bytes(open.Id.ToArray(), ChallengeId.Bytes)
            .Array(open.Cells, 2, static (cbor, cell) =>
            {
                cbor.WriteInt32(cell.Round);
                cbor.WriteInt32(cell.Index);
            })
            .ToArray();
    }

    /// <summary>Reads a signed opening of cells.</summary>
    /// <param name="message">The message.</param>
    /// <param name="parameters">Of the challenge: what rounds and rows there are.</param>
    /// <exception cref="FormatException">It is none; the message says why.</exception>
    public static ChallengeOpen DecodeOpen(ReadOnlyMemory<byte> message, ChallengeParameters parameters)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        return CborFieldReader.Read(message, MaxMessageBytes, "an opening", 2, Version, fields => new ChallengeOpen
        {
            Id = fields.Id(),
            Cells = fields.Array(1, ChallengeOpen.MaxCells, 2, (cbor, _) =>
            {
                var (round, index) = (cbor.ReadInt32(), cbor.ReadInt32());
                if ((uint)round >= (uint)parameters.Rounds || (uint)index >= (uint)parameters.LeavesPerRound)
                {
                    throw new FormatException($"There is no cell {index} of round {round}: {parameters.Rounds} rounds have {parameters.LeavesPerRound} each.");
                }
                return new ChallengeCell(round, index);
            }),
        });
    }

    // -------------------------------------------------------------------------------------------------------------- proof

    /// <summary>Longest proof, bytes with signature.</summary>
    public static int MaxProofBytes(ChallengeParameters parameters, int cells)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        // A few bytes are the heads of strings and arrays.
        return 128 + SigningKey.SignatureBytes + (DigestBytes * parameters.Rounds)
            + (cells * (16 + (LeafTree.BlockLeaves * sizeof(ulong)) + (DigestBytes * LeafTree.MaxPathLength(parameters.LeavesPerRound))));
    }

    /// <summary>The canonical bytes.</summary>
    public static byte[] Encode(ChallengeProof proof)
    {
        ArgumentNullException.ThrowIfNull(proof);
        return new CborFieldWriter(3, Version)
            .Bytes(proof.Id.ToArray(), ChallengeId.Bytes)
            .Bytes(proof.Roots.AsSpan(), proof.Roots.Length)
            .Array(proof.Openings, 2, static (cbor, opening) =>
            {
                Span<byte> block = stackalloc byte[LeafTree.BlockLeaves * sizeof(ulong)];
                for (var i = 0; i < opening.Block.Length; i++) BinaryPrimitives.WriteUInt64LittleEndian(block[(i * sizeof(ulong))..], opening.Block[i]);
                cbor.WriteByteString(block[..(opening.Block.Length * sizeof(ulong))]);
                cbor.WriteByteString(opening.Path.AsSpan());
            })
            .ToArray();
    }

    /// <summary>Reads a signed proof.</summary>
    /// <param name="message">The message.</param>
    /// <param name="parameters">Of the challenge.</param>
    /// <param name="cells">What was asked for: it settles the length of everything.</param>
    /// <exception cref="FormatException">It is none; the message says why.</exception>
    public static ChallengeProof DecodeProof(ReadOnlyMemory<byte> message, ChallengeParameters parameters, ImmutableArray<ChallengeCell> cells)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        var leaves = parameters.LeavesPerRound;
        return CborFieldReader.Read(message, MaxProofBytes(parameters, cells.Length), "a proof", 3, Version, fields => new ChallengeProof
        {
            Id = fields.Id(),
            Roots = fields.Bytes(parameters.Rounds * DigestBytes),
            Openings = fields.Array(cells.Length, cells.Length, 2, (cbor, i) =>
            {
                var block = cells[i].Index / LeafTree.BlockLeaves;
                var content = CborFieldReader.ByteString(cbor, LeafTree.BlockLength(leaves, block) * sizeof(ulong), $"Block {i}");
                var path = CborFieldReader.ByteString(cbor, LeafTree.PathLength(leaves, block) * DigestBytes, $"Path {i}");
                var hashes = ImmutableArray.CreateBuilder<ulong>(content.Length / sizeof(ulong));
                for (var at = 0; at < content.Length; at += sizeof(ulong)) hashes.Add(BinaryPrimitives.ReadUInt64LittleEndian(content.AsSpan()[at..]));
                return new ChallengeOpening(hashes.MoveToImmutable(), path);
            }),
        });
    }

    // ------------------------------------------------------------------------------------------------------------- result

    /// <summary>The canonical bytes.</summary>
    public static byte[] Encode(ChallengeResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        return new CborFieldWriter(8, Version)
            .Bytes(result.Id.ToArray(), ChallengeId.Bytes)
            .Integer((long)result.Outcome)
            .Integer(result.ElapsedMicroseconds)
            .Integer(result.RoundTripMicroseconds)
            .Integer(result.PerSecond)
            .Text(result.HardwareClass)
            .Text(result.Sentence)
            .Bytes(result.TranscriptHash.AsSpan(), DigestBytes)
            .ToArray();
    }

    /// <summary>Reads a signed result.</summary>
    /// <exception cref="FormatException">It is none; the message says why.</exception>
    public static ChallengeResult DecodeResult(ReadOnlyMemory<byte> message) => CborFieldReader.Read(message, MaxMessageBytes, "a result", 8, Version, fields => new ChallengeResult
    {
        Id = fields.Id(),
        Outcome = (ChallengeOutcome)fields.Integer() is var outcome && Enum.IsDefined(outcome) ? outcome : throw new FormatException($"There is no outcome {(long)outcome}."),
        ElapsedMicroseconds = fields.Integer(),
        RoundTripMicroseconds = fields.Integer(),
        PerSecond = fields.Integer(),
        HardwareClass = fields.Text(ChallengeResult.MaxClassLength),
        Sentence = fields.Text(ChallengeResult.MaxSentenceLength),
        TranscriptHash = fields.Bytes(DigestBytes),
    });

    // -------------------------------------------------------------------------------------------------------------- shared

    private static SigningDomain DomainOf(ChallengeMessage kind) => kind switch
    {
        ChallengeMessage.Start => SigningDomain.ChallengeStart,
        ChallengeMessage.Commit => SigningDomain.ChallengeCommit,
        ChallengeMessage.Open => SigningDomain.ChallengeOpen,
        ChallengeMessage.Proof => SigningDomain.ChallengeProof,
        ChallengeMessage.Result => SigningDomain.ChallengeResult,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };
}
