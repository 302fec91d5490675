using Federation.EndToEnd.Tests.Harness;

namespace Federation.EndToEnd.Tests;

/// <summary>Vectors by the official npm packages, with a real agent in front of an engine that makes them.</summary>
public sealed class EmbeddingTests : IAsyncLifetime
{
    private const string Model = "test-embed";

    private HubProcess? _hub;
    private AgentProcess? _agent;
    private EmbeddingEngine? _engine;

    private HubProcess Hub => _hub!;

    public async Task InitializeAsync()
    {
        _hub = await HubProcess.StartAsync();
        _engine = await EmbeddingEngine.StartAsync(Model);
        _agent = await AgentProcess.StartAsync(_hub, AgentEngines.Scripted(_engine));
    }

    public async Task DisposeAsync()
    {
        if (_agent is not null) await _agent.DisposeAsync();
        if (_engine is not null) await _engine.DisposeAsync();
        if (_hub is not null) await _hub.DisposeAsync();
    }

    [Fact]
    public async Task Ollama_s_and_openai_s_packages_get_a_vector_of_each_text_in_the_order_of_the_texts()
    {
        var ollama = await OllamaScript.RunAsync(Hub, "embed", Model);
        Assert.Equal("[[1,0.5],[2,0.5]]", ollama["embeddings"]!.ToJsonString());
        Assert.Equal((Model, 3), (ollama["model"]!.ToString(), ollama["prompt_eval_count"]!.GetValue<int>()));
        // The package asks for base64 and makes numbers of it.
        var openAi = await OpenAiScript.RunAsync(Hub, "embeddings", Model);
        Assert.Equal("[5,0.5]", openAi["data"]![0]!["embedding"]!.ToJsonString());
        Assert.Equal(5, openAi["usage"]!["prompt_tokens"]!.GetValue<int>());
    }

    [Fact]
    public async Task A_model_of_vectors_says_that_it_does_not_chat()
    {
        var error = await OllamaScript.RunAsync(Hub, "chat", Model, outcome: "error");
        Assert.Equal(400, error["status"]!.GetValue<int>());
        Assert.Contains("does not support /v1/chat/completions", error["message"]!.ToString(), StringComparison.Ordinal);
    }
}
