using Federation.NodeAgent.Engines.Builtin.Gguf;
using Federation.NodeAgent.Engines.Builtin.Llama;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

/// <summary>The arithmetic against a second, naive implementation (<see cref="TinyModel.Logits"/>).</summary>
public sealed class LlamaTests
{
    private static readonly int[] Text = [.. "the quick brown fox jumps over a lazy dog 0123456789"u8.ToArray().Select(b => (int)b)];

    public static TheoryData<string> Shapes { get; } = [.. Models.Keys];

    private static Dictionary<string, TinyModel> Models => new()
    {
        ["plain"] = new(1) { KeyHeads = 4 },
        ["heads that share keys"] = new(2) { KeyHeads = 2 },
        ["one key head for all"] = new(3) { KeyHeads = 1 },
        ["F16"] = new(4) { Type = GgufTensorType.F16 },
        ["Q8_0"] = new(5) { Type = GgufTensorType.Q8_0 },
        ["output of its own"] = new(6) { IsTied = false },
        ["partly rotated"] = new(7) { Rotated = 8 },
        ["odd sizes"] = new(8) { Width = 36, Heads = 3, KeyHeads = 1, FeedForward = 41, Rotated = 6, Vocabulary = 263 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Logits_are_those_of_the_naive_implementation(string shape)
    {
        var naive = Models[shape];
        var session = Session(naive);

        session.Read(Text.AsSpan(0, 20));

        AssertClose(naive.Logits(Text[..20]), session.Logits);
        session.Read(Text.AsSpan(20, 1));
        AssertClose(naive.Logits(Text[..21]), session.Logits);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void A_prompt_read_in_any_batches_gives_the_very_same_bits(string shape)
    {
        var model = Load(Models[shape]);
        var oneByOne = new LlamaSession(model, 128);
        foreach (var token in Text)
        {
            oneByOne.Read([token]);
        }

        foreach (var batch in new[] { 2, 3, 5, 8, 31, 32 })
        {
            var session = new LlamaSession(model, 128);
            foreach (var tokens in Text.Chunk(batch))
            {
                session.Read(tokens);
            }

            Assert.True(oneByOne.Logits.SequenceEqual(session.Logits), $"batches of {batch}");
        }
    }

    [Fact]
    public void A_rewound_session_goes_on_as_if_the_rest_had_never_been_read()
    {
        var model = Load(Models["plain"]);
        var straight = new LlamaSession(model, 128);
        straight.Read(Text.AsSpan(0, 10));
        straight.Read([1, 2, 3]);

        var rewound = new LlamaSession(model, 128);
        rewound.Read(Text.AsSpan(0, 30));
        rewound.Rewind(10);
        rewound.Read([1, 2, 3]);

        Assert.Equal(13, rewound.Length);
        Assert.True(straight.Logits.SequenceEqual(rewound.Logits));
    }

    [Fact]
    public void All_logits_of_a_batch_are_those_after_each_token()
    {
        var model = Load(Models["Q8_0"]);
        var batched = new LlamaSession(model, 128);
        batched.ReadAll(Text.AsSpan(0, 9));
        var session = new LlamaSession(model, 128);
        for (var i = 0; i < 9; i++)
        {
            session.Read(Text.AsSpan(i, 1));

            Assert.True(session.Logits.SequenceEqual(batched.Logits.Slice(i * 260, 260)), $"after token {i}");
        }
    }

    [Fact]
    public void No_more_is_read_than_the_context_holds()
    {
        var session = new LlamaSession(Load(Models["plain"]), 16);
        session.Read(Text.AsSpan(0, 16));

        Assert.Throws<ArgumentOutOfRangeException>(() => session.Read([1]));
    }

    private static LlamaSession Session(TinyModel tiny) => new(Load(tiny), 128);

    private static LlamaModel Load(TinyModel tiny)
    {
        using var file = new MemoryStream(tiny.Builder().Build());
        return LlamaModel.Load(GgufFile.Read(file), file, CancellationToken.None);
    }

    private static void AssertClose(double[] expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.InRange(actual[i], expected[i] - 1e-3, expected[i] + 1e-3);
        }
    }
}
