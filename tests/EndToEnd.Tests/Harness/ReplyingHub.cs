using System.Text.Json.Nodes;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>One hub for all tests of a class, with a real agent in front of an engine that knows tools, images and JSON schemas.</summary>
public sealed class ReplyingHub : IAsyncLifetime
{
    /// <summary>What the engine serves.</summary>
    public const string Model = "replying";

    private HubProcess? _hub;
    private AgentProcess? _agent;
    private ReplyingEngine? _engine;

    internal HubProcess Hub => _hub ?? throw new InvalidOperationException("The hub did not start.");

    internal ReplyingEngine Engine => _engine ?? throw new InvalidOperationException("The engine did not start.");

    public async Task InitializeAsync()
    {
        _hub = await HubProcess.StartAsync();
        _engine = await ReplyingEngine.StartAsync(Model, Reply);
        _agent = await AgentProcess.StartAsync(_hub, AgentEngines.Scripted(_engine));
    }

    public async Task DisposeAsync()
    {
        if (_agent is not null) await _agent.DisposeAsync();
        if (_engine is not null) await _engine.DisposeAsync();
        if (_hub is not null) await _hub.DisposeAsync();
    }

    /// <summary>What a capable model would do: call the tool it has, use its result, describe the image, follow the schema.</summary>
    private static JsonObject Reply(JsonNode request)
    {
        var last = request["messages"]!.AsArray()[^1]!;
        if (last["role"]!.ToString() == "tool") return new JsonObject { ["content"] = $"The tool says {last["content"]}." };
        if (request["tools"] is JsonArray { Count: > 0 } tools) return ReplyingEngine.Call(tools[0]!["function"]!["name"]!.ToString(), """{"a":17,"b":"🦙"}""");
        if (request["response_format"]?["json_schema"]?["schema"]?["properties"] is JsonObject properties) return new JsonObject { ["content"] = $$"""{"{{properties.First().Key}}": 42}""" };
        var image = last["content"] is JsonArray parts ? parts.Select(part => part!["image_url"]?["url"]?.ToString()).FirstOrDefault(url => url is not null) : null;
        return image is null
            ? new JsonObject { ["content"] = "The answer is 42 🦙.", ["reasoning_content"] = "I add." }
            : new JsonObject { ["content"] = $"An image of {image.Length} characters: {image[..22]}" };
    }
}
