using Federation.Protocol.OpenAi;
using Federation.Silo.Apis;
using Federation.Silo.Apis.Responses;

namespace Federation.Silo.Tests.Apis;

/// <summary>The table of what becomes of each field of the Responses API.</summary>
public sealed class ResponsesRequestTests
{
    private const string Hi = """
        {"role":"user","content":"hi"}
        """;

    [Theory]
    [InlineData("", "")]
    [InlineData("\"metadata\":{\"a\":\"b\"},\"service_tier\":\"auto\",\"prompt_cache_key\":\"k\",\"include\":[\"reasoning.encrypted_content\"],\"truncation\":\"disabled\",\"background\":false", "")]
    [InlineData("\"temperature\":0.5,\"top_p\":0.9,\"user\":\"u\"", "\"temperature\":0.5,\"top_p\":0.9,\"user\":\"u\"")]
    [InlineData("\"max_output_tokens\":2", "\"max_tokens\":2")]
    [InlineData("\"top_logprobs\":3", "\"logprobs\":true,\"top_logprobs\":3")]
    [InlineData("\"include\":[\"message.output_text.logprobs\"]", "\"logprobs\":true")]
    [InlineData("\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"}", "\"reasoning_effort\":\"low\"")]
    [InlineData("\"text\":{\"format\":{\"type\":\"text\"}}", "")]
    [InlineData("\"text\":{\"format\":{\"type\":\"json_object\"},\"verbosity\":\"low\"}", "\"verbosity\":\"low\",\"response_format\":{\"type\":\"json_object\"}")]
    [InlineData("\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"type\":\"object\"},\"strict\":true}}", "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{\"type\":\"object\"},\"strict\":true}}")]
    [InlineData("\"tools\":[{\"type\":\"function\",\"name\":\"add\",\"description\":\"adds\",\"parameters\":{\"type\":\"object\"},\"strict\":true}],\"parallel_tool_calls\":false", "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"description\":\"adds\",\"parameters\":{\"type\":\"object\"},\"strict\":true}}],\"parallel_tool_calls\":false")]
    [InlineData("\"tool_choice\":\"required\"", "\"tool_choice\":\"required\"")]
    [InlineData("\"tool_choice\":{\"type\":\"function\",\"name\":\"add\"}", "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"add\"}}")]
    public void Each_setting_has_its_place(string setting, string translated)
    {
        var call = Translate($$"""{"model":"m","input":"hi"{{(setting.Length > 0 ? "," + setting : "")}}}""");
        Scenes.AssertJson($$"""{"model":"m","messages":[{{Hi}}]{{(translated.Length > 0 ? "," + translated : "")}},"stream":false}""", call.Body);
        Scenes.AssertTaken(JobKind.Chat, call.Body);
        Assert.True(call.Store);
    }

    [Fact]
    public void Instructions_come_first_and_are_not_part_of_the_conversation()
    {
        var call = Translate("""{"model":"m","instructions":"be brief","input":"hi","stream":true,"store":false}""");
        Scenes.AssertJson($$$"""{"model":"m","messages":[{"role":"system","content":"be brief"},{{{Hi}}}],"stream":true,"stream_options":{"include_usage":true}}""", call.Body);
        Scenes.AssertJson($"[{Hi}]", call.Conversation);
        Assert.Equal((true, false), (call.Stream, call.Store));
    }

    [Fact]
    public void A_conversation_goes_on_from_the_answer_before()
    {
        var first = Translate("""{"model":"m","input":"hi"}""");
        var answer = new ChatAnswer();
        answer.Add(new ChatPiece { Text = "Let me see.", Calls = [new ToolCallPiece(0, "c1", "add", """{"a":1}""")] });
        var second = Translate("""{"model":"m","instructions":"now","input":[{"type":"function_call_output","call_id":"c1","output":"42"}]}""", ResponsesRequests.Extend(first.Conversation, answer));
        Scenes.AssertJson(
            $$$"""
            {"model":"m","messages":[{"role":"system","content":"now"},{{{Hi}}},
              {"role":"assistant","content":"Let me see.","tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},
              {"role":"tool","tool_call_id":"c1","content":"42"}],"stream":false}
            """,
            second.Body);
    }

    [Fact]
    public void Items_become_messages_and_calls_of_one_turn_one_message()
    {
        var call = Translate(
            """
            {"model":"m","input":[
              {"role":"developer","content":"be brief"},
              {"type":"message","role":"user","content":[{"type":"input_text","text":"what?"},{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"}]},
              {"type":"reasoning","id":"rs_1","summary":[]},
              {"type":"function_call","call_id":"c1","name":"add","arguments":"{}"},{"type":"function_call","call_id":"c2","name":"now","arguments":"{}"},
              {"type":"function_call_output","call_id":"c1","output":"1"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"12"},{"type":"input_text","text":":00"}]},
              {"type":"message","role":"assistant","content":[{"type":"output_text","text":"So."},{"type":"refusal","refusal":"No."}]}]}
            """);
        Scenes.AssertJson(
            """
            {"model":"m","messages":[
              {"role":"system","content":"be brief"},
              {"role":"user","content":[{"type":"text","text":"what?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]},
              {"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"now","arguments":"{}"}}]},
              {"role":"tool","tool_call_id":"c1","content":"1"},{"role":"tool","tool_call_id":"c2","content":"12:00"},
              {"role":"assistant","content":"So.No."}],"stream":false}
            """,
            call.Body);
        Scenes.AssertTaken(JobKind.Chat, call.Body);
    }

    [Theory]
    [InlineData("\"tools\":[{\"type\":\"web_search\"}]", "tools[0].type", "unsupported_parameter")]
    [InlineData("\"tools\":[{\"type\":\"function\"}]", "tools[0].name", "missing_required_parameter")]
    [InlineData("\"tool_choice\":{\"type\":\"file_search\"}", "tool_choice.type", "unsupported_parameter")]
    [InlineData("\"tool_choice\":\"maybe\"", "tool_choice", "invalid_value")]
    [InlineData("\"background\":true", "background", "unsupported_parameter")]
    [InlineData("\"conversation\":\"conv_1\"", "conversation", "unsupported_parameter")]
    [InlineData("\"prompt\":{\"id\":\"p\"}", "prompt", "unsupported_parameter")]
    [InlineData("\"truncation\":\"auto\"", "truncation", "unsupported_parameter")]
    [InlineData("\"include\":[\"file_search_call.results\"]", "include[0]", "unsupported_parameter")]
    [InlineData("\"max_output_tokens\":0", "max_output_tokens", "integer_below_min_value")]
    [InlineData("\"max_output_tokens\":1e400", "max_output_tokens", "integer_above_max_value")]
    [InlineData("\"temperature\":-1", "temperature", "decimal_below_min_value")]
    [InlineData("\"top_logprobs\":21", "top_logprobs", "integer_above_max_value")]
    [InlineData("\"text\":{\"format\":{\"type\":\"xml\"}}", "text.format.type", "invalid_value")]
    [InlineData("\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\"}}", "text.format.schema", "missing_required_parameter")]
    [InlineData("\"stream\":1", "stream", "invalid_type")]
    [InlineData("\"store\":\"yes\"", "store", "invalid_type")]
    public void What_cannot_be_translated_is_named(string setting, string param, string code) => AssertRefused($$"""{"model":"m","input":"hi",{{setting}}}""", param, code);

    [Theory]
    [InlineData("""{"model":"m"}""", "input", "missing_required_parameter")]
    [InlineData("""{"input":"hi"}""", "model", "missing_required_parameter")]
    [InlineData("""{"model":"m","input":[]}""", "input", "empty_array")]
    [InlineData("""{"model":"m","input":{}}""", "input", "invalid_type")]
    [InlineData("""{"model":"m","input":["hi"]}""", "input[0]", "invalid_type")]
    [InlineData("""{"model":"m","input":[{"type":"item_reference","id":"x"}]}""", "input[0].type", "invalid_value")]
    [InlineData("""{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]}""", "input[0].content[0].type", "invalid_value")]
    [InlineData("""{"model":"m","input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]}""", "input[0].content[0].file_id", "unsupported_parameter")]
    [InlineData("""{"model":"m","input":[{"role":"assistant","content":[{"type":"input_image","image_url":"f"}]}]}""", "input[0].content[0].type", "unsupported_parameter")]
    [InlineData("""{"model":"m","input":[{"type":"function_call_output","output":"x"}]}""", "input[0].call_id", "missing_required_parameter")]
    public void Input_that_cannot_be_translated_is_named(string request, string param, string code) => AssertRefused(request, param, code);

    [Fact]
    public void A_hub_that_keeps_nothing_says_so_to_whoever_asks_it_to_keep()
    {
        Assert.False(ResponsesRequests.Translate(Scenes.Request("""{"model":"m","input":"hi"}"""), null, storesByDefault: false).Store);
        var error = Assert.Throws<RefusedException>(() => ResponsesRequests.Translate(Scenes.Request("""{"model":"m","input":"hi","store":true}"""), null, storesByDefault: false)).Error;
        Assert.Equal(("store", "unsupported_parameter"), (error.Param, error.Code));
    }

    private static ResponsesCall Translate(string request, string? before = null) => ResponsesRequests.Translate(Scenes.Request(request), before, storesByDefault: true);

    private static void AssertRefused(string request, string param, string code)
    {
        var error = Assert.Throws<RefusedException>(() => Translate(request)).Error;
        Assert.Equal((400, param, code), (error.Status, error.Param, error.Code));
    }
}
