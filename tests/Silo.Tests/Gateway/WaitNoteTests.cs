using Federation.Contracts.Models;
using Federation.Silo.Tests.Fakes;
using static Federation.Protocol.V1.HubMessage;

namespace Federation.Silo.Tests.Gateway;

/// <summary>What the client of a stream hears while it waits.</summary>
public sealed class WaitNoteTests
{
    private const string Event = "data: {\"choices\":[{\"delta\":{\"content\":\"4\"}}]}\n\n";
    private const string End = "data: [DONE]\n\n";

    [Fact]
    public async Task Who_waits_for_a_node_hears_where_it_stands_and_then_who_answers()
    {
        await using var scene = new InferenceScene();
        var granted = Waiting(scene);
        scene.Pool.Place = new QueuePlace(3, TimeSpan.FromSeconds(3.2), "a free slot");
        scene.Start();
        await PassAsync(scene, TimeSpan.FromSeconds(3));
        await scene.ReceivesAsync(": queued position=3 eta=4s for=a free slot\n\n");
        Assert.Equal((200, "text/event-stream; charset=utf-8", false), (scene.Http.Response.StatusCode, scene.Http.Response.ContentType, scene.Http.Response.Headers.ContainsKey("x-federation-node")));
        scene.Pool.Place = new QueuePlace(1, null, "a node with the model");
        await PassAsync(scene, TimeSpan.FromSeconds(5));
        await scene.ReceivesAsync(": queued position=1 for=a node with the model\n\n");
        var node = scene.Node("a");
        granted.SetResult(node);
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head("job_1.1"), Says.Chunk("job_1.1", 0, Event + End), Says.Done("job_1.1"));
        await scene.EndAsync();
        Assert.EndsWith("\n\n: x-federation-node=nd_a x-federation-route=nodes x-federation-attempts=1 x-federation-queue-ms=8000\n\n" + Event + End, scene.Received, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_quick_answer_is_untouched()
    {
        await using var scene = new InferenceScene();
        var granted = Waiting(scene);
        scene.Start();
        scene.Clock.Advance(TimeSpan.FromSeconds(2.9));
        var node = scene.Node("a");
        granted.SetResult(node);
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head("job_1.1"), Says.Chunk("job_1.1", 0, Event + End), Says.Done("job_1.1"));
        await scene.EndAsync();
        Assert.Equal((Event + End, "nd_a"), (scene.Received, scene.Http.Response.Headers["x-federation-node"].Single()));
    }

    [Fact]
    public async Task After_a_word_to_the_waiting_an_error_is_an_event_and_so_are_the_engines_own_words()
    {
        await using (var scene = new InferenceScene())
        {
            var refused = new TaskCompletionSource<LeaseGrant>();
            scene.Pool.Then((_, _) => refused.Task);
            scene.Start();
            await PassAsync(scene, TimeSpan.FromSeconds(3));
            await scene.ReceivesAsync(": queued\n\n");
            refused.SetResult(LeaseGrant.None(LeaseGrantStatus.TimedOut, TimeSpan.FromSeconds(9)));
            await scene.EndAsync();
            Assert.StartsWith(": queued\n\ndata: {\"error\":{", scene.Received, StringComparison.Ordinal);
            Assert.Contains("overloaded", scene.Received, StringComparison.Ordinal);
        }
        await using (var scene = new InferenceScene())
        {
            var granted = Waiting(scene);
            scene.Start();
            await PassAsync(scene, TimeSpan.FromSeconds(3));
            await scene.ReceivesAsync(": queued\n\n");
            var node = scene.Node("a");
            granted.SetResult(node);
            await node.NextAsync(MessageOneofCase.Assign);
            node.Say(Says.Head("job_1.1", 400, "application/json"), Says.Chunk("job_1.1", 0, "{\"error\":\n{\"message\":\"too long\"}}"), Says.Done("job_1.1"));
            await scene.EndAsync();
            Assert.Equal(": queued\n\ndata: {\"error\": {\"message\":\"too long\"}}\n\n", scene.Received);
        }
    }

    [Fact]
    public async Task Who_waits_for_a_model_to_be_loaded_hears_so()
    {
        await using var scene = new InferenceScene();
        var node = scene.Node("a");
        scene.Pool.ThenGrant(node.Member with { Model = node.Member.Model with { Loaded = false, SizeBytes = 4_000 } });
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        await PassAsync(scene, TimeSpan.FromSeconds(3));
        await scene.ReceivesAsync(": loading the model, for 3s; bytes=4000\n\n");
        node.Say(Says.Head("job_1.1"), Says.Chunk("job_1.1", 0, Event + End), Says.Done("job_1.1"));
        await scene.EndAsync();
        Assert.EndsWith(Event + End, scene.Received, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, 5)]
    [InlineData(true, 0)]
    public async Task Who_asked_for_a_whole_answer_or_a_hub_that_says_nothing_waits_in_silence(bool stream, int period)
    {
        await using var scene = new InferenceScene(stream, options => options.WaitNotePeriod = TimeSpan.FromSeconds(period));
        var refused = new TaskCompletionSource<LeaseGrant>();
        scene.Pool.Then((_, _) => refused.Task);
        scene.Start();
        scene.Clock.Advance(TimeSpan.FromSeconds(30));
        refused.SetResult(LeaseGrant.None(LeaseGrantStatus.TimedOut, TimeSpan.FromSeconds(9)));
        await scene.EndAsync();
        Assert.Equal((503, "9"), (scene.Http.Response.StatusCode, scene.Http.Response.Headers.RetryAfter.Single()));
    }

    [Fact]
    public async Task A_client_that_leaves_while_it_is_told_gives_back_the_lease_it_may_have_been_given()
    {
        await using var scene = new InferenceScene();
        scene.Pool.Then(async (_, cancellationToken) =>
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            throw new InvalidOperationException("Not reached.");
        });
        scene.Start();
        await PassAsync(scene, TimeSpan.FromSeconds(3));
        await scene.ReceivesAsync(": queued\n\n");
        scene.Leave();
        await scene.EndAsync();
        Assert.Equal([("job_1.1", LeaseEnd.Finished)], scene.Pool.Released);
    }

    private static TaskCompletionSource<ScriptedSession> Waiting(InferenceScene scene)
    {
        var granted = new TaskCompletionSource<ScriptedSession>(TaskCreationOptions.RunContinuationsAsynchronously);
        scene.Pool.Then(async (request, _) => LeaseGrant.On(request.LeaseId, (await granted.Task).Member));
        return granted;
    }

    private static async Task PassAsync(InferenceScene scene, TimeSpan wait)
    {
        await scene.Clock.UntilWaitedForAsync(wait);
        scene.Clock.Advance(wait);
    }
}
