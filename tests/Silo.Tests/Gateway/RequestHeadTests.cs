using System.Text;
using System.Text.Json.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Gateway;

public sealed class RequestHeadTests
{
    private const string NotJson = "We could not parse the JSON body of your request.";

    [Theory]
    [InlineData(JobKind.Chat, """{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":1e5,"n":2.0}""", 100_000, 2)]
    [InlineData(JobKind.Chat, """{"model":"m","messages":[{"role":"user","content":"a"}],"max_completion_tokens":100.0}""", 100, 1)]
    [InlineData(JobKind.Completion, """{"model":"m","prompt":["a","b","c"],"max_tokens":10,"max_completion_tokens":1,"n":2,"best_of":4}""", 10, 12)]
    [InlineData(JobKind.Completion, """{"model":"m","prompt":[1,2,3],"max_tokens":10}""", 10, 1)]
    public void A_bound_is_read_however_it_is_written_and_each_prompt_is_answered(JobKind kind, string body, long limit, long answers)
    {
        Assert.True(RequestHead.TryRead(Encoding.UTF8.GetBytes(body), kind, out var head, out _));
        Assert.Equal((limit, answers), (head.MaxTokens, head.Answers));
    }

    [Theory]
    [InlineData(JobKind.Chat, """{"model":"llama","messages":[{"role":"user","content":"hi"}]}""", "llama", false)]
    [InlineData(JobKind.Chat, """{"stream":true,"messages":[{"role":"user","content":"hi"}],"model":"mistralai/Mistral-7B"}""", "mistralai/Mistral-7B", true)]
    [InlineData(JobKind.Chat, """ { "mod\u0065l" : "ll\u0061ma" , "messages" : [ { "content" : null , "content" : "h" , "role" : "user" } ] , "stream" : null } """, "llama", false)]
    [InlineData(JobKind.Completion, """{"model":"llama","prompt":"17+25=","stream":false}""", "llama", false)]
    [InlineData(JobKind.Completion, """{"model":"llama","prompt":[1,2,3]}""", "llama", false)]
    [InlineData(JobKind.Embedding, """{"model":"模型 🦙","input":["a","b"]}""", "模型 🦙", false)]
    [InlineData(JobKind.Chat, """{"model":"llama","messages":[{"role":"user","content":"hi"}],"anything":{"of":["the",{"engine's":null}]}}""", "llama", false)]
    [InlineData(JobKind.Chat, """{"model":"llama","messages":[{"model":1,"stream":"x","messages":0,"role":"assistant"}],"tools":null,"stop":null,"logit_bias":{}}""", "llama", false)]
    public void What_the_hub_must_know_is_read_and_the_rest_is_the_engines(JobKind kind, string body, string model, bool stream)
    {
        Assert.True(RequestHead.TryRead(Encoding.UTF8.GetBytes(body), kind, out var head, out var error), error?.Message);
        Assert.Equal(new RequestHead(model, stream), head);
        Assert.Null(error);
    }

