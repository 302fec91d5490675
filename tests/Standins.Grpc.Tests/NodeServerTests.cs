using System.Diagnostics;
using Federation.Standins.Grpc.Tests.V1;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Federation.Standins.Grpc.Tests;

/// <summary>Our client calls a grpc-js server: interop/server.mjs.</summary>
public sealed class NodeServerTests(NodeServerTests.Server server) : IClassFixture<NodeServerTests.Server>
{
    private static readonly ByteString _everyByte = ByteString.CopyFrom(InteropProbe.EveryByte);

    private Probe.ProbeClient Client => new(server.Channel);

    [Fact]
    public async Task A_unary_call_is_answered()
    {
        using var call = Client.UnaryAsync(new Ask { Text = "hello", Data = _everyByte, Number = 41 });

        Assert.Equal(new Answer { Text = "hello", Data = _everyByte, Number = 42 }, await call.ResponseAsync.Soon());
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
    }

    [Fact]
    public async Task A_client_stream_is_answered_with_trailers()
    {
        using var call = Client.Collect();
        for (var number = 1; number <= 1000; number++)
            await call.RequestStream.WriteAsync(new Ask { Number = number }).Soon();
        await call.RequestStream.CompleteAsync();

        Assert.Equal(500500, (await call.ResponseAsync.Soon()).Number);
        Assert.Equal("7", call.GetTrailers().GetValue("cost"));
    }

    [Fact]
    public async Task A_client_stream_may_be_refused_in_the_middle()
    {
        using var call = Client.Collect();
        await SendRefusedAsync(call.RequestStream);

        AssertRefusal(await call.ResponseAsync.RefusalAsync());
    }

    [Fact]
    public async Task A_server_stream_is_read_to_its_end()
    {
        using var call = Client.Spread(new Ask { Number = 1000, Data = _everyByte });
        var answers = await ReadAsync(call.ResponseStream);

        Assert.Equal(Enumerable.Range(0, 1000), answers.Select(answer => answer.Number));
        Assert.All(answers, answer => Assert.Equal(_everyByte, answer.Data));
        Assert.Equal("7", call.GetTrailers().GetValue("cost"));
    }

    [Fact]
    public async Task A_server_stream_may_be_refused_after_messages()
    {
        using var call = Client.Spread(new Ask { Number = 3, Text = "fail" });
        for (var number = 0; number < 3; number++)
            Assert.True(await call.ResponseStream.MoveNext().Soon());

        AssertRefusal(await call.ResponseStream.MoveNext().RefusalAsync());
    }

