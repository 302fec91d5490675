using System.Text;
using Federation.Silo.Apis;

namespace Federation.Silo.Tests.Apis;

public sealed class ChatReaderTests
{
    [Fact]
    public void Arguments_of_a_tool_call_come_together_however_they_are_split()
    {
        var answer = Read(
            Scenes.Delta("""{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"add","arguments":""}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":":\"\ud83e"}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":"\udd99\"}"}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":1,"id":"call_b","function":{"name":"now","arguments":"{}"}}]}"""),
            Scenes.Delta("{}", "tool_calls"),
            Scenes.Usage);
        Assert.Equal([("call_a", "add", """{"a":"🦙"}"""), ("call_b", "now", "{}")], answer.Calls.Select(call => (call.Id, call.Name, call.Arguments)));
        Assert.Equal(("tool_calls", new ChatUsage(12, 4, 3, 0)), (answer.FinishReason, answer.Usage));
    }

    [Fact]
    public void Calls_that_all_have_the_index_zero_are_told_apart_by_their_ids()
    {
        var answer = Read(
            Scenes.Delta("""{"tool_calls":[{"index":0,"id":"call_a","function":{"name":"add","arguments":"{\"a\":1}"}},{"index":0,"id":"call_b","function":{"name":"add","arguments":"{\"a\":2}"}}]}"""));
        Assert.Equal([("call_a", """{"a":1}"""), ("call_b", """{"a":2}""")], answer.Calls.Select(call => (call.Id, call.Arguments)));
    }

    [Fact]
    public void A_call_without_an_id_is_given_one_and_arguments_may_be_an_object()
    {
        var answer = Read("""{"choices":[{"index":0,"message":{"content":"","tool_calls":[{"function":{"name":"add","arguments":{"a":1}}}]}}]}""");
        Assert.Equal(("call_x0", "add", """{"a":1}"""), (answer.Calls.Single().Id, answer.Calls.Single().Name, answer.Calls.Single().Arguments));
    }

    [Fact]
    public void Calls_without_end_are_not_kept()
    {
        var calls = string.Join(',', Enumerable.Range(0, 10_000).Select(i => $$$"""{"index":{{{i}}},"id":"c{{{i}}}","function":{"name":"f","arguments":"{}"}}"""));
        Assert.Equal(128, Read(Scenes.Delta($$"""{"tool_calls":[{{calls}}]}""")).Calls.Count);
    }

    [Theory]
    [InlineData("""{"choices":[{"index":0,"message":{"content":"42","reasoning_content":"hm"},"finish_reason":"stop","stop_reason":"END"}]}""", "42", "hm", "END")]
    [InlineData("""{"choices":[{"index":1,"message":{"content":"other"}},{"index":0,"message":{"content":[{"type":"text","text":"4"},{"type":"text","text":"2"}],"reasoning":"hm"},"finish_reason":"stop","stop_reason":7}]}""", "42", "hm", null)]
    [InlineData("""{"choices":[{"text":"42","finish_reason":"stop"}]}""", "42", "", null)]
    public void Engines_say_the_same_in_several_ways(string json, string text, string thought, string? stop)
    {
        var answer = Read(json);
        Assert.Equal((text, thought, "stop", stop), (answer.Text, answer.Thought, answer.FinishReason, answer.StopText));
    }

    [Theory]
    [InlineData("""{"error":{"message":"out of memory","type":"server_error","code":"oom","param":null}}""", "out of memory")]
    [InlineData("""{"error":"out of memory"}""", "out of memory")]
    [InlineData("""{"error":[]}""", "The engine failed.")]
    [InlineData("[]", "could not be read")]
    [InlineData("{", "could not be read")]
    public void What_is_no_answer_is_an_error(string json, string words)
        => Assert.Contains(words, new ChatReader("call_x").Read(Encoding.UTF8.GetBytes(json)).Error!.Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"choices":{}}""")]
    [InlineData("""{"choices":[1,null,{"index":0,"delta":7}],"usage":[]}""")]
    [InlineData("""{"choices":[{"delta":{"content":{"a":1},"tool_calls":[7,{"function":3}]},"finish_reason":{}}],"usage":{"prompt_tokens":-1}}""")]
    public void Nonsense_says_nothing_and_breaks_nothing(string json)
    {
        var piece = new ChatReader("call_x").Read(Encoding.UTF8.GetBytes(json));
        Assert.Equal((string.Empty, null, null), (piece.Text, piece.FinishReason, piece.Usage));
    }

    private static ChatAnswer Read(params ReadOnlySpan<string> events)
    {
        var (reader, answer) = (new ChatReader("call_x"), new ChatAnswer());
        foreach (var item in events) answer.Add(reader.Read(Encoding.UTF8.GetBytes(item)));
        answer.Add(reader.End());
        return answer;
    }
}
