using Federation.Protocol.OpenAi;
using Federation.Silo.Apis;
using Federation.Silo.Apis.Ollama;

namespace Federation.Silo.Tests.Apis;

/// <summary>The table of what becomes of each field of Ollama's API.</summary>
public sealed class OllamaRequestTests
{
    private const string Hi = """
        "messages":[{"role":"user","content":"hi"}]
        """;

    private const string Png = "iVBORw0KGgoAAAANSUhEUg";

    [Theory]
    [InlineData("", "")]
    [InlineData("\"options\":{}", "")]
    [InlineData("\"keep_alive\":\"5m\"", "")]
    [InlineData("\"options\":{\"num_ctx\":4096,\"num_gpu\":1,\"num_thread\":8,\"mirostat\":1}", "")]
    [InlineData("\"options\":{\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.1,\"seed\":7}", "\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.1,\"seed\":7")]
    [InlineData("\"options\":{\"repeat_penalty\":1.1,\"repeat_last_n\":64,\"typical_p\":0.7}", "\"repeat_penalty\":1.1,\"repeat_last_n\":64,\"typical_p\":0.7")]
    [InlineData("\"options\":{\"presence_penalty\":1.5,\"frequency_penalty\":-1}", "\"presence_penalty\":1.5,\"frequency_penalty\":-1")]
    [InlineData("\"options\":{\"num_predict\":8}", "\"max_tokens\":8")]
    [InlineData("\"options\":{\"num_predict\":-1}", "")]
    [InlineData("\"options\":{\"num_predict\":-2}", "")]
    [InlineData("\"options\":{\"stop\":\"END\"}", "\"stop\":\"END\"")]
    [InlineData("\"options\":{\"stop\":[\"a\",\"b\"]}", "\"stop\":[\"a\",\"b\"]")]
    [InlineData("\"options\":{\"stop\":[]}", "")]
    [InlineData("\"format\":\"\"", "")]
    [InlineData("\"format\":\"json\"", "\"response_format\":{\"type\":\"json_object\"}")]
    [InlineData("\"format\":{\"type\":\"object\"}", "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":{\"type\":\"object\"},\"strict\":true}}")]
    [InlineData("\"think\":true", "\"reasoning_effort\":\"medium\"")]
    [InlineData("\"think\":false", "\"reasoning_effort\":\"none\"")]
    [InlineData("\"think\":\"high\"", "\"reasoning_effort\":\"high\"")]
    [InlineData("\"tools\":[]", "")]
    [InlineData("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\"}}]", "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\"}}]")]
    [InlineData("\"logprobs\":true,\"top_logprobs\":2", "\"logprobs\":true,\"top_logprobs\":2")]
    public void Each_setting_of_a_chat_has_its_place(string setting, string translated)
    {
        var call = OllamaRequests.Chat(Scenes.Request($$"""{"model":"m",{{Hi}},"stream":false{{(setting.Length > 0 ? "," + setting : "")}}}"""));
        Scenes.AssertJson($$"""{"model":"m",{{Hi}}{{(translated.Length > 0 ? "," + translated : "")}},"stream":false}""", call.Body);
        Scenes.AssertTaken(JobKind.Chat, call.Body);
    }

    [Fact]
    public void A_chat_is_streamed_unless_it_says_otherwise_and_usage_is_always_asked_for()
    {
        var call = OllamaRequests.Chat(Scenes.Request($$"""{"model":"m",{{Hi}}}"""));
        Assert.True(call.Stream);
        Scenes.AssertJson($$$"""{"model":"m",{{{Hi}}},"stream":true,"stream_options":{"include_usage":true}}""", call.Body);
    }

    [Fact]
    public void Images_become_parts_that_say_of_what_kind_they_are() => Scenes.AssertJson(
        $$$"""{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"what?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,{{{Png}}}"}}]}],"stream":false}""",
        OllamaRequests.Chat(Scenes.Request($$"""{"model":"m","stream":false,"messages":[{"role":"user","content":"what?","images":["{{Png}}"]}]}""")).Body);

    [Fact]
    public void Calls_and_their_results_find_each_other_by_name_and_order() => Scenes.AssertJson(
        """
        {"model":"m","messages":[
          {"role":"assistant","content":"","tool_calls":[
            {"id":"call_0","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}},
            {"id":"call_1","type":"function","function":{"name":"now","arguments":"{}"}},
            {"id":"mine","type":"function","function":{"name":"add","arguments":"{\"a\":2}"}}]},
          {"role":"tool","content":"12:00","tool_call_id":"call_1"},
          {"role":"tool","content":"1","tool_call_id":"call_0"},
          {"role":"tool","content":"2","tool_call_id":"mine"}],"stream":false}
        """,
        OllamaRequests.Chat(Scenes.Request(
            """
            {"model":"m","stream":false,"messages":[
              {"role":"assistant","content":"","tool_calls":[
                {"function":{"name":"add","arguments":{"a":1}}},{"function":{"name":"now","arguments":{}}},{"id":"mine","function":{"name":"add","arguments":{"a":2}}}]},
              {"role":"tool","tool_name":"now","content":"12:00"},
              {"role":"tool","tool_name":"add","content":"1"},
              {"role":"tool","tool_call_id":"mine","content":"2"}]}
            """)).Body);

    [Theory]
    [InlineData("""{"model":"m","prompt":"hi","stream":false}""", JobKind.Chat, """{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false}""")]
    [InlineData("""{"model":"m","prompt":"hi","system":"be brief","stream":false}""", JobKind.Chat, """{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}],"stream":false}""")]
    [InlineData("""{"model":"m","prompt":"hi","raw":true,"stream":false,"options":{"num_predict":0}}""", JobKind.Completion, """{"model":"m","prompt":"hi","max_tokens":1,"stream":false}""")]
    [InlineData("""{"model":"m","prompt":"def f(","suffix":"return x","stream":false}""", JobKind.Completion, """{"model":"m","prompt":"def f(","suffix":"return x","stream":false}""")]
    [InlineData("""{"model":"m","prompt":"hi","context":[],"template":"","stream":false}""", JobKind.Chat, """{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false}""")]
    public void A_prompt_is_a_chat_of_one_message_or_a_completion(string request, object kind, string body)
    {
        var call = OllamaRequests.Generate(Scenes.Request(request));
        Assert.Equal(kind, call.Kind);
        Scenes.AssertJson(body, call.Body);
        Scenes.AssertTaken(call.Kind, call.Body);
    }

    [Theory]
    [InlineData("""{"model":"m"}""", "load")]
    [InlineData("""{"model":"m","messages":[],"keep_alive":"10m"}""", "load")]
    [InlineData("""{"model":"m","messages":[],"keep_alive":0}""", "unload")]
    public void Without_a_question_the_model_is_only_to_be_loaded(string request, string residency)
    {
        Assert.Equal(residency, OllamaRequests.Chat(Scenes.Request(request)).Residency);
        Assert.Equal(residency, OllamaRequests.Generate(Scenes.Request(request)).Residency);
    }

    [Theory]
    [InlineData("""{"model":"m","input":"a"}""", """{"model":"m","input":"a","encoding_format":"float"}""")]
    [InlineData("""{"model":"m","input":["a","b"],"truncate":true,"dimensions":8}""", """{"model":"m","input":["a","b"],"encoding_format":"float","dimensions":8}""")]
    public void Texts_to_embed_are_passed_on(string request, string body) => Scenes.AssertJson(body, OllamaRequests.Embed(Scenes.Request(request)).Body);

    [Fact]
    public void The_older_form_embeds_one_text()
        => Scenes.AssertJson("""{"model":"m","input":"a","encoding_format":"float"}""", OllamaRequests.Embeddings(Scenes.Request("""{"model":"m","prompt":"a"}""")).Body);

    [Theory]
    [InlineData("""{"messages":[]}""", "Missing required parameter: 'model'.")]
    [InlineData("""{"model":7}""", "Invalid type for 'model': expected a string, but got a number instead.")]
    [InlineData("""{"model":"m","messages":{}}""", "Invalid type for 'messages': expected an array of messages, but got an object instead.")]
    [InlineData("""{"model":"m","messages":["hi"]}""", "Invalid type for 'messages[0]': expected an object, but got a string instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"king","content":"hi"}]}""", "Invalid value: 'king'. Supported values are: 'system', 'user', 'assistant', 'tool'.")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":[]}]}""", "Invalid type for 'messages[0].content': expected a string, but got an array instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"","images":["????"]}]}""", "Invalid 'messages[0].images[0]': expected a PNG, JPEG, GIF or WebP image in base64.")]
    [InlineData("""{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}""", "Invalid type for 'messages[0].tool_calls[0].function.arguments': expected an object, but got a string instead.")]
    [InlineData("""{"model":"m","stream":"yes"}""", "Invalid type for 'stream': expected a boolean, but got a string instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"options":[]}""", "Invalid type for 'options': expected an object, but got an array instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"options":{"temperature":"hot"}}""", "Invalid type for 'options.temperature': expected a number, but got a string instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"options":{"temperature":1e999}}""", "Invalid 'options.temperature': decimal above maximum value. Expected a value <= 2, but got 1e999 instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"options":{"num_predict":99999999999999999999}}""", "Invalid 'options.num_predict': integer above maximum value. Expected a value <= 2147483647, but got 99999999999999999999 instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"options":{"top_k":1.5}}""", "Invalid type for 'options.top_k': expected an integer, but got a number instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"options":{"stop":[7]}}""", "Invalid type for 'options.stop[0]': expected a string, but got a number instead.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"format":"xml"}""", "Invalid value: 'xml'. Supported values are: 'json'.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"think":"hard"}""", "Invalid value: 'hard'. Supported values are: 'low', 'medium', 'high'.")]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"\ud83e"}]}""", "We could not parse the JSON body of your request.")]
    [InlineData("""{"model":"m","messages":[{"role":"user"}],"tools":[{"x":"\ud83e"}]}""", "We could not parse the JSON body of your request.")]
    [InlineData("""{"model":"m","model":"n"}""", "We could not parse the JSON body of your request.")]
    public void What_cannot_be_translated_is_named(string request, string words)
        => Assert.Equal(words, Assert.Throws<RefusedException>(() => OllamaRequests.Chat(Scenes.Request(request))).Error.Message);

    [Theory]
    [InlineData("""{"model":"m","prompt":"x","template":"{{ .Prompt }}"}""", "Unsupported parameter: 'template'.")]
    [InlineData("""{"model":"m","prompt":"x","context":[1,2]}""", "Unsupported parameter: 'context'.")]
    [InlineData("""{"model":"m","prompt":"x","raw":true,"images":["/9j/"]}""", "Unsupported parameter: 'images[0]'.")]
    public void A_prompt_that_cannot_be_put_to_an_engine_is_refused(string request, string words)
        => Assert.StartsWith(words, Assert.Throws<RefusedException>(() => OllamaRequests.Generate(Scenes.Request(request))).Error.Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("""{"model":"m"}""", "Missing required parameter: 'input'.")]
    [InlineData("""{"model":"m","input":7}""", "Invalid type for 'input': expected a string or an array of strings, but got a number instead.")]
    [InlineData("""{"model":"m","input":[7]}""", "Invalid type for 'input[0]': expected a string, but got a number instead.")]
    [InlineData("""{"model":"m","input":"x","truncate":false}""", "Unsupported parameter: 'truncate'. What an engine does with a text that is too long is its own affair.")]
    public void What_cannot_be_embedded_is_named(string request, string words)
        => Assert.Equal(words, Assert.Throws<RefusedException>(() => OllamaRequests.Embed(Scenes.Request(request))).Error.Message);
}
