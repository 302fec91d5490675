using System.Text;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Audits;

namespace Federation.Silo.Tests.Verification.Audits;

public sealed class AnswerTextTests
{
    [Fact]
    public void A_stream_is_the_sum_of_its_deltas_however_it_was_cut()
    {
        const string Stream = """
            data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

            data: {"choices":[{"index":0,"delta":{"content":"zwei "},"finish_reason":null}]}

            : keep-alive

            data: {"choices":[{"index":0,"delta":{"content":"Äpfel"},"finish_reason":null}]}

            data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

            data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}

            data: [DONE]


            """;
        var bytes = Encoding.UTF8.GetBytes(Stream);
        for (var size = 1; size < bytes.Length; size += 7)
        {
            Assert.Equal(new AnswerText("zwei Äpfel", "stop"), AnswerText.Read([.. bytes.Chunk(size).Select(piece => (ReadOnlyMemory<byte>)piece)], default));
        }
    }

    [Theory]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":"42","refusal":null,"tool_calls":[]},"finish_reason":"length"}]}""", "42", "length")]
    [InlineData("""{"choices":[{"index":0,"text":"42","finish_reason":null}]}""", "42", "")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":"42","x":1,"thoughts_of_mine":"no audit, please"},"finish_reason":"stop"}]}""", "42", "stop")]
    public void A_whole_answer_is_read_as_it_is(string json, string text, string finishReason) => Assert.Equal(new AnswerText(text, finishReason), Read(json));

    [Fact]
    public void What_came_before_a_stream_broke_off_is_its_answer()
    {
        const string Begun = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"zwei \"}}]}\n\n";
        Assert.Equal(new AnswerText("zwei ", string.Empty), Read($"{Begun}data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"cont"));
        Assert.Equal(new AnswerText("zwei ", string.Empty) { BrokeOff = true }, Read($"{Begun}data: {{\"error\":{{\"message\":\"no\"}}}}\n\n{Begun}"));
    }

    [Theory]
    [InlineData("""{"error":{"message":"no"}}""")]
    [InlineData("""{"choices":7}""")]
    [InlineData("""{"choices":[{"index":"0"}]}""")]
    [InlineData("""{"choices":[{"index":-1}]}""")]
    [InlineData("[]")]
    [InlineData("not an answer")]
    [InlineData("")]
    public void What_nobody_can_read_is_no_answer(string json) => Assert.Null(Read(json, new AskedFor(Tools: true, Choices: true)));

    [Theory]
    [InlineData("""{"content":null,"tool_calls":[{"id":"1"}]}""", "", Unscored.ToolCalls)]
    [InlineData("""{"content":"a","function_call":{"name":"f"}}""", "a", Unscored.ToolCalls)]
    [InlineData("""{"content":"a","reasoning_content":"hm"}""", "a", Unscored.Thoughts)]
    [InlineData("""{"content":"a","reasoning":"hm","tool_calls":[{"id":"1"}]}""", "a", Unscored.Thoughts | Unscored.ToolCalls)]
    [InlineData("""{"content":"a","reasoning":"","thinking":null,"tool_calls":[]}""", "a", Unscored.None)]
    internal void What_a_scorer_could_not_place_is_told(string message, string text, Unscored unscored)
        => Assert.Equal(new AnswerText(text, string.Empty) { Unscored = unscored }, Read("{\"choices\":[{\"index\":0,\"message\":" + message + "}]}", new AskedFor(Tools: true, Choices: false)));

    [Fact]
    public void Of_several_answers_that_were_asked_for_one_is_drawn_and_the_others_bytes_are_counted()
    {
        const string Said = """{"choices":[{"index":2,"message":{"content":"ccc","reasoning":"hm"}},{"index":0,"message":{"content":"a"},"finish_reason":"stop"},{"index":1,"message":{"content":"bü"},"finish_reason":"length"}]}""";
        var asked = new AskedFor(Tools: false, Choices: true);
        Assert.Equal(new AnswerText("a", "stop") { OtherBytes = 6 }, Read(Said, asked));
        Assert.Equal(new AnswerText("bü", "length") { OtherBytes = 4 }, Read(Said, asked, draw: 1));
        Assert.Equal(new AnswerText("ccc", string.Empty) { OtherBytes = 4, Unscored = Unscored.Thoughts }, Read(Said, asked, draw: 2));
        Assert.Equal("a", Read(Said, asked, draw: 3)!.Text);
        // Nobody asked for them: what is claimed for them is missed.
        Assert.Equal(new AnswerText("a", "stop"), Read(Said, draw: 1));
    }

    [Theory]
    [InlineData("""x \ud83d y""", "x \uFFFD y")]
    [InlineData("""x \ude00\ud83d\ud83d\ude00 y""", "x \uFFFD\uFFFD\U0001F600 y")]
    [InlineData("""\\ud83d \ud83d""", "\\ud83d \uFFFD")]
    public void Half_a_character_is_no_way_out_of_an_audit(string content, string text)
    {
        Assert.Equal(new AnswerText(text, string.Empty), Read("{\"choices\":[{\"index\":0,\"message\":{\"content\":\"" + content + "\"}}]}"));
        Assert.Equal(new AnswerText($"a{text}", string.Empty), Read($"data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\"}}}}]}}\n\ndata: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n"));
    }

    [Fact]
    public void Nothing_of_an_answer_is_too_endlessfor_its_verifiers()
    {
        var endless = new string('x', 65);
        Assert.Equal(new AnswerText("a", string.Empty), Read("{\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"" + endless + "\"}]}"));
        // Each of these bytes becomes three.
        byte[] hostile = [.. "{\"choices\":[{\"index\":0,\"text\":\""u8, .. Enumerable.Repeat((byte)0xFF, 900_000), .. "\"}]}"u8];
        Assert.InRange(Encoding.UTF8.GetByteCount(AnswerText.Read([hostile], default)!.Text), 1_000_000, ScoreCodec.TextBytesMax);
        var text = new string('x', 900_000);
        Assert.Equal(text, Read("{\"choices\":[{\"index\":0,\"text\":\"" + text + "\"}]}")!.Text);
    }

    [Fact]
    public void Bytes_that_are_no_text_are_no_way_out_of_an_audit()
        => Assert.Equal(new AnswerText("a\uFFFDb", string.Empty), AnswerText.Read([new byte[][] { [.. """{"choices":[{"index":0,"message":{"content":"a"""u8], [0xC3], [.. """b"}}]}"""u8] }.SelectMany(part => part).ToArray()], default));

    [Theory]
    [InlineData("""{"choices":[{"index":1,"delta":{}}]}""")]
    [InlineData("""{"choices":[{"index":0.5,"delta":{"content":"x"}}]}""")]
    [InlineData("""{"choices":[{"index":9999999999,"delta":{"content":"x"}}]}""")]
    [InlineData("""{"choices":[{"index":"0","delta":{"content":"x"}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":null}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"x"}]}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"\ud83d":"x"}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"1"}],"function_call":{"name":"f"},"refusal":"no","audio":{"id":"a"}}}]}""")]
    [InlineData("""{"choices":[7]}""")]
    [InlineData("""{"choices":7}""")]
    [InlineData("""{"error":false}""")]
    [InlineData("""{"error":""}""")]
    [InlineData("""{"error":0}""")]
    [InlineData("[]")]
    [InlineData("no JSON")]
    public void What_nobody_asked_for_is_no_way_out_of_an_audit(string unasked)
    {
        const string Said = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"zwei \"}}]}\n\n";
        Assert.Equal(new AnswerText("zwei zwei ", string.Empty), Read($"{Said}data: {unasked}\n\n{Said}"));
        Assert.Equal(new AnswerText("zwei ", string.Empty), Read($"data: {unasked}\n\n{Said}"));
        Assert.Equal(new AnswerText("zwei ", string.Empty), Read($"{{\n{Said}"));
    }

    [Theory]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}""", "stop", false)]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},"finish_reason":"tool_calls"}]}""", "tool_calls", false)]
    [InlineData("""{"error":{"message":"no"},"choices":[{"index":0,"message":{"role":"assistant","content":"paid all the same?"},"finish_reason":"stop"}]}""", "", true)]
    public void An_answer_without_a_word_is_audited_as_one(string json, string finishReason, bool brokeOff) => Assert.Equal(new AnswerText(string.Empty, finishReason) { BrokeOff = brokeOff }, Read(json));

    private static AnswerText? Read(string json, AskedFor asked = default, uint draw = 0) => AnswerText.Read([Encoding.UTF8.GetBytes(json)], asked, draw);
}
