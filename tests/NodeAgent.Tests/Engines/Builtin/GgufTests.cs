using System.Buffers.Binary;
using Federation.NodeAgent.Engines.Builtin;
using Federation.NodeAgent.Engines.Builtin.Gguf;
using Federation.NodeAgent.Engines.Builtin.Llama;
using Federation.NodeAgent.Engines.Builtin.Sampling;
using Federation.NodeAgent.Engines.Builtin.Text;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

/// <summary>Files from strangers: whatever is in them, a clear error or a model.</summary>
public sealed class GgufTests
{
    /// <summary>Far above what the tiny model needs, far below what a lying count could ask for.</summary>
    private const long AllocatedBytesMax = 32 << 20;

    private static readonly byte[] Tiny = new TinyModel(1) { Layers = 1 }.Builder().Build();

    [Fact]
    public void A_sound_file_is_a_model() => Load(Tiny);

    public static TheoryData<string, string> Contradictions { get; } = new()
    {
        { "version", "version 2" },
        { "architecture", "the architecture is mamba" },
        { "no architecture", "general.architecture is missing" },
        { "architecture a number", "general.architecture is UInt32" },
        { "key twice", "general.architecture is there twice" },
        { "heads", "which 5 heads do not divide" },
        { "no heads", "this engine takes 1 to" },
        { "huge", "this engine takes 1 to" },
        { "rotation", "llama.rope.dimension_count is 64" },
        { "scaled positions", "llama.rope.scaling.type is yarn" },
        { "epsilon", "must be above zero" },
        { "alignment", "no power of two" },
        { "tensor missing", "tensor output_norm.weight is missing" },
        { "tensor shape", "tensor blk.0.ffn_gate.weight is 64×96" },
        { "tensor unknown", "tensor blk.0.attn_q.bias is none of a plain llama model" },
        { "tensor twice", "is there twice" },
        { "tensor type", "is of type 12" },
        { "Q8_0 row", "no whole number of Q8_0 blocks" },
        { "five dimensions", "has 5 dimensions" },
        { "empty tensor", "or empty" },
        { "too large a tensor", "or empty" },
        { "tokenizer", "tokenizer.ggml.model is llama" },
        { "words", "tokenizer.ggml.pre is qwen2" },
        { "too few tokens", "259 tokens and 260 token types" },
        { "byte without token", "no token stands for the byte" },
        { "twin tokens", "is written like another" },
        { "merge", "merge 0 does not make" },
        { "end token", "this engine takes 0 to 259" },
    };

    [Theory]
    [MemberData(nameof(Contradictions))]
    public void A_file_that_contradicts_itself_is_refused_with_the_reason(string what, string reason)
    {
        var tiny = new TinyModel(1) { Layers = 1 };
        var file = tiny.Builder();
        var tokens = Enumerable.Range(0, 256).Select(b => ByteAlphabet.Character((byte)b).ToString()).Concat(["a1", "a2", "a3", "a4"]).ToArray();
        file = what switch
        {
            "version" => Change(() => file.Version = 2),
            "architecture" => file.Set("general.architecture", "mamba"),
            "no architecture" => file.Remove("general.architecture"),
            "architecture a number" => file.Set("general.architecture", 1u),
            "key twice" => file.SetAgain("general.architecture", "llama"),
            "heads" => file.Set("llama.attention.head_count", 5u),
            "no heads" => file.Set("llama.attention.head_count", 0u),
            "huge" => file.Set("llama.embedding_length", uint.MaxValue),
            "rotation" => file.Set("llama.rope.dimension_count", 64u),
            "scaled positions" => file.Set("llama.rope.scaling.type", "yarn"),
            "epsilon" => file.Set("llama.attention.layer_norm_rms_epsilon", float.NaN),
            "alignment" => file.Set("general.alignment", 24u),
            "tensor missing" => file.Without("output_norm.weight"),
            "tensor shape" => file.Set("llama.feed_forward_length", 97u),
            "tensor unknown" => file.Tensor("blk.0.attn_q.bias", [64], GgufTensorType.F32, new byte[256]),
            "tensor twice" => file.Tensor("output_norm.weight", [64], GgufTensorType.F32, new byte[256]),
            "tensor type" => file.Tensor("x", [64], (GgufTensorType)12, new byte[256]),
            "Q8_0 row" => file.Tensor("x", [33], GgufTensorType.Q8_0, new byte[256]),
            "five dimensions" => file.Tensor("x", [1, 1, 1, 1, 1], GgufTensorType.F32, new byte[4]),
            "empty tensor" => file.Tensor("x", [0], GgufTensorType.F32, []),
            "too large a tensor" => file.Tensor("x", [int.MaxValue, int.MaxValue, int.MaxValue, int.MaxValue], GgufTensorType.F32, []),
            "tokenizer" => file.Set("tokenizer.ggml.model", "llama"),
            "words" => file.Set("tokenizer.ggml.pre", "qwen2").Set("tokenizer.ggml.merges", new[] { "a b" }),
            "too few tokens" => file.Set("tokenizer.ggml.tokens", tokens[1..]),
            "byte without token" => file.Set("tokenizer.ggml.tokens", tokens.Select((token, i) => i == 65 ? "ab" : token).ToArray()),
            "twin tokens" => file.Set("tokenizer.ggml.tokens", tokens.Select((token, i) => i == 65 ? "b" : token).ToArray()),
            "merge" => file.Set("tokenizer.ggml.merges", new[] { "x y" }),
            "end token" => file.Set("tokenizer.ggml.eos_token_id", 260u),
            _ => throw new ArgumentOutOfRangeException(nameof(what), what, null),
        };

        var failure = Assert.Throws<GgufFormatException>(() => Load(file.Build()));

        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);

