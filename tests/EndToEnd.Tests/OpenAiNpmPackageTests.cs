using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>What a user of the official <c>openai</c> npm package sees, with a real agent and a real model behind the hub.</summary>
public sealed class OpenAiNpmPackageTests(DemoHub demo, ITestOutputHelper output) : DemoHubTest(demo, output)
{
    [Fact]
    public async Task It_lists_and_retrieves_models()
    {
        var seen = await RunAsync("models");
        Assert.Contains(AgentProcess.Model, seen["all"]!.AsArray().Select(model => model!.ToString()));
        Assert.Equal(AgentProcess.Model, seen["one"]!.ToString());
        Assert.Equal("model", seen["object"]!.ToString());
        Assert.True(seen["created"]!.GetValue<long>() > 0);
    }

    [Fact]
    public async Task It_chats()
    {
        var seen = await RunAsync("chat");
        Assert.Equal("42", seen["text"]!.ToString());
        Assert.Equal("stop", seen["finish"]!.ToString());
        Assert.Equal(DemoHub.PromptTokens, seen["usage"]!["prompt_tokens"]!.GetValue<int>());
        Assert.Equal(DemoHub.CompletionTokens, seen["usage"]!["completion_tokens"]!.GetValue<int>());
        Assert.Equal(Agent.NodeId, seen["node"]!.ToString());
    }

    [Fact]
    public async Task It_completes()
    {
        var seen = await RunAsync("completion");
        Assert.Equal("text_completion", seen["object"]!.ToString());
        Assert.NotEmpty(seen["text"]!.ToString());
    }

    [Fact]
    public async Task It_streams_without_usage_unless_it_asks_for_it()
    {
        var seen = await RunAsync("stream");
        Assert.Equal("42", seen["text"]!.ToString());
        Assert.Equal("stop", seen["finish"]!.ToString());
        Assert.Null(seen["usage"]);
        Assert.True(seen["chunks"]!.GetValue<int>() >= 3, "The answer came in one piece.");
    }

    [Fact]
    public async Task It_streams_with_usage_in_the_last_chunk()
    {
        var seen = await RunAsync("streamWithUsage");
        Assert.Equal("42", seen["text"]!.ToString());
        Assert.Equal(DemoHub.CompletionTokens, seen["usage"]!["completion_tokens"]!.GetValue<int>());
        Assert.Equal(0, seen["choicesInLast"]!.GetValue<int>());
    }

    [Fact]
    public async Task Its_stream_helper_puts_the_answer_together()
        => Assert.Equal("42", (await RunAsync("streamHelper"))["text"]!.ToString());

    [Fact]
    public async Task It_hears_that_the_model_cannot_embed()
    {
        var error = await FailAsync("embeddings");
        Assert.Equal("BadRequestError", error["type"]!.ToString());
        Assert.Equal("unsupported_model", error["code"]!.ToString());
        Assert.Equal("model", error["param"]!.ToString());
    }

    [Fact]
    public async Task A_wrong_key_is_an_authentication_error()
    {
        var error = await FailAsync("chat", key: "fk_wrong");
        Assert.Equal("AuthenticationError", error["type"]!.ToString());
        Assert.Equal(401, error["status"]!.GetValue<int>());
        Assert.Equal("invalid_api_key", error["code"]!.ToString());
    }

