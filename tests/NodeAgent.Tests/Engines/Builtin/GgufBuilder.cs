using System.Text;
using Federation.NodeAgent.Engines.Builtin.Gguf;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

/// <summary>Writes GGUF files, wrong ones too.</summary>
internal sealed class GgufBuilder
{
    private readonly List<(string Key, object Value)> _pairs = [];
    private readonly List<(string Name, long[] Dimensions, GgufTensorType Type, byte[] Data)> _tensors = [];

    public uint Version { get; set; } = 3;

    public int Alignment { get; init; } = 32;

    public GgufBuilder Set(string key, object value)
    {
        _pairs.RemoveAll(pair => pair.Key == key);
        _pairs.Add((key, value));
        return this;
    }

    /// <summary>Adds the pair though the key may be there already.</summary>
    public GgufBuilder SetAgain(string key, object value)
    {
        _pairs.Add((key, value));
        return this;
    }

    public GgufBuilder Remove(string key)
    {
        _pairs.RemoveAll(pair => pair.Key == key);
        return this;
    }

    public GgufBuilder Tensor(string name, long[] dimensions, GgufTensorType type, byte[] data)
    {
        _tensors.Add((name, dimensions, type, data));
        return this;
    }

    public GgufBuilder Without(string tensor)
    {
        _tensors.RemoveAll(entry => entry.Name == tensor);
        return this;
    }

    public byte[] Build()
    {
        using var file = new MemoryStream();
        using var writer = new BinaryWriter(file);
        writer.Write("GGUF"u8);
        writer.Write(Version);
        writer.Write((ulong)_tensors.Count);
        writer.Write((ulong)_pairs.Count);
        foreach (var (key, value) in _pairs)
        {
            Text(writer, key);
            writer.Write(Type(value));
            Value(writer, value);
        }

        ulong offset = 0;
        foreach (var (name, dimensions, type, data) in _tensors)
        {
            Text(writer, name);
            writer.Write(dimensions.Length);
            Array.ForEach(dimensions, writer.Write);
            writer.Write((int)type);
            writer.Write(offset);
            offset += (ulong)Aligned(data.Length);
        }

        writer.Write(new byte[Aligned(file.Length) - file.Length]);
        foreach (var (_, _, _, data) in _tensors)
        {
            writer.Write(data);
            writer.Write(new byte[Aligned(data.Length) - data.Length]);
        }

        return file.ToArray();
    }

    private long Aligned(long length) => (length + Alignment - 1) / Alignment * Alignment;

    private static void Text(BinaryWriter writer, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    private static uint Type(object value) => value switch
    {
        byte => 0,
        uint => 4,
        int => 5,
        float => 6,
        bool => 7,
        string => 8,
        Array => 9,
        ulong => 10,
        _ => throw new ArgumentException($"no GGUF type for {value.GetType()}"),
    };

    private static void Value(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case byte number:
                writer.Write(number);
                break;
            case uint number:
                writer.Write(number);
                break;
            case int number:
                writer.Write(number);
                break;
            case float number:
                writer.Write(number);
                break;
            case bool flag:
                writer.Write(flag);
                break;
            case string text:
                Text(writer, text);
                break;
            case ulong number:
                writer.Write(number);
                break;
            case Array array:
                writer.Write(array.Length == 0 ? 8 : Type(array.GetValue(0)!));
                writer.Write((ulong)array.Length);
                foreach (var element in array)
                {
                    Value(writer, element);
                }

                break;
        }
    }
}
