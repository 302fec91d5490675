using System.Collections.Immutable;
using System.Formats.Cbor;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Receipts;

/// <summary>
/// The one encoding of a <see cref="Receipt"/>: deterministic CBOR (RFC 8949 §4.2.1), a map with integer keys, no floats,
/// no indefinite lengths. Equal receipts give equal bytes, so that the id, the SHA-256 of the bytes, names the content.
/// </summary>
public static class ReceiptCodec
{
    /// <summary>Longest receipt that is read, bytes. A usual one is about 450.</summary>
    public const int MaxEncodedBytes = 4096;

    private const int Version = 1;

    // Keys are never renumbered or reused.
    private enum Key
    {
        Version = 1,
        Epoch = 2,
        Sequence = 3,
        PreviousId = 4,
        JobId = 5,
        Attempt = 6,
        Node = 7,
        Hub = 8,
        ClientHash = 9,
        Model = 10,
        ModelDigest = 11,
        RequestHash = 12,
        OutputHash = 13,
        PromptTokens = 14,
        CompletionTokens = 15,
        DispatchMs = 16,
        FirstMs = 17,
        LastMs = 18,
        HardwareClass = 19,
        ReferenceMicroseconds = 20,

        // Left out where there is nothing to say.
        DeterminismClass = 21,
        LogprobCommitment = 22,
    }

    private const int FieldCountMin = (int)Key.ReferenceMicroseconds;
    private const int FieldCountMax = (int)Key.LogprobCommitment;

    /// <summary>The canonical bytes.</summary>
    public static byte[] Encode(Receipt receipt)
    {
        ArgumentNullException.ThrowIfNull(receipt);
        // Canonical as it is written, its keys in ascending order: a writer in charge of the order would gather and sort what is sorted.
        var cbor = new CborWriter(CborConformanceMode.Lax, initialCapacity: 512);
        var hasClass = receipt.DeterminismClass.Length > 0;
        var hasCommitment = !receipt.LogprobCommitment.IsDefaultOrEmpty;
        cbor.WriteStartMap(FieldCountMin + (hasClass ? 1 : 0) + (hasCommitment ? 1 : 0));
        Write(Key.Version, Version);
        Write(Key.Epoch, receipt.Epoch);
        Write(Key.Sequence, receipt.Sequence);
        WriteHash(Key.PreviousId, receipt.PreviousId);
        WriteText(Key.JobId, receipt.JobId);
        Write(Key.Attempt, receipt.Attempt);
        WriteText(Key.Node, receipt.Node.ToString());
        WriteText(Key.Hub, receipt.Hub.ToString());
        WriteHash(Key.ClientHash, receipt.ClientHash);
        WriteText(Key.Model, receipt.Model);
        WriteText(Key.ModelDigest, receipt.ModelDigest);
        WriteHash(Key.RequestHash, receipt.RequestHash);
        WriteHash(Key.OutputHash, receipt.OutputHash);
        Write(Key.PromptTokens, receipt.PromptTokens);
        Write(Key.CompletionTokens, receipt.CompletionTokens);
        Write(Key.DispatchMs, receipt.DispatchMs);
        Write(Key.FirstMs, receipt.FirstMs);
        Write(Key.LastMs, receipt.LastMs);
        WriteText(Key.HardwareClass, receipt.HardwareClass);
        Write(Key.ReferenceMicroseconds, receipt.ReferenceMicroseconds);
        if (hasClass) WriteText(Key.DeterminismClass, receipt.DeterminismClass);
        if (hasCommitment) WriteHash(Key.LogprobCommitment, receipt.LogprobCommitment);
        cbor.WriteEndMap();
        return cbor.Encode();

        void Write(Key key, long value)
        {
            cbor.WriteInt32((int)key);
            cbor.WriteInt64(value);
        }

        void WriteText(Key key, string value)
        {
            cbor.WriteInt32((int)key);
            cbor.WriteTextString(value);
        }

        void WriteHash(Key key, ImmutableArray<byte> value)
        {
            if (value.Length != SHA256.HashSizeInBytes) throw new ArgumentException($"{key} must be 32 bytes, not {value.Length}.", nameof(receipt));
            cbor.WriteInt32((int)key);
            cbor.WriteByteString(value.AsSpan());
        }
    }

