using System.Buffers.Binary;

namespace Federation.Protocol.Challenges;

/// <summary>The id of one challenge: 16 random bytes that the hub draws and never uses again.</summary>
/// <param name="Value">The bytes, big-endian.</param>
public readonly record struct ChallengeId(UInt128 Value)
{
    /// <summary>Length of an id, bytes.</summary>
    public const int Bytes = 16;

    /// <summary>Reads the 16 bytes.</summary>
    public static ChallengeId Read(ReadOnlySpan<byte> bytes) => new(BinaryPrimitives.ReadUInt128BigEndian(bytes));

    /// <summary>The 16 bytes.</summary>
    public byte[] ToArray()
    {
        var bytes = new byte[Bytes];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, Value);
        return bytes;
    }

    /// <summary><c>ch_</c> and 32 hexadecimal digits, for logs and pages.</summary>
    public override string ToString() => "ch_" + Convert.ToHexStringLower(ToArray());
}
