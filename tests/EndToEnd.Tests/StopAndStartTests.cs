using System.Net;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.V1;
using Grpc.Core;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A hub that goes, and comes back.</summary>
public sealed class StopAndStartTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private const string Model = "model";

    [Fact]
    public async Task A_hub_that_is_stopped_finishes_its_streams_and_takes_no_new_work()
    {
        var hub = await StartHubAsync();
        var line = await ConnectedNodeAsync(hub, Model);
        using var client = hub.Client();
        var asking = client.StreamChatAsync(Model);
        var lease = await line.NextAssignAsync();
        await line.BeginAsync(lease);
        await line.ChunkAsync(lease.LeaseId, 0, Chats.Piece("to the "));
        using var stream = await asking;
        var reading = stream.TextAsync();

        hub.Process.Terminate();
        await Patience.UntilAsync(async () => (await client.GetAsync("/readyz")).Status is HttpStatusCode.ServiceUnavailable, "the hub to say that it stops");
        var refused = await client.ChatAsync(Model);
        refused.ExpectError(HttpStatusCode.ServiceUnavailable, "overloaded", "The hub is stopping");
        Assert.NotNull(refused.Headers.RetryAfter);

        await line.ChunkAsync(lease.LeaseId, 1, Chats.Piece("end"));
        await line.ChunkAsync(lease.LeaseId, 2, Chats.End());
        await line.DoneAsync(lease.LeaseId);
        Assert.Equal("to the end", await reading);
        await line.ExpectEndAsync(StatusCode.Unavailable, "the hub is stopping");
        Assert.Equal(0, await hub.Process.ExitAsync());
    }

    [Fact]
    public async Task A_stream_that_does_not_end_is_cut_off_when_its_time_is_up()
    {
        var hub = await StartHubAsync(new Dictionary<string, string> { ["Hub__DrainTimeout"] = "00:00:01" });
        var line = await ConnectedNodeAsync(hub, Model);
        using var client = hub.Client();
        var asking = client.StreamChatAsync(Model);
        var lease = await line.NextAssignAsync();
        await line.BeginAsync(lease);
        await line.ChunkAsync(lease.LeaseId, 0, Chats.Piece("for ever"));
        using var stream = await asking;
        hub.Process.Terminate();
        Assert.Equal(0, await hub.Process.ExitAsync());
        Assert.Contains(hub.Process.Lines, said => said.Contains("1 answers were cut off", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task After_a_restart_keys_nodes_and_pay_are_as_before_and_the_agent_is_back_by_itself(bool graceful)
    {
        using var data = new TemporaryDirectory();
        var ports = Ports.Take(2);
        var hub = await StartAsync();
        using var admin = hub.Client();
        var (account, key) = await admin.CreateAccountAsync("owner");
        var agent = await StartAgentAsync(hub, AgentEngines.Demo(), account);
        using var owner = hub.Client(key);
        Assert.Equal("42", (await admin.ChatAsync(AgentProcess.Model)).Content);
        await Patience.UntilAsync(async () => await owner.PendingAsync() > 0, "the node to sign and its owner to be credited");
        var pending = await owner.PendingAsync();

        if (graceful) hub.Process.Terminate();
        else await hub.Process.KillAsync();
        await hub.Process.ExitAsync();
        var again = await StartAsync();

        using var ownerAgain = again.Client(key);
        using var adminAgain = again.Client();
        Assert.Equal(pending, await ownerAgain.PendingAsync());
        await agent.ConnectedAsync(adminAgain, AgentProcess.Model);
        Assert.Equal("42", (await adminAgain.ChatAsync(AgentProcess.Model)).Content);
        await Patience.UntilAsync(async () => await ownerAgain.PendingAsync() > pending, "the next answer to be paid as well");

        Task<HubProcess> StartAsync() => StartHubAsync(arguments: ["--listen-nodes", $"127.0.0.1:{ports[1]}"], data: data.Path, listen: $"127.0.0.1:{ports[0]}");
    }

    [Fact]
    public async Task A_node_that_falls_silent_is_hung_up_on()
    {
        var hub = await StartHubAsync(new Dictionary<string, string> { ["NodeLink__Heartbeat"] = "00:00:00.5", ["Pool__AnnouncePeriod"] = "00:00:00.5" });
        var node = await JoinedNodeAsync(hub);
        var line = Keep(await node.OpenAsync());
        await line.SendAsync(new NodeMessage { Hello = line.Hello(Model) });
        // Welcomed, and not a word from then on.
        await line.ExpectEndAsync(StatusCode.DeadlineExceeded, "no heartbeat");
    }
}
