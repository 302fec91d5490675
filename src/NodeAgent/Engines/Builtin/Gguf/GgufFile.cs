using System.Collections.Frozen;
using System.Collections.Immutable;

namespace Federation.NodeAgent.Engines.Builtin.Gguf;

/// <summary>The header of a GGUF v3 file: its metadata and its tensor table. The tensors' data stays in the file.</summary>
/// <remarks>
/// Made for files from strangers. Each count and length is checked against what is left of the file before anything is allocated for it;
/// every tensor lies inside the file and no two share a byte, so that all of them together are never larger than the file.
/// </remarks>
internal sealed class GgufFile
{
    /// <summary>Metadata and tensor table together; the largest vocabularies in use take about a tenth.</summary>
    private const int HeaderBytesMax = 128 << 20;

    private const int PairsMax = 4096;
    private const int TensorsMax = 32768;

    /// <summary>All arrays together. A boolean of one byte takes 32 in memory, so the header's size alone would be no bound.</summary>
    private const int ArrayElementsMax = 4 << 20;

    private const int ArrayDepthMax = 2;
    private const int TextBytesMax = 4 << 20;
    private const int NameBytesMax = 1024;

    private GgufFile(GgufMetadata metadata, FrozenDictionary<string, GgufTensor> tensors) => (Metadata, Tensors) = (metadata, tensors);

    public GgufMetadata Metadata { get; }

    public FrozenDictionary<string, GgufTensor> Tensors { get; }

    /// <summary>Reads the header from the start of a seekable stream.</summary>
    /// <exception cref="GgufFormatException">The file is not a GGUF v3 file, is cut short, or contradicts itself.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static GgufFile Read(Stream file)
    {
        file.Position = 0;
        var reader = new GgufReader(file, HeaderBytesMax);
        if (reader.UInt32() != 0x46554747)
        {
            throw new GgufFormatException("not a GGUF file: it does not begin with \"GGUF\"");
        }

        var version = reader.UInt32();
        if (version != 3)
        {
            throw new GgufFormatException($"GGUF version {version}; this engine reads version 3, little-endian");
        }

        var tensorCount = reader.Count("tensor count", TensorsMax, bytesEach: 32);
        var pairCount = reader.Count("metadata count", PairsMax, bytesEach: 13);
        var metadata = new GgufMetadata(Pairs(reader, pairCount));
        return new GgufFile(metadata, Table(reader, tensorCount, Alignment(metadata), file.Length));
    }

    private static FrozenDictionary<string, object> Pairs(GgufReader reader, int count)
    {
        var arrayElements = 0;
        var pairs = new Dictionary<string, object>();
        for (var i = 0; i < count; i++)
        {
            var key = reader.Text("metadata key", NameBytesMax);
            if (!pairs.TryAdd(key, Value(reader, key, reader.UInt32(), depth: 0, ref arrayElements)))
            {
                throw new GgufFormatException($"{key} is there twice");
            }
        }

        return pairs.ToFrozenDictionary();
    }

    private static object Value(GgufReader reader, string key, uint type, int depth, ref int arrayElements) => type switch
    {
        0 => reader.Byte(),
        1 => (sbyte)reader.Byte(),
        2 => reader.UInt16(),
        3 => (short)reader.UInt16(),
        4 => reader.UInt32(),
        5 => (int)reader.UInt32(),
        6 => reader.Single(),
        7 => reader.Boolean(key),
        8 => reader.Text(key, TextBytesMax),
        9 when depth < ArrayDepthMax => Array(reader, key, depth, ref arrayElements),
        10 => reader.UInt64(),
        11 => (long)reader.UInt64(),
        12 => reader.Double(),
        9 => throw new GgufFormatException($"{key}: arrays within arrays within arrays"),
        _ => throw new GgufFormatException($"{key}: unknown value type {type}"),
    };

