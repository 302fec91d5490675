using System.Collections.Immutable;

namespace Federation.NodeAgent.Engines.Builtin.Gguf;

/// <summary>How a tensor's numbers are stored; the values are those of the format.</summary>
internal enum GgufTensorType
{
    F32 = 0,
    F16 = 1,

    /// <summary>Blocks of 32: one F16 scale and 32 signed bytes.</summary>
    Q8_0 = 8,
}

/// <summary>One entry of a file's tensor table, checked against the file's size.</summary>
/// <param name="Name">Unique in the file.</param>
/// <param name="Dimensions">1 to 4; the first varies fastest, so a matrix is (columns, rows).</param>
/// <param name="Type">How the numbers are stored.</param>
/// <param name="Position">Of the first byte, from the start of the file.</param>
/// <param name="SizeBytes">Stored size.</param>
internal sealed record GgufTensor(string Name, ImmutableArray<long> Dimensions, GgufTensorType Type, long Position, long SizeBytes)
{
    /// <summary>Numbers in a <see cref="GgufTensorType.Q8_0"/> block.</summary>
    public const int BlockLength = 32;

    /// <summary>Bytes of a <see cref="GgufTensorType.Q8_0"/> block.</summary>
    public const int BlockBytes = 34;

    /// <summary>Numbers in the tensor.</summary>
    public long ElementCount => Dimensions.Aggregate(1L, (product, dimension) => product * dimension);
}
