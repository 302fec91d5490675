using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>What an agent in a test has to run models with. Nothing of this machine but what the test gives it.</summary>
internal sealed record AgentEngines(string Model, JsonObject Json)
{
    /// <summary>The demo model on the agent's own engine.</summary>
    /// <param name="slots">Answers at once.</param>
    /// <param name="models">Where its file lies; none: where the repository has it.</param>
    public static AgentEngines Demo(int slots = 4, string? models = null) => new(AgentProcess.Model, new JsonObject
    {
        ["ollama"] = new JsonObject { ["enabled"] = false },
        ["builtin"] = new JsonObject { ["models_directory"] = models ?? Places.Models, ["slots"] = slots },
    });

    /// <summary>A server the test answers for.</summary>
    public static AgentEngines Scripted(ScriptedEngine engine, string model, int slots = 4) => Served("scripted", engine.Url, model, slots);

    /// <summary>Several servers of one model, each with one slot.</summary>
    public static AgentEngines Scripted(IEnumerable<ScriptedEngine> engines, string model) => Served(model, engines.Select((engine, n) => ($"gpu{n}", engine.Url, 1)));

    /// <summary>A server that makes its answers up.</summary>
    public static AgentEngines Scripted(AnsweringEngine engine, string model, int slots = 4) => Served("lying", engine.Url, model, slots);

    /// <summary>A server that runs the demo model as the test lets it.</summary>
    public static AgentEngines Scripted(ModelEngine engine, int slots = 4) => Served("model", engine.Url, AgentProcess.Model, slots);

    /// <summary>A server that says whatever bytes the test wants said.</summary>
    public static AgentEngines Scripted(RawEngine engine, int slots = 4) => Served("raw", engine.Url, engine.Model, slots);

    /// <summary>A server that knows tools, images and JSON schemas.</summary>
    public static AgentEngines Scripted(ReplyingEngine engine, int slots = 4) => Served("replying", engine.Url, engine.Model, slots);

    /// <summary>A server of vectors.</summary>
    public static AgentEngines Scripted(EmbeddingEngine engine, int slots = 4) => Served("embedding", engine.Url, engine.Model, slots);

    private static AgentEngines Served(string name, string url, string model, int slots) => Served(model, [(name, url, slots)]);

    private static AgentEngines Served(string model, IEnumerable<(string Name, string Url, int Slots)> servers) => new(model, new JsonObject
    {
        ["ollama"] = new JsonObject { ["enabled"] = false },
        ["builtin"] = new JsonObject { ["enabled"] = false },
        ["openai"] = new JsonArray([.. servers.Select(server => new JsonObject { ["name"] = server.Name, ["url"] = server.Url, ["slots"] = server.Slots })]),
    });
}

/// <summary>A real node agent, joined and connected.</summary>
internal sealed class AgentProcess : IAsyncDisposable
{
    public const string Model = "federation-demo";

    /// <summary>What the hub is told of the file in the repository.</summary>
    public static string ModelDigest { get; } = $"sha256:{Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Path.Combine(Places.Models, $"{Model}.gguf"))))}";

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
    public static async Task<AgentProcess> StartAsync(HubProcess hub, AgentEngines engines, string? account = null, IReadOnlyDictionary<string, string>? environment = null, HttpMessageHandler? handler = null)
    {
        using var admin = new HubClient(hub.Api, hub.AdminKey, handler);
        var agent = await StartAsync(hub.Api, await admin.JoinTokenAsync(account), engines, environment);
        try
        {
            await agent.ConnectedAsync(admin, engines.Model);
            return agent;
        }
        catch
        {
            await agent.DisposeAsync();
            throw;
        }
    }

    /// <summary>Joins whoever is a hub at this URL and starts the agent.</summary>
    public static async Task<AgentProcess> StartAsync(Uri hub, string token, AgentEngines engines, IReadOnlyDictionary<string, string>? environment = null)
    {
        var home = new TemporaryDirectory();
        try
        {
            var config = Path.Combine(home.Path, "config.json");
            await File.WriteAllTextAsync(config, new JsonObject { ["engines"] = engines.Json.DeepClone() }.ToJsonString());
            var variables = new Dictionary<string, string>(environment ?? new Dictionary<string, string>()) { ["FEDERATION_NODE_HOME"] = home.Path };
            await using (var join = ChildProcess.StartDotnet("federation-node join", Places.Agent, ["join", hub.ToString(), "--token", token], variables))
            {
                Assert.True(await join.ExitAsync() == 0, $"The agent could not join:\n{join.Tail()}");
            }
            var nodeId = JsonNode.Parse(await File.ReadAllTextAsync(config), documentOptions: new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true })!["node_id"]!.ToString();
            return new AgentProcess(ChildProcess.StartDotnet("federation-node run", Places.Agent, ["run"], variables), home, nodeId);
        }
        catch
        {
            home.Dispose();
            throw;
        }
    }

    /// <summary>Waits until the hub has the agent's connection and offers this model of it.</summary>
    public Task ConnectedAsync(HubClient admin, string model) => Patience.UntilAsync(
        async () =>
        {
            if (Process.HasExited) throw new InvalidOperationException($"The agent stopped:\n{Process.Tail()}");
            var node = await admin.NodeAsync(NodeId);
            return node["connected"]!.GetValue<bool>()
                && (node["engines"]?.AsArray().Any(engine => engine!["models"]!.AsArray().Any(one => one!.ToString() == model)) ?? false)
                && await admin.HasModelAsync(model);
        },
        $"the agent to connect and serve {model}");

    public async ValueTask DisposeAsync()
    {
        await Process.DisposeAsync();
        _home.Dispose();
    }
}
