using System.Text.Json.Nodes;
using Federation.Silo.Apis.Ollama;
using Federation.Silo.Gateway;
using Federation.Silo.Tests.Fakes;

namespace Federation.Silo.Tests.Apis;

public sealed class OllamaWriterTests
{
    private readonly TestClock _clock = new();

    [Fact]
    public void A_stream_is_a_line_for_each_piece_and_one_with_the_counts()
    {
        var lines = Stream(isChat: true, Scenes.Delta("""{"role":"assistant","content":""}"""), Scenes.Delta("""{"content":"4"}"""), Scenes.Delta("""{"content":"2"}"""), Scenes.Delta("{}", "length"), Scenes.Usage);
        Assert.Equal(["4", "2", ""], lines.Select(line => (string?)line["message"]!["content"]));
        Assert.Equal([false, false, true], lines.Select(line => (bool)line["done"]!));
        Assert.All(lines, line => Assert.Equal(("m", "assistant"), ((string?)line["model"], (string?)line["message"]!["role"])));
        var last = lines[^1];
        Assert.Equal(("length", 12, 3, 20_000_000L), ((string?)last["done_reason"], (int)last["prompt_eval_count"]!, (int)last["eval_count"]!, (long)last["load_duration"]!));
        Assert.True(DateTimeOffset.TryParse((string?)last["created_at"], System.Globalization.CultureInfo.InvariantCulture, out _));
    }

    [Fact]
    public void A_prompts_answer_is_a_response_and_thoughts_stand_beside_it()
    {
        var lines = Stream(isChat: false, Scenes.Delta("""{"reasoning_content":"hm"}"""), Scenes.Delta("""{"content":"42"}"""), Scenes.Delta("{}", "stop"));
        Assert.Equal([("", "hm"), ("42", null), ("", null)], lines.Select(line => ((string?)line["response"], (string?)line["thinking"])));
        Assert.Equal("stop", (string?)lines[^1]["done_reason"]);
    }

    [Fact]
    public void Tool_calls_come_whole_with_arguments_that_are_an_object()
    {
        var lines = Stream(
            isChat: true,
            Scenes.Delta("""{"tool_calls":[{"index":0,"id":"call_a","function":{"name":"add","arguments":"{\"a\""}}]}"""),
            Scenes.Delta("""{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"""),
            Scenes.Delta("{}", "tool_calls"));
        var call = lines[0]["message"]!["tool_calls"]![0]!["function"]!;
        Assert.Equal(("add", 1, 2), ((string?)call["name"], (int)call["arguments"]!["a"]!, lines.Count));
        Assert.Equal("stop", (string?)lines[^1]["done_reason"]);
    }

    [Fact]
    public void Arguments_that_are_no_object_are_told_as_the_model_wrote_them()
    {
        var lines = Stream(isChat: true, Scenes.Delta("""{"tool_calls":[{"index":0,"id":"a","function":{"name":"add","arguments":"{\"a\":"}}]}"""));
        Assert.Equal("{\"a\":", (string?)lines[0]["message"]!["tool_calls"]![0]!["function"]!["arguments"]!["_text"]);
    }

    [Fact]
    public void An_answer_that_is_no_stream_is_one_object()
    {
        var whole = Scenes.Whole(
            output => new OllamaWriter(output, "m", true, true, _clock),
            """{"choices":[{"index":0,"message":{"role":"assistant","content":"42"},"logprobs":{"content":[{"token":"42","logprob":-0.5}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3}}""");
        Assert.Equal(("42", true, "stop", 3, -0.5), ((string?)whole["message"]!["content"], (bool)whole["done"]!, (string?)whole["done_reason"], (int)whole["eval_count"]!, (double)whole["logprobs"]![0]!["logprob"]!));
    }

    [Fact]
    public void An_error_in_mid_stream_is_a_line_of_its_own()
    {
        var output = new System.Buffers.ArrayBufferWriter<byte>();
        new OllamaWriter(output, "m", true, true, _clock).BreakOff(OpenAiError.NoAnswer());
        Assert.Equal("{\"error\":\"No node that has the model could answer. Try again.\"}\n", System.Text.Encoding.UTF8.GetString(output.WrittenSpan));
    }

    private List<JsonNode> Stream(bool isChat, params ReadOnlySpan<string> events)
        => [.. Scenes.Stream(output => new OllamaWriter(output, "m", isChat, true, _clock), events).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)];
}
