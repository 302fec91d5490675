using System.Diagnostics;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Nodes die without a word; clients should not have to know.</summary>
public sealed class NodeLossTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private const string Shared = "shared-model";

    [Fact]
    public async Task A_node_killed_while_idle_is_missed_by_nobody()
    {
        var hub = await StartHubAsync();
        var doomed = await StartAgentAsync(hub, AgentEngines.Demo());
        var other = await StartAgentAsync(hub, AgentEngines.Demo());
        using var client = hub.Client();
        await doomed.Process.KillAsync();
        // At once, before anybody can have noticed, and more than one node has slots for.
        var streams = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => client.StreamChatAsync(AgentProcess.Model)));
        foreach (var stream in streams)
        {
            using (stream)
            {
                Assert.Equal("42", await stream.TextAsync());
                Assert.Equal(other.NodeId, stream.Node);
            }
        }
        Assert.Equal("42", (await client.ChatAsync(AgentProcess.Model)).Content);
        await Patience.UntilAsync(async () => !(await client.NodeAsync(doomed.NodeId))["connected"]!.GetValue<bool>(), "the hub to see that the node is gone");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_node_killed_before_its_first_token_is_replaced_unseen(bool stream)
    {
        var hub = await StartHubAsync();
        var (engineOfOne, engineOfTwo) = (await StartEngineAsync(Shared), await StartEngineAsync(Shared));
        var one = await StartAgentAsync(hub, AgentEngines.Scripted(engineOfOne, Shared));
        var two = await StartAgentAsync(hub, AgentEngines.Scripted(engineOfTwo, Shared));
        using var client = hub.Client();

        var asking = stream ? AskForStreamAsync(client) : AskForWholeAsync(client);
        var (askedOne, askedTwo) = (engineOfOne.NextAsync(), engineOfTwo.NextAsync());
        var first = await Task.WhenAny(askedOne, askedTwo);
        var (doomed, survivor, second) = first == askedOne ? (one, two, askedTwo) : (two, one, askedOne);
        await first;
        await doomed.Process.KillAsync();
        var answer = await second;
        if (stream) await answer.WriteAsync("from the survivor");
        await (stream ? answer.EndAsync() : answer.EndWholeAsync("from the survivor"));

        Assert.Equal(("from the survivor", survivor.NodeId, 2), await asking.Soon("the client's answer"));
    }

    [Fact]
    public async Task The_only_node_killed_in_the_middle_of_a_stream_ends_it_with_an_error_event_and_not_in_silence()
    {
        // No other node comes, so nobody need wait for one.
        var hub = await StartHubAsync(new Dictionary<string, string> { ["Gateway__RescuePatience"] = "00:00:00.2" });
        var engine = await StartEngineAsync(Shared);
        var agent = await StartAgentAsync(hub, AgentEngines.Scripted(engine, Shared));
        using var client = hub.Client();
        var asking = client.StreamChatAsync(Shared);
        var answer = await engine.NextAsync();
        await answer.WriteAsync("so far");
        using var stream = await asking;
        await using var events = stream.EventsAsync().GetAsyncEnumerator();
        Assert.True(await events.MoveNextAsync());
        Assert.Equal("so far", Chats.Delta(events.Current));
        await agent.Process.KillAsync();
        Assert.True(await events.MoveNextAsync());
        var error = JsonNode.Parse(events.Current)!["error"];
        Assert.Equal("stream_interrupted", error?["code"]?.ToString());
        Assert.False(await events.MoveNextAsync());
    }

    [Fact]
    public async Task A_client_that_leaves_stops_the_engine_behind_a_real_agent_within_a_second()
    {
        var hub = await StartHubAsync();
        var engine = await StartEngineAsync(Shared);
        var agent = await StartAgentAsync(hub, AgentEngines.Scripted(engine, Shared));
        using var client = hub.Client();
        using var leave = new CancellationTokenSource();
        var asking = client.StreamChatAsync(Shared);
        var answer = await engine.NextAsync();
        await answer.WriteAsync("word");
        using var stream = await asking;
        await using var events = stream.EventsAsync(leave.Token).GetAsyncEnumerator();
        Assert.True(await events.MoveNextAsync());
        await RunningLeasesAsync(client, agent, 1);
        // While it waits for more: a client that stopped reading would first be given the rest by its own library.
        var waiting = events.MoveNextAsync().AsTask();
        var clock = Stopwatch.StartNew();
        await leave.CancelAsync();
        await answer.GoneAsync();
        var stopped = clock.Elapsed;
        Note($"The engine's connection was closed {stopped.TotalMilliseconds:0} ms after the client of a stream had left.");
        Assert.True(stopped < TimeSpan.FromSeconds(1), $"The engine was stopped only after {stopped}.");
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        await RunningLeasesAsync(client, agent, 0);
    }

    [Fact]
    public async Task A_client_that_leaves_while_it_waits_for_the_first_token_stops_the_engine_too()
    {
        var hub = await StartHubAsync();
        var engine = await StartEngineAsync(Shared);
        await StartAgentAsync(hub, AgentEngines.Scripted(engine, Shared));
        using var client = hub.Client();
        using var leave = new CancellationTokenSource();
        var asking = client.ChatAsync(Shared, cancellationToken: leave.Token);
        var answer = await engine.NextAsync();
        var clock = Stopwatch.StartNew();
        await leave.CancelAsync();
        await answer.GoneAsync();
        var stopped = clock.Elapsed;
        Note($"The engine's connection was closed {stopped.TotalMilliseconds:0} ms after the client of a whole answer had left.");
        Assert.True(stopped < TimeSpan.FromSeconds(1), $"The engine was stopped only after {stopped}.");
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
    }

    [Fact]
    public async Task An_engine_that_fails_at_once_is_not_the_first_to_be_asked_again_and_one_whose_clients_leave_is()
    {
        var hub = await StartHubAsync(new Dictionary<string, string> { ["Pool__FailureRest"] = "00:05:00" });
        await using var broken = RawEngine.Start(Shared);
        await using var good = RawEngine.Start(Shared);
        var (askedBroken, askedGood) = (0, 0);
        broken.Answer = asked =>
        {
            Interlocked.Increment(ref askedBroken);
            return Faults.AtFirst["it answers 500"](asked);
        };
        good.Answer = async asked =>
        {
            if (Interlocked.Increment(ref askedGood) <= 5) await asked.StallAsync();
            else await RawAsked.WellAsync(asked);
        };
        await StartAgentAsync(hub, AgentEngines.Scripted(good));
        using var client = hub.Client();
        for (var left = 1; left <= 5; left++)
        {
            using var leave = new CancellationTokenSource();
            var asking = client.ChatAsync(Shared, cancellationToken: leave.Token);
            await Patience.UntilAsync(() => Task.FromResult(Volatile.Read(ref askedGood) == left), "the engine to be asked");
            await leave.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
        }
        var agent = await StartAgentAsync(hub, AgentEngines.Scripted(broken));
        await Patience.UntilAsync(async () => (await client.GetAsync($"/v1/models/{Shared}")).Expect(System.Net.HttpStatusCode.OK).Json["nodes"]!.GetValue<int>() == 2, "both nodes to offer the model");
        for (var chat = 0; chat < 20; chat++) Assert.Equal("42", (await client.ChatAsync(Shared)).Content);
        Assert.Equal(20, askedGood - 5);
        // Two requests may be under way before the first failure is known; here they come one after the other.
        Assert.InRange(askedBroken, 0, 1);
        Assert.False(agent.Process.HasExited);
    }

    [Fact]
    public async Task An_agent_that_is_stopped_finishes_what_it_works_on()
    {
        var hub = await StartHubAsync();
        var engine = await StartEngineAsync(Shared);
        var agent = await StartAgentAsync(hub, AgentEngines.Scripted(engine, Shared));
        using var client = hub.Client();
        var asking = client.StreamChatAsync(Shared);
        var answer = await engine.NextAsync();
        await answer.WriteAsync("be");
        using var stream = await asking;
        var reading = stream.TextAsync();
        agent.Process.Terminate();
        await Patience.UntilAsync(async () => !await client.HasModelAsync(Shared), "the node to take no more work");
        await answer.WriteAsync("gun");
        await answer.EndAsync();
        Assert.Equal("begun", await reading);
        Assert.Equal(0, await agent.Process.ExitAsync());
    }

    private static Task RunningLeasesAsync(HubClient client, AgentProcess agent, int count)
        => Patience.UntilAsync(async () => (await client.NodeAsync(agent.NodeId))["running_leases"]!.GetValue<int>() == count, $"the node to have {count} leases");

    private static async Task<(string Text, string Node, int Attempts)> AskForStreamAsync(HubClient client)
    {
        using var stream = await client.StreamChatAsync(Shared);
        return (await stream.TextAsync(), stream.Node, stream.Attempts);
    }

    private static async Task<(string Text, string Node, int Attempts)> AskForWholeAsync(HubClient client)
    {
        var answer = await client.ChatAsync(Shared);
        return (answer.Content, answer.Headers.GetValues("x-federation-node").Single(), int.Parse(answer.Headers.GetValues("x-federation-attempts").Single(), System.Globalization.CultureInfo.InvariantCulture));
    }
}