    [Fact]
    public async Task A_duplex_stream_goes_back_and_forth()
    {
        using var call = Client.Chat();
        for (var number = 0; number < 100; number++)
        {
            await call.RequestStream.WriteAsync(new Ask { Number = number, Text = $"message {number}" }).Soon();
            Assert.True(await call.ResponseStream.MoveNext().Soon());
            Assert.Equal(new Answer { Number = number, Text = $"message {number}" }, call.ResponseStream.Current);
        }

        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext().Soon());
        Assert.Equal("7", call.GetTrailers().GetValue("cost"));
    }

    [Fact]
    public async Task A_duplex_stream_is_pipelined()
    {
        using var call = Client.Chat();
        var reading = ReadAsync(call.ResponseStream);
        for (var number = 0; number < 5000; number++)
            await call.RequestStream.WriteAsync(new Ask { Number = number }).Soon();
        await call.RequestStream.CompleteAsync();

        Assert.Equal(Enumerable.Range(0, 5000), (await reading).Select(answer => answer.Number));
    }

    [Fact]
    public async Task A_duplex_stream_may_be_ended_by_the_server()
    {
        using var call = Client.Chat();
        await call.RequestStream.WriteAsync(new Ask { Text = "end" }).Soon();

        Assert.False(await call.ResponseStream.MoveNext().Soon());
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
    }

    [Fact]
    public async Task A_duplex_stream_may_be_refused_by_the_server()
    {
        using var call = Client.Chat();
        await SendRefusedAsync(call.RequestStream);

        AssertRefusal(await call.ResponseStream.MoveNext().RefusalAsync());
    }

    [Fact]
    public async Task A_refusal_brings_message_details_and_trailers()
    {
        using var call = Client.UnaryAsync(new Ask { Text = "fail" });

        AssertRefusal(await call.ResponseAsync.RefusalAsync());
        Assert.Equal("because", call.GetTrailers().GetValue("reason"));
    }

    [Fact]
    public async Task Metadata_goes_both_ways()
    {
        var sent = new Metadata { { "plain", "some text" }, { "proof-bin", InteropProbe.EveryByte } };
        using var call = Client.UnaryAsync(new Ask { Text = "metadata" }, sent);
        var headers = await call.ResponseHeadersAsync.Soon();
        await call.ResponseAsync.Soon();

        Assert.Equal("some text", headers.GetValue("plain-back"));
        Assert.Equal(InteropProbe.EveryByte, headers.GetValueBytes("proof-back-bin"));
        Assert.Equal("7", call.GetTrailers().GetValue("cost"));
        Assert.Equal(InteropProbe.EveryByte, call.GetTrailers().GetValueBytes("receipt-bin"));
    }

    [Fact]
    public async Task A_deadline_is_known_to_the_server()
    {
        var answer = await Client.UnaryAsync(new Ask { Text = "deadline" }, deadline: DateTime.UtcNow.AddMinutes(10)).ResponseAsync.Soon();

        Assert.InRange(answer.Number, 500_000, 602_000);
    }

    [Fact]
    public async Task Deadlines_and_cancellations_reach_the_server()
    {
        var client = Client;

        var expired = await client.UnaryAsync(new Ask { Text = "wait" }, deadline: DateTime.UtcNow.AddSeconds(2))
            .ResponseAsync.RefusalAsync();
        Assert.Equal(StatusCode.DeadlineExceeded, expired.StatusCode);
        await client.UnaryAsync(new Ask { Text = "await-cancelled", Number = 1 }).ResponseAsync.Soon();

        using var stream = client.Spread(new Ask { Text = "wait", Number = 1 });
        Assert.True(await stream.ResponseStream.MoveNext().Soon());
        stream.Dispose();
        await client.UnaryAsync(new Ask { Text = "await-cancelled", Number = 2 }).ResponseAsync.Soon();

        using var cancellation = new CancellationTokenSource();
        using var chat = client.Chat(cancellationToken: cancellation.Token);
        await chat.RequestStream.WriteAsync(new Ask()).Soon();
        Assert.True(await chat.ResponseStream.MoveNext().Soon());
        await cancellation.CancelAsync();
        Assert.Equal(StatusCode.Cancelled, (await chat.ResponseStream.MoveNext().RefusalAsync()).StatusCode);
        await client.UnaryAsync(new Ask { Text = "await-cancelled", Number = 3 }).ResponseAsync.Soon();
    }

    [Fact]
    public async Task A_big_answer_arrives_whole_and_one_beyond_the_limit_is_refused()
    {
        var answer = await Client.UnaryAsync(new Ask { Text = "big", Number = 3_000_000 }).ResponseAsync.Soon();
        Assert.Equal(3_000_000, answer.Data.Length);
        Assert.True(answer.Data.All(value => value == 7));

        var refused = await Client.UnaryAsync(new Ask { Text = "big", Number = 5_000_000 }).ResponseAsync.RefusalAsync();
        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
    }

    [Fact]
    public async Task A_request_beyond_the_server_s_limit_is_refused()
    {
        var refused = await Client.UnaryAsync(new Ask { Data = ByteString.CopyFrom(new byte[5_000_000]) }).ResponseAsync.RefusalAsync();

        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
    }

    [Fact]
    public async Task A_hundred_streams_run_at_once()
    {
        var client = Client;
        await Task.WhenAll(Enumerable.Range(0, 100).Select(async stream =>
        {
            using var call = client.Chat();
            var reading = ReadAsync(call.ResponseStream);
            for (var number = 0; number < 20; number++)
                await call.RequestStream.WriteAsync(new Ask { Number = number, Text = $"stream {stream}" });
            await call.RequestStream.CompleteAsync();
            var answers = await reading;
            Assert.Equal(Enumerable.Range(0, 20), answers.Select(answer => answer.Number));
            Assert.All(answers, answer => Assert.Equal($"stream {stream}", answer.Text));
        })).Soon();
    }

    /// <summary>Sends what is refused. Whoever still writes when the refusal comes may hear of it first.</summary>
    private static async Task SendRefusedAsync(IClientStreamWriter<Ask> requests)
    {
        if (await Record.ExceptionAsync(() => requests.WriteAsync(new Ask { Text = "fail" }).Soon()) is { } early) AssertRefusal(Assert.IsType<RpcException>(early));
    }

    private static void AssertRefusal(RpcException refused)
    {
        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
        Assert.Equal(InteropProbe.Failure, refused.Status.Detail);
        Assert.Equal("because", refused.Trailers.GetValue("reason"));
        Assert.Equal(InteropProbe.EveryByte, refused.Trailers.GetValueBytes("grpc-status-details-bin"));
    }

    private static async Task<List<Answer>> ReadAsync(IAsyncStreamReader<Answer> answers)
    {
        var read = new List<Answer>();
        while (await answers.MoveNext().Soon())
            read.Add(answers.Current);
        return read;
    }

    /// <summary>The node server, started once for all tests.</summary>
    public sealed class Server : IAsyncLifetime
    {
        private Process? _process;

        public GrpcChannel Channel { get; private set; } = null!;

        public async Task InitializeAsync()
        {
            await NodeProject.EnsureInstalledAsync();
            _process = NodeProject.StartScript("server.mjs");
            var errors = _process.StandardError.ReadToEndAsync();
            var port = await _process.StandardOutput.ReadLineAsync().Soon();
            if (port is null)
                Assert.Fail($"The node server did not start. {await errors}");
            Channel = GrpcChannel.ForAddress($"http://127.0.0.1:{port}");
        }

        public async Task DisposeAsync()
        {
            Channel?.Dispose();
            if (_process is null)
                return;

            _process.StandardInput.Close();
            await _process.WaitForExitAsync().Soon();
            _process.Dispose();
        }
    }
}
