using System.Buffers.Binary;
using Federation.NodeAgent.Engines.Builtin.Gguf;
using Federation.NodeAgent.Engines.Builtin.Text;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

/// <summary>A llama model of random weights, of any shape, as a file and as plain numbers.</summary>
internal sealed class TinyModel
{
    private readonly Random _random;
    private readonly Dictionary<string, float[]> _numbers = [];

    public TinyModel(int seed) => _random = new Random(seed);

    public int Vocabulary { get; init; } = 260;

    public int Width { get; init; } = 64;

    public int Layers { get; init; } = 2;

    public int FeedForward { get; init; } = 96;

    public int Heads { get; init; } = 4;

    public int KeyHeads { get; init; } = 2;

    public int Rotated { get; init; } = 16;

    public int Context { get; init; } = 128;

    public bool IsTied { get; init; } = true;

    public GgufTensorType Type { get; init; } = GgufTensorType.F32;

    public string[] Merges { get; init; } = [];

    private int HeadSize => Width / Heads;

    /// <summary>The file's builder, for a test to bend.</summary>
    public GgufBuilder Builder()
    {
        var tokens = Enumerable.Range(0, 256).Select(b => ByteAlphabet.Character((byte)b).ToString())
            .Concat(["<|user|>", "<|end|>"])
            .Concat(Merges.Select(merge => merge.Replace(" ", "", StringComparison.Ordinal)))
            .ToList();
        tokens.AddRange(Enumerable.Range(0, Vocabulary - tokens.Count).Select(i => $"<|extra_{i}|>"));
        var builder = new GgufBuilder()
            .Set("general.architecture", "llama")
            .Set("general.alignment", 32u)
            .Set("llama.vocab_size", (uint)Vocabulary)
            .Set("llama.context_length", (uint)Context)
            .Set("llama.embedding_length", (uint)Width)
            .Set("llama.block_count", (uint)Layers)
            .Set("llama.feed_forward_length", (uint)FeedForward)
            .Set("llama.attention.head_count", (uint)Heads)
            .Set("llama.attention.head_count_kv", (uint)KeyHeads)
            .Set("llama.rope.dimension_count", (uint)Rotated)
            .Set("llama.rope.freq_base", 1000f)
            .Set("llama.attention.layer_norm_rms_epsilon", 1e-5f)
            .Set("tokenizer.ggml.model", "gpt2")
            .Set("tokenizer.ggml.pre", "gpt-2")
            .Set("tokenizer.ggml.tokens", tokens.ToArray())
            .Set("tokenizer.ggml.token_type", tokens.Select((_, i) => i is >= 256 and < 258 || i >= 258 + Merges.Length ? 3 : 1).ToArray())
            .Set("tokenizer.ggml.merges", Merges)
            .Set("tokenizer.ggml.eos_token_id", 257u)
            .Set("tokenizer.chat_template", "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}");
        Matrix(builder, "token_embd.weight", Vocabulary, Width);
        Vector(builder, "output_norm.weight", Width);
        if (!IsTied)
        {
            Matrix(builder, "output.weight", Vocabulary, Width);
        }

        for (var i = 0; i < Layers; i++)
        {
            Vector(builder, $"blk.{i}.attn_norm.weight", Width);
            Matrix(builder, $"blk.{i}.attn_q.weight", Width, Width);
            Matrix(builder, $"blk.{i}.attn_k.weight", KeyHeads * HeadSize, Width);
            Matrix(builder, $"blk.{i}.attn_v.weight", KeyHeads * HeadSize, Width);
            Matrix(builder, $"blk.{i}.attn_output.weight", Width, Width);
            Vector(builder, $"blk.{i}.ffn_norm.weight", Width);
            Matrix(builder, $"blk.{i}.ffn_gate.weight", FeedForward, Width);
            Matrix(builder, $"blk.{i}.ffn_up.weight", FeedForward, Width);
            Matrix(builder, $"blk.{i}.ffn_down.weight", Width, FeedForward);
        }

        return builder;
    }

