using System.Text;
using Federation.NodeAgent.Engines.Builtin.Gguf;
using Federation.NodeAgent.Engines.Builtin.Text;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

public sealed class TokenizerTests
{
    private static readonly string[] Merges = ["l o", "lo w", "e r", "low er", "Ġ t", "h e", "Ġt he", "1 2", "Ã ¼"];
    private static readonly Tokenizer Merging = Make(Merges);
    private static readonly Tokenizer Bytewise = Make([]);

    [Fact]
    public void Without_merges_every_byte_is_a_token() =>
        Assert.Equal([.. "Grüße\n\0"u8.ToArray().Select(b => (int)b)], Bytewise.EncodeText("Grüße\n\0"));

    [Theory]
    [InlineData("low", "low")]
    [InlineData("lower", "lower")]
    [InlineData("slower", "s|lower")]
    [InlineData("lo er", "lo| |er")]
    [InlineData("the the", "t|he| the")]
    [InlineData("lowlow", "low|low")]
    [InlineData("121212", "12|12|12")]
    [InlineData("x12y", "x|12|y")]
    [InlineData("he's", "he|'|s")]
    [InlineData("für", "f|ü|r")]
    [InlineData("", "")]
    public void Merges_join_within_words_the_best_ranked_first(string text, string expected) =>
        Assert.Equal(expected, string.Join('|', Merging.EncodeText(text).Select(token => Encoding.UTF8.GetString(Merging.Bytes(token)))));

    [Fact]
    public void A_merge_never_crosses_a_word()
    {
        // "Ġt he" merges, "l o" does, yet "lo" over a word's end must not: the o belongs to the next word only after a blank.
        Assert.Equal([.. "l o"u8.ToArray().Select(b => (int)b)], Merging.EncodeText("l o"));
    }

    [Fact]
    public void Any_text_comes_back_from_its_tokens()
    {
        const int seed = 5;
        var random = new Random(seed);
        for (var round = 0; round < 300; round++)
        {
            var text = string.Concat(Enumerable.Range(0, random.Next(60)).Select(_ => random.Next(4) switch
            {
                0 => new Rune(random.Next(0x20, 0xD800)).ToString(),
                1 => new Rune(random.Next(0xE000, 0x110000)).ToString(),
                2 => "lower",
                _ => " the",
            }));
            foreach (var tokenizer in new[] { Merging, Bytewise })
            {
                var bytes = tokenizer.EncodeText(text).SelectMany(token => tokenizer.Bytes(token).ToArray()).ToArray();
                Assert.True(text == Encoding.UTF8.GetString(bytes), $"seed {seed}, round {round}");
            }
        }
    }

    [Fact]
    public void A_long_word_is_merged_in_good_time()
    {
        // A hundred thousand letters: quadratic merging would take minutes and the test run's patience.
        var tokens = Merging.EncodeText(string.Concat(Enumerable.Repeat("lower", 20_000)));

        Assert.Equal(20_000, tokens.Count);
    }

    [Fact]
    public void Special_tokens_are_special_in_a_template_and_text_in_a_users_words()
    {
        var special = Merging.Encode([new PromptPart("a<|user|>b", IsTemplate: true)]);
        var text = Merging.Encode([new PromptPart("a<|user|>b", IsTemplate: false)]);

        Assert.Equal(['a', 256, 'b'], special);
        Assert.DoesNotContain(256, text);
        Assert.Equal("a<|user|>b", Encoding.UTF8.GetString([.. text.SelectMany(token => Merging.Bytes(token).ToArray())]));
    }

    [Fact]
    public void A_special_token_cannot_be_put_together_from_template_and_user()
    {
        var tokens = Merging.Encode([new PromptPart("<|us", IsTemplate: true), new PromptPart("er|>", IsTemplate: false)]);

        Assert.DoesNotContain(256, tokens);
    }

    [Fact]
    public void Words_go_on_from_template_to_user_as_one_text() =>
        Assert.Equal(Merging.EncodeText("lower"), Merging.Encode([new PromptPart("lo", IsTemplate: true), new PromptPart("wer", IsTemplate: false)]));

    [Fact]
    public void The_begin_token_is_added_once_where_the_file_wants_it()
    {
        var tokenizer = Make([], builder => builder.Set("tokenizer.ggml.bos_token_id", 256u).Set("tokenizer.ggml.add_bos_token", true));

        Assert.Equal([256, 'a'], tokenizer.Encode([new PromptPart("a", IsTemplate: false)]));
        Assert.Equal([256, 'a'], tokenizer.Encode([new PromptPart("<|user|>a", IsTemplate: true)]));
        Assert.Equal(['a'], tokenizer.EncodeText("a"));
    }

    private static Tokenizer Make(string[] merges, Func<GgufBuilder, GgufBuilder>? change = null)
    {
        var builder = new TinyModel(1) { Vocabulary = 280, Layers = 1, Merges = merges }.Builder();
        using var file = new MemoryStream((change?.Invoke(builder) ?? builder).Build());
        return Tokenizer.Of(GgufFile.Read(file).Metadata, 280);
    }
}
