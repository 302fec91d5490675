using System.Text;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.Ollama;
using Federation.Protocol.OpenAi;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Tests.Engines.Ollama;

public sealed class OllamaEngineTests
{
    private const string Tags = """
        {"models":[
          {"name":"nomic-embed-text:latest","model":"nomic-embed-text:latest","size":274302450,"digest":"bbb","details":{"family":"nomic-bert","quantization_level":"F16"}},
          {"name":"llama3.2:latest","model":"llama3.2:latest","modified_at":"2026-08-01T00:00:00Z","size":2019393189,"digest":"aaa","details":{"format":"gguf","quantization_level":"Q4_K_M"}},
          {"name":"gpt-oss:120b-cloud","size":384,"digest":"ccc","remote_model":"gpt-oss:120b","remote_host":"https://ollama.com:443","details":{}}]}
        """;

    private const string ShowLlama = """
        {"capabilities":["completion","tools"],"details":{},"model_info":{"general.architecture":"llama","llama.context_length":131072,"tokenizer.ggml.tokens":null}}
        """;

    [Fact]
    public async Task The_inventory_has_digests_sizes_contexts_and_what_is_loaded()
    {
        await using var server = await StartAsync();
        await using var engine = Engine(server);

        var inventory = await engine.GetInventoryAsync(CancellationToken.None);

        Assert.Equal(
            new EngineInventory("0.12.11", [
                new("llama3.2:latest", "sha256:aaa", 2019393189, true, 131072, ["chat", "completion", "tools", "no_vision", "no_choices", "no_audio"], "Q4_K_M"),
                new("nomic-embed-text:latest", "sha256:bbb", 274302450, false, 2048, ["embedding", "no_tools", "no_vision", "no_choices", "no_audio"], "F16"),
            ]),
            inventory);
    }

    [Fact]
    public async Task A_models_details_are_asked_once_for_a_digest()
    {
        await using var server = await StartAsync();
        await using var engine = Engine(server);
        await engine.GetInventoryAsync(CancellationToken.None);
        await engine.GetInventoryAsync(CancellationToken.None);
        Assert.Equal(2, Shows(server));

        server.On("GET /api/tags", Tags.Replace("\"aaa\"", "\"ddd\"", StringComparison.Ordinal));
        await engine.GetInventoryAsync(CancellationToken.None);

        Assert.Equal(3, Shows(server));
    }

    [Fact]
    public async Task A_model_whose_details_fail_is_offered_without_them_and_asked_again()
    {
        await using var server = await StartAsync();
        server.On("POST /api/show", """{"error":"busy"}""", status: 500);
        await using var engine = Engine(server);

        var model = (await engine.GetInventoryAsync(CancellationToken.None))!.Models[0];
        Assert.Equal((null, 2), (model.ContextLength, model.Capabilities.Length));

        server.On("POST /api/show", ShowLlama);
        Assert.Equal(131072, (await engine.GetInventoryAsync(CancellationToken.None))!.Models[0].ContextLength);
    }

    [Fact]
    public async Task An_old_version_without_running_models_and_capabilities_still_serves()
    {
        await using var server = await FakeServer.StartAsync();
        server.On("GET /api/tags", """{"models":[{"name":"old:latest","digest":"aaa"}]}""").On("POST /api/show", "{}");
        await using var engine = Engine(server);

        var inventory = await engine.GetInventoryAsync(CancellationToken.None);

        Assert.Equal(new EngineInventory("", [new("old:latest", "sha256:aaa", null, false, null, ["chat", "completion"], null)]), inventory);
    }

    [Fact]
    public async Task An_Ollama_without_models_is_there()
    {
        await using var server = await FakeServer.StartAsync();
        server.On("GET /api/tags", """{"models":null}""").On("GET /api/version", """{"version":"0.12.11"}""");
        await using var engine = Engine(server);

        Assert.Equal(new EngineInventory("0.12.11", []), await engine.GetInventoryAsync(CancellationToken.None));
    }

