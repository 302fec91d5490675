using System.Buffers;
using System.Text;
using System.Text.Json.Nodes;
using Federation.Silo.Apis;
using Federation.Silo.Apis.Responses;
using Federation.Silo.Gateway;

namespace Federation.Silo.Tests.Apis;

public sealed class ResponsesWriterTests
{
    private const string Request = """{"model":"m","input":"hi","temperature":0,"instructions":"be brief","metadata":{"a":"b"}}""";

    [Fact]
    public void A_stream_is_openais_events_in_their_order_and_numbered()
    {
        var events = Stream(Scenes.Delta("""{"role":"assistant","content":""}"""), Scenes.Delta("""{"content":"4"}"""), Scenes.Delta("""{"content":"2"}"""), Scenes.Delta("{}", "stop"), Scenes.Usage);
        Assert.Equal(
            [
                "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.delta",
                "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
            ],
            Types(events));
        Assert.Equal(Enumerable.Range(0, events.Count), events.Select(item => (int)item["sequence_number"]!));
        Assert.Equal("in_progress", (string?)events[0]["response"]!["status"]);
        Assert.Equal("""{"id":"msg_1_0","type":"message","status":"in_progress","role":"assistant","content":[]}""", events[2]["item"]!.ToJsonString());
        Assert.Equal("""{"type":"output_text","text":"","annotations":[],"logprobs":[]}""", events[3]["part"]!.ToJsonString());
        Assert.Equal(("msg_1_0", 0, 0, "4"), ((string?)events[4]["item_id"], (int)events[4]["output_index"]!, (int)events[4]["content_index"]!, (string?)events[4]["delta"]));
        Assert.Equal("42", (string?)events[6]["text"]);
        var response = events[^1]["response"]!;
        Assert.Equal("""[{"id":"msg_1_0","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"42","annotations":[],"logprobs":[]}]}]""", response["output"]!.ToJsonString());
        Assert.Equal("""{"input_tokens":12,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":15}""", response["usage"]!.ToJsonString());
    }

    [Fact]
    public void Function_calls_are_items_of_their_own_with_their_arguments()
    {
        var events = Stream(
            Scenes.Delta("""{"reasoning_content":"hm"}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":""}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":1,"id":"c2","function":{"name":"now","arguments":"{}"}}]}"""),
            Scenes.Delta("{}", "tool_calls"));
        Assert.Equal(
            [
                "response.created", "response.in_progress",
                "response.output_item.added", "response.content_part.added", "response.reasoning_text.delta", "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
                "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.delta",
                "response.output_item.added", "response.function_call_arguments.delta",
                "response.function_call_arguments.done", "response.output_item.done", "response.function_call_arguments.done", "response.output_item.done",
                "response.completed",
            ],
            Types(events));
        var output = events[^1]["response"]!["output"]!;
        Assert.Equal(["reasoning", "function_call", "function_call"], output.AsArray().Select(item => (string?)item!["type"]));
        Assert.Equal("""{"id":"fc_1_1","type":"function_call","status":"completed","call_id":"c1","name":"add","arguments":"{\u0022a\u0022:1}"}""", output[1]!.ToJsonString());
    }

    [Theory]
    [InlineData("length", "response.incomplete", "max_output_tokens")]
    [InlineData("content_filter", "response.incomplete", "content_filter")]
    public void An_answer_that_was_cut_off_is_incomplete(string finish, string type, string reason)
    {
        var last = Stream(Scenes.Delta("""{"content":"4"}""", finish))[^1];
        Assert.Equal((type, "incomplete", reason), ((string?)last["type"], (string?)last["response"]!["status"], (string?)last["response"]!["incomplete_details"]!["reason"]));
    }

    [Fact]
    public void A_refusal_is_a_part_of_the_message()
    {
        var events = Stream(Scenes.Delta("""{"refusal":"No."}"""), Scenes.Delta("{}", "stop"));
        Assert.Equal("""[{"type":"refusal","refusal":"No."}]""", events[^1]["response"]!["output"]![0]!["content"]!.ToJsonString());
        Assert.Contains("response.refusal.done", Types(events));
    }

