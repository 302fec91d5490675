using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>What a user of the official <c>ollama</c> npm package sees, with a real agent and a real model behind the hub.</summary>
public sealed class OllamaNpmPackageTests(DemoHub demo, ITestOutputHelper output) : DemoHubTest(demo, output)
{
    [Fact]
    public async Task It_lists_and_shows_models()
    {
        var seen = await OllamaScript.RunAsync(Hub, "models");
        Assert.Contains(AgentProcess.Model, seen["models"]!.AsArray().Select(model => model!.ToString()));
        Assert.True(seen["size"]!.GetValue<long>() > 1_000_000);
        Assert.Contains("completion", seen["capabilities"]!.AsArray().Select(word => word!.ToString()));
        Assert.NotEmpty(seen["version"]!.ToString());
    }

    [Fact]
    public async Task It_chats()
    {
        var seen = await OllamaScript.RunAsync(Hub, "chat");
        Assert.Equal("42", seen["message"]!["content"]!.ToString());
        Assert.Equal((true, "stop"), (seen["done"]!.GetValue<bool>(), seen["done_reason"]!.ToString()));
        Assert.Equal((DemoHub.PromptTokens, DemoHub.CompletionTokens), (seen["prompt_eval_count"]!.GetValue<int>(), seen["eval_count"]!.GetValue<int>()));
        Assert.True(seen["total_duration"]!.GetValue<long>() > 0);
    }

    [Fact]
    public async Task It_streams()
    {
        var seen = await OllamaScript.RunAsync(Hub, "stream");
        Assert.Equal("42", seen["text"]!.ToString());
        Assert.True(seen["lines"]!.GetValue<int>() >= 3, "The answer came in one piece.");
        Assert.Equal(DemoHub.CompletionTokens, seen["last"]!["eval_count"]!.GetValue<int>());
    }

    [Fact]
    public async Task It_generates_as_many_tokens_as_it_asked_for()
    {
        var seen = await OllamaScript.RunAsync(Hub, "generate");
        Assert.Equal("4", seen["text"]!.ToString());
        Assert.Equal(("length", 1), (seen["last"]!["done_reason"]!.ToString(), seen["last"]!["eval_count"]!.GetValue<int>()));
    }

    [Fact]
    public async Task A_question_without_words_loads_the_model() => Assert.Equal("load", (await OllamaScript.RunAsync(Hub, "load"))["done_reason"]!.ToString());

    [Theory]
    [InlineData("chat", "nonsense", null, 404, "The model 'nonsense' does not exist on this hub.")]
    [InlineData("load", "nonsense", null, 404, "The model 'nonsense' does not exist on this hub.")]
    [InlineData("chat", AgentProcess.Model, "fk_wrong", 401, "Incorrect API key provided.")]
    [InlineData("embed", AgentProcess.Model, null, 400, "does not support /v1/embeddings")]
    public async Task What_is_wrong_is_an_error_in_its_own_shape(string scenario, string model, string? key, int status, string words)
    {
        var error = await OllamaScript.RunAsync(Hub, scenario, model, key, "error");
        Assert.Equal(status, error["status"]!.GetValue<int>());
        Assert.Contains(words, error["message"]!.ToString(), StringComparison.Ordinal);
    }
}

/// <summary>The package with an engine that knows tools, images and JSON schemas.</summary>
public sealed class OllamaNpmPackageFeatureTests(ReplyingHub replying) : IClassFixture<ReplyingHub>
{
    [Fact]
    public async Task It_calls_tools_and_gives_their_results()
    {
        var seen = await OllamaScript.RunAsync(replying.Hub, "tools", ReplyingHub.Model);
        Assert.Equal("""{"index":0,"name":"add","arguments":{"a":17,"b":"🦙"}}""", Plain(seen["call"]!));
        Assert.Equal("""[{"index":0,"name":"add","arguments":{"a":17,"b":"🦙"}}]""", Plain(seen["streamed"]!));
        Assert.Equal("The tool says 42.", seen["text"]!.ToString());
    }

    [Fact]
    public async Task It_shows_images()
        => Assert.EndsWith("data:image/png;base64,", (await OllamaScript.RunAsync(replying.Hub, "vision", ReplyingHub.Model))["message"]!["content"]!.ToString(), StringComparison.Ordinal);

    [Fact]
    public async Task It_asks_for_json_of_a_schema()
        => Assert.Equal("{\"answer\": 42}", (await OllamaScript.RunAsync(replying.Hub, "schema", ReplyingHub.Model))["message"]!["content"]!.ToString());

    [Fact]
    public async Task It_sees_what_the_model_thought()
    {
        var seen = await OllamaScript.RunAsync(replying.Hub, "chat", ReplyingHub.Model);
        Assert.Equal(("The answer is 42 🦙.", "I add."), (seen["message"]!["content"]!.ToString(), seen["message"]!["thinking"]!.ToString()));
    }

    private static string Plain(JsonNode json) => json.ToJsonString(new System.Text.Json.JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }).Replace("\\uD83E\\uDD99", "🦙", StringComparison.Ordinal);
}

/// <summary><c>clients/ollama.mjs</c>.</summary>
internal static class OllamaScript
{
    private static readonly NpmClient Script = new("ollama", "ollama.mjs");

    public static Task<JsonNode> RunAsync(HubProcess hub, string scenario, string model = AgentProcess.Model, string? key = null, string outcome = "result") => Script.RunAsync(
        scenario,
        new Dictionary<string, string> { ["HUB"] = hub.Api.ToString().TrimEnd('/'), ["KEY"] = key ?? hub.AdminKey, ["MODEL"] = model },
        outcome);
}
