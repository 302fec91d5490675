using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text;
using Federation.EndToEnd.Tests.Harness;
using OpenAI;
using OpenAI.Chat;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>What a user of the OpenAI package for .NET sees, with a real agent and a real model behind the hub.</summary>
public sealed class OpenAiDotnetPackageTests(DemoHub demo, ITestOutputHelper output) : DemoHubTest(demo, output)
{
    private static readonly ChatCompletionOptions Greedy = new() { Temperature = 0 };

    [Fact]
    public async Task It_lists_and_retrieves_models()
    {
        var models = Client().GetOpenAIModelClient();
        Assert.Contains(AgentProcess.Model, (await models.GetModelsAsync()).Value.Select(model => model.Id));
        Assert.Equal(AgentProcess.Model, (await models.GetModelAsync(AgentProcess.Model)).Value.Id);
    }

    [Fact]
    public async Task It_chats()
    {
        var answer = (await Chat().CompleteChatAsync([ChatMessage.CreateUserMessage("17+25=")], Greedy)).Value;
        Assert.Equal("42", answer.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
        Assert.Equal(DemoHub.PromptTokens, answer.Usage.InputTokenCount);
        Assert.Equal(DemoHub.CompletionTokens, answer.Usage.OutputTokenCount);
    }

    [Fact]
    public async Task It_streams_with_the_usage_that_it_always_asks_for()
    {
        var text = new StringBuilder();
        ChatTokenUsage? usage = null;
        ChatFinishReason? finish = null;
        await foreach (var update in Chat().CompleteChatStreamingAsync([ChatMessage.CreateUserMessage("17+25=")], Greedy))
        {
            foreach (var part in update.ContentUpdate) text.Append(part.Text);
            usage = update.Usage ?? usage;
            finish = update.FinishReason ?? finish;
        }
        Assert.Equal("42", text.ToString());
        Assert.Equal(ChatFinishReason.Stop, finish);
        Assert.Equal(DemoHub.CompletionTokens, usage?.OutputTokenCount);
    }

    [Fact]
    public async Task It_hears_that_the_model_cannot_embed()
        => await ExpectErrorAsync(400, "unsupported_model", () => Client().GetEmbeddingClient(AgentProcess.Model).GenerateEmbeddingAsync("hello"));

    [Fact]
    public async Task A_wrong_key_is_a_401()
        => await ExpectErrorAsync(401, "invalid_api_key", () => Client("fk_wrong").GetChatClient(AgentProcess.Model).CompleteChatAsync("17+25="));

    [Fact]
    public async Task An_unknown_model_is_a_404()
        => await ExpectErrorAsync(404, "model_not_found", () => Chat("gpt-nonsense").CompleteChatAsync("17+25="));

    [Fact]
    public Task A_cancellation_in_mid_stream_stops_the_engine_within_a_second() => AssertAbortStopsTheEngineAsync(async model =>
    {
        using var abort = new CancellationTokenSource();
        await using var updates = Chat(model).CompleteChatStreamingAsync([ChatMessage.CreateUserMessage("go on for ever")], Greedy, abort.Token).GetAsyncEnumerator();
        for (var pieces = 0; pieces < 3; pieces += updates.Current.ContentUpdate.Count) Assert.True(await updates.MoveNextAsync());
        // While it waits for more: when nobody waits, HttpClient itself reads on for two seconds before it hangs up.
        var waiting = updates.MoveNextAsync().AsTask();
        await abort.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    });

    private static async Task ExpectErrorAsync(int status, string code, Func<Task> call)
    {
        var error = await Assert.ThrowsAsync<ClientResultException>(call);
        Assert.Equal(status, error.Status);
        Assert.Contains(code, error.Message, StringComparison.Ordinal);
    }

    private ChatClient Chat(string model = AgentProcess.Model) => Client().GetChatClient(model);

    private OpenAIClient Client(string? key = null) => new(
        new ApiKeyCredential(key ?? Hub.AdminKey),
        new OpenAIClientOptions { Endpoint = new Uri(Hub.Api, "/v1"), RetryPolicy = new ClientRetryPolicy(maxRetries: 0) });
}