    [Fact]
    public void A_stream_that_breaks_off_has_failed_and_says_what_came()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = Writer(output);
        writer.Begin(Scenes.Head);
        writer.Take(new ChatPiece { Text = "4" });
        writer.BreakOff(OpenAiError.Interrupted("node"));
        writer.Take(new ChatPiece { Text = "2" });
        writer.End();
        var last = Scenes.Events(Encoding.UTF8.GetString(output.WrittenSpan))[^1];
        Assert.Equal(("response.failed", "failed", "server_error", "4"), ((string?)last["type"], (string?)last["response"]!["status"], (string?)last["response"]!["error"]!["code"], (string?)last["response"]!["output"]![0]!["content"]![0]!["text"]));
    }

    [Fact]
    public void A_response_that_waits_is_queued_once_and_then_in_progress()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = Writer(output);
        Assert.True(writer.TryNote("queued position=2"));
        Assert.True(writer.TryNote("queued position=1"));
        writer.Begin(Scenes.Head);
        writer.Take(new ChatPiece { Text = "4" });
        Assert.True(writer.TryNote("queued"));
        writer.End();
        var text = Encoding.UTF8.GetString(output.WrittenSpan);
        Assert.Contains(": queued position=1\n\n", text, StringComparison.Ordinal);
        var events = Scenes.Events(text);
        Assert.Equal(["response.created", "response.queued", "response.in_progress", "response.output_item.added"], Types(events).Take(4));
        Assert.Equal(["queued", "queued", "in_progress"], events.Take(3).Select(item => (string?)item["response"]!["status"]));
        Assert.Equal(Enumerable.Range(0, events.Count), events.Select(item => (int)item["sequence_number"]!));
    }

    [Fact]
    public void A_stream_that_is_too_long_to_repeat_breaks_off()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = Writer(output, maxAnswerBytes: 10);
        writer.Begin(Scenes.Head);
        for (var i = 0; i < 100; i++) writer.Take(new ChatPiece { Text = "four" });
        writer.End();
        Assert.Equal("response.failed", Types(Scenes.Events(Encoding.UTF8.GetString(output.WrittenSpan)))[^1]);
    }

    [Fact]
    public void A_response_repeats_what_was_asked_and_says_the_rest()
    {
        var whole = Scenes.Whole(output => Writer(output), """{"choices":[{"index":0,"message":{"role":"assistant","content":"42"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3}}""");
        Assert.Equal(("resp_1", "response", "completed", 1_700_000_000L), ((string?)whole["id"], (string?)whole["object"], (string?)whole["status"], (long)whole["created_at"]!));
        Assert.Equal(("be brief", "b", 0, true, "auto"), ((string?)whole["instructions"], (string?)whole["metadata"]!["a"], (int)whole["temperature"]!, (bool)whole["store"]!, (string?)whole["tool_choice"]));
        Assert.Equal("42", (string?)whole["output"]![0]!["content"]![0]!["text"]);
        Assert.True(whole.AsObject().ContainsKey("error") && whole["error"] is null);
    }

    [Fact]
    public void An_answer_of_nothing_is_a_message_of_nothing()
        => Assert.Equal("", (string?)Scenes.Whole(output => Writer(output), """{"choices":[{"message":{"content":null},"finish_reason":"stop"}]}""")["output"]![0]!["content"]![0]!["text"]);

    private static List<JsonNode> Stream(params ReadOnlySpan<string> events) => Scenes.Events(Scenes.Stream(output => Writer(output), events));

    private static List<string?> Types(List<JsonNode> events) => [.. events.Select(item => (string?)item["type"])];

    private static ResponsesWriter Writer(IBufferWriter<byte> output, int maxAnswerBytes = 1_000_000)
        => new(output, "resp_1", ResponsesRequests.Translate(Scenes.Request(Request), null, true), DateTimeOffset.FromUnixTimeSeconds(1_700_000_000), maxAnswerBytes);
}
