using System.Globalization;
using System.Text;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Gateway;

public sealed class RequestParametersTests
{
    private const string Hi = """
        [{"role":"user","content":"hi"}]
        """;

    [Theory]
    [InlineData("\"temperature\":0,\"top_p\":1.0,\"presence_penalty\":-2,\"frequency_penalty\":2")]
    [InlineData("\"max_tokens\":1,\"max_completion_tokens\":2147483647,\"n\":1.0,\"seed\":-9223372036854775808")]
    [InlineData("\"logprobs\":false,\"top_logprobs\":null,\"parallel_tool_calls\":true,\"store\":false")]
    [InlineData("\"stop\":\"x\"")]
    [InlineData("\"stop\":[],\"tools\":[],\"tool_choice\":\"auto\"")]
    [InlineData("\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}")]
    [InlineData("\"response_format\":{\"type\":\"text\"},\"metadata\":{},\"logit_bias\":{\"7\":1},\"user\":\"u\",\"reasoning_effort\":\"low\"")]
    [InlineData("\"stream\":true,\"stream_options\":{\"include_usage\":true,\"of_the_engine\":1}")]
    [InlineData("\"temperature\":null,\"n\":null,\"stop\":null,\"stream\":null,\"stream_options\":null,\"tools\":null,\"response_format\":null,\"tool_choice\":null")]
    [InlineData("\"of_the_engine\":{\"deep\":[1,{\"x\":null}]},\"top_k\":\"as it likes\"")]
    public void What_openai_takes_is_taken_and_needs_nothing(string more)
    {
        var head = Read(Body(Hi, more));
        Assert.Equal(RequestNeeds.None, head.Needs);
    }

    [Theory]
    [InlineData(Hi, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}]", RequestNeeds.Tools)]
    [InlineData(Hi, "\"functions\":[{\"name\":\"f\"}]", RequestNeeds.Tools)]
    [InlineData(Hi, "\"response_format\":{\"type\":\"json_object\"}", RequestNeeds.Json)]
    [InlineData(Hi, "\"response_format\":{\"json_schema\":{\"name\":\"n\",\"schema\":{}},\"type\":\"json_schema\"}", RequestNeeds.Json)]
    [InlineData(Hi, "\"logprobs\":true,\"top_logprobs\":20,\"n\":2", RequestNeeds.Logprobs | RequestNeeds.Choices)]
    [InlineData("""[{"role":"user","content":[{"type":"text","text":"x"},{"image_url":{"url":"u","type":"x"},"type":"image_url"}]}]""", "\"n\":1", RequestNeeds.Vision)]
    [InlineData("""[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]},{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","tool_call_id":"1","content":"x"}]""", "\"n\":1", RequestNeeds.Audio)]
    public void What_not_every_engine_has_is_noted(string messages, string more, object needs) => Assert.Equal(needs, Read(Body(messages, more)).Needs);

