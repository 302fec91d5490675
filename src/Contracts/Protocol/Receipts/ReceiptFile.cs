using System.Buffers;
using System.Collections.Immutable;
using System.Formats.Cbor;
using System.Text.Json;

namespace Federation.Protocol.Receipts;

/// <summary>
/// A receipt with all it takes to check it without asking anybody: payload, both signatures, both public keys. As JSON (the bytes in base64) or as CBOR
/// (a map of the keys 1 to 6).
/// </summary>
/// <param name="Payload">The receipt's canonical bytes.</param>
/// <param name="NodePublicKey">DER SubjectPublicKeyInfo.</param>
/// <param name="NodeSignature">A <see cref="ReceiptSignature"/>.</param>
/// <param name="HubPublicKey">DER SubjectPublicKeyInfo.</param>
/// <param name="HubSignature">A <see cref="ReceiptSignature"/>; empty while the hub has not counter-signed.</param>
public sealed record ReceiptFile(
    ImmutableArray<byte> Payload, ImmutableArray<byte> NodePublicKey, ImmutableArray<byte> NodeSignature, ImmutableArray<byte> HubPublicKey, ImmutableArray<byte> HubSignature)
{
    /// <summary>Longest file that is read, bytes.</summary>
    public const int MaxBytes = 32 * 1024;

    /// <summary>What a file says it is.</summary>
    public const string Format = "federation-receipt/1";

    private const int FieldCount = 6;

    private const string IdName = "id";

    private static readonly string[] Names = ["format", "payload", "node_public_key", "node_signature", "hub_public_key", "hub_signature"];

    /// <summary>The id that a file in JSON says for people; null where it says none. It proves nothing: <see cref="ReceiptCheck"/> compares it with the payload's.</summary>
    public string? SaidId { get; init; }

    /// <summary>The file as JSON. Beside the bytes it carries the id, for people.</summary>
    public byte[] ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString(Names[0], Format);
            json.WriteString(IdName, Convert.ToHexStringLower(ReceiptCodec.IdOf(Payload.AsSpan()).AsSpan()));
            var fields = Fields();
            for (var i = 0; i < fields.Length; i++) json.WriteBase64String(Names[i + 1], fields[i].AsSpan());
            json.WriteEndObject();
        }
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The file as CBOR.</summary>
    public byte[] ToCbor()
    {
        var cbor = new CborWriter(CborConformanceMode.Canonical);
        cbor.WriteStartMap(FieldCount);
        cbor.WriteInt32(1);
        cbor.WriteTextString(Format);
        var fields = Fields();
        for (var i = 0; i < fields.Length; i++)
        {
            cbor.WriteInt32(i + 2);
            cbor.WriteByteString(fields[i].AsSpan());
        }
        cbor.WriteEndMap();
        return cbor.Encode();
    }

    /// <summary>Reads either form.</summary>
    /// <exception cref="FormatException">It is neither; the message says where it departs.</exception>
    public static ReceiptFile Read(ReadOnlyMemory<byte> file)
    {
        if (file.Length > MaxBytes) throw new FormatException($"A receipt's file is at most {MaxBytes} bytes, not {file.Length}.");
        var text = file.Span.TrimStart(" \t\r\n"u8);
        if (text.IsEmpty) throw new FormatException("The file is empty.");
        return text[0] == (byte)'{' ? ReadJson(file) : ReadCbor(file);
    }

    private static ReceiptFile ReadJson(ReadOnlyMemory<byte> file)
    {
        try
        {
            using var json = JsonDocument.Parse(file, new JsonDocumentOptions { MaxDepth = 4 });
            var format = Field(json.RootElement, Names[0]).GetString();
            if (format != Format) throw new FormatException($"The file's format is '{format}', not '{Format}'.");
            var read = Of([.. Names.Skip(1).Select(name => Bytes(json.RootElement, name))]);
            return json.RootElement.TryGetProperty(IdName, out var id) ? read with { SaidId = id.GetString() } : read;
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            throw new FormatException($"The file is no receipt in JSON: {exception.Message}", exception);
        }
    }

    private static ReceiptFile ReadCbor(ReadOnlyMemory<byte> file)
    {
        try
        {
            var cbor = new CborReader(file, CborConformanceMode.Canonical);
            if (cbor.ReadStartMap() is not FieldCount) throw new FormatException($"A receipt's file has {FieldCount} fields.");
            Expect(cbor, 1);
            var format = cbor.ReadTextString();
            if (format != Format) throw new FormatException($"The file's format is '{format}', not '{Format}'.");
            var fields = new ImmutableArray<byte>[FieldCount - 1];
            for (var i = 0; i < fields.Length; i++)
            {
                Expect(cbor, i + 2);
                fields[i] = [.. cbor.ReadByteString()];
            }
            cbor.ReadEndMap();
            return cbor.BytesRemaining == 0 ? Of(fields) : throw new FormatException("Bytes follow the receipt.");
        }
        catch (Exception exception) when (exception.IsBadCbor())
        {
            throw new FormatException($"The file is neither JSON nor a receipt in CBOR: {exception.Message}", exception);
        }
    }

    private static void Expect(CborReader cbor, int key)
    {
        var found = cbor.ReadInt32();
        if (found != key) throw new FormatException($"Expected field {key}, found {found}.");
    }

    private static JsonElement Field(JsonElement file, string name) => file.TryGetProperty(name, out var field) ? field : throw new FormatException($"The file has no '{name}'.");

    private static ImmutableArray<byte> Bytes(JsonElement file, string name)
        => Field(file, name).TryGetBytesFromBase64(out var bytes) ? [.. bytes] : throw new FormatException($"'{name}' is not base64.");

    private static ReceiptFile Of(ImmutableArray<byte>[] fields) => new(fields[0], fields[1], fields[2], fields[3], fields[4]);

    private ImmutableArray<byte>[] Fields() => [Payload, NodePublicKey, NodeSignature, HubPublicKey, HubSignature];
}
