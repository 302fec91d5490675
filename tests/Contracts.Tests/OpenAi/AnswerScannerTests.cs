using System.Text;
using Federation.Protocol.OpenAi;

namespace Federation.Contracts.Tests.OpenAi;

public sealed class AnswerScannerTests
{
    private const string Answer = """
        {
          "id": "chatcmpl-1", "object": "chat.completion",
          "choices": [{"index": 0, "message": {"role": "assistant", "content": "fo\u00fc\"r"}, "finish_reason": "length"}],
          "usage": {"prompt_tokens": 12, "completion_tokens": 345, "total_tokens": 357}
        }
        """;

    [Fact]
    public void Any_split_of_an_answer_says_the_same()
    {
        var bytes = Encoding.UTF8.GetBytes(Answer);
        var expected = new AnswerFacts(new TokenUsage(12, 345), "length", 1, 6, false);
        for (var step = 1; step <= bytes.Length; step++)
        {
            var scanner = new AnswerScanner();
            foreach (var piece in bytes.Chunk(step))
            {
                scanner.Feed(piece);
            }

            Assert.True(scanner.End());
            Assert.Equal(expected, scanner.Facts);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("<html>502</html>")]
    [InlineData("""{"usage": {"prompt_tokens": 12}""")]
    [InlineData("""{} {}""")]
    public void A_body_that_is_not_one_JSON_value_is_said_to_be_malformed(string body)
    {
        var scanner = new AnswerScanner();

        scanner.Feed(Encoding.UTF8.GetBytes(body));

        Assert.False(scanner.End());
        Assert.True(scanner.IsMalformed);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    public void A_token_above_the_bound_ends_the_scan(int step)
    {
        var bytes = Encoding.UTF8.GetBytes("{\"x\":\"" + new string('x', 1000) + "\",\"usage\":{\"prompt_tokens\":1}}");
        var scanner = new AnswerScanner(tokenBytesMax: 256);
        foreach (var piece in bytes.Chunk(step))
        {
            scanner.Feed(piece);
        }

        Assert.False(scanner.End());
        Assert.Null(scanner.Facts.Usage);
    }
}
