using System.Text.Json.Nodes;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A real node agent with the built-in engine and the demo model, joined and connected.</summary>
internal sealed class AgentProcess : IAsyncDisposable
{
    public const string Model = "federation-demo";

    private readonly TemporaryDirectory _home;

    private AgentProcess(ChildProcess process, TemporaryDirectory home, string nodeId)
    {
        Process = process;
        _home = home;
        NodeId = nodeId;
    }

    public ChildProcess Process { get; }

    public string NodeId { get; }

    /// <summary>Joins the hub for this account (none: the operator's), starts the agent and waits until the hub knows its model.</summary>
    public static async Task<AgentProcess> StartAsync(HubProcess hub, string? account, int slots, IReadOnlyDictionary<string, string>? environment = null)
    {
        var home = new TemporaryDirectory();
        ChildProcess? process = null;
        try
        {
            await WriteConfigAsync(home.Path, slots);
            var variables = new Dictionary<string, string>(environment ?? new Dictionary<string, string>()) { ["FEDERATION_NODE_HOME"] = home.Path };
            using var admin = hub.Client();
            await using (var join = ChildProcess.StartDotnet("federation-node join", Places.Agent, ["join", hub.Api.ToString(), "--token", await admin.JoinTokenAsync(account)], variables))
            {
                Assert.True(await join.ExitAsync() == 0, $"The agent could not join:\n{join.Tail()}");
            }
            var config = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(home.Path, "config.json")), documentOptions: new() { CommentHandling = System.Text.Json.JsonCommentHandling.Skip, AllowTrailingCommas = true })!;
            var nodeId = config["node_id"]!.ToString();
            process = ChildProcess.StartDotnet("federation-node run", Places.Agent, ["run"], variables);
            await Patience.UntilAsync(
                async () => !process.HasExited
                    ? (await admin.NodeAsync(nodeId))["connected"]!.GetValue<bool>() && await admin.HasModelAsync(Model)
                    : throw new InvalidOperationException($"The agent stopped:\n{process.Tail()}"),
                "the agent to connect");
            return new AgentProcess(process, home, nodeId);
        }
        catch
        {
            if (process is not null) await process.DisposeAsync();
            home.Dispose();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Process.DisposeAsync();
        _home.Dispose();
    }

    private static Task WriteConfigAsync(string home, int slots) => File.WriteAllTextAsync(Path.Combine(home, "config.json"), new JsonObject
    {
        ["engines"] = new JsonObject
        {
            // Nothing of this machine but what is in the repository.
            ["ollama"] = new JsonObject { ["enabled"] = false },
            ["builtin"] = new JsonObject { ["models_directory"] = Places.Models, ["slots"] = slots },
        },
    }.ToJsonString());
}
