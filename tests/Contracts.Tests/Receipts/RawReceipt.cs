using System.Buffers.Binary;
using System.Text;

namespace Federation.Contracts.Tests.Receipts;

/// <summary>The bytes of a receipt, field by field, so that each can be written as it should not be.</summary>
internal sealed class RawReceipt
{
    private readonly List<(byte[] Key, byte[] Value)> _fields;

    public RawReceipt()
    {
        var example = Receipts.Example;
        byte[][] values =
        [
            Integer(1), Integer(example.Epoch), Integer(example.Sequence), Bytes(example.PreviousId.AsSpan()), Text(example.JobId), Integer(example.Attempt),
            Text(example.Node.ToString()), Text(example.Hub.ToString()), Bytes(example.ClientHash.AsSpan()), Text(example.Model), Text(example.ModelDigest),
            Bytes(example.RequestHash.AsSpan()), Bytes(example.OutputHash.AsSpan()), Integer(example.PromptTokens), Integer(example.CompletionTokens),
            Integer(example.DispatchMs), Integer(example.FirstMs), Integer(example.LastMs), Text(example.HardwareClass), Integer(example.ReferenceMicroseconds),
        ];
        _fields = [.. values.Select((value, index) => (Integer(index + 1), value))];
    }

    /// <summary>How the map begins: with the number of its fields unless the test says otherwise.</summary>
    public byte[]? Start { get; init; }

    public byte[] End { get; init; } = [];

    public RawReceipt With(int key, params byte[] value)
    {
        _fields[key - 1] = (_fields[key - 1].Key, value);
        return this;
    }

    public RawReceipt WithKey(int key, params byte[] written)
    {
        _fields[key - 1] = (written, _fields[key - 1].Value);
        return this;
    }

    public RawReceipt Without(int key)
    {
        _fields.RemoveAt(key - 1);
        return this;
    }

    public RawReceipt And(byte[] key, byte[] value)
    {
        _fields.Add((key, value));
        return this;
    }

    public RawReceipt Swapped(int one, int other)
    {
        (_fields[one - 1], _fields[other - 1]) = (_fields[other - 1], _fields[one - 1]);
        return this;
    }

    public byte[] ToBytes() => [.. Start ?? Head(5, _fields.Count), .. _fields.SelectMany(field => field.Key.Concat(field.Value)), .. End];

    public static byte[] Integer(long value) => value >= 0 ? Head(0, value) : Head(1, -1 - value);

    public static byte[] Text(string text) => [.. Head(3, Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];

    public static byte[] Bytes(ReadOnlySpan<byte> bytes) => [.. Head(2, bytes.Length), .. bytes];

    /// <summary>The shortest head of a major type and its argument.</summary>
    private static byte[] Head(int major, long argument)
    {
        var type = (byte)(major << 5);
        var wide = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(wide, argument);
        return argument switch
        {
            < 24 => [(byte)(type | argument)],
            <= byte.MaxValue => [(byte)(type | 24), .. wide.AsSpan(7)],
            <= ushort.MaxValue => [(byte)(type | 25), .. wide.AsSpan(6)],
            <= uint.MaxValue => [(byte)(type | 26), .. wide.AsSpan(4)],
            _ => [(byte)(type | 27), .. wide],
        };
    }
}
