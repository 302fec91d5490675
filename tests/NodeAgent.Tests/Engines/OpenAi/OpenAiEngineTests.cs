using System.Text;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.OpenAi;
using Federation.Protocol.OpenAi;
using Microsoft.AspNetCore.Http;

namespace Federation.NodeAgent.Tests.Engines.OpenAi;

public sealed class OpenAiEngineTests
{
    private const string Key = "sk-never-to-be-seen";

    [Fact]
    public async Task The_inventory_is_the_list_of_models()
    {
        await using var server = await FakeServer.StartAsync();
        server.On("GET /v1/models", """
            {"object":"list","data":[
              {"id":"vllm/model","object":"model","max_model_len":32768,"owned_by":"vllm"},
              {"id":"llama.gguf","meta":{"size":1234567,"n_params":8}},
              {"id":"nomic-embed-text"},
              {"id":"llama.gguf"}]}
            """);
        await using var engine = Engine(server.Address);

        var inventory = await engine.GetInventoryAsync(CancellationToken.None);

        Assert.Equal(
            new EngineInventory("", [
                new("llama.gguf", null, 1234567, true, null, ["chat", "completion"], null),
                new("nomic-embed-text", null, null, true, null, ["embedding"], null),
                new("vllm/model", null, null, true, 32768, ["chat", "completion"], null),
            ]),
            inventory);
    }

    [Theory]
    [InlineData("""{"data":null}""", 200)]
    [InlineData("""{"data":[{"object":"model"}]}""", 200)]
    [InlineData("""{}""", 200)]
    [InlineData("""not json""", 200)]
    [InlineData("""{"data":[]}""", 401)]
    [InlineData("""{"data":[]}""", 500)]
    public async Task A_server_that_does_not_speak_the_protocol_is_not_there(string answer, int status)
    {
        await using var server = await FakeServer.StartAsync();
        server.On("GET /v1/models", answer, status);
        await using var engine = Engine(server.Address);

        Assert.Null(await engine.GetInventoryAsync(CancellationToken.None));
    }

    [Fact]
    public async Task A_server_that_is_off_is_not_there()
    {
        var server = await FakeServer.StartAsync();
        await server.DisposeAsync();
        await using var engine = Engine(server.Address);

        Assert.Null(await engine.GetInventoryAsync(CancellationToken.None));
    }

    [Fact]
    public async Task A_server_that_never_stops_listing_is_not_there()
    {
        await using var server = await FakeServer.StartAsync();
        server.On("GET /v1/models", async context =>
        {
            while (!context.RequestAborted.IsCancellationRequested)
            {
                await context.Response.WriteAsync(new string(' ', 64 << 10), context.RequestAborted);
            }
        });
        await using var engine = Engine(server.Address);

        Assert.Null(await engine.GetInventoryAsync(CancellationToken.None));
    }

    [Fact]
    public async Task A_server_that_hangs_is_not_there_after_the_timeout()
    {
        var time = new ManualTime();
        await using var server = await FakeServer.StartAsync();
        server.On("GET /v1/models", context => Task.Delay(Timeout.InfiniteTimeSpan, context.RequestAborted));
        await using var engine = Engine(server.Address, time: time);

        var inventory = engine.GetInventoryAsync(CancellationToken.None);
        await time.UntilSetAsync(TimeSpan.FromSeconds(5));
        time.Advance(TimeSpan.FromSeconds(5));

        Assert.Null(await inventory.WaitAsync(TimeSpan.FromSeconds(30)));
    }

    [Theory]
    [InlineData("", "/v1")]
    [InlineData("/", "/v1")]
    [InlineData("/v1", "/v1")]
    [InlineData("/v1/", "/v1")]
    [InlineData("/openai/v1", "/openai/v1")]
    [InlineData("/v1beta/openai/", "/v1beta/openai")]
    public async Task The_url_is_what_stands_before_the_endpoints_and_v1_where_it_has_no_path(string path, string expected)
    {
        await using var server = await FakeServer.StartAsync();
        server.On($"GET {expected}/models", """{"data":[]}""").On($"POST {expected}/chat/completions", "{}");
        await using var engine = Engine(new Uri(server.Address, path));

        Assert.NotNull(await engine.GetInventoryAsync(CancellationToken.None));
        await using var response = await engine.SendAsync(
            new EngineRequest(JobKind.Chat, "m", Encoding.UTF8.GetBytes("{}"), false), CancellationToken.None);
        Assert.Equal(200, response.Status);
    }

    [Fact]
    public async Task The_key_is_sent_and_never_printed()
    {
        await using var server = await FakeServer.StartAsync();
        server.On("GET /v1/models", """{"data":[]}""").On("POST /v1/chat/completions", "{}");
        var options = new OpenAiOptions { Name = "keyed", Url = server.Address, ApiKey = Key };
        await using var engine = new OpenAiEngine(options, TimeProvider.System);

        await engine.GetInventoryAsync(CancellationToken.None);
        await using var response = await engine.SendAsync(
            new EngineRequest(JobKind.Chat, "m", Encoding.UTF8.GetBytes("{}"), false), CancellationToken.None);

        Assert.All(server.Requests, request => Assert.Equal($"Bearer {Key}", request.Authorization));
        Assert.Equal(2, server.Requests.Count);
        Assert.DoesNotContain(Key, options.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fetching_models_is_not_supported()
    {
        await using var engine = Engine(new Uri("http://127.0.0.1:1"));

        Assert.Throws<NotSupportedException>(() => engine.PullAsync("m", CancellationToken.None));
    }

    [Theory]
    [InlineData("ftp://host/")]
    [InlineData("/v1")]
    public void A_url_that_is_not_http_is_refused(string url) =>
        Assert.Throws<ArgumentException>(() => Engine(new Uri(url, UriKind.RelativeOrAbsolute)));

    private static OpenAiEngine Engine(Uri url, TimeProvider? time = null) =>
        new(new OpenAiOptions { Name = "fake", Url = url }, time ?? TimeProvider.System);
}