    /// <summary>The logits after the last token, worked out the long way: in doubles, no memory, one sum after another.</summary>
    public double[] Logits(IReadOnlyList<int> tokens)
    {
        var states = tokens.Select(token => Row("token_embd.weight", token, Width)).ToArray();
        for (var layer = 0; layer < Layers; layer++)
        {
            var name = $"blk.{layer}.";
            var normal = states.Select(state => Norm(state, name + "attn_norm.weight")).ToArray();
            var queries = normal.Select((n, position) => Turn(Times(name + "attn_q.weight", n), position)).ToArray();
            var keys = normal.Select((n, position) => Turn(Times(name + "attn_k.weight", n), position)).ToArray();
            var values = normal.Select(n => Times(name + "attn_v.weight", n)).ToArray();
            states = [.. states.Select((state, position) =>
            {
                var attended = new double[Width];
                for (var head = 0; head < Heads; head++)
                {
                    var keyStart = head / (Heads / KeyHeads) * HeadSize;
                    var scores = Enumerable.Range(0, position + 1).Select(other => Math.Exp(Enumerable.Range(0, HeadSize)
                        .Sum(i => queries[position][(head * HeadSize) + i] * keys[other][keyStart + i]) / Math.Sqrt(HeadSize))).ToArray();
                    for (var other = 0; other <= position; other++)
                    {
                        for (var i = 0; i < HeadSize; i++)
                        {
                            attended[(head * HeadSize) + i] += scores[other] / scores.Sum() * values[other][keyStart + i];
                        }
                    }
                }

                state = Plus(state, Times(name + "attn_output.weight", attended));
                var n = Norm(state, name + "ffn_norm.weight");
                var gate = Times(name + "ffn_gate.weight", n);
                var up = Times(name + "ffn_up.weight", n);
                return Plus(state, Times(name + "ffn_down.weight", [.. gate.Zip(up, (g, u) => g / (1 + Math.Exp(-g)) * u)]));
            })];
        }

        return Times(IsTied ? "token_embd.weight" : "output.weight", Norm(states[^1], "output_norm.weight"));
    }

    private double[] Row(string name, int row, int width) => [.. _numbers[name].Skip(row * width).Take(width).Select(n => (double)n)];

    private double[] Times(string name, double[] x) =>
        [.. Enumerable.Range(0, _numbers[name].Length / x.Length).Select(row => Row(name, row, x.Length).Zip(x, (a, b) => a * b).Sum())];

    private double[] Norm(double[] x, string weights)
    {
        var scale = 1 / Math.Sqrt(x.Average(n => n * n) + 1e-5);
        return [.. x.Select((n, i) => n * scale * _numbers[weights][i])];
    }

    private double[] Turn(double[] vectors, int position)
    {
        var turned = vectors.ToArray();
        for (var start = 0; start < vectors.Length; start += HeadSize)
        {
            for (var i = 0; i < Rotated; i += 2)
            {
                var angle = position * Math.Pow(1000, -(double)i / Rotated);
                var (a, b) = (vectors[start + i], vectors[start + i + 1]);
                turned[start + i] = (a * Math.Cos(angle)) - (b * Math.Sin(angle));
                turned[start + i + 1] = (a * Math.Sin(angle)) + (b * Math.Cos(angle));
            }
        }

        return turned;
    }

    private static double[] Plus(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];

    private void Vector(GgufBuilder builder, string name, int length)
    {
        var values = Enumerable.Range(0, length).Select(_ => (float)(0.5 + _random.NextDouble())).ToArray();
        _numbers[name] = values;
        builder.Tensor(name, [length], GgufTensorType.F32, Singles(values));
    }

    private void Matrix(GgufBuilder builder, string name, int rows, int columns)
    {
        var values = Enumerable.Range(0, rows * columns).Select(_ => (float)((_random.NextDouble() - 0.5) * 4 / Math.Sqrt(columns))).ToArray();
        var data = Type switch
        {
            GgufTensorType.F32 => Singles(values),
            GgufTensorType.F16 => Halves(values),
            _ => Blocks(values),
        };
        _numbers[name] = values;
        builder.Tensor(name, [columns, rows], Type, data);
    }

    private static byte[] Singles(float[] values)
    {
        var data = new byte[values.Length * 4];
        for (var i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(data.AsSpan(4 * i), values[i]);
        }

        return data;
    }

    /// <summary>Stores the values, and rounds them to what is stored.</summary>
    private static byte[] Halves(float[] values)
    {
        var data = new byte[values.Length * 2];
        for (var i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteHalfLittleEndian(data.AsSpan(2 * i), (Half)values[i]);
            values[i] = (float)(Half)values[i];
        }

        return data;
    }

    /// <inheritdoc cref="Halves"/>
    private static byte[] Blocks(float[] values)
    {
        var data = new byte[values.Length / GgufTensor.BlockLength * GgufTensor.BlockBytes];
        for (var block = 0; block < values.Length / GgufTensor.BlockLength; block++)
        {
            var source = values.AsSpan(block * GgufTensor.BlockLength, GgufTensor.BlockLength);
            var target = data.AsSpan(block * GgufTensor.BlockBytes);
            var scale = (Half)(source.ToArray().Max(Math.Abs) / 127);
            BinaryPrimitives.WriteHalfLittleEndian(target, scale);
            for (var i = 0; i < source.Length; i++)
            {
                var quant = (sbyte)Math.Clamp(Math.Round(source[i] / (float)scale), -127, 127);
                target[2 + i] = (byte)quant;
                source[i] = quant * (float)scale;
            }
        }

        return data;
    }
}
