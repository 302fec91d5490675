using System.Text;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway.Rescue;

namespace Federation.Silo.Tests.Gateway;

public sealed class AnswerStitchTests
{
    private static readonly StreamHead Head = new("chatcmpl-1", 7, "llama", "chat.completion.chunk");

    [Fact]
    public void A_chunk_bears_the_names_of_the_stream_that_it_goes_on_with()
    {
        var stitched = Stitch("""{"id":"other","created":9,"model":"llama:latest","choices":[{"index":0,"delta":{"role":"assistant","content":"on"}}]}""");
        Assert.Equal("data: {\"id\":\"chatcmpl-1\",\"created\":7,\"model\":\"llama\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"on\"}}]}\n\n", stitched);
    }

    [Theory]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"\\ud83d":1}}]}""")]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":"a","content":"b"}}]}""")]
    [InlineData("""{"id":1,"id":2,"choices":[]}""")]
    public void What_no_tree_holds_passes_as_it_came_and_breaks_nothing(string chunk) => Assert.EndsWith("\n\n", Stitch(chunk), StringComparison.Ordinal);

    private static string Stitch(string chunk)
    {
        ReadOnlySpan<byte> bytes = Encoding.UTF8.GetBytes($"data: {chunk}\n\n");
        Assert.True(new SseScanner().TryRead(ref bytes, out var item));
        return Encoding.UTF8.GetString(new AnswerStitch(Head, 3).Stitch(item).Span);
    }
}
