using System.Buffers;
using System.Text.Json.Nodes;
using Federation.Silo.Apis;
using Federation.Silo.Apis.Anthropic;

namespace Federation.Silo.Tests.Apis;

public sealed class AnthropicWriterTests
{
    [Fact]
    public void A_stream_is_the_events_that_its_clients_expect_in_their_order()
    {
        var events = Stream(Scenes.Delta("""{"role":"assistant","content":""}"""), Scenes.Delta("""{"content":"4"}"""), Scenes.Delta("""{"content":"2"}"""), Scenes.Delta("{}", "stop"), Scenes.Usage);
        Assert.Equal(
            ["message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop"],
            events.Select(item => (string?)item["type"]));
        var message = events[0]["message"]!;
        Assert.Equal(("msg_1", "message", "assistant", "m", 0), ((string?)message["id"], (string?)message["type"], (string?)message["role"], (string?)message["model"], message["content"]!.AsArray().Count));
        Assert.True(message.AsObject().ContainsKey("stop_reason"));
        Assert.Equal("""{"type":"text","text":""}""", events[2]["content_block"]!.ToJsonString());
        Assert.Equal("""{"type":"text_delta","text":"4"}""", events[3]["delta"]!.ToJsonString());
        Assert.Equal("""{"stop_reason":"end_turn","stop_sequence":null}""", events[6]["delta"]!.ToJsonString());
        Assert.Equal("""{"input_tokens":8,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":3}""", events[6]["usage"]!.ToJsonString());
    }

    [Fact]
    public void Each_tool_call_is_a_block_of_its_own_after_the_text()
    {
        var events = Stream(
            Scenes.Delta("""{"content":"Let me see."}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"id":"call_a","function":{"name":"add","arguments":""}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":1,"id":"call_b","function":{"name":"now","arguments":"{}"}}]}"""),
            Scenes.Delta("{}", "tool_calls"));
        Assert.Equal(
            ["text", "tool_use", "tool_use"],
            events.Where(item => (string?)item["type"] == "content_block_start").Select(item => (string?)item["content_block"]!["type"]));
        Assert.Equal([0, 1, 2], events.Where(item => (string?)item["type"] == "content_block_stop").Select(item => (int)item["index"]!));
        Assert.Equal("{\"a\":1}", string.Concat(events.Where(item => (string?)item["delta"]?["type"] == "input_json_delta" && (int)item["index"]! == 1).Select(item => (string?)item["delta"]!["partial_json"])));
        Assert.Equal("""{"type":"tool_use","id":"call_b","name":"now","input":{}}""", events.Where(item => (string?)item["type"] == "content_block_start").Last()["content_block"]!.ToJsonString());
        Assert.Equal("tool_use", (string?)events[^2]["delta"]!["stop_reason"]);
    }

    [Fact]
    public void Pieces_of_a_call_that_come_after_the_next_has_begun_end_the_stream_with_an_error()
    {
        var events = Stream(
            Scenes.Delta("""{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}"""));
        Assert.Equal("error", (string?)events[^1]["type"]);
    }

    [Theory]
    [InlineData(true, "thinking,text")]
    [InlineData(false, "text")]
    public void Thoughts_are_shown_to_whoever_asked_for_them(bool showsThoughts, string blocks)
    {
        var events = Scenes.Events(Scenes.Stream(Writer(showsThoughts), Scenes.Delta("""{"reasoning_content":"hm"}"""), Scenes.Delta("""{"content":"42"}"""), Scenes.Delta("{}", "stop")));
        Assert.Equal(blocks, string.Join(',', events.Where(item => (string?)item["type"] == "content_block_start").Select(item => (string?)item["content_block"]!["type"])));
        Assert.Equal(showsThoughts, events.Exists(item => (string?)item["delta"]?["type"] == "signature_delta"));
    }

    [Theory]
    [InlineData("\"stop\"", "", "end_turn", null)]
    [InlineData("\"length\"", "", "max_tokens", null)]
    [InlineData("\"content_filter\"", "", "refusal", null)]
    [InlineData("\"stop\"", ",\"stop_reason\":\"END\"", "stop_sequence", "END")]
    [InlineData("\"stop\"", ",\"stop_reason\":\"else\"", "end_turn", null)]
    [InlineData("null", "", "end_turn", null)]
    public void Why_an_answer_ended_is_said_in_anthropics_words(string reason, string more, string stopReason, string? stop)
    {
        var whole = Scenes.Whole(Writer(false), $$$"""{"choices":[{"index":0,"message":{"role":"assistant","content":"42"},"finish_reason":{{{reason}}}{{{more}}}}],"usage":{"prompt_tokens":12,"completion_tokens":3}}""");
        Assert.Equal((stopReason, stop, "42", 3), ((string?)whole["stop_reason"], (string?)whole["stop_sequence"], (string?)whole["content"]![0]!["text"], (int)whole["usage"]!["output_tokens"]!));
    }

    [Fact]
    public void Whole_answers_have_their_calls_as_blocks()
    {
        var whole = Scenes.Whole(Writer(false), """{"choices":[{"index":0,"message":{"content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},"finish_reason":"tool_calls"}]}""");
        Assert.Equal("""[{"type":"tool_use","id":"t","name":"add","input":{"a":1}}]""", whole["content"]!.ToJsonString());
        Assert.Equal("tool_use", (string?)whole["stop_reason"]);
    }

    private static List<JsonNode> Stream(params ReadOnlySpan<string> events) => Scenes.Events(Scenes.Stream(Writer(false), events));

    private static Func<IBufferWriter<byte>, AnswerWriter> Writer(bool showsThoughts) => output => new AnthropicWriter(output, "job_1", new AnthropicCall("m", true, showsThoughts, ["END"], default));
}
