using System.Text;
using System.Text.Json;
using Federation.Protocol.Verification;

namespace Federation.Contracts.Tests.Verification;

public sealed class ScoreCodecTests
{
    private static readonly ScoreRequest Request = new()
    {
        Kind = "chat",
        Model = "m",
        Request = JsonElement.Parse("""{"model":"m","messages":[{"role":"user","content":"ü"}],"temperature":0}"""),
        AnswerText = "a ü b",
        FinishReason = "stop",
        Offsets = [0, 1, 6],
        Sampler = new ScoreSampler(0.7, TopK: 40),
        Top = 20,
    };

    private static readonly ScoreAnswer Answer = new()
    {
        Method = "probe",
        ModelDigest = "sha256:00",
        PromptTokens = 3,
        Positions =
        [
            new ScorePosition { Offset = 0, Token = new byte[] { 0xC3 }, Logprob = -0.25, Rank = 2, LikeliestLogprob = -0.125, Below = 0.5, Mass = 0.25, Top = [new ScoreAlternative("x"u8.ToArray(), -0.125)] },
            new ScorePosition { Offset = 6, IsEnd = true, LikeliestLogprob = -1, LikeliestIsEnd = true, LogprobAtMost = -3 },
        ],
    };

    [Fact]
    public void A_request_reads_as_it_was_written()
    {
        Assert.True(ScoreCodec.TryRead(ScoreCodec.Write(Request), out ScoreRequest? read, out _));
        Assert.Equal(ScoreCodec.Write(Request), ScoreCodec.Write(read!));
        Assert.Equal(Request.Offsets!.Value.AsEnumerable(), read!.Offsets!.Value);
        Assert.True(JsonElement.DeepEquals(Request.Request, read.Request));
    }

    [Fact]
    public void An_answer_reads_as_it_was_written()
    {
        Assert.True(ScoreCodec.TryRead(ScoreCodec.Write(Answer), out ScoreAnswer? read, out _));
        Assert.Equal(ScoreCodec.Write(Answer), ScoreCodec.Write(read!));
        Assert.Equal([0xC3], read!.Positions[0].Token.ToArray());
        Assert.Null(read.Positions[1].Logprob);
    }

    [Fact]
    public void What_may_be_left_out_has_its_default()
    {
        Assert.True(ScoreCodec.TryRead("""{"kind":"chat","model":"m","request":{},"answer_text":"","finish_reason":"stop"}"""u8, out ScoreRequest? request, out _));
        Assert.Equal((0, null, null), (request!.Top, request.Offsets, request.Sampler));
        Assert.True(ScoreCodec.TryRead("""{"method":"whole","model_digest":"","positions":[{"offset":0,"likeliest_logprob":-1}]}"""u8, out ScoreAnswer? answer, out _));
        Assert.Empty(answer!.Positions[0].Top);
    }

    [Theory]
    [InlineData("{", "it is not the JSON")]
    [InlineData("null", "it is null")]
    [InlineData("[]", "it is not the JSON")]
    [InlineData("""{"kind":"embedding"}""", "kind is neither")]
    [InlineData("""{"model":""}""", "model has not")]
    [InlineData("""{"model":null}""", "it is not the JSON")]
    [InlineData("""{"request":[]}""", "request is no object")]
    [InlineData("""{"top":21}""", "top is not")]
    [InlineData("""{"offsets":[1,1]}""", "offsets are not")]
    [InlineData("""{"offsets":[-1]}""", "offsets are not")]
    [InlineData("""{"offsets":[7]}""", "offsets are not")]
    [InlineData("""{"sampler":{"temperature":-1}}""", "sampler is out")]
    public void A_bad_request_is_refused_in_words(string change, string words)
    {
        Assert.False(ScoreCodec.TryRead(Changed(ScoreCodec.Write(Request), change), out ScoreRequest? read, out var fault));
        Assert.Null(read);
        Assert.StartsWith(words, fault, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{", "it is not the JSON")]
    [InlineData("""{"method":"guess"}""", "method is neither")]
    [InlineData("""{"positions":null}""", "it is not the JSON")]
    [InlineData("""{"prompt_tokens":-1}""", "a count is negative")]
    [InlineData("""{"positions":[null]}""", "the position after byte 0")]
    [InlineData("""{"positions":[{"offset":0,"likeliest_logprob":1}]}""", "the position after byte 0")]
    [InlineData("""{"positions":[{"offset":0,"likeliest_logprob":-1,"logprob":-1}]}""", "the position after byte 0")]
    [InlineData("""{"positions":[{"offset":0,"likeliest_logprob":-1,"below":0.5,"mass":2}]}""", "the position after byte 0")]
    [InlineData("""{"positions":[{"offset":0,"likeliest_logprob":-1,"token":"!"}]}""", "it is not the JSON")]
    [InlineData("""{"positions":[{"offset":0,"likeliest_logprob":-1,"top":null}]}""", "it is not the JSON")]
    [InlineData("""{"positions":[{"offset":5,"likeliest_logprob":-1},{"offset":4,"likeliest_logprob":-1}]}""", "positions are not ascending")]
    public void A_bad_answer_is_refused_in_words(string change, string words)
    {
        Assert.False(ScoreCodec.TryRead(Changed(ScoreCodec.Write(Answer), change), out ScoreAnswer? read, out var fault));
        Assert.Null(read);
        Assert.StartsWith(words, fault, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        var whole = ScoreCodec.Write(Answer);
        for (var length = 0; length < whole.Length; length++)
        {
            Assert.False(ScoreCodec.TryRead(whole.AsSpan(0, length), out ScoreAnswer? _, out _), $"{length} bytes");
        }
    }

    [Fact]
    public void What_is_too_large_is_refused_unread()
    {
        Assert.False(ScoreCodec.TryRead(new byte[ScoreCodec.AnswerBytesMax + 1], out ScoreAnswer? _, out var fault));
        Assert.StartsWith("it has more than", fault, StringComparison.Ordinal);
        Assert.False(ScoreCodec.TryRead(ScoreCodec.Write(Request with { AnswerText = new string('a', ScoreCodec.TextBytesMax + 1) }), out ScoreRequest? _, out fault));
        Assert.StartsWith("answer_text has more", fault, StringComparison.Ordinal);
    }

    /// <summary>The JSON with some fields replaced, or something else altogether.</summary>
    private static byte[] Changed(byte[] json, string change)
    {
        if (!change.StartsWith("{\"", StringComparison.Ordinal)) return Encoding.UTF8.GetBytes(change);
        var node = System.Text.Json.Nodes.JsonNode.Parse(json)!.AsObject();
        foreach (var (name, value) in System.Text.Json.Nodes.JsonNode.Parse(change)!.AsObject()) node[name] = value?.DeepClone();
        return Encoding.UTF8.GetBytes(node.ToJsonString());
    }
}
