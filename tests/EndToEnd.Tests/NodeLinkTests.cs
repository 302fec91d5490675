using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.Identity;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A node that breaks the protocol is disconnected with a status that says how; the hub stays up and others are served.</summary>
public sealed class NodeLinkTests(SharedHub shared, ITestOutputHelper output) : SharedHubTest(shared, output)
{
    // ------------------------------------------------------------------------------------------------------- handshake

    [Fact]
    public async Task A_node_that_never_joined_is_refused()
    {
        var line = Keep(await Keep(FakeNode.Dial(Hub.Nodes)).OpenAsync());
        await line.SendAsync(new NodeMessage { Hello = line.Hello("anything") });
        await line.ExpectEndAsync(StatusCode.Unauthenticated, "the node is unknown to this hub");
    }

    [Fact]
    public async Task A_signature_by_another_key_is_refused()
    {
        var node = await JoinedNodeAsync();
        var line = Keep(await node.OpenAsync());
        using var other = SigningKey.Create();
        var hello = line.Hello("anything");
        hello.Signature = ByteString.CopyFrom(other.Sign(Proofs.Connection(HubId.Parse(line.Challenge.HubId), line.Challenge.Nonce.Span, node.Id)));
        await line.SendAsync(new NodeMessage { Hello = hello });
        await line.ExpectEndAsync(StatusCode.Unauthenticated, "does not answer this challenge");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(63)]
    [InlineData(65)]
    [InlineData(5_000)]
    public async Task A_signature_of_the_wrong_length_is_refused(int length)
    {
        var line = Keep(await (await JoinedNodeAsync()).OpenAsync());
        var hello = line.Hello("anything");
        hello.Signature = ByteString.CopyFrom(new byte[length]);
        await line.SendAsync(new NodeMessage { Hello = hello });
        await line.ExpectEndAsync(StatusCode.Unauthenticated, "does not answer this challenge");
    }

    [Fact]
    public async Task A_replayed_hello_is_refused()
    {
        var node = await JoinedNodeAsync();
        var first = Keep(await node.OpenAsync());
        var recorded = first.Hello("anything");
        await first.SendAsync(new NodeMessage { Hello = recorded });
        await first.WelcomeAsync();
        var second = Keep(await node.OpenAsync());
        Assert.NotEqual(first.Challenge.Nonce, second.Challenge.Nonce);
        await second.SendAsync(new NodeMessage { Hello = recorded });
        await second.ExpectEndAsync(StatusCode.Unauthenticated, "does not answer this challenge");
    }

    [Fact]
    public async Task A_first_message_that_is_no_hello_is_refused()
    {
        var line = Keep(await (await JoinedNodeAsync()).OpenAsync());
        await line.SendAsync(new NodeMessage { Heartbeat = new Heartbeat() });
        await line.ExpectEndAsync(StatusCode.InvalidArgument, "the first message must be a hello");
    }

    [Fact]
    public async Task A_node_that_says_nothing_is_hung_up_on()
    {
        var line = Keep(await (await JoinedNodeAsync()).OpenAsync());
        await line.ExpectEndAsync(StatusCode.DeadlineExceeded, "the hello did not come within 5 s");
    }

    [Fact]
    public async Task A_malformed_node_id_is_refused()
    {
        var line = Keep(await (await JoinedNodeAsync()).OpenAsync());
        var hello = line.Hello("anything");
        hello.NodeId = "nd_' OR 1=1";
        await line.SendAsync(new NodeMessage { Hello = hello });
        await line.ExpectEndAsync(StatusCode.InvalidArgument, "the node id is malformed");
    }

