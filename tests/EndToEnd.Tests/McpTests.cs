using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using ModelContextProtocol.Client;
using ModelContextProtocol.Protocol;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>The hub as a tool of assistants: the Model Context Protocol's own client over both transports, with a real agent and a real model behind the hub.</summary>
public sealed class McpTests(DemoHub demo, ITestOutputHelper output) : DemoHubTest(demo, output)
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_assistant_finds_the_tools_and_works_with_them(bool stdio)
    {
        await using var client = await McpClient.CreateAsync(stdio ? Stdio() : Http(Hub.AdminKey));
        Assert.Equal("federation-hub", client.ServerInfo?.Name);
        var tools = await client.ListToolsAsync();
        Assert.Equal(["account_balance", "cancel_job", "chat", "embed", "get_job", "list_models", "quote", "submit_job"], tools.Select(tool => tool.Name).Order(StringComparer.Ordinal));

        Assert.Contains(AgentProcess.Model, (await CallAsync(client, "list_models"))[0], StringComparison.Ordinal);
        var chat = await CallAsync(client, "chat", ("model", AgentProcess.Model), ("messages", Messages()), ("temperature", 0));
        Assert.Equal("42", chat[0]);
        Assert.Equal(Agent.NodeId, JsonNode.Parse(chat[1])!["node"]!.ToString());
        Assert.NotNull(JsonNode.Parse((await CallAsync(client, "account_balance"))[0])!["available_microcredits"]);
        Assert.Equal(AgentProcess.Model, JsonNode.Parse((await CallAsync(client, "quote", ("model", AgentProcess.Model), ("prompt_tokens", 10)))[0])!["model"]!.ToString());

        var job = JsonNode.Parse((await CallAsync(client, "submit_job", ("type", "chat"), ("request", new { model = AgentProcess.Model, messages = Messages(), temperature = 0 })))[0])!;
        JsonNode? ended = null;
        await Patience.UntilAsync(async () => (ended = JsonNode.Parse((await CallAsync(client, "get_job", ("id", job["id"]!.ToString())))[0]))!["status"]!.ToString() == "completed", "the job to be done");
        Assert.Equal("42", ended!["result"]!["body"]!["choices"]![0]!["message"]!["content"]!.ToString());
        Assert.Equal("completed", JsonNode.Parse((await CallAsync(client, "cancel_job", ("id", job["id"]!.ToString())))[0])!["status"]!.ToString());
    }

    [Fact]
    public async Task What_goes_wrong_is_an_answer_to_the_assistant()
    {
        await using var client = await McpClient.CreateAsync(Http(Hub.AdminKey));
        foreach (var (tool, arguments, words) in new (string, Dictionary<string, object?>, string)[]
        {
            ("chat", new() { ["model"] = "none", ["messages"] = Messages() }, "model_not_found"),
            ("chat", new() { ["model"] = AgentProcess.Model, ["messages"] = Messages(), ["stream"] = true }, "whole"),
            ("chat", new() { ["messages"] = Messages() }, "model"),
            ("get_job", new() { ["id"] = "ajob_none" }, "no such job"),
            ("get_job", [], "no such job"),
            ("rm", [], "no tool"),
            ("submit_job", new() { ["type"] = "odd" }, "type"),
        })
        {
            var result = await client.CallToolAsync(tool, arguments);
            Assert.True(result.IsError);
            Assert.Contains(words, string.Concat(result.Content.OfType<TextContentBlock>().Select(block => block.Text)), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Nobody_gets_in_without_a_key_and_nonsense_is_refused()
    {
        await Assert.ThrowsAnyAsync<Exception>(async () => await McpClient.CreateAsync(Http("fk_wrong")));
        using var stranger = new HubClient(Hub.Api, null);
        (await stranger.PostAsync("/mcp", "{}")).Expect(HttpStatusCode.Unauthorized);
        using var client = Hub.Client();
        foreach (var nonsense in new[] { "", "{", "[]", "7", "{}", "\"x\"" }) (await client.PostAsync("/mcp", nonsense)).Expect(HttpStatusCode.BadRequest);
        (await client.GetAsync("/mcp")).Expect(HttpStatusCode.MethodNotAllowed);
        (await client.PostAsync("/mcp", """{"jsonrpc":"2.0","method":"notifications/initialized"}""")).Expect(HttpStatusCode.Accepted);
    }

    private static object[] Messages() => [new { role = "user", content = "17+25=" }];

    private HttpClientTransport Http(string key) => new(new HttpClientTransportOptions
    {
        Endpoint = new Uri(Hub.Api, "/mcp"),
        TransportMode = HttpTransportMode.StreamableHttp,
        AdditionalHeaders = new Dictionary<string, string> { ["Authorization"] = $"Bearer {key}" },
    });

    private StdioClientTransport Stdio() => new(new StdioClientTransportOptions
    {
        Name = "federation-hub mcp",
        Command = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet",
        Arguments = [Places.Hub, "mcp", "--hub", Hub.Api.ToString(), "--key-file", Path.Combine(Hub.Data, "admin.key")],
    });

    private static async Task<List<string>> CallAsync(McpClient client, string tool, params (string Name, object Value)[] arguments)
    {
        var result = await client.CallToolAsync(tool, arguments.ToDictionary(argument => argument.Name, argument => (object?)argument.Value)).AsTask().Soon($"{tool} to answer");
        var texts = result.Content.OfType<TextContentBlock>().Select(block => block.Text).ToList();
        Assert.False(result.IsError is true, string.Join('\n', texts));
        return texts;
    }
}
