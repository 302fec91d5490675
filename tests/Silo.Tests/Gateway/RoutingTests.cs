using Federation.Contracts.Models;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Options;
using static Federation.Protocol.V1.HubMessage;

namespace Federation.Silo.Tests.Gateway;

public sealed class RoutingTests
{
    private const string Event = "data: {\"choices\":[{\"delta\":{\"content\":\"4\"}}]}\n\n";
    private const string End = "data: [DONE]\n\n";

    [Theory]
    [InlineData("nodes,cloud", 0, 0, 1)]
    [InlineData("own, contributors, cloud", 0, 1, 2)]
    [InlineData("contributors", -1, 0, -1)]
    [InlineData("cloud,own", 1, -1, 0)]
    [InlineData("cloud", -1, -1, 0)]
    public void An_order_of_sources_is_read(string text, int own, int contributors, int cloud)
    {
        Assert.True(SourceOrder.TryRead(text, out var order));
        Assert.Equal((new NodeSources(own, contributors), cloud, own >= 0 || contributors >= 0), (order.Nodes, order.Cloud, order.HasNodes));
    }

    [Theory]
    [InlineData("")]
    [InlineData("own,own")]
    [InlineData("peers")]
    [InlineData("nodes,own")]
    public void What_is_no_order_of_sources_stops_the_start(string text)
    {
        Assert.False(SourceOrder.TryRead(text, out _));
        Assert.True(new RoutingOptionsValidator().Validate(null, new RoutingOptions { Models = { ["llama*"] = text } }).Failed);
        Assert.True(new RoutingOptionsValidator().Validate(null, new RoutingOptions()).Succeeded);
    }

    [Fact]
    public void Of_several_patterns_the_longest_counts()
    {
        var orders = new SourceOrders(Options.Create(new RoutingOptions { Models = { ["llama*"] = "own", ["llama3:8b"] = "cloud", ["*"] = "contributors" } }));
        Assert.Equal((0, -1), (orders.For("llama3:8b").Cloud, orders.For("llama3:8b").Nodes.Own));
        Assert.Equal(new NodeSources(0, -1), orders.For("llama2").Nodes);
        Assert.Equal(new NodeSources(-1, 0), orders.For("qwen").Nodes);
    }

    [Fact]
    public async Task A_request_that_privacy_leaves_no_node_is_refused_and_sent_to_none()
    {
        await using var scene = new InferenceScene();
        scene.Request = scene.Request with { Privacy = Privacy.Own };
        scene.Pool.ThenRefuse(LeaseGrantStatus.NotAllowed, TimeSpan.Zero);
        await scene.Start().EndAsync();
        Assert.Equal(503, scene.Http.Response.StatusCode);
        Assert.Contains("privacy_unavailable", scene.Received, StringComparison.Ordinal);
        Assert.Contains("x-federation-privacy: own", scene.Received, StringComparison.Ordinal);
        Assert.Equal((Privacy.Own, "acct_ann"), (scene.Pool.Asked.Single().Privacy, scene.Pool.Asked.Single().Caller));
    }

    [Theory]
    [InlineData(Privacy.Own, false)]
    [InlineData(Privacy.Trusted, true)]
    public async Task What_only_the_callers_nodes_may_read_no_verifier_reads(Privacy privacy, bool isKept)
    {
        await using var scene = new InferenceScene();
        scene.Request = scene.Request with { Privacy = privacy };
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head("job_1.1"), Says.Chunk("job_1.1", 0, Event + End), Says.Done("job_1.1"));
        await scene.EndAsync();
        Assert.Equal(isKept, scene.Audited.Find(InferenceScene.JobId) is not null);
    }

    [Fact]
    public async Task It_can_be_asked_which_nodes_were_considered_and_what_became_of_each()
    {
        await using var scene = new InferenceScene();
        var (first, second) = (scene.Node("a"), scene.Node("b"));
        scene.Pool
            .Then((request, _) => Task.FromResult(LeaseGrant.On(request.LeaseId, first.Member) with { Why = "model loaded", Candidates = [new RouteCandidate("nd_a", "chosen", true, 0, 2, 51.5, TimeSpan.FromMilliseconds(3)), new RouteCandidate("nd_b", "not the best", false, 1, 2, 0, default)] }))
            .Then((request, _) => Task.FromResult(LeaseGrant.On(request.LeaseId, second.Member) with { Why = "the only one" }));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        Assert.Equal("running", scene.Traces.Find(InferenceScene.JobId)!.Status);
        first.Say(Says.Head("job_1.1", 500));
        await second.NextAsync(MessageOneofCase.Assign);
        second.Say(Says.Head("job_1.2"), Says.Chunk("job_1.2", 0, Event + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n" + End), Says.Done("job_1.2"));
        await scene.EndAsync();
        var trace = scene.Traces.Find(InferenceScene.JobId)!;
        Assert.Equal(("completed", 9L, 1L, "acct_ann"), (trace.Status, trace.PromptTokens, trace.CompletionTokens, trace.AccountId));
        Assert.Equal([("nd_a", "model loaded", "its engine answered 500"), ("nd_b", "the only one", "answered")], trace.Attempts.Select(attempt => (attempt.NodeId, attempt.Why, attempt.Outcome)));
        Assert.Equal(["chosen", "not the best"], trace.Attempts[0].Candidates.Select(candidate => candidate.Verdict));
    }

    [Fact]
    public void Requests_are_forgotten_after_their_time_and_when_there_are_too_many()
    {
        var clock = new TestClock();
        var traces = new RequestTraces(Options.Create(new RequestTraceOptions { MaxKept = 3, KeepFor = TimeSpan.FromHours(24) }), clock);
        for (var number = 0; number < 5; number++) traces.Begin(Request($"job_{number}"));
        Assert.Equal([false, false, true, true, true], Enumerable.Range(0, 5).Select(number => traces.Find($"job_{number}") is not null));
        clock.Advance(TimeSpan.FromHours(25));
        Assert.Null(traces.Find("job_4"));

        static Federation.Silo.Gateway.InferenceRequest Request(string id) => new(
            id, Federation.Protocol.OpenAi.JobKind.Chat, new Federation.Silo.Gateway.RequestHead("llama", true), default, new Federation.Silo.Accounts.ApiCaller("acct_1", "key_1", []), new Federation.Contracts.Accounts.Admission(true, Federation.Contracts.Accounts.Tier.Pro, 4, 1));
    }

    [Theory]
    [InlineData("")]
    [InlineData("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":100000}}\n\n")]
    public async Task The_pool_hears_how_fast_a_node_was_by_the_text_that_came_whatever_the_node_says_and_however_it_cuts_it(string usage)
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head("job_1.1"), Says.Chunk("job_1.1", 0, Event));
        await scene.ReceivesAsync(Event);
        scene.Clock.Advance(TimeSpan.FromSeconds(2));
        node.Say(Says.Chunk("job_1.1", 1, string.Concat(Enumerable.Repeat(Event, 83)) + usage + End), Says.Done("job_1.1"));
        await scene.EndAsync();
        // 84 bytes are 21 tokens, the first of them at the beginning.
        Assert.Equal(10, scene.Pool.Speeds.Single(), 3);
    }
}
