using Federation.Standins.Grpc.Tests.V1;
using Grpc.Core;

namespace Federation.Standins.Grpc.Tests;

public sealed class LoadTests
{
    [Fact]
    public async Task Two_hundred_duplex_streams_run_at_once_and_nothing_is_lost_or_mixed_up()
    {
        const int Streams = 200;
        const int Messages = 50;
        var together = new CountdownEvent(Streams);
        var allOpen = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, answers, context) =>
            {
                if (together.Signal())
                    allOpen.Set();
                await allOpen.Happened;
                await CallKindTests.EchoAsync(asks, answers, context);
            },
        });
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        await Task.WhenAll(Enumerable.Range(0, Streams).Select(TalkAsync)).Soon();

        Assert.Empty(server.Errors);

        async Task TalkAsync(int stream)
        {
            using var call = client.Chat();
            var writing = WriteAsync(call.RequestStream, stream);
            for (var number = 0; number < Messages; number++)
            {
                Assert.True(await call.ResponseStream.MoveNext());
                Assert.Equal(number, call.ResponseStream.Current.Number);
                Assert.Equal($"stream {stream}", call.ResponseStream.Current.Text);
            }

            await writing;
            Assert.False(await call.ResponseStream.MoveNext());
        }

        static async Task WriteAsync(IClientStreamWriter<Ask> requests, int stream)
        {
            for (var number = 0; number < Messages; number++)
                await requests.WriteAsync(new Ask { Number = number, Text = $"stream {stream}" });
            await requests.CompleteAsync();
        }
    }

    [Fact]
    public async Task Calls_that_are_dropped_at_random_leave_the_server_well()
    {
        const int Seed = 4711;
        await using var server = await ProbeServer.StartAsync(new Script { Chat = CallKindTests.EchoAsync });
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);
        var random = new Random(Seed);

        for (var round = 0; round < 200; round++)
        {
            var call = client.Chat();
            var messages = random.Next(4);
            for (var number = 0; number < messages; number++)
                await call.RequestStream.WriteAsync(new Ask { Number = number }).Soon();
            if (messages > 0 && random.Next(2) == 0)
                Assert.True(await call.ResponseStream.MoveNext().Soon());
            call.Dispose();
        }

        using var last = client.Chat();
        await last.RequestStream.WriteAsync(new Ask { Text = "well" }).Soon();
        Assert.True(await last.ResponseStream.MoveNext().Soon());
        // A stream may tell its handler before the token does, in reading or in writing; that is all it may come to.
        Assert.All(server.Errors, error => Assert.True(SaysThatTheClientLeft(error), error));

        static bool SaysThatTheClientLeft(string error) => error.Contains("The client reset the request stream.", StringComparison.Ordinal)
            || error.Contains("Can't write the message because the request is complete.", StringComparison.Ordinal)
            || error.Contains("Can't read messages after the request is complete.", StringComparison.Ordinal);
    }
}