    [Theory]
    [InlineData("", NotJson, null, null)]
    [InlineData("   ", NotJson, null, null)]
    [InlineData("{", NotJson, null, null)]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}]""", NotJson, null, null)]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}]}}""", NotJson, null, null)]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}]} {"model":"other"}""", NotJson, null, null)]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],}""", NotJson, null, null)]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}] /* comment */}""", NotJson, null, null)]
    [InlineData("""{model:"llama"}""", NotJson, null, null)]
    [InlineData("""{'model':'llama'}""", NotJson, null, null)]
    [InlineData("""{"model":"llama","messages":[NaN]}""", NotJson, null, null)]
    [InlineData("""{"model":"llama","messages":[01]}""", NotJson, null, null)]
    [InlineData("""{"model":"\ud83e","messages":[{"role":"user","content":"hi"}]}""", NotJson, null, null)]
    [InlineData("""{"\udd99":1,"model":"llama","messages":[{"role":"user","content":"hi"}]}""", NotJson, null, null)]
    [InlineData("null", "The request body must be a JSON object.", null, null)]
    [InlineData("[]", "The request body must be a JSON object.", null, null)]
    [InlineData("\"llama\"", "The request body must be a JSON object.", null, null)]
    [InlineData("42", "The request body must be a JSON object.", null, null)]
    [InlineData("{}", "You must provide a model parameter.", "model", "missing_required_parameter")]
    [InlineData("""{"model":"","messages":[{"role":"user","content":"hi"}]}""", "You must provide a model parameter.", "model", "missing_required_parameter")]
    [InlineData("""{"model":null,"messages":[{"role":"user","content":"hi"}]}""", "Invalid type for 'model': expected a string, but got null instead.", "model", "invalid_type")]
    [InlineData("""{"model":7,"messages":[{"role":"user","content":"hi"}]}""", "Invalid type for 'model': expected a string, but got a number instead.", "model", "invalid_type")]
    [InlineData("""{"model":["llama"],"messages":[{"role":"user","content":"hi"}]}""", "Invalid type for 'model': expected a string, but got an array instead.", "model", "invalid_type")]
    [InlineData("""{"model":"llama"}""", "Missing required parameter: 'messages'.", "messages", "missing_required_parameter")]
    [InlineData("""{"model":"llama","prompt":"x"}""", "Missing required parameter: 'messages'.", "messages", "missing_required_parameter")]
    [InlineData("""{"model":"llama","messages":[]}""", "Invalid 'messages': expected an array with at least one message.", "messages", "empty_array")]
    [InlineData("""{"model":"llama","messages":"hi"}""", "Invalid type for 'messages': expected an array of objects, but got a string instead.", "messages", "invalid_type")]
    [InlineData("""{"model":"llama","messages":{}}""", "Invalid type for 'messages': expected an array of objects, but got an object instead.", "messages", "invalid_type")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"stream":"true"}""", "Invalid type for 'stream': expected a boolean, but got a string instead.", "stream", "invalid_type")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"stream":1}""", "Invalid type for 'stream': expected a boolean, but got a number instead.", "stream", "invalid_type")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"temperature":"hot"}""", "Invalid type for 'temperature': expected a number, but got a string instead.", "temperature", "invalid_type")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"max_tokens":true}""", "Invalid type for 'max_tokens': expected an integer, but got a boolean instead.", "max_tokens", "invalid_type")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"stop":5}""", "Invalid type for 'stop': expected a string or an array of strings, but got a number instead.", "stop", "invalid_type")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"tools":{}}""", "Invalid type for 'tools': expected an array of objects, but got an object instead.", "tools", "invalid_type")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"response_format":"json"}""", "Invalid type for 'response_format': expected an object, but got a string instead.", "response_format", "invalid_type")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"model":"other"}""", "Duplicate parameter: 'model'.", "model", "duplicate_parameter")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"mod\u0065l":"other"}""", "Duplicate parameter: 'model'.", "model", "duplicate_parameter")]
    [InlineData("""{"model":"llama","messages":[{"role":"user","content":"hi"}],"messages":[{"role":"user","content":"hi"}]}""", "Duplicate parameter: 'messages'.", "messages", "duplicate_parameter")]
    [InlineData("""{"stream":true,"model":"llama","messages":[{"role":"user","content":"hi"}],"stream":false}""", "Duplicate parameter: 'stream'.", "stream", "duplicate_parameter")]
    public void A_bad_body_is_answered_with_what_is_wrong_and_where(string body, string message, string? param, string? code)
    {
        Assert.False(RequestHead.TryRead(Encoding.UTF8.GetBytes(body), JobKind.Chat, out var head, out var error));
        Assert.Null(head);
        Assert.Equal((400, "invalid_request_error", message, param, code), (error.Status, error.Type, error.Message, error.Param, error.Code));
    }

    [Theory]
    [InlineData(JobKind.Completion, "prompt")]
    [InlineData(JobKind.Embedding, "input")]
    public void Each_endpoint_asks_for_its_own_input(JobKind kind, string input)
    {
        Assert.False(RequestHead.TryRead("""{"model":"llama","messages":[{"role":"user","content":"hi"}]}"""u8, kind, out _, out var error));
        Assert.Equal($"Missing required parameter: '{input}'.", error.Message);
        Assert.False(RequestHead.TryRead(Encoding.UTF8.GetBytes($$"""{"model":"llama","{{input}}":7}"""), kind, out _, out error));
        Assert.Equal($"Invalid type for '{input}': expected a string or an array, but got a number instead.", error.Message);
    }

    [Fact]
    public void Bytes_that_are_not_utf8_are_refused_wherever_they_stand()
    {
        byte[][] bodies =
        [
            [.. "{\"model\":\"lla"u8, 0xff, .. """ma","messages":[{"role":"user","content":"hi"}]}"""u8],
            [.. "{\"model\":\"llama\",\"messages\":[{\"content\":\"a"u8, 0xc3, 0x28, .. """b"}]}"""u8],
            [.. "{\"model\":\"llama\",\"messages\":[1],\"x"u8, 0xed, 0xa0, 0x80, .. "\":1}"u8],
            [0xef, 0xbb, 0xbf, .. """{"model":"llama","messages":[{"role":"user","content":"hi"}]}"""u8],
            Encoding.Unicode.GetBytes("""{"model":"llama","messages":[{"role":"user","content":"hi"}]}"""),
        ];
        foreach (var body in bodies)
        {
            Assert.False(RequestHead.TryRead(body, JobKind.Chat, out _, out var error));
            Assert.Equal(NotJson, error.Message);
        }
    }

    [Fact]
    public void Nesting_is_bounded()
    {
        Assert.True(RequestHead.TryRead(Nested(60), JobKind.Chat, out _, out _));
        Assert.False(RequestHead.TryRead(Nested(70), JobKind.Chat, out _, out var error));
        Assert.Equal(NotJson, error.Message);
        Assert.False(RequestHead.TryRead(Nested(1_000_000), JobKind.Chat, out _, out error));
        Assert.Equal(NotJson, error.Message);

        static byte[] Nested(int depth) => Encoding.UTF8.GetBytes($$$"""{"model":"llama","messages":[{"role":"user","content":"hi"}],"anything":{{{new string('[', depth)}}}{{{new string(']', depth)}}}}""");
    }

    [Theory]
    [InlineData("a\\nb")]
    [InlineData("a\\u0000b")]
    [InlineData("\\u009b2J")]
    public void A_model_that_cannot_be_is_unknown(string name)
    {
        Assert.False(RequestHead.TryRead(Encoding.UTF8.GetBytes($$"""{"model":"{{name}}","messages":[{"role":"user","content":"hi"}]}"""), JobKind.Chat, out _, out var error));
        Assert.Equal((404, "model_not_found", "model"), (error.Status, error.Code, error.Param));
    }

    [Fact]
    public void A_model_of_any_length_is_unknown_and_its_name_is_not_sent_back_whole()
    {
        // The cut falls into the middle of a character.
        var body = Encoding.UTF8.GetBytes($$"""{"model":"x{{string.Concat(Enumerable.Repeat("🦙", 10_000))}}","messages":[{"role":"user","content":"hi"}]}""");
        Assert.False(RequestHead.TryRead(body, JobKind.Chat, out _, out var error));
        Assert.Equal(404, error.Status);
        Assert.True(error.Message.Length < 200);
        Assert.Contains("🦙", (string?)JsonNode.Parse(error.ToJson())!["error"]!["message"], StringComparison.Ordinal);
    }

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same bytes again.
    [Fact]
    public void Whatever_is_sent_there_is_an_answer() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(5_000),
        Prop.ForAll(
            Arb.From(
                from position in Gen.Choose(0, Whole.Length - 1)
                from value in Gen.Choose(0, 255)
                from length in Gen.Choose(0, Whole.Length)
                select (position, (byte)value, length)),
            change =>
            {
                var body = Whole.ToArray();
                body[change.position] = change.Item2;
                if (!RequestHead.TryRead(body.AsSpan(0, change.length), JobKind.Chat, out var head, out var error)) Assert.InRange(error.Status, 400, 404);
                else Assert.NotEmpty(head.Model);
            }));

    private static readonly byte[] Whole = Encoding.UTF8.GetBytes(
        """{"model":"llama","stream":true,"messages":[{"role":"user","content":"h\u00e9 \ud83e\udd99 🦙"}],"temperature":0.5,"stop":["\n"],"n":1}""");
}
