using Federation.Standins.Grpc.Tests.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Federation.Standins.Grpc.Tests;

public sealed class SizeLimitTests
{
    private const int Megabyte = 1024 * 1024;

    private static Ask AskOf(int bytes) => new() { Data = ByteString.CopyFrom(new byte[bytes]) };

    [Fact]
    public async Task A_server_accepts_four_megabytes_unless_told_otherwise()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (ask, _) => Task.FromResult(new Answer { Number = ask.Data.Length }),
        });
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);
        const int Overhead = 5; // the field's tag and length

        Assert.Equal((4 * Megabyte) - Overhead, (await client.UnaryAsync(AskOf((4 * Megabyte) - Overhead)).ResponseAsync.Soon()).Number);
        var refused = await client.UnaryAsync(AskOf(4 * Megabyte)).ResponseAsync.RefusalAsync();

        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
        Assert.Equal("Received message exceeds the maximum configured message size.", refused.Status.Detail);
    }

    [Fact]
    public async Task A_message_of_a_stream_that_is_too_long_ends_the_call()
    {
        await using var server = await ProbeServer.StartAsync(
            new Script { Chat = CallKindTests.EchoAsync },
            options => options.MaxReceiveMessageSize = 1000);
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.WriteAsync(AskOf(900)).Soon();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        await call.RequestStream.WriteAsync(AskOf(1001)).Soon();
        var refused = await call.ResponseStream.MoveNext().RefusalAsync();

        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
    }

    [Fact]
    public async Task A_client_refuses_an_answer_that_is_too_long()
    {
        var cancelled = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (ask, _) => Task.FromResult(new Answer { Data = ByteString.CopyFrom(new byte[ask.Number]) }),
            Spread = async (ask, answers, context) =>
            {
                await answers.WriteAsync(new Answer { Data = ByteString.CopyFrom(new byte[ask.Number]) });
                await cancelled.SetWhenCancelledAsync(context.CancellationToken);
            },
        });
        using var channel = server.Channel(options => options.MaxReceiveMessageSize = 1000);
        var client = new Probe.ProbeClient(channel);

        var unary = await client.UnaryAsync(new Ask { Number = 2000 }).ResponseAsync.RefusalAsync();
        using var call = client.Spread(new Ask { Number = 2000 });
        var streamed = await call.ResponseStream.MoveNext().RefusalAsync();

        Assert.Equal(StatusCode.ResourceExhausted, unary.StatusCode);
        Assert.Equal(StatusCode.ResourceExhausted, streamed.StatusCode);
        call.Dispose();
        await cancelled.Happened;
    }

    [Fact]
    public async Task A_client_does_not_send_what_is_too_long()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, _) => Task.FromResult(new Answer()),
            Chat = CallKindTests.EchoAsync,
        });
        using var channel = server.Channel(options => options.MaxSendMessageSize = 1000);
        var client = new Probe.ProbeClient(channel);

        var unary = await client.UnaryAsync(AskOf(1001)).ResponseAsync.RefusalAsync();
        using var call = client.Chat();
        var streamed = await call.RequestStream.WriteAsync(AskOf(1001)).RefusalAsync();

        Assert.Equal(StatusCode.ResourceExhausted, unary.StatusCode);
        Assert.Equal("Sending message exceeds the maximum configured message size.", unary.Status.Detail);
        Assert.Equal(StatusCode.ResourceExhausted, streamed.StatusCode);
        await call.RequestStream.WriteAsync(AskOf(10)).Soon();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
    }

    [Fact]
    public async Task A_server_does_not_send_what_is_too_long()
    {
        await using var server = await ProbeServer.StartAsync(
            new Script { Unary = (_, _) => Task.FromResult(new Answer { Data = ByteString.CopyFrom(new byte[1001]) }) },
            options => options.MaxSendMessageSize = 1000);
        using var channel = server.Channel();

        var refused = await channel.RefusalOfUnaryAsync();

        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
    }

    [Fact]
    public async Task Empty_messages_are_messages()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = CallKindTests.EchoAsync,
            Unary = (_, _) => Task.FromResult(new Answer()),
        });
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        Assert.Equal(new Answer(), await client.UnaryAsync(new Ask()).ResponseAsync.Soon());
        using var call = client.Chat();
        for (var count = 0; count < 3; count++)
            await call.RequestStream.WriteAsync(new Ask()).Soon();
        await call.RequestStream.CompleteAsync();
        var answers = 0;
        while (await call.ResponseStream.MoveNext().Soon())
            answers++;
        Assert.Equal(3, answers);
    }

    [Fact]
    public async Task A_message_of_64_megabytes_travels_both_ways_unharmed()
    {
        var bytes = new byte[64 * Megabyte];
        new Random(20260822).NextBytes(bytes);
        await using var server = await ProbeServer.StartAsync(
            new Script { Chat = CallKindTests.EchoAsync },
            options => options.MaxReceiveMessageSize = null);
        using var channel = server.Channel(options => options.MaxReceiveMessageSize = null);

        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.WriteAsync(new Ask { Data = UnsafeByteOperations.UnsafeWrap(bytes) }).Soon();
        Assert.True(await call.ResponseStream.MoveNext().Soon());

        Assert.True(call.ResponseStream.Current.Data.Span.SequenceEqual(bytes));
        Assert.Empty(server.Errors);
    }
}
