using System.Buffers.Binary;
using System.Text;

namespace Federation.NodeAgent.Engines.Builtin.Gguf;

/// <summary>Reads the little-endian primitives of a GGUF header. Never past the header's bound, never allocating more than the file could fill.</summary>
/// <param name="file">Buffered: primitives are read one by one.</param>
/// <param name="headerBytesMax">Where the header must have ended.</param>
internal sealed class GgufReader(Stream file, long headerBytesMax)
{
    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);
    private readonly byte[] _scratch = new byte[8];

    public long Position { get; private set; }

    private long Remaining => Math.Min(headerBytesMax, file.Length) - Position;

    public byte Byte() => Bytes(1)[0];

    public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2));

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Bytes(8));

    public float Single() => BinaryPrimitives.ReadSingleLittleEndian(Bytes(4));

    public double Double() => BinaryPrimitives.ReadDoubleLittleEndian(Bytes(8));

    public bool Boolean(string what) => Byte() switch
    {
        0 => false,
        1 => true,
        var other => throw new GgufFormatException($"{what}: a boolean is {other} at byte {Position - 1}"),
    };

    /// <summary>A count of things that take at least <paramref name="bytesEach"/> of what is left.</summary>
    public int Count(string what, int max, int bytesEach)
    {
        var count = UInt64();
        if (count > (ulong)max)
        {
            throw new GgufFormatException($"{what}: {count} is above the {max} this engine takes");
        }

        return (long)count * bytesEach <= Remaining
            ? (int)count
            : throw new GgufFormatException($"{what}: {count} at byte {Position - 8} cannot fit into the rest of the header");
    }

    public string Text(string what, int bytesMax)
    {
        var bytes = new byte[Count($"{what}: length of a text", bytesMax, 1)];
        Fill(bytes);
        try
        {
            return StrictUtf8.GetString(bytes);
        }
        catch (DecoderFallbackException e)
        {
            throw new GgufFormatException($"{what}: a text before byte {Position} is not UTF-8", e);
        }
    }

    private ReadOnlySpan<byte> Bytes(int count)
    {
        Fill(_scratch.AsSpan(0, count));
        return _scratch.AsSpan(0, count);
    }

    private void Fill(Span<byte> bytes)
    {
        if (bytes.Length > Remaining)
        {
            throw new GgufFormatException($"the header ends in the middle of something at byte {Position}");
        }

        file.ReadExactly(bytes);
        Position += bytes.Length;
    }
}
