using System.Net;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

public sealed class ConcurrentStreamsTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private const int Streams = 200;

    [Theory]
    [InlineData(64)]
    [InlineData(1)]
    public async Task Two_hundred_streams_at_once_through_one_node_each_get_their_own_answer(int slots)
    {
        // Who waits longer than that for its turn is told so, and reads of its node in a comment and not in the head.
        var hub = await StartHubAsync(new Dictionary<string, string> { ["Gateway__QuietWait"] = "00:01:00" });
        var agent = await StartAgentAsync(hub, AgentEngines.Demo(slots));
        using var client = hub.Client();

        var answers = await Task.WhenAll(Enumerable.Range(0, Streams).Select(async i =>
        {
            // The model is exact on sums of two numbers up to 99.
            var (left, right) = (i % 100, (i * 37 % 90) + 10);
            using var stream = await client.StreamChatAsync(AgentProcess.Model, $"{left}+{right}=");
            return (Expected: $"{left + right}", Text: await stream.TextAsync(), stream.Node);
        }));

        Assert.All(answers, answer => Assert.Equal(answer.Expected, answer.Text));
        Assert.All(answers, answer => Assert.Equal(agent.NodeId, answer.Node));
        await Patience.UntilAsync(async () => (await client.NodeAsync(agent.NodeId))["running_leases"]!.GetValue<int>() == 0, "the node to be idle");
    }

    [Fact]
    public async Task Six_engines_of_one_model_on_one_node_answer_at_once()
    {
        const string model = "six-times";
        var engines = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => StartEngineAsync(model)));
        var hub = await StartHubAsync();
        await StartAgentAsync(hub, AgentEngines.Scripted(engines, model));
        using var client = hub.Client();

        var asking = engines.Select(_ => client.PostAsync("/v1/chat/completions", Chats.Question(model, "Where?", stream: false))).ToArray();
        // Each has one slot, and none is free again before all are taken.
        var asked = await Task.WhenAll(engines.Select(engine => engine.NextAsync()));
        foreach (var answer in asked) await answer.EndWholeAsync("Here.");
        Assert.All(await Task.WhenAll(asking), answer => answer.Expect(HttpStatusCode.OK));
    }
}