    private static object[] Array(GgufReader reader, string key, int depth, ref int arrayElements)
    {
        var type = reader.UInt32();
        var values = new object[reader.Count($"{key}: length", ArrayElementsMax - arrayElements, LeastBytes(key, type))];
        arrayElements += values.Length;
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = Value(reader, key, type, depth + 1, ref arrayElements);
        }

        return values;
    }

    private static int LeastBytes(string key, uint type) => type switch
    {
        0 or 1 or 7 => 1,
        2 or 3 => 2,
        4 or 5 or 6 => 4,
        8 or 10 or 11 or 12 => 8,
        9 => 12,
        _ => throw new GgufFormatException($"{key}: unknown value type {type} of an array"),
    };

    private static int Alignment(GgufMetadata metadata)
    {
        var alignment = metadata.CountOrNull("general.alignment", 1, 1 << 20) ?? 32;
        return int.IsPow2(alignment) ? alignment : throw new GgufFormatException($"general.alignment is {alignment}, no power of two");
    }

    private static FrozenDictionary<string, GgufTensor> Table(GgufReader reader, int count, int alignment, long fileLength)
    {
        var entries = new List<GgufTensor>();
        for (var i = 0; i < count; i++)
        {
            entries.Add(Entry(reader, alignment));
        }

        var dataStart = (reader.Position + alignment - 1) / alignment * alignment;
        var tensors = new Dictionary<string, GgufTensor>();
        var end = dataStart;
        foreach (var entry in entries.OrderBy(entry => entry.Position))
        {
            // Relative to the data until here; a position near the largest long must not wrap around.
            if (entry.Position > fileLength - dataStart || entry.SizeBytes > fileLength - dataStart - entry.Position)
            {
                throw new GgufFormatException($"tensor {entry.Name} ends beyond the file, which has {fileLength} bytes");
            }

            var tensor = entry with { Position = dataStart + entry.Position };
            if (tensor.Position < end)
            {
                throw new GgufFormatException($"tensor {tensor.Name} begins inside another");
            }

            end = tensor.Position + tensor.SizeBytes;
            if (!tensors.TryAdd(tensor.Name, tensor))
            {
                throw new GgufFormatException($"tensor {tensor.Name} is there twice");
            }
        }

        return tensors.ToFrozenDictionary();
    }

    private static GgufTensor Entry(GgufReader reader, int alignment)
    {
        var name = reader.Text("tensor name", NameBytesMax);
        var dimensionCount = reader.UInt32();
        if (dimensionCount is < 1 or > 4)
        {
            throw new GgufFormatException($"tensor {name} has {dimensionCount} dimensions; the format has 1 to 4");
        }

        var dimensions = ImmutableArray.CreateBuilder<long>((int)dimensionCount);
        long elements = 1;
        for (var i = 0; i < dimensionCount; i++)
        {
            var dimension = reader.UInt64();
            if (dimension is < 1 or > int.MaxValue || (elements *= (long)dimension) > int.MaxValue)
            {
                throw new GgufFormatException($"tensor {name} is larger than {int.MaxValue} numbers, or empty");
            }

            dimensions.Add((long)dimension);
        }

        var type = reader.UInt32();
        var size = (GgufTensorType)type switch
        {
            GgufTensorType.F32 => elements * sizeof(float),
            GgufTensorType.F16 => elements * 2,
            GgufTensorType.Q8_0 when dimensions[0] % GgufTensor.BlockLength == 0 => elements / GgufTensor.BlockLength * GgufTensor.BlockBytes,
            GgufTensorType.Q8_0 => throw new GgufFormatException($"tensor {name}: a row of {dimensions[0]} is no whole number of Q8_0 blocks"),
            _ => throw new GgufFormatException($"tensor {name} is of type {type}; this engine reads F32, F16 and Q8_0"),
        };
        var offset = reader.UInt64();
        return offset <= long.MaxValue && offset % (ulong)alignment == 0
            ? new GgufTensor(name, dimensions.MoveToImmutable(), (GgufTensorType)type, (long)offset, size)
            : throw new GgufFormatException($"tensor {name} begins at {offset}, which is not aligned to {alignment}");
    }
}
