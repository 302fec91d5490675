using Federation.Standins.Grpc.Tests.V1;
using Grpc.Core;

namespace Federation.Standins.Grpc.Tests;

public sealed class CallKindTests
{
    [Fact]
    public async Task A_unary_call_brings_one_answer()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (ask, _) => Task.FromResult(new Answer { Text = $"hello {ask.Text}", Number = ask.Number + 1 }),
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).UnaryAsync(new Ask { Text = "world", Number = 41 });
        var answer = await call.ResponseAsync.Soon();

        Assert.Equal("hello world", answer.Text);
        Assert.Equal(42, answer.Number);
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
        Assert.Empty(server.Errors);
    }

    [Fact]
    public async Task A_blocking_unary_call_brings_one_answer()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (ask, _) => Task.FromResult(new Answer { Text = ask.Text }),
        });
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        var answer = await Task.Run(() => client.Unary(new Ask { Text = "blocking" })).Soon();

        Assert.Equal("blocking", answer.Text);
    }

    [Fact]
    public async Task A_client_stream_is_read_to_its_end_before_the_answer()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Collect = async (asks, _) =>
            {
                var sum = 0;
                await foreach (var ask in asks.ReadAllAsync())
                    sum += ask.Number;
                return new Answer { Number = sum };
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Collect();
        for (var number = 1; number <= 100; number++)
            await call.RequestStream.WriteAsync(new Ask { Number = number }).Soon();
        await call.RequestStream.CompleteAsync().Soon();

        Assert.Equal(5050, (await call.ResponseAsync.Soon()).Number);
        Assert.Empty(server.Errors);
    }

    [Fact]
    public async Task A_server_stream_arrives_in_order_and_ends()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = async (ask, answers, _) =>
            {
                for (var number = 0; number < ask.Number; number++)
                    await answers.WriteAsync(new Answer { Number = number });
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask { Number = 1000 });
        var numbers = new List<int>();
        while (await call.ResponseStream.MoveNext().Soon())
            numbers.Add(call.ResponseStream.Current.Number);

        Assert.Equal(Enumerable.Range(0, 1000), numbers);
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
        Assert.False(await call.ResponseStream.MoveNext().Soon());
        Assert.Empty(server.Errors);
    }

    [Fact]
    public async Task A_duplex_stream_answers_each_message_as_it_comes()
    {
        await using var server = await ProbeServer.StartAsync(new Script { Chat = EchoAsync });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        for (var number = 0; number < 200; number++)
        {
            await call.RequestStream.WriteAsync(new Ask { Number = number }).Soon();
            Assert.True(await call.ResponseStream.MoveNext().Soon());
            Assert.Equal(number, call.ResponseStream.Current.Number);
        }

        await call.RequestStream.CompleteAsync().Soon();
        Assert.False(await call.ResponseStream.MoveNext().Soon());
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
        Assert.Empty(server.Errors);
    }

    [Fact]
    public async Task A_server_may_speak_first_on_a_duplex_stream()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, answers, _) =>
            {
                await answers.WriteAsync(new Answer { Text = "challenge" });
                Assert.True(await asks.MoveNext());
                await answers.WriteAsync(new Answer { Text = $"welcome {asks.Current.Text}" });
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        Assert.Equal("challenge", call.ResponseStream.Current.Text);
        await call.RequestStream.WriteAsync(new Ask { Text = "node" }).Soon();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        Assert.Equal("welcome node", call.ResponseStream.Current.Text);
        Assert.False(await call.ResponseStream.MoveNext().Soon());
    }

    [Fact]
    public async Task A_method_that_is_not_overridden_is_unimplemented()
    {
        await using var server = await ProbeServer.StartAsync(new Script());
        using var channel = server.Channel();

        var refused = await channel.RefusalOfUnaryAsync();

        Assert.Equal(StatusCode.Unimplemented, refused.StatusCode);
    }

    internal static async Task EchoAsync(IAsyncStreamReader<Ask> asks, IServerStreamWriter<Answer> answers, ServerCallContext context)
    {
        await foreach (var ask in asks.ReadAllAsync(context.CancellationToken))
            await answers.WriteAsync(new Answer { Text = ask.Text, Data = ask.Data, Number = ask.Number });
    }
}
