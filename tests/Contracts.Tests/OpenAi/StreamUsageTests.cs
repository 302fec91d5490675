using System.Text;
using Federation.Protocol.OpenAi;

namespace Federation.Contracts.Tests.OpenAi;

public sealed class StreamUsageTests
{
    [Theory]
    [InlineData("""{"model":"m", "stream":true}""", """{"stream_options":{"include_usage":true},"model":"m", "stream":true}""")]
    [InlineData("""{ }""", """{"stream_options":{"include_usage":true} }""")]
    [InlineData("""{"stream_options": null ,"a":1e2}""", """{"stream_options": {"include_usage":true} ,"a":1e2}""")]
    [InlineData("""{"stream_options":{}}""", """{"stream_options":{"include_usage":true}}""")]
    [InlineData("""{"stream_options":{ "x":{"y":[1]}}}""", """{"stream_options":{"include_usage":true, "x":{"y":[1]}}}""")]
    [InlineData("""{"stream_options":{"include_usage": false, "x":1}}""", """{"stream_options":{"include_usage": true, "x":1}}""")]
    [InlineData("""{"stream_options":{"include_usage":null}}""", """{"stream_options":{"include_usage":true}}""")]
    [InlineData("""{"stream_option\u0073":{"include_usag\u0065":false}}""", """{"stream_option\u0073":{"include_usag\u0065":true}}""")]
    [InlineData("""{"a":{"stream_options":{"include_usage":true}}}""", """{"stream_options":{"include_usage":true},"a":{"stream_options":{"include_usage":true}}}""")]
    [InlineData("""{"stream_options":{"include_usage":true},"stream_options":{}}""", """{"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}""")]
    public void Usage_is_asked_for_with_the_fewest_added_bytes(string body, string expected)
    {
        var asked = StreamUsage.Ask(Encoding.UTF8.GetBytes(body));

        Assert.Equal(expected, Encoding.UTF8.GetString(asked.Body.Span));
        Assert.True(asked.IsAdded);
    }

    [Theory]
    [InlineData("""{"stream_options":{"include_usage":true}}""")]
    [InlineData("""{"stream_options":{"include_usage":"yes"}}""")]
    [InlineData("""{"stream_options":true}""")]
    [InlineData("""{"stream_options":[1]}""")]
    [InlineData("""[]""")]
    [InlineData("")]
    [InlineData("""{"a":1""")]
    [InlineData("""{"a":1} x""")]
    [InlineData("""{"stream_optio\ud83d":1}""")] // a name that is not text
    public void What_asks_already_or_cannot_be_read_stays_as_it_is(string body)
    {
        var bytes = Encoding.UTF8.GetBytes(body);

        var asked = StreamUsage.Ask(bytes);

        Assert.Equal(body, Encoding.UTF8.GetString(asked.Body.Span));
        Assert.False(asked.IsAdded);
    }
}