    [Fact]
    public async Task An_Ollama_that_starts_and_stops_is_noticed()
    {
        var port = await FreePortAsync();
        await using var engine = new OllamaEngine(new OllamaOptions { Address = new Uri($"http://127.0.0.1:{port}") }, TimeProvider.System);
        var time = new ManualTime();
        var watchOptions = new EngineWatchOptions { AbsentInterval = new EngineWatchOptions().Interval };
        var watch = new EngineWatch([engine], watchOptions, time, NullLogger<EngineWatch>.Instance);
        using var stop = new CancellationTokenSource();
        var running = watch.RunAsync(stop.Token);
        await using var changes = watch.ChangesAsync(stop.Token).GetAsyncEnumerator();
        Assert.Empty((await NextAsync()).Engines);

        await using (var server = await FakeServer.StartAsync(port))
        {
            server.On("GET /api/tags", """{"models":[{"name":"m","digest":"aaa"}]}""").On("POST /api/show", "{}");
            await LookAgainAsync();
            Assert.Equal("m", Assert.Single((await NextAsync()).Find("ollama")!.Inventory.Models).Name);

            server.On("GET /api/tags", """{"models":[]}""");
            await LookAgainAsync();
            Assert.Empty((await NextAsync()).Find("ollama")!.Inventory.Models);
        }

        await LookAgainAsync();
        Assert.Empty((await NextAsync()).Engines);
        await stop.CancelAsync();
        await running;

        async Task<EngineSnapshot> NextAsync()
        {
            Assert.True(await changes.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
            return changes.Current;
        }

        async Task LookAgainAsync()
        {
            await time.UntilSetAsync(watchOptions.Interval);
            time.Advance(watchOptions.Interval);
        }
    }

    [Fact]
    public async Task Chats_go_to_the_OpenAI_side()
    {
        await using var server = await StartAsync();
        server.On("POST /v1/chat/completions", """{"usage":{"prompt_tokens":1,"completion_tokens":2}}""");
        await using var engine = Engine(server);

        await using var response = await engine.SendAsync(
            new EngineRequest(JobKind.Chat, "llama3.2:latest", Encoding.UTF8.GetBytes("{}"), false), CancellationToken.None);
        await response.Body.CopyToAsync(Stream.Null);

        Assert.Equal((200, new TokenUsage(1, 2)), (response.Status, response.Usage));
    }

    [Fact]
    public async Task A_pull_tells_how_far_it_is()
    {
        await using var server = await FakeServer.StartAsync();
        server.OnStream(
            "POST /api/pull",
            "{\"status\":\"pulling manifest\"}\n{\"status\":\"pulling aaa\",\"digest\":\"sha256:aaa\",\"tot",
            "al\":100,\"completed\":40}\n",
            "{\"status\":\"success\"}");
        await using var engine = Engine(server);

        var steps = new List<PullStep>();
        await foreach (var step in engine.PullAsync("llama3.2", CancellationToken.None))
        {
            steps.Add(step);
        }

        Assert.Equal([new("pulling manifest", null, null), new("pulling aaa", 40, 100), new("success", null, null)], steps);
        Assert.Equal("""{"model":"llama3.2"}""", server.Requests.Single().Body);
    }

    [Theory]
    [InlineData("{\"status\":\"pulling manifest\"}\n{\"error\":\"file does not exist\"}\n", "file does not exist")]
    [InlineData("{\"status\":\"pulling manifest\"}\n", "before it said")]
    [InlineData("", "before it said")]
    [InlineData("<html>", "not JSON")]
    public async Task A_pull_that_fails_says_why(string lines, string reason)
    {
        await using var server = await FakeServer.StartAsync();
        server.OnStream("POST /api/pull", lines);
        await using var engine = Engine(server);

        var failure = await Assert.ThrowsAsync<PullFailedException>(() => PullAsync(engine));

        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pull_line_without_end_is_refused()
    {
        await using var server = await FakeServer.StartAsync();
        server.On("POST /api/pull", async context =>
        {
            while (!context.RequestAborted.IsCancellationRequested)
            {
                await context.Response.WriteAsync(new string(' ', 4096), context.RequestAborted);
            }
        });
        await using var engine = Engine(server);

        await Assert.ThrowsAsync<PullFailedException>(() => PullAsync(engine));
    }

    [Fact]
    public async Task A_pull_without_Ollama_is_unavailable()
    {
        var server = await FakeServer.StartAsync();
        await server.DisposeAsync();
        await using var engine = Engine(server);

        await Assert.ThrowsAsync<EngineUnavailableException>(() => PullAsync(engine));
    }

    private static async Task PullAsync(OllamaEngine engine)
    {
        await foreach (var step in engine.PullAsync("m", CancellationToken.None))
        {
            Assert.NotNull(step);
        }
    }

    private static async Task<FakeServer> StartAsync()
    {
        var server = await FakeServer.StartAsync();
        return server
            .On("GET /api/version", """{"version":"0.12.11"}""")
            .On("GET /api/tags", Tags)
            .On("GET /api/ps", """{"models":[{"name":"llama3.2:latest","digest":"aaa","size_vram":3}]}""")
            .On("POST /api/show", context => context.Response.WriteAsync(
                server.Requests.Last().Body.Contains("nomic", StringComparison.Ordinal)
                    ? """{"capabilities":["embedding"],"model_info":{"nomic-bert.context_length":2048}}"""
                    : ShowLlama));
    }

    private static OllamaEngine Engine(FakeServer server) => new(new OllamaOptions { Address = server.Address }, TimeProvider.System);

    private static int Shows(FakeServer server) => server.Requests.Count(request => request.Line == "POST /api/show");

    private static async Task<int> FreePortAsync()
    {
        var server = await FakeServer.StartAsync();
        await using (server)
        {
            return server.Address.Port;
        }
    }
}
