using System.Text;
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
            Assert.True(AnswerText.TryRead([.. bytes.Chunk(size).Select(piece => (ReadOnlyMemory<byte>)piece)], out var answer));
            Assert.Equal(new AnswerText("zwei Äpfel", "stop"), answer);
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
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}}]}""")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":"a"}},{"index":1,"message":{"role":"assistant","content":"b"}}]}""")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning_content":"hm"}}]}""")]
    [InlineData("""{"error":{"message":"no"}}""")]
    [InlineData("""{"choices":[{"index":0,"message":{"role":"assistant","content":""}}]}""")]
    [InlineData("""{"choices":7}""")]
    [InlineData("""{"choices":[{"index":"0"}]}""")]
    [InlineData("[]")]
    [InlineData("not an answer")]
    [InlineData("")]
    public void What_a_scorer_could_not_place_is_not_audited(string json) => Assert.Null(Read(json));

    private static AnswerText? Read(string json) => AnswerText.TryRead([Encoding.UTF8.GetBytes(json)], out var answer) ? answer : null;
}