        GgufBuilder Change(Action change)
        {
            change();
            return file;
        }
    }

    [Fact]
    public void A_file_that_is_something_else_is_refused()
    {
        Assert.Throws<GgufFormatException>(() => Load([]));
        Assert.Throws<GgufFormatException>(() => Load("<html></html>"u8.ToArray()));
    }

    [Theory]
    [InlineData(8)] // tensors
    [InlineData(16)] // pairs
    [InlineData(24)] // length of the first key
    public void A_count_that_lies_allocates_nothing(int position)
    {
        foreach (var lie in new ulong[] { 1UL << 20, int.MaxValue, 1UL << 40, long.MaxValue, ulong.MaxValue })
        {
            var file = Tiny.ToArray();
            BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(position), lie);

            RefuseOrLoad(file, $"{lie} at {position}");
        }
    }

    [Fact]
    public void An_array_that_lies_about_its_length_allocates_nothing()
    {
        foreach (var lie in new ulong[] { 1UL << 22, int.MaxValue, ulong.MaxValue })
        {
            var file = new GgufBuilder().Set("a", new[] { "b" }).Build();
            BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(24 + 8 + 1 + 4 + 4), lie);

            RefuseOrLoad(file, $"{lie}");
            Assert.Throws<GgufFormatException>(() => Load(file));
        }
    }

    [Fact]
    public void A_file_cut_short_anywhere_is_refused()
    {
        // Every length within the header, then some within the data.
        var lengths = Enumerable.Range(0, 6000).Concat(Enumerable.Range(1, 40).Select(i => Tiny.Length - (i * i * 7))).Where(length => length < Tiny.Length - 32);
        foreach (var length in lengths)
        {
            Assert.Throws<GgufFormatException>(() => Load(Tiny[..length]));
        }
    }

    [Fact]
    public void A_file_with_flipped_bytes_is_refused_or_still_a_model()
    {
        const int seed = 20261120;
        var random = new Random(seed);
        var refused = 0;
        for (var round = 0; round < 3000; round++)
        {
            var file = Tiny.ToArray();
            for (var flips = random.Next(1, 4); flips > 0; flips--)
            {
                // Mostly in the header, where it matters.
                file[random.Next(random.Next(10) == 0 ? file.Length : 6500)] = (byte)random.Next(256);
            }

            refused += RefuseOrLoad(file, $"seed {seed}, round {round}") ? 1 : 0;
        }

        Assert.InRange(refused, 500, 2990);
    }

    /// <summary>True when refused as it should be. Anything but a refusal or a model that can be asked fails the test.</summary>
    private static bool RefuseOrLoad(byte[] file, string what)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            var (model, tokenizer) = Load(file);
            var session = new LlamaSession(model, Math.Min(model.Shape.Context, 64));
            session.Read([0, tokenizer.End]);
            Logits.Score(session.Logits, tokenizer.End, 5);
            return false;
        }
        catch (GgufFormatException)
        {
            return true;
        }
        catch (BrokenModelException)
        {
            return false;
        }
        catch (Exception e)
        {
            Assert.Fail($"{what}: {e}");
            throw;
        }
        finally
        {
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < AllocatedBytesMax, $"{what}: too much was allocated");
        }
    }

    private static (LlamaModel Model, Tokenizer Tokenizer) Load(byte[] bytes)
    {
        using var file = new MemoryStream(bytes);
        var gguf = GgufFile.Read(file);
        var shape = LlamaShape.Of(gguf.Metadata);
        var tokenizer = Tokenizer.Of(gguf.Metadata, shape.Vocabulary);
        ModelCard.TryReadTemplate(gguf.Metadata, tokenizer);
        return (LlamaModel.Load(gguf, file, CancellationToken.None), tokenizer);
    }
}