    [Theory]
    [InlineData("chat")]
    [InlineData("stream")]
    public async Task An_unknown_model_is_a_not_found_error_with_its_request_id(string scenario)
    {
        var error = await FailAsync(scenario, model: "gpt-nonsense");
        Assert.Equal("NotFoundError", error["type"]!.ToString());
        Assert.Equal("model_not_found", error["code"]!.ToString());
        Assert.Contains("gpt-nonsense", error["message"]!.ToString(), StringComparison.Ordinal);
        Assert.StartsWith("job_", error["requestId"]!.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_has_a_response_made_retrieved_and_deleted()
    {
        var seen = await RunAsync("response");
        Assert.Equal(("42", "completed", true, 404), (seen["text"]!.ToString(), seen["status"]!.ToString(), seen["same"]!.GetValue<bool>(), seen["gone"]!.GetValue<int>()));
        Assert.Equal((DemoHub.PromptTokens, DemoHub.CompletionTokens), (seen["usage"]!["input_tokens"]!.GetValue<int>(), seen["usage"]!["output_tokens"]!.GetValue<int>()));
    }

    [Fact]
    public async Task It_streams_a_response()
    {
        var seen = await RunAsync("responseStream");
        var types = seen["types"]!.AsArray().Select(type => type!.ToString()).ToList();
        Assert.Equal(("42", "completed"), (seen["text"]!.ToString(), seen["status"]!.ToString()));
        Assert.Equal(["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"], types[..4]);
        Assert.Equal(["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"], types[^4..]);
        Assert.Equal(DemoHub.CompletionTokens, seen["usage"]!["output_tokens"]!.GetValue<int>());
    }

    [Fact]
    public async Task Its_response_stream_helper_puts_the_answer_together() => Assert.Equal("42", (await RunAsync("responseStreamHelper"))["text"]!.ToString());

    [Fact]
    public async Task A_response_goes_on_from_the_one_before()
    {
        var seen = await RunAsync("responseGoesOn");
        Assert.Equal(seen["first"]!.ToString(), seen["previous"]!.ToString());
        Assert.StartsWith("resp_", seen["first"]!.ToString(), StringComparison.Ordinal);
        // The whole conversation is read again, without the instructions of before.
        Assert.True(seen["tokens"]![1]!.GetValue<int>() > DemoHub.PromptTokens, seen.ToJsonString());
    }

    [Theory]
    [InlineData("tools", "tools")]
    [InlineData("schema", "response_format")]
    public async Task What_the_engine_lacks_is_refused_before_a_node_is_bothered(string scenario, string param)
    {
        var error = await FailAsync(scenario);
        Assert.Equal(("BadRequestError", param, "unsupported_parameter"), (error["type"]!.ToString(), error["param"]!.ToString(), error["code"]!.ToString()));
        Assert.Contains("is not supported with the model", error["message"]!.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("responseOfNobody", "previous_response_id", "previous_response_not_found")]
    [InlineData("responseNotKept", "previous_response_id", "previous_response_not_found")]
    [InlineData("responseHosted", "tools[0].type", "unsupported_parameter")]
    public async Task What_a_response_cannot_be_made_of_is_named(string scenario, string param, string code)
    {
        var error = await FailAsync(scenario);
        Assert.Equal(("BadRequestError", param, code), (error["type"]!.ToString(), error["param"]!.ToString(), error["code"]!.ToString()));
    }

    [Fact]
    public Task An_abort_in_mid_stream_stops_the_engine_within_a_second()
        => AssertAbortStopsTheEngineAsync(async model => Assert.Equal(3, (await RunAsync("abort", model))["chunks"]!.GetValue<int>()));

    private Task<JsonNode> RunAsync(string scenario, string model = AgentProcess.Model) => AskAsync(scenario, null, model, "result");

    private Task<JsonNode> FailAsync(string scenario, string? key = null, string model = AgentProcess.Model) => AskAsync(scenario, key, model, "error");

    private Task<JsonNode> AskAsync(string scenario, string? key, string model, string outcome) => OpenAiScript.RunAsync(Hub, scenario, model, key, outcome);
}

/// <summary>The package with an engine that knows tools, images and JSON schemas.</summary>
public sealed class OpenAiNpmPackageFeatureTests(ReplyingHub replying) : IClassFixture<ReplyingHub>
{
    [Fact]
    public async Task It_calls_tools_and_gives_their_results()
    {
        var seen = await OpenAiScript.RunAsync(replying.Hub, "tools", ReplyingHub.Model);
        Assert.Equal(("tool_calls", "add", "The tool says 42."), (seen["finish"]!.ToString(), seen["call"]!["name"]!.ToString(), seen["text"]!.ToString()));
        Assert.Equal("""{"a":17,"b":"🦙"}""", seen["call"]!["arguments"]!.ToString());
    }

    [Fact]
    public async Task It_asks_for_json_of_a_schema_and_shows_images()
    {
        var seen = await OpenAiScript.RunAsync(replying.Hub, "schema", ReplyingHub.Model);
        Assert.Equal(42, seen["parsed"]!["answer"]!.GetValue<int>());
        Assert.StartsWith("An image of", seen["image"]!.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_response_calls_functions_and_goes_on_with_their_results()
    {
        var seen = await OpenAiScript.RunAsync(replying.Hub, "responseTools", ReplyingHub.Model);
        Assert.Equal(("call_1", "add", """{"a":17,"b":"🦙"}"""), (seen["call"]!["call_id"]!.ToString(), seen["call"]!["name"]!.ToString(), seen["call"]!["arguments"]!.ToString()));
        Assert.Equal("The tool says 42.", seen["text"]!.ToString());
        // What it answers, over two pages.
        Assert.Equal("""["message","function_call","function_call_output"]""", seen["items"]!.ToJsonString());
    }

    [Fact]
    public async Task A_response_follows_a_schema_and_sees_images()
    {
        var seen = await OpenAiScript.RunAsync(replying.Hub, "responseSchema", ReplyingHub.Model);
        Assert.Equal(("{\"answer\": 42}", "json_schema"), (seen["text"]!.ToString(), seen["format"]!.ToString()));
        Assert.StartsWith("An image of", seen["image"]!.ToString(), StringComparison.Ordinal);
    }
}

/// <summary><c>clients/openai.mjs</c>.</summary>
internal static class OpenAiScript
{
    private static readonly NpmClient Script = new("openai", "openai.mjs");

    public static Task<JsonNode> RunAsync(HubProcess hub, string scenario, string model, string? key = null, string outcome = "result") => Script.RunAsync(
        scenario,
        new Dictionary<string, string> { ["OPENAI_BASE_URL"] = new Uri(hub.Api, "/v1").ToString(), ["OPENAI_API_KEY"] = key ?? hub.AdminKey, ["MODEL"] = model },
        outcome);
}
