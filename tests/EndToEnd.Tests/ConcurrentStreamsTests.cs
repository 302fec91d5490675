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
}