    /// <summary>Reads canonical bytes.</summary>
    /// <exception cref="FormatException">They are not the canonical encoding of a receipt; the message says where they depart from it.</exception>
    public static Receipt Decode(ReadOnlyMemory<byte> payload)
    {
        if (payload.Length > MaxEncodedBytes) throw new FormatException($"A receipt is at most {MaxEncodedBytes} bytes, not {payload.Length}.");
        try
        {
            return DecodeCanonical(payload);
        }
        catch (Exception exception) when (exception.IsBadCbor())
        {
            throw new FormatException($"Not a canonical receipt: {exception.Message}", exception);
        }
    }

    /// <summary>The receipt's id: SHA-256 of its payload, never of a signature, which could be changed without its key.</summary>
    public static ImmutableArray<byte> IdOf(ReadOnlySpan<byte> payload) => ImmutableCollectionsMarshal.AsImmutableArray(SHA256.HashData(payload));

    /// <summary>What a node signs that signs a receipt alone, as all did before there were batches (<see cref="ReceiptBatch"/>).</summary>
    public static byte[] NodeSigningBytes(ReadOnlySpan<byte> payload) => SigningDomain.Receipt.Prefix(payload);

    /// <summary>What the hub signs of such a receipt: the payload and the node's agreement to it.</summary>
    public static byte[] HubSigningBytes(ReadOnlySpan<byte> payload, ReadOnlySpan<byte> nodeSignature)
        => SigningDomain.IssuedReceipt.Prefix([.. payload, .. nodeSignature]);

    private static Receipt DecodeCanonical(ReadOnlyMemory<byte> payload)
    {
        var cbor = new CborReader(payload, CborConformanceMode.Canonical);
        if (cbor.ReadStartMap() is not (>= FieldCountMin and <= FieldCountMax)) throw new FormatException($"A receipt has {FieldCountMin} to {FieldCountMax} fields.");
        var version = ReadInteger(Key.Version);
        if (version != Version) throw new FormatException($"Receipt version {version} is unknown.");
        var receipt = new Receipt
        {
            Epoch = ReadInteger(Key.Epoch),
            Sequence = ReadInteger(Key.Sequence),
            PreviousId = ReadHash(Key.PreviousId),
            JobId = ReadText(Key.JobId),
            Attempt = checked((int)ReadInteger(Key.Attempt)),
            Node = NodeId.Parse(ReadText(Key.Node)),
            Hub = HubId.Parse(ReadText(Key.Hub)),
            ClientHash = ReadHash(Key.ClientHash),
            Model = ReadText(Key.Model),
            ModelDigest = ReadText(Key.ModelDigest),
            RequestHash = ReadHash(Key.RequestHash),
            OutputHash = ReadHash(Key.OutputHash),
            PromptTokens = ReadInteger(Key.PromptTokens),
            CompletionTokens = ReadInteger(Key.CompletionTokens),
            DispatchMs = ReadInteger(Key.DispatchMs),
            FirstMs = ReadInteger(Key.FirstMs),
            LastMs = ReadInteger(Key.LastMs),
            HardwareClass = ReadText(Key.HardwareClass),
            ReferenceMicroseconds = ReadInteger(Key.ReferenceMicroseconds),
        };
        while (cbor.PeekState() is not CborReaderState.EndMap)
        {
            // In any other order than ascending, or twice, they would not be canonical, which the reader sees to.
            var key = (Key)cbor.ReadInt32();
            receipt = key switch
            {
                Key.DeterminismClass => receipt with { DeterminismClass = cbor.ReadTextString() is { Length: > 0 } text ? text : throw new FormatException("An empty determinism class is left out.") },
                Key.LogprobCommitment => receipt with { LogprobCommitment = ReadBytes(key) },
                _ => throw new FormatException($"Field {(int)key} is unknown."),
            };
        }

        cbor.ReadEndMap();
        if (cbor.BytesRemaining != 0) throw new FormatException("Bytes follow the receipt.");
        return receipt;

        void Expect(Key key)
        {
            var found = cbor.ReadInt32();
            if (found != (int)key) throw new FormatException($"Expected field {(int)key} ({key}), found {found}.");
        }

        long ReadInteger(Key key)
        {
            Expect(key);
            return cbor.ReadInt64();
        }

        string ReadText(Key key)
        {
            Expect(key);
            return cbor.ReadTextString();
        }

        ImmutableArray<byte> ReadHash(Key key)
        {
            Expect(key);
            return ReadBytes(key);
        }

        ImmutableArray<byte> ReadBytes(Key key)
        {
            var bytes = cbor.ReadByteString();
            return bytes.Length == SHA256.HashSizeInBytes ? [.. bytes] : throw new FormatException($"{key} is {bytes.Length} bytes, not 32.");
        }
    }
}
