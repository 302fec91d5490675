using Federation.Protocol.OpenAi;
using Federation.Silo.Apis;
using Federation.Silo.Apis.Anthropic;

namespace Federation.Silo.Tests.Apis;

/// <summary>The table of what becomes of each field of Anthropic's Messages API.</summary>
public sealed class AnthropicRequestTests
{
    private const string Hi = """
        "messages":[{"role":"user","content":"hi"}]
        """;

    [Theory]
    [InlineData("", "")]
    [InlineData("\"metadata\":{\"user_id\":\"u\"},\"service_tier\":\"auto\",\"mcp_servers\":[],\"context_management\":{}", "")]
    [InlineData("\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40", "\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40")]
    [InlineData("\"stop_sequences\":[\"END\"]", "\"stop\":[\"END\"]")]
    [InlineData("\"stop_sequences\":[]", "")]
    [InlineData("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}", "\"reasoning_effort\":\"medium\"")]
    [InlineData("\"thinking\":{\"type\":\"disabled\"}", "\"reasoning_effort\":\"none\"")]
    [InlineData("\"output_config\":{\"effort\":\"max\"}", "\"reasoning_effort\":\"high\"")]
    [InlineData("\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}}", "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":{\"type\":\"object\"},\"strict\":true}}")]
    [InlineData("\"tools\":[{\"name\":\"add\",\"description\":\"adds\",\"input_schema\":{\"type\":\"object\"},\"cache_control\":{\"type\":\"ephemeral\"}}]", "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"description\":\"adds\",\"parameters\":{\"type\":\"object\"}}}]")]
    [InlineData("\"tool_choice\":{\"type\":\"auto\"}", "\"tool_choice\":\"auto\"")]
    [InlineData("\"tool_choice\":{\"type\":\"none\"}", "\"tool_choice\":\"none\"")]
    [InlineData("\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}", "\"tool_choice\":\"required\",\"parallel_tool_calls\":false")]
    [InlineData("\"tool_choice\":{\"type\":\"tool\",\"name\":\"add\"}", "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"add\"}}")]
    public void Each_setting_has_its_place(string setting, string translated)
    {
        var call = AnthropicRequests.Messages(Scenes.Request($$"""{"model":"m","max_tokens":8,{{Hi}}{{(setting.Length > 0 ? "," + setting : "")}}}"""));
        Scenes.AssertJson($$"""{"model":"m",{{Hi}},"max_tokens":8{{(translated.Length > 0 ? "," + translated : "")}},"stream":false}""", call.Body);
        Scenes.AssertTaken(JobKind.Chat, call.Body);
    }

    [Theory]
    [InlineData("\"be brief\"", "be brief")]
    [InlineData("""[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}},{"type":"text","text":"and kind"}]""", "be brief\\n\\nand kind")]
    public void The_system_prompt_is_the_first_message(string system, string text) => AssertMessages(
        $$"""{"role":"system","content":"{{text}}"},{"role":"user","content":"hi"}""", $"\"system\":{system},{Hi}");

    [Fact]
    public void Images_are_urls_or_data() => AssertMessages(
        """{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"image_url","image_url":{"url":"https://example.org/a.png"}},{"type":"text","text":"what?"}]}""",
        """
        "messages":[{"role":"user","content":[
          {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"image","source":{"type":"url","url":"https://example.org/a.png"}},{"type":"text","text":"what?"}]}]
        """);

    [Fact]
    public void Calls_of_tools_and_their_results_are_messages_of_their_own() => AssertMessages(
        """
        {"role":"assistant","content":"Let me see.","tool_calls":[{"id":"t1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}},{"id":"t2","type":"function","function":{"name":"see","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"t1","content":"Error: too large"},
        {"role":"tool","tool_call_id":"t2","content":"a picture"},
        {"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.org/a.png"}},{"type":"text","text":"go on"}]}
        """,
        """
        "messages":[
          {"role":"assistant","content":[
            {"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"Let me see."},
            {"type":"tool_use","id":"t1","name":"add","input":{"a":1}},{"type":"tool_use","id":"t2","name":"see","input":{}}]},
          {"role":"user","content":[
            {"type":"tool_result","tool_use_id":"t1","is_error":true,"content":"too large"},
            {"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"a picture"},{"type":"image","source":{"type":"url","url":"https://example.org/a.png"}}]},
            {"type":"text","text":"go on"}]}]
        """);

    [Fact]
    public void An_assistants_last_turn_is_the_beginning_of_the_answer()
    {
        var call = AnthropicRequests.Messages(Scenes.Request("""{"model":"m","max_tokens":8,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Well"}]}"""));
        Scenes.AssertJson("""{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Well"}],"continue_final_message":true,"add_generation_prompt":false,"max_tokens":8,"stream":false}""", call.Body);
    }

    [Fact]
    public void A_stream_asks_for_usage()
    {
        var call = AnthropicRequests.Messages(Scenes.Request($$"""{"model":"m","max_tokens":8,"stream":true,{{Hi}}}"""));
        Assert.True(call.Stream);
        Scenes.AssertJson($$$"""{"model":"m",{{{Hi}}},"max_tokens":8,"stream":true,"stream_options":{"include_usage":true}}""", call.Body);
    }

    [Theory]
    [InlineData("""{"max_tokens":8}""", "Missing required parameter: 'model'.")]
    [InlineData("""{"model":"m","messages":[]}""", "Missing required parameter: 'max_tokens'.")]
    [InlineData("""{"model":"m","max_tokens":0,"messages":[]}""", "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.")]
    [InlineData("""{"model":"m","max_tokens":-9223372036854775809,"messages":[]}""", "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got -9223372036854775809 instead.")]
    [InlineData("""{"model":"m","max_tokens":8,"messages":[]}""", "Invalid 'messages': expected an array with at least one message.")]
    [InlineData("""{"model":"m","max_tokens":8,"messages":[{"role":"system","content":"x"}]}""", "Invalid value: 'system'. Supported values are: 'user', 'assistant'.")]
    [InlineData("""{"model":"m","max_tokens":8,"messages":[{"role":"user"}]}""", "Missing required parameter: 'messages[0].content'.")]
    [InlineData("""{"model":"m","max_tokens":8,"messages":[{"role":"user","content":[{"type":"document"}]}]}""", "Invalid value: 'document'. Supported values are: 'text', 'image', 'tool_result'.")]
    [InlineData("""{"model":"m","max_tokens":8,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]}""", "Invalid value: 'file'. Supported values are: 'base64', 'url'.")]
    [InlineData("""{"model":"m","max_tokens":8,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"text/html","data":"x"}}]}]}""", "Invalid value: 'text/html'. Supported values are: 'image/jpeg', 'image/png', 'image/gif', 'image/webp'.")]
    [InlineData("""{"model":"m","max_tokens":8,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":"x"}]}]}""", "Invalid type for 'messages[0].content[0].input': expected an object, but got a string instead.")]
    [InlineData("""{"model":"m","max_tokens":8,"temperature":1.5,"messages":[{"role":"user","content":"x"}]}""", "Invalid 'temperature': decimal above maximum value. Expected a value <= 1, but got 1.5 instead.")]
    [InlineData("""{"model":"m","max_tokens":8,"tools":[{"type":"web_search_20250305","name":"web_search"}],"messages":[{"role":"user","content":"x"}]}""", "Unsupported parameter: 'tools[0].type'. The hub runs no tools of its own; 'web_search_20250305' is one of Anthropic's servers.")]
    [InlineData("""{"model":"m","max_tokens":8,"mcp_servers":[{"url":"x"}],"messages":[{"role":"user","content":"x"}]}""", "Unsupported parameter: 'mcp_servers'. That is done by Anthropic's servers; the hub has only models.")]
    [InlineData("""{"model":"m","max_tokens":8,"tool_choice":{"type":"tool"},"messages":[{"role":"user","content":"x"}]}""", "Missing required parameter: 'tool_choice.name'.")]
    [InlineData("""{"model":"m","max_tokens":8,"stop_sequences":"END","messages":[{"role":"user","content":"x"}]}""", "Invalid type for 'stop_sequences': expected an array of strings, but got a string instead.")]
    public void What_cannot_be_translated_is_named(string request, string words)
        => Assert.Equal(words, Assert.Throws<RefusedException>(() => AnthropicRequests.Messages(Scenes.Request(request))).Error.Message);

    private static void AssertMessages(string messages, string request)
    {
        var call = AnthropicRequests.Messages(Scenes.Request($$"""{"model":"m","max_tokens":8,{{request}}}"""));
        Scenes.AssertJson($$"""{"model":"m","messages":[{{messages}}],"max_tokens":8,"stream":false}""", call.Body);
        Scenes.AssertTaken(JobKind.Chat, call.Body);
    }
}
