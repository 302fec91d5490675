using System.Collections.Immutable;
using System.Formats.Cbor;
using System.Runtime.InteropServices;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Challenges;

/// <summary>Writes one message: a canonical map whose keys count up from 1, the version first. The order of the calls is the wire format; new fields go to the end.</summary>
internal sealed class CborFieldWriter
{
    private readonly CborWriter _cbor = new(CborConformanceMode.Canonical, initialCapacity: 256);
    private int _key;

    public CborFieldWriter(int fields, int version)
    {
        _cbor.WriteStartMap(fields + 1);
        Integer(version);
    }

    public CborFieldWriter Integer(long value)
    {
        Key().WriteInt64(value);
        return this;
    }

    public CborFieldWriter Text(string value)
    {
        Key().WriteTextString(value);
        return this;
    }

    /// <summary>A byte string whose length the format prescribes.</summary>
    public CborFieldWriter Bytes(ReadOnlySpan<byte> value, int length)
    {
        if (value.Length != length) throw new ArgumentException($"Field {_key + 1} has {length} bytes, not {value.Length}.", nameof(value));
        Key().WriteByteString(value);
        return this;
    }

    /// <summary>An array of arrays of <paramref name="width"/> elements.</summary>
    public CborFieldWriter Array<T>(ImmutableArray<T> items, int width, Action<CborWriter, T> write)
    {
        Key().WriteStartArray(items.Length);
        foreach (var item in items)
        {
            _cbor.WriteStartArray(width);
            write(_cbor, item);
            _cbor.WriteEndArray();
        }
        _cbor.WriteEndArray();
        return this;
    }

    public byte[] ToArray()
    {
        _cbor.WriteEndMap();
        return _cbor.Encode();
    }

    private CborWriter Key()
    {
        _cbor.WriteInt32(++_key);
        return _cbor;
    }
}

/// <summary>Reads what <see cref="CborFieldWriter"/> wrote, in the same order, and nothing else.</summary>
internal sealed class CborFieldReader
{
    private readonly CborReader _cbor;
    private int _key;

    private CborFieldReader(ReadOnlyMemory<byte> payload) => _cbor = new CborReader(payload, CborConformanceMode.Canonical);

    /// <summary>Reads a whole message.</summary>
    /// <param name="signed">The payload and its signature.</param>
    /// <param name="maxBytes">Longest message.</param>
    /// <param name="what">What it should be, with its article, for the error.</param>
    /// <param name="fields">Fields beside the version.</param>
    /// <param name="version">The version that is understood.</param>
    /// <param name="read">Reads the fields.</param>
    /// <exception cref="FormatException">It is not that; the message says where it departs from it.</exception>
    public static T Read<T>(ReadOnlyMemory<byte> signed, int maxBytes, string what, int fields, int version, Func<CborFieldReader, T> read) => Guarded(signed, maxBytes, what, reader =>
    {
        if (reader._cbor.ReadStartMap() != fields + 1) throw new FormatException($"It does not have {fields + 1} fields.");
        reader.Version(version);
        var message = read(reader);
        reader._cbor.ReadEndMap();
        return reader._cbor.BytesRemaining == 0 ? message : throw new FormatException("Bytes follow its end.");
    });

    /// <summary>Reads the first field of a message of any kind, the challenge's id.</summary>
    /// <exception cref="FormatException">It does not begin as a message does.</exception>
    public static ChallengeId ReadId(ReadOnlyMemory<byte> signed, int version) => Guarded(signed, int.MaxValue, "a challenge message", reader =>
    {
        reader._cbor.ReadStartMap();
        reader.Version(version);
        return reader.Id();
    });

    public ChallengeId Id() => ChallengeId.Read(Bytes(ChallengeId.Bytes).AsSpan());

    public long Integer()
    {
        Key();
        return _cbor.ReadInt64();
    }

    public string Text(int maxLength = int.MaxValue)
    {
        Key();
        var text = _cbor.ReadTextString();
        return text.Length <= maxLength ? text : throw new FormatException($"Field {_key} has more than {maxLength} characters.");
    }

    public ImmutableArray<byte> Bytes(int length)
    {
        Key();
        return ByteString(_cbor, length, $"Field {_key}");
    }

    public ImmutableArray<T> Array<T>(int min, int max, int width, Func<CborReader, int, T> read)
    {
        Key();
        if (_cbor.ReadStartArray() is not { } count || count < min || count > max) throw new FormatException($"Field {_key} does not have {min} to {max} elements.");
        var items = ImmutableArray.CreateBuilder<T>(count);
        for (var i = 0; i < count; i++)
        {
            if (_cbor.ReadStartArray() != width) throw new FormatException($"Element {i} of field {_key} does not have {width} parts.");
            items.Add(read(_cbor, i));
            _cbor.ReadEndArray();
        }
        _cbor.ReadEndArray();
        return items.MoveToImmutable();
    }

    public static ImmutableArray<byte> ByteString(CborReader cbor, int length, string what)
    {
        var bytes = cbor.ReadByteString();
        return bytes.Length == length ? ImmutableCollectionsMarshal.AsImmutableArray(bytes) : throw new FormatException($"{what} has {bytes.Length} bytes, not {length}.");
    }

    private static T Guarded<T>(ReadOnlyMemory<byte> signed, int maxBytes, string what, Func<CborFieldReader, T> read)
    {
        if (signed.Length > maxBytes || signed.Length <= SigningKey.SignatureBytes) throw new FormatException($"Not {what}: it is {signed.Length} bytes long.");
        try
        {
            return read(new CborFieldReader(signed[..^SigningKey.SignatureBytes]));
        }
        catch (Exception exception) when (exception.IsBadCbor() || exception is FormatException)
        {
            throw new FormatException($"Not {what}: {exception.Message}", exception);
        }
    }

    private void Version(int expected)
    {
        if (Integer() is var version && version != expected) throw new FormatException($"Version {version} is unknown.");
    }

    private void Key()
    {
        var found = _cbor.ReadInt32();
        if (found != ++_key) throw new FormatException($"Expected field {_key}, found {found}.");
    }
}
