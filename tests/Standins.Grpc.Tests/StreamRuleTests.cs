using Federation.Standins.Grpc.Tests.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Federation.Standins.Grpc.Tests;

public sealed class StreamRuleTests
{
    // More than any flow-control window and buffer between the two ends.
    private static readonly Ask _large = new() { Data = ByteString.CopyFrom(new byte[3 * 1024 * 1024]) };

    // Of 8 KiB: more than fits between the two ends.
    private const int Many = 10_000;

    [Fact]
    public async Task A_second_pending_write_of_a_client_is_rejected()
    {
        var release = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, answers, context) =>
            {
                await release.Happened;
                await CallKindTests.EchoAsync(asks, answers, context);
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        var first = call.RequestStream.WriteAsync(_large);
        Assert.False(first.IsCompleted);
        var second = await Assert.ThrowsAsync<InvalidOperationException>(() => call.RequestStream.WriteAsync(new Ask()));
        Assert.Equal("Can't write the message because the previous write is in progress.", second.Message);
        await Assert.ThrowsAsync<InvalidOperationException>(() => call.RequestStream.CompleteAsync());

        release.Set();
        await first.Soon();
        await call.RequestStream.WriteAsync(new Ask { Number = 2 }).Soon();
        await call.RequestStream.CompleteAsync();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        Assert.Equal(2, call.ResponseStream.Current.Number);
        Assert.False(await call.ResponseStream.MoveNext().Soon());
    }

    [Fact]
    public async Task A_second_pending_read_of_a_client_is_rejected()
    {
        var release = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = async (_, answers, _) =>
            {
                await release.Happened;
                await answers.WriteAsync(new Answer { Number = 1 });
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask());
        var first = call.ResponseStream.MoveNext();
        var second = await Assert.ThrowsAsync<InvalidOperationException>(() => call.ResponseStream.MoveNext());
        Assert.Equal("Can't read the next message because the previous read is still in progress.", second.Message);

        release.Set();
        Assert.True(await first.Soon());
    }

    [Fact]
    public async Task A_completed_request_stream_takes_no_more()
    {
        await using var server = await ProbeServer.StartAsync(new Script { Chat = CallKindTests.EchoAsync });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.CompleteAsync();
        await call.RequestStream.CompleteAsync();

        var thrown = await Assert.ThrowsAsync<InvalidOperationException>(() => call.RequestStream.WriteAsync(new Ask()));
        Assert.Equal("Request stream has already been completed.", thrown.Message);
        Assert.False(await call.ResponseStream.MoveNext().Soon());
    }

    [Fact]
    public async Task Null_is_no_message()
    {
        Exception? atServer = null;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (_, answers, _) => atServer = await Record.ExceptionAsync(() => answers.WriteAsync(null!)),
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        await Assert.ThrowsAsync<ArgumentNullException>(() => call.RequestStream.WriteAsync(null!));
        Assert.False(await call.ResponseStream.MoveNext().Soon());
        Assert.IsType<ArgumentNullException>(atServer);
    }

    [Fact]
    public async Task A_second_pending_write_of_a_handler_is_rejected()
    {
        Exception? second = null;
        var rejected = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = async (_, answers, _) =>
            {
                var first = answers.WriteAsync(new Answer { Data = _large.Data });
                second = await Record.ExceptionAsync(() => answers.WriteAsync(new Answer()));
                rejected.Set();
                await first;
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask());
        await rejected.Happened;
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        Assert.False(await call.ResponseStream.MoveNext().Soon());

        Assert.IsType<InvalidOperationException>(second);
        Assert.Equal("Can't write the message because the previous write is in progress.", second.Message);
    }

    [Fact]
    public async Task A_handler_s_streams_are_dead_after_it_returns()
    {
        IServerStreamWriter<Answer>? writer = null;
        IAsyncStreamReader<Ask>? reader = null;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = (asks, answers, _) =>
            {
                (reader, writer) = (asks, answers);
                return Task.CompletedTask;
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        Assert.False(await call.ResponseStream.MoveNext().Soon());

        await Assert.ThrowsAsync<InvalidOperationException>(() => writer!.WriteAsync(new Answer()));
        await Assert.ThrowsAsync<InvalidOperationException>(() => reader!.MoveNext());
    }

    [Fact]
    public async Task A_slow_reader_slows_a_writing_handler()
    {
        var written = 0;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = async (_, answers, context) =>
            {
                var answer = new Answer { Data = ByteString.CopyFrom(new byte[8 * 1024]) };
                for (; written < Many; written++)
                    await answers.WriteAsync(answer);
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask());
        await StandsStill(() => Volatile.Read(ref written));
        Assert.InRange(written, 1, Many - 1);

        var read = 0;
        while (await call.ResponseStream.MoveNext().Soon())
            read++;
        Assert.Equal(Many, read);
    }

    [Fact]
    public async Task A_slow_handler_slows_a_writing_client()
    {
        var release = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Collect = async (asks, _) =>
            {
                await release.Happened;
                var read = 0;
                await foreach (var ask in asks.ReadAllAsync())
                    read++;
                return new Answer { Number = read };
            },
        });
        using var channel = server.Channel();
        var written = 0;

        using var call = new Probe.ProbeClient(channel).Collect();
        var writing = WriteAllAsync();
        await StandsStill(() => Volatile.Read(ref written));
        Assert.InRange(written, 1, Many - 1);

        release.Set();
        await writing.Soon();
        Assert.Equal(Many, (await call.ResponseAsync.Soon()).Number);

        async Task WriteAllAsync()
        {
            var ask = new Ask { Data = ByteString.CopyFrom(new byte[8 * 1024]) };
            for (; written < Many; written++)
                await call.RequestStream.WriteAsync(ask);
            await call.RequestStream.CompleteAsync();
        }
    }

    [Fact]
    public async Task Buffered_writes_arrive_with_the_next_unbuffered_one()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, answers, _) =>
            {
                answers.WriteOptions = new WriteOptions(WriteFlags.BufferHint);
                await foreach (var ask in asks.ReadAllAsync())
                {
                    if (ask.Text == "flush")
                        answers.WriteOptions = WriteOptions.Default;
                    await answers.WriteAsync(new Answer { Number = ask.Number });
                }
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        call.RequestStream.WriteOptions = new WriteOptions(WriteFlags.BufferHint);
        for (var number = 0; number < 10; number++)
            await call.RequestStream.WriteAsync(new Ask { Number = number }).Soon();
        call.RequestStream.WriteOptions = null;
        await call.RequestStream.WriteAsync(new Ask { Number = 10, Text = "flush" }).Soon();

        for (var number = 0; number <= 10; number++)
        {
            Assert.True(await call.ResponseStream.MoveNext().Soon());
            Assert.Equal(number, call.ResponseStream.Current.Number);
        }

        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext().Soon());
    }

    /// <summary>Completes when a counter has moved and then stayed for half a second.</summary>
    private static async Task StandsStill(Func<int> counter)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        for (var last = -1; last != counter() || last == 0;)
        {
            last = counter();
            await Task.Delay(500, patience.Token);
        }
    }
}
