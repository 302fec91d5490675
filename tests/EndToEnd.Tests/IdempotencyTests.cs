using System.Net;
using System.Text;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Requests that are sent again under the same <c>Idempotency-Key</c>.</summary>
public sealed class IdempotencyTests(SharedHub shared, ITestOutputHelper output) : SharedHubTest(shared, output)
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_same_request_sent_again_is_answered_from_the_first_in_the_same_bytes(bool stream)
    {
        var (_, line, model) = await ConnectedNodeAsync();
        using var client = Hub.Client();
        var key = Guid.NewGuid().ToString();
        var asking = SendAsync(client, key, Chats.Question(model, "hi", stream));
        await line.AnswerAsync(await line.NextAssignAsync(), "only once");
        var first = (await asking).Expect(HttpStatusCode.OK);
        for (var i = 0; i < 3; i++)
        {
            // The node answers nothing more: were it asked, this would wait for it.
            var again = (await SendAsync(client, key, Chats.Question(model, "hi", stream))).Expect(HttpStatusCode.OK);
            Assert.Equal((first.Text, first.ContentType), (again.Text, again.ContentType));
            Assert.Equal("true", again.Headers.GetValues("idempotent-replayed").Single());
            Assert.Equal(first.Headers.GetValues("x-request-id").Single(), again.Headers.GetValues("x-federation-replay-of").Single());
            Assert.Equal(first.Headers.GetValues("x-federation-node").Single(), again.Headers.GetValues("x-federation-node").Single());
        }
        Assert.False(first.Headers.Contains("idempotent-replayed"));
        (await SendAsync(client, key, Chats.Question(model, "something else", stream))).ExpectError(HttpStatusCode.UnprocessableEntity, "idempotency_key_reused", "came with another request before");
        (await SendAsync(client, key, Chats.Question(model, "hi", stream), "/v1/embeddings")).Expect(HttpStatusCode.UnprocessableEntity);
    }

    [Fact]
    public async Task Of_the_same_request_sent_many_times_at_once_one_runs()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        using var client = Hub.Client();
        var key = Guid.NewGuid().ToString();
        var asking = Enumerable.Range(0, 10).Select(_ => SendAsync(client, key, Chats.Question(model, "hi", stream: false))).ToList();
        var lease = await line.NextAssignAsync();
        for (var i = 0; i < 9; i++)
        {
            var refused = await Task.WhenAny(asking);
            asking.Remove(refused);
            var answer = await refused;
            answer.ExpectError(HttpStatusCode.Conflict, "conflict_in_progress", "still runs");
            Assert.Equal(TimeSpan.FromSeconds(1), answer.Headers.RetryAfter!.Delta);
        }
        await line.AnswerAsync(lease, "only once");
        Assert.Equal("only once", (await Assert.Single(asking)).Content);
        Assert.Equal("only once", (await SendAsync(client, key, Chats.Question(model, "hi", stream: false))).Content);
    }

    [Fact]
    public async Task A_request_whose_client_left_runs_anew()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        using var client = Hub.Client();
        using var leave = new CancellationTokenSource();
        var key = Guid.NewGuid().ToString();
        var asking = SendAsync(client, key, Chats.Question(model, "hi", stream: false), cancellationToken: leave.Token);
        await line.NextAssignAsync();
        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
        await line.NextCancelAsync();
        line.Serve("the second time");
        // The first one's place is free a moment after its client has gone.
        await Patience.UntilAsync(async () => (await SendAsync(client, key, Chats.Question(model, "hi", stream: false))).Status is HttpStatusCode.OK, "the request to be run anew");
        var again = await SendAsync(client, key, Chats.Question(model, "hi", stream: false));
        Assert.Equal(("the second time", true), (again.Content, again.Headers.Contains("idempotent-replayed")));
    }

    [Fact]
    public async Task Accounts_do_not_share_keys_and_requests_without_one_are_run_each()
    {
        using var admin = Hub.Client();
        var (_, other) = await admin.CreateAccountAsync("other");
        using var neighbour = new HubClient(Hub.Api, other);
        var question = Chats.Question(SharedHub.SteadyModel, "hi", stream: false);
        (await SendAsync(admin, "shared", question)).Expect(HttpStatusCode.OK);
        Assert.False((await SendAsync(neighbour, "shared", question)).Expect(HttpStatusCode.OK).Headers.Contains("idempotent-replayed"));
        Assert.False((await admin.PostAsync("/v1/chat/completions", question)).Expect(HttpStatusCode.OK).Headers.Contains("idempotent-replayed"));
        (await SendAsync(admin, new string('a', 256), question)).ExpectError(HttpStatusCode.BadRequest, "invalid_idempotency_key", "1 to 255 printable ASCII characters");
    }

    private static Task<HubAnswer> SendAsync(HubClient client, string key, string body, string path = "/v1/chat/completions", CancellationToken cancellationToken = default)
    {
        var content = new StringContent(body, Encoding.UTF8, "application/json");
        content.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        return client.SendAsync(HttpMethod.Post, path, content, cancellationToken: cancellationToken);
    }
}