    [Fact]
    public async Task A_second_hello_ends_the_connection()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        await line.SendAsync(new NodeMessage { Hello = line.Hello(model) });
        await line.ExpectEndAsync(StatusCode.InvalidArgument, "a second hello");
    }

    [Fact]
    public async Task A_node_that_connects_anew_replaces_its_old_connection()
    {
        var (node, first, model) = await ConnectedNodeAsync();
        var second = Keep(await node.ConnectAsync(Hub, model));
        await first.ExpectEndAsync(StatusCode.Aborted, "the node connected anew");
        second.Serve("from the new one");
        using var client = Hub.Client();
        Assert.Equal("from the new one", (await client.ChatAsync(model)).Content);
    }

    [Fact]
    public async Task A_banned_node_is_disconnected_and_stays_out()
    {
        var (node, line, _) = await ConnectedNodeAsync();
        using var admin = Hub.Client();
        (await admin.PostAsync($"/v1/nodes/{node.Id}/standing", new JsonObject { ["standing"] = "banned" })).Expect(HttpStatusCode.NoContent);
        await line.ExpectEndAsync(StatusCode.PermissionDenied, "the node is banned");

        var again = Keep(await node.OpenAsync());
        await again.SendAsync(new NodeMessage { Hello = again.Hello("anything") });
        await again.ExpectEndAsync(StatusCode.PermissionDenied, "the node is banned");

        var token = await admin.JoinTokenAsync();
        var refusal = await Assert.ThrowsAsync<RpcException>(() => node.EnrolAsync(token));
        Assert.Equal(StatusCode.PermissionDenied, refusal.StatusCode);
    }

    // --------------------------------------------------------------------------------------------------------- garbage

    [Theory]
    [InlineData("Connect")]
    [InlineData("Enrol")]
    public async Task Bytes_that_are_no_message_are_refused(string method)
    {
        var noise = new byte[512];
        new Random(4711).NextBytes(noise);
        var (status, detail) = await RawLink.CallAsync(Hub.Nodes, method, RawLink.Frame(noise));
        Assert.Equal(((int)StatusCode.InvalidArgument).ToString(System.Globalization.CultureInfo.InvariantCulture), status);
        Assert.Contains("malformed", detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_method_of_a_newer_agent_is_unimplemented()
    {
        var newer = Keep(FakeNode.Dial(Hub.Nodes));
        var refusal = await Assert.ThrowsAsync<RpcException>(() => newer.CallAsync("ConnectWithTelepathy"));
        Assert.Equal(StatusCode.Unimplemented, refusal.StatusCode);
    }

    [Fact]
    public async Task A_frame_that_claims_more_than_the_limit_is_refused_before_it_is_read()
    {
        var (status, detail) = await RawLink.CallAsync(Hub.Nodes, "Connect", RawLink.Frame([1, 2, 3], claimedLength: int.MaxValue));
        Assert.Equal(((int)StatusCode.ResourceExhausted).ToString(System.Globalization.CultureInfo.InvariantCulture), status);
        Assert.NotEmpty(detail);
    }

    [Fact]
    public async Task A_frame_that_ends_too_soon_is_refused()
    {
        var (status, _) = await RawLink.CallAsync(Hub.Nodes, "Connect", RawLink.Frame([1, 2, 3], claimedLength: 100));
        Assert.NotEqual("0", status);
    }

    [Fact]
    public async Task A_frame_compressed_by_nobody_knows_what_is_refused()
    {
        var (status, _) = await RawLink.CallAsync(Hub.Nodes, "Connect", RawLink.Frame([1, 2, 3], compressed: true));
        Assert.NotEqual("0", status);
    }

    [Fact]
    public async Task Garbage_from_a_node_that_has_proved_itself_ends_its_connection()
    {
        var (_, line, _) = await ConnectedNodeAsync();
        // Field 1, a hello, of length 5 that is not there.
        await line.SendGarbageAsync([0x0a, 0x05, 0x01]);
        await line.ExpectEndAsync(StatusCode.InvalidArgument, "malformed");
    }

    // ---------------------------------------------------------------------------------------------------------- floods

    [Fact]
    public async Task A_flood_of_messages_ends_the_connection()
    {
        var (_, line, _) = await ConnectedNodeAsync();
        for (var i = 0; i < 100_000 && await line.TrySendAsync(new NodeMessage { Heartbeat = new Heartbeat() }); i++)
        {
        }
        await line.ExpectEndAsync(StatusCode.ResourceExhausted, "more than 200 messages a second");
    }

    [Fact]
    public async Task A_message_above_1_MiB_ends_the_connection()
    {
        var (_, line, _) = await ConnectedNodeAsync();
        await line.TrySendAsync(new NodeMessage { Drain = new Drain { Reason = new string('x', 1024 * 1024) } });
        await line.ExpectEndAsync(StatusCode.ResourceExhausted, "message");
    }

    [Fact]
    public async Task A_chunk_above_the_limit_ends_the_connection()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(line, model);
        await line.BeginAsync(lease);
        await line.TrySendAsync(ChunkOf(lease, 0, new byte[65 * 1024]));
        await line.ExpectEndAsync(StatusCode.ResourceExhausted, "a chunk of 66560 bytes; at most 65536");
        await ExpectNoAnswerAsync(asked);
    }

    [Fact]
    public async Task Output_beyond_its_window_ends_the_connection()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        using var client = Hub.Client();
        var asked = client.StreamChatAsync(model);
        var lease = await line.NextAssignAsync();
        await line.BeginAsync(lease);
        // The client reads nothing but the headers, so the hub's buffers fill up and it stops granting.
        var piece = Chats.Piece(new string('x', 60_000));
        ulong sequence = 0;
        while (sequence < 4_096 && await line.TrySendAsync(ChunkOf(lease, sequence, piece))) sequence++;
        await line.ExpectEndAsync(StatusCode.ResourceExhausted, "sent more than its window");
        (await asked).Dispose();
    }

    // ---------------------------------------------------------------------------------------------------------- leases

    [Theory]
    [InlineData("accept")]
    [InlineData("head")]
    [InlineData("chunk")]
    [InlineData("done")]
    [InlineData("failed")]
    [InlineData("refuse")]
    public async Task A_message_for_a_lease_it_was_not_given_ends_the_connection(string kind)
    {
        var (_, line, _) = await ConnectedNodeAsync();
        const string lease = "job_of_somebody_else.1";
        await line.SendAsync(kind switch
        {
            "accept" => new NodeMessage { Accept = new Accept { LeaseId = lease } },
            "head" => new NodeMessage { Head = new Head { LeaseId = lease, Status = 200 } },
            "chunk" => new NodeMessage { Chunk = new Chunk { LeaseId = lease, Data = ByteString.CopyFromUtf8("mine") } },
            "done" => new NodeMessage { Done = new Done { LeaseId = lease } },
            "failed" => new NodeMessage { Failed = new Failed { LeaseId = lease } },
            _ => new NodeMessage { Refuse = new Refuse { LeaseId = lease } },
        });
        await line.ExpectEndAsync(StatusCode.PermissionDenied, $"lease '{lease}' was not given to this node");
    }

    [Fact]
    public async Task A_node_cannot_answer_for_another_nodes_lease()
    {
        var (_, honest, model) = await ConnectedNodeAsync();
        var (_, thief, _) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(honest, model);
        await thief.SendAsync(ChunkOf(lease, 0, Chats.Whole("stolen", 1, 1)));
        await thief.ExpectEndAsync(StatusCode.PermissionDenied, "was not given to this node");
        await honest.AnswerAsync(lease, "honest");
        Assert.Equal("honest", (await asked).Content);
    }

    [Theory]
    [InlineData(1UL)]
    [InlineData(ulong.MaxValue)]
    public async Task A_chunk_out_of_order_ends_the_connection(ulong sequence)
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(line, model);
        await line.BeginAsync(lease);
        await line.SendAsync(ChunkOf(lease, sequence, Chats.Whole("late", 1, 1)));
        await line.ExpectEndAsync(StatusCode.InvalidArgument, $"chunk {sequence} of lease {lease.LeaseId} is out of order");
        await ExpectNoAnswerAsync(asked);
    }

    [Fact]
    public async Task A_repeated_chunk_ends_the_connection()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(line, model);
        await line.BeginAsync(lease);
        await line.ChunkAsync(lease.LeaseId, 0, "{"u8.ToArray());
        await line.ChunkAsync(lease.LeaseId, 0, "{"u8.ToArray());
        await line.ExpectEndAsync(StatusCode.InvalidArgument, "out of order");
        await ExpectNoAnswerAsync(asked);
    }

    [Fact]
    public async Task A_chunk_before_the_head_ends_the_connection()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(line, model);
        await line.SendAsync(ChunkOf(lease, 0, [1]));
        await line.ExpectEndAsync(StatusCode.InvalidArgument, "a chunk before the head");
        await ExpectNoAnswerAsync(asked);
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(100u)]
    [InlineData(700u)]
    public async Task A_head_without_an_HTTP_status_ends_the_connection(uint status)
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(line, model);
        await line.SendAsync(new NodeMessage { Head = new Head { LeaseId = lease.LeaseId, Status = status } });
        await line.ExpectEndAsync(StatusCode.InvalidArgument, $"status {status} is not an HTTP answer");
        await ExpectNoAnswerAsync(asked);
    }

    [Fact]
    public async Task A_second_head_ends_the_connection()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(line, model);
        await line.BeginAsync(lease);
        await line.SendAsync(new NodeMessage { Head = new Head { LeaseId = lease.LeaseId, Status = 200 } });
        await line.ExpectEndAsync(StatusCode.InvalidArgument, "a second head");
        await ExpectNoAnswerAsync(asked);
    }

    [Fact]
    public async Task Words_about_a_lease_that_has_just_ended_are_ignored()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(line, model);
        await line.AnswerAsync(lease, "done");
        Assert.Equal("done", (await asked).Content);
        await line.ChunkAsync(lease.LeaseId, 9, [1]);
        await line.DoneAsync(lease.LeaseId);
        var (askedAgain, second) = await AskAsync(line, model);
        await line.AnswerAsync(second, "still here");
        Assert.Equal("still here", (await askedAgain).Content);
    }

    [Fact]
    public async Task An_answer_that_is_no_JSON_never_reaches_the_client_as_one()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var (asked, lease) = await AskAsync(line, model);
        await line.SendAsync(new NodeMessage { Head = new Head { LeaseId = lease.LeaseId, Status = 400, ContentType = "text/html" } });
        await line.ChunkAsync(lease.LeaseId, 0, "<script>alert(1)</script>"u8.ToArray());
        await line.DoneAsync(lease.LeaseId);
        (await asked).ExpectError(HttpStatusCode.BadRequest, null, "The engine refused the request with status 400");
    }

    // ------------------------------------------------------------------------------------------------------- inventory

    [Theory]
    [InlineData("twins", "two engines of the same name")]
    [InlineData("nameless", "a model without a usable name")]
    [InlineData("slots", "more than 1024 slots")]
    [InlineData("models", "more than 1024 models")]
    public async Task An_inventory_beyond_the_limits_ends_the_connection(string what, string words)
    {
        var (_, line, model) = await ConnectedNodeAsync();
        var engine = line.Hello(model).Inventory.Engines[0];
        var inventory = new Inventory { Engines = { engine } };
        switch (what)
        {
            case "twins": inventory.Engines.Add(engine); break;
            case "nameless": engine.Models.Add(new Model()); break;
            case "slots": engine.Slots = uint.MaxValue; break;
            default: engine.Models.Add(Enumerable.Range(0, 1_024).Select(i => new Model { Name = $"m{i}" })); break;
        }
        await line.SendAsync(new NodeMessage { Inventory = inventory });
        await line.ExpectEndAsync(StatusCode.InvalidArgument, words);
    }

    [Fact]
    public async Task A_model_that_goes_and_comes_is_noticed()
    {
        var (_, line, model) = await ConnectedNodeAsync();
        using var admin = Hub.Client();
        await line.SendAsync(new NodeMessage { Inventory = new Inventory() });
        await Patience.UntilAsync(async () => !await admin.HasModelAsync(model), "the model to go");
        await line.SendAsync(new NodeMessage { Inventory = line.Hello(model).Inventory });
        await Patience.UntilAsync(() => admin.HasModelAsync(model), "the model to come back");
    }

    // -------------------------------------------------------------------------------------------------------- receipts

    [Theory]
    [InlineData(31, 64)]
    [InlineData(32, 63)]
    [InlineData(0, 64)]
    public async Task A_receipt_signature_of_the_wrong_length_ends_the_connection(int idLength, int signatureLength)
    {
        var (_, line, _) = await ConnectedNodeAsync();
        await line.SendAsync(new NodeMessage
        {
            ReceiptAnswers = new ReceiptAnswers { Signed = { ByteString.CopyFrom(new byte[idLength]) }, Signature = ByteString.CopyFrom(new byte[signatureLength]) },
        });
        await line.ExpectEndAsync(StatusCode.InvalidArgument, "a receipt signature of the wrong length");
    }

    // --------------------------------------------------------------------------------------------------------- details

    private static NodeMessage ChunkOf(Assign lease, ulong sequence, byte[] data)
        => new() { Chunk = new Chunk { LeaseId = lease.LeaseId, Sequence = sequence, Data = ByteString.CopyFrom(data) } };

    /// <summary>A client asks, and the node is given the lease.</summary>
    private async Task<(Task<HubAnswer> Asked, Assign Lease)> AskAsync(NodeLine line, string model)
    {
        var asked = Keep(new Asker(Hub.Client())).AskAsync(model);
        return (asked, await line.NextAssignAsync());
    }

    /// <summary>The only node that has the model fell out: the client hears that no node could answer.</summary>
    private static async Task ExpectNoAnswerAsync(Task<HubAnswer> asked)
    {
        var answer = await asked.Soon("an answer to the client");
        Assert.True(answer.Status is HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable, $"{answer.Status}: {answer.Text}");
        Assert.NotNull(answer.Json["error"]);
        Assert.NotNull(answer.Headers.RetryAfter);
    }

    private sealed class Asker(HubClient client) : IAsyncDisposable
    {
        public Task<HubAnswer> AskAsync(string model) => client.ChatAsync(model);

        public ValueTask DisposeAsync()
        {
            client.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