    [Theory]
    [InlineData("\"temperature\":2.1", "temperature", "decimal_above_max_value", "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.1 instead.")]
    [InlineData("\"temperature\":-1", "temperature", "decimal_below_min_value", "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.")]
    [InlineData("\"top_p\":1e999", "top_p", "decimal_above_max_value", null)]
    [InlineData("\"presence_penalty\":-2.01", "presence_penalty", "decimal_below_min_value", null)]
    [InlineData("\"frequency_penalty\":3", "frequency_penalty", "decimal_above_max_value", null)]
    [InlineData("\"max_tokens\":0", "max_tokens", "integer_below_min_value", "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.")]
    [InlineData("\"max_tokens\":-9223372036854775809", "max_tokens", "integer_below_min_value", null)]
    [InlineData("\"max_completion_tokens\":2147483648", "max_completion_tokens", "integer_above_max_value", null)]
    [InlineData("\"max_completion_tokens\":1.5", "max_completion_tokens", "invalid_type", "Invalid type for 'max_completion_tokens': expected an integer, but got a decimal number instead.")]
    [InlineData("\"n\":0", "n", "integer_below_min_value", null)]
    [InlineData("\"n\":129", "n", "integer_above_max_value", null)]
    [InlineData("\"n\":true", "n", "invalid_type", "Invalid type for 'n': expected an integer, but got a boolean instead.")]
    [InlineData("\"seed\":123456789012345678901234567890", "seed", "integer_above_max_value", null)]
    [InlineData("\"seed\":\"x\"", "seed", "invalid_type", null)]
    [InlineData("\"logprobs\":5", "logprobs", "invalid_type", "Invalid type for 'logprobs': expected a boolean, but got a number instead.")]
    [InlineData("\"logprobs\":true,\"top_logprobs\":21", "top_logprobs", "integer_above_max_value", null)]
    [InlineData("\"top_logprobs\":2", "top_logprobs", null, "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.")]
    [InlineData("\"stop\":[\"a\",7]", "stop[1]", "invalid_type", null)]
    [InlineData("\"stop\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]", "stop", "array_above_max_length", "Invalid 'stop': array too long. Expected an array with maximum length 16, but got an array with length 17 instead.")]
    [InlineData("\"stream_options\":{\"include_usage\":true}", "stream_options", null, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")]
    [InlineData("\"stream\":true,\"stream_options\":{\"include_usage\":\"yes\"}", "stream_options.include_usage", "invalid_type", null)]
    [InlineData("\"parallel_tool_calls\":\"no\"", "parallel_tool_calls", "invalid_type", null)]
    [InlineData("\"tool_choice\":\"maybe\"", "tool_choice", "invalid_value", "Invalid value: 'maybe'. Supported values are: 'none', 'auto', 'required'.")]
    [InlineData("\"tool_choice\":7", "tool_choice", "invalid_type", null)]
    [InlineData("\"tools\":[7]", "tools[0]", "invalid_type", null)]
    [InlineData("\"tools\":[{}]", "tools[0].type", "missing_required_parameter", null)]
    [InlineData("\"tools\":[{\"type\":\"function\"}]", "tools[0].function", "missing_required_parameter", null)]
    [InlineData("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]", "tools[0].function.name", "missing_required_parameter", null)]
    [InlineData("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":[]}}]", "tools[0].function.parameters", "invalid_type", null)]
    [InlineData("\"response_format\":{}", "response_format.type", "missing_required_parameter", null)]
    [InlineData("\"response_format\":{\"type\":\"xml\"}", "response_format.type", "invalid_value", "Invalid value: 'xml'. Supported values are: 'json_object', 'json_schema', 'text'.")]
    [InlineData("\"response_format\":{\"type\":\"json_schema\"}", "response_format.json_schema", "missing_required_parameter", null)]
    [InlineData("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}", "response_format.json_schema.name", "missing_required_parameter", null)]
    [InlineData("\"user\":7", "user", "invalid_type", null)]
    [InlineData("\"temperature\":1,\"temperature\":1", "temperature", "duplicate_parameter", "Duplicate parameter: 'temperature'.")]
    [InlineData("\"of_the_engine\":1,\"of_the_engine\":2", "of_the_engine", "duplicate_parameter", null)]
    public void What_openai_refuses_is_refused_in_its_words(string more, string param, string? code, string? message) => AssertRefused(Body(Hi, more), JobKind.Chat, param, code, message);

    [Theory]
    [InlineData("[1]", "messages[0]", "invalid_type")]
    [InlineData("[{}]", "messages[0].role", "missing_required_parameter")]
    [InlineData("""[{"role":"user"}]""", "messages[0].content", "missing_required_parameter")]
    [InlineData("""[{"role":"user","content":null}]""", "messages[0].content", "missing_required_parameter")]
    [InlineData("""[{"role":"king","content":"x"}]""", "messages[0].role", "invalid_value")]
    [InlineData("""[{"role":7,"content":"x"}]""", "messages[0].role", "invalid_type")]
    [InlineData("""[{"role":"user","content":7}]""", "messages[0].content", "invalid_type")]
    [InlineData("""[{"role":"user","content":"x"},{"role":"user","content":["x"]}]""", "messages[1].content[0]", "invalid_type")]
    [InlineData("""[{"role":"user","content":[{"text":"x"}]}]""", "messages[0].content[0].type", "missing_required_parameter")]
    [InlineData("""[{"role":"user","content":[{"type":7}]}]""", "messages[0].content[0].type", "invalid_type")]
    public void A_message_that_is_none_is_named_by_its_place(string messages, string param, string code) => AssertRefused(Body(messages, "\"n\":1"), JobKind.Chat, param, code, null);

    [Theory]
    [InlineData(JobKind.Completion, """{"model":"m","prompt":"x","logprobs":6}""", "logprobs", "integer_above_max_value")]
    [InlineData(JobKind.Completion, """{"model":"m","prompt":"x","max_tokens":-1}""", "max_tokens", "integer_below_min_value")]
    [InlineData(JobKind.Completion, """{"model":"m","prompt":"x","best_of":21}""", "best_of", "integer_above_max_value")]
    [InlineData(JobKind.Embedding, """{"model":"m","input":"x","dimensions":0}""", "dimensions", "integer_below_min_value")]
    public void Other_endpoints_have_bounds_of_their_own(object kind, string body, string param, string code) => AssertRefused(body, (JobKind)kind, param, code, null);

    [Fact]
    public void Ten_thousand_messages_and_a_megabyte_of_schema_pass()
    {
        var messages = $"[{string.Join(',', Enumerable.Range(0, 10_000).Select(i => $$"""{"role":"{{(i % 2 == 0 ? "user" : "assistant")}}","content":"turn {{i}}"}"""))}]";
        var properties = string.Join(',', Enumerable.Range(0, 20_000).Select(i => $"\"property_{i}\":{{\"type\":\"string\",\"enum\":[\"a\",\"b\"]}}"));
        var tools = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{" + properties + "}}}}]";
        Assert.True(tools.Length > 1_000_000);
        var head = Read(Body(messages, tools));
        Assert.Equal(RequestNeeds.Tools, head.Needs);
    }

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same numbers again.
    [Fact]
    public void Whatever_number_is_sent_there_is_an_answer_and_only_what_is_in_range_passes() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(2_000),
        Prop.ForAll(
            Arb.From(
                from name in Gen.Elements("temperature", "max_tokens", "n", "top_p", "seed", "top_logprobs")
                from sign in Gen.Elements("", "-")
                from digits in Gen.Choose(0, 9).NonEmptyListOf()
                from exponent in Gen.Elements("", "e5", "e-3", "E400", ".25")
                select (name, sign + (digits[0] == 0 ? "0" : string.Concat(digits)) + exponent)),
            sample =>
            {
                var (name, number) = sample;
                var isTaken = RequestHead.TryRead(Encoding.UTF8.GetBytes(Body(Hi, $"\"logprobs\":true,\"{name}\":{number}")), JobKind.Chat, out _, out var error);
                var value = double.Parse(number, CultureInfo.InvariantCulture);
                var (min, max) = name switch { "temperature" => (0, 2), "top_p" => (0, 1), "top_logprobs" => (0, 20), "n" => (1, 128), "max_tokens" => (1, int.MaxValue), _ => (double.MinValue, double.MaxValue) };
                if (isTaken) Assert.InRange(value, min, max);
                else Assert.Equal((400, name), (error!.Status, error.Param));
            }));

    [Fact]
    public void What_the_models_nodes_lack_is_named_and_what_nobody_knows_is_let_through()
    {
        var head = Read(Body("""[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]""", "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"));
        Assert.Null(UnmetNeeds.Find(head, []));
        Assert.Null(UnmetNeeds.Find(head, ["chat", "tools", "no_json"]));
        Assert.Equal(("tools", "unsupported_parameter"), (UnmetNeeds.Find(head, ["chat", "no_tools"])!.Param, UnmetNeeds.Find(head, ["chat", "no_tools"])!.Code));
        Assert.Equal("messages", UnmetNeeds.Find(head, ["chat", "no_vision"])!.Param);
        Assert.Equal("chat, tools", UnmetNeeds.Words(["chat", "no_json", "tools"]));
    }

    private static string Body(string messages, string more) => $$"""{"model":"m","messages":{{messages}},{{more}} }""";

    private static RequestHead Read(string body)
    {
        Assert.True(RequestHead.TryRead(Encoding.UTF8.GetBytes(body), JobKind.Chat, out var head, out var error), error?.Message);
        return head;
    }

    private static void AssertRefused(string body, JobKind kind, string param, string? code, string? message)
    {
        Assert.False(RequestHead.TryRead(Encoding.UTF8.GetBytes(body), kind, out _, out var error));
        Assert.Equal((400, "invalid_request_error", param, code), (error.Status, error.Type, error.Param, error.Code));
        if (message is not null) Assert.Equal(message, error.Message);
    }
}
