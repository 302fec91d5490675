using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>What a user of the official <c>@anthropic-ai/sdk</c> npm package sees, with a real agent and a real model behind the hub.</summary>
public sealed class AnthropicNpmPackageTests(DemoHub demo, ITestOutputHelper output) : DemoHubTest(demo, output)
{
    [Fact]
    public async Task It_has_a_message_answered()
    {
        var seen = await AnthropicScript.RunAsync(Hub, "message");
        var message = seen["message"]!;
        Assert.Equal(("42", "end_turn"), (message["content"]![0]!["text"]!.ToString(), message["stop_reason"]!.ToString()));
        Assert.Equal((DemoHub.PromptTokens, DemoHub.CompletionTokens), (message["usage"]!["input_tokens"]!.GetValue<int>(), message["usage"]!["output_tokens"]!.GetValue<int>()));
        Assert.StartsWith("job_", seen["requestId"]!.ToString(), StringComparison.Ordinal);
        Assert.Equal(Agent.NodeId, seen["node"]!.ToString());
    }

    [Fact]
    public async Task It_may_send_its_key_as_a_bearer() => Assert.Equal("message", (await AnthropicScript.RunAsync(Hub, "bearer"))["type"]!.ToString());

    [Fact]
    public async Task It_streams()
    {
        var types = (await AnthropicScript.RunAsync(Hub, "stream"))["types"]!.AsArray().Select(type => type!.ToString()).ToList();
        Assert.Equal(("message_start", "message_stop"), (types[0], types[^1]));
        Assert.True(types.Count(type => type == "content_block_delta") >= 2, "The answer came in one piece.");
    }

    [Fact]
    public async Task Its_stream_helper_puts_the_message_together()
    {
        var seen = await AnthropicScript.RunAsync(Hub, "streamHelper");
        Assert.Equal(("42", "42"), (seen["text"]!.ToString(), seen["message"]!["content"]![0]!["text"]!.ToString()));
        var usage = seen["message"]!["usage"]!;
        Assert.Equal((DemoHub.PromptTokens, DemoHub.CompletionTokens), (usage["input_tokens"]!.GetValue<int>(), usage["output_tokens"]!.GetValue<int>()));
    }

    [Theory]
    [InlineData("message", "nonsense", null, "NotFoundError", "not_found_error", "The model 'nonsense' does not exist on this hub.")]
    [InlineData("stream", AgentProcess.Model, "fk_wrong", "AuthenticationError", "authentication_error", "Incorrect API key provided.")]
    [InlineData("noTokens", AgentProcess.Model, null, "BadRequestError", "invalid_request_error", "Missing required parameter: 'max_tokens'.")]
    [InlineData("tools", AgentProcess.Model, null, "BadRequestError", "invalid_request_error", "tools")]
    [InlineData("count", AgentProcess.Model, null, "NotFoundError", "not_found_error", "cannot count tokens")]
    public async Task What_is_wrong_is_an_error_in_its_own_shape(string scenario, string model, string? key, string type, string kind, string words)
    {
        var error = await AnthropicScript.RunAsync(Hub, scenario, model, key, "error");
        Assert.Equal((type, kind), (error["type"]!.ToString(), error["kind"]!.ToString()));
        Assert.Contains(words, error["message"]!.ToString(), StringComparison.Ordinal);
        Assert.StartsWith("job_", error["requestId"]!.ToString(), StringComparison.Ordinal);
    }
}

/// <summary>The package with an engine that knows tools and images.</summary>
public sealed class AnthropicNpmPackageFeatureTests(ReplyingHub replying) : IClassFixture<ReplyingHub>
{
    [Fact]
    public async Task It_calls_tools_and_gives_their_results()
    {
        var seen = await AnthropicScript.RunAsync(replying.Hub, "tools", ReplyingHub.Model);
        Assert.Equal(("call_1", "add", 17, "🦙"), (seen["call"]!["id"]!.ToString(), seen["call"]!["name"]!.ToString(), seen["call"]!["input"]!["a"]!.GetValue<int>(), seen["call"]!["input"]!["b"]!.ToString()));
        Assert.Equal(("tool_use", "The tool says 42."), (seen["stop"]!.ToString(), seen["text"]!.ToString()));
    }

    [Fact]
    public async Task It_shows_images()
        => Assert.EndsWith("data:image/png;base64,", (await AnthropicScript.RunAsync(replying.Hub, "vision", ReplyingHub.Model))["content"]![0]!["text"]!.ToString(), StringComparison.Ordinal);
}

/// <summary><c>clients/anthropic.mjs</c>.</summary>
internal static class AnthropicScript
{
    private static readonly NpmClient Script = new("@anthropic-ai/sdk", "anthropic.mjs");

    public static Task<JsonNode> RunAsync(HubProcess hub, string scenario, string model = AgentProcess.Model, string? key = null, string outcome = "result") => Script.RunAsync(
        scenario,
        new Dictionary<string, string> { ["ANTHROPIC_BASE_URL"] = hub.Api.ToString().TrimEnd('/'), ["ANTHROPIC_API_KEY"] = key ?? hub.AdminKey, ["MODEL"] = model },
        outcome);
}
