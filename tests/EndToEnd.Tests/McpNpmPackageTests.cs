using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>What an assistant sees of the hub's tools that uses the official <c>@modelcontextprotocol/sdk</c> npm package, with a real agent and a real model behind the hub.</summary>
public sealed class McpNpmPackageTests(DemoHub demo, ITestOutputHelper output) : DemoHubTest(demo, output)
{
    private static readonly NpmClient Script = new("@modelcontextprotocol/sdk", "mcp.mjs");

    [Fact]
    public async Task It_finds_the_tools()
    {
        var seen = await RunAsync("tools");
        Assert.Equal("federation-hub", seen["server"]!.ToString());
        Assert.Equal("""["account_balance","cancel_job","chat","embed","get_job","list_models","quote","submit_job"]""", seen["tools"]!.ToJsonString());
        Assert.Equal("""["model","messages"]""", seen["required"]!.ToJsonString());
    }

    [Fact]
    public async Task It_asks_a_model_now_and_later()
    {
        var chat = await RunAsync("chat");
        Assert.Equal(("42", Agent.NodeId), (chat["texts"]![0]!.ToString(), JsonNode.Parse(chat["texts"]![1]!.ToString())!["node"]!.ToString()));
        var job = await RunAsync("job");
        Assert.Equal(("completed", "42"), (job["status"]!.ToString(), job["result"]!["body"]!["choices"]![0]!["message"]!["content"]!.ToString()));
    }

    [Fact]
    public async Task What_it_demands_by_header_its_tools_demand()
    {
        // The agent is the operator's own, and so is the key.
        Assert.False((await RunAsync("chat", privacy: "own"))["isError"]!.GetValue<bool>());
        Assert.Equal("own", (await RunAsync("job", privacy: "own"))["privacy"]!.ToString());
        Assert.Contains("must be 'own', 'trusted' or 'any'", (await RunAsync("chat", privacy: "nobody", outcome: "error"))["message"]!.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_key_it_gets_nowhere()
        => Assert.Contains("401", (await RunAsync("tools", key: "fk_wrong", outcome: "error")).ToJsonString(), StringComparison.Ordinal);

    private Task<JsonNode> RunAsync(string scenario, string? key = null, string privacy = "", string outcome = "result") => Script.RunAsync(
        scenario,
        new Dictionary<string, string> { ["HUB"] = Hub.Api.ToString().TrimEnd('/'), ["KEY"] = key ?? Hub.AdminKey, ["MODEL"] = AgentProcess.Model, ["PRIVACY"] = privacy },
        outcome);
}
