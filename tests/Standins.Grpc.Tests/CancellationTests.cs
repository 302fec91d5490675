using Federation.Standins.Grpc.Tests.V1;
using Grpc.Core;

namespace Federation.Standins.Grpc.Tests;

public sealed class CancellationTests
{
    [Fact]
    public async Task Cancelling_a_unary_call_cancels_its_handler()
    {
        var (started, cancelled) = (new Signal(), new Signal());
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = async (_, context) =>
            {
                started.Set();
                await cancelled.SetWhenCancelledAsync(context.CancellationToken);
                return new Answer();
            },
        });
        using var channel = server.Channel();
        using var cancellation = new CancellationTokenSource();

        using var call = new Probe.ProbeClient(channel).UnaryAsync(new Ask(), cancellationToken: cancellation.Token);
        await started.Happened;
        await cancellation.CancelAsync();

        var thrown = await call.ResponseAsync.RefusalAsync();
        Assert.Equal(StatusCode.Cancelled, thrown.StatusCode);
        Assert.Equal(StatusCode.Cancelled, call.GetStatus().StatusCode);
        await cancelled.Happened;
    }

    [Fact]
    public async Task A_cancelled_token_fails_without_calling()
    {
        var calls = 0;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, _) =>
            {
                Interlocked.Increment(ref calls);
                return Task.FromResult(new Answer());
            },
        });
        using var channel = server.Channel();

        var thrown = await new Probe.ProbeClient(channel).UnaryAsync(new Ask(), cancellationToken: new CancellationToken(canceled: true))
            .ResponseAsync.RefusalAsync();

        Assert.Equal(StatusCode.Cancelled, thrown.StatusCode);
        Assert.Equal(0, calls);
    }

    [Fact]
    public async Task Disposing_a_stream_cancels_its_handler()
    {
        var cancelled = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (_, answers, context) =>
            {
                await answers.WriteAsync(new Answer());
                await cancelled.SetWhenCancelledAsync(context.CancellationToken);
            },
        });
        using var channel = server.Channel();

        var call = new Probe.ProbeClient(channel).Chat();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        call.Dispose();

        await cancelled.Happened;
        Assert.Equal(StatusCode.Cancelled, call.GetStatus().StatusCode);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => call.ResponseStream.MoveNext());
        await Assert.ThrowsAsync<ObjectDisposedException>(() => call.RequestStream.WriteAsync(new Ask()));
    }

    [Fact]
    public async Task Disposing_a_stream_fails_its_pending_read()
    {
        var started = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, _, _) =>
            {
                started.Set();
                await asks.MoveNext();
            },
        });
        using var channel = server.Channel();

        var call = new Probe.ProbeClient(channel).Chat();
        var reading = call.ResponseStream.MoveNext();
        await started.Happened;
        call.Dispose();

        Assert.Equal(StatusCode.Cancelled, (await reading.RefusalAsync()).StatusCode);
    }

    [Fact]
    public async Task Cancelling_a_read_cancels_the_call()
    {
        var cancelled = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = async (_, answers, context) =>
            {
                await answers.WriteAsync(new Answer());
                await cancelled.SetWhenCancelledAsync(context.CancellationToken);
            },
        });
        using var channel = server.Channel();
        using var cancellation = new CancellationTokenSource();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask());
        Assert.True(await call.ResponseStream.MoveNext(cancellation.Token).Soon());
        var reading = call.ResponseStream.MoveNext(cancellation.Token);
        await cancellation.CancelAsync();

        Assert.Equal(StatusCode.Cancelled, (await reading.RefusalAsync()).StatusCode);
        await cancelled.Happened;
    }

    [Fact]
    public async Task A_client_may_prefer_OperationCanceledException()
    {
        var started = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, _, _) =>
            {
                started.Set();
                await asks.MoveNext();
            },
        });
        using var channel = server.Channel(options => options.ThrowOperationCanceledOnCancellation = true);
        using var cancellation = new CancellationTokenSource();

        using var call = new Probe.ProbeClient(channel).Chat(cancellationToken: cancellation.Token);
        var reading = call.ResponseStream.MoveNext();
        await started.Happened;
        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading.Soon());
    }

    [Fact]
    public async Task A_handler_that_reads_learns_that_its_client_is_gone()
    {
        var (started, failed) = (new Signal(), new Signal());
        Exception? seen = null;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, _, _) =>
            {
                started.Set();
                try
                {
                    await asks.MoveNext();
                }
                catch (Exception exception)
                {
                    seen = exception;
                    failed.Set();
                    throw;
                }
            },
        });
        using var channel = server.Channel();

        var call = new Probe.ProbeClient(channel).Chat();
        await started.Happened;
        call.Dispose();

        await failed.Happened;
        Assert.IsAssignableFrom<IOException>(seen);
        Assert.Empty(server.Errors);
    }

    [Fact]
    public async Task A_handler_cannot_write_to_a_client_that_is_gone()
    {
        var (started, tried) = (new Signal(), new Signal());
        Exception? seen = null;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (_, answers, context) =>
            {
                var gone = new Signal();
                started.Set();
                await gone.SetWhenCancelledAsync(context.CancellationToken);
                seen = await Record.ExceptionAsync(() => answers.WriteAsync(new Answer()));
                tried.Set();
            },
        });
        using var channel = server.Channel();

        var call = new Probe.ProbeClient(channel).Chat();
        await started.Happened;
        call.Dispose();

        await tried.Happened;
        Assert.IsType<InvalidOperationException>(seen);
        Assert.Empty(server.Errors);
    }

    [Fact]
    public async Task Disposing_the_channel_cancels_its_calls()
    {
        var (started, cancelled) = (new Signal(), new Signal());
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (_, _, context) =>
            {
                started.Set();
                await cancelled.SetWhenCancelledAsync(context.CancellationToken);
            },
        });
        var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        using var call = client.Chat();
        var reading = call.ResponseStream.MoveNext();
        await started.Happened;
        channel.Dispose();

        Assert.Equal(StatusCode.Cancelled, (await reading.RefusalAsync()).StatusCode);
        await cancelled.Happened;
        Assert.Throws<ObjectDisposedException>(() => client.Chat());
    }

    [Fact]
    public async Task A_handler_that_ends_early_ends_the_client_s_writes()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = (_, _, _) => throw new RpcException(new Status(StatusCode.PermissionDenied, "banned")),
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        var reading = await call.ResponseStream.MoveNext().RefusalAsync();
        var writing = await call.RequestStream.WriteAsync(new Ask()).RefusalAsync();

        Assert.Equal(StatusCode.PermissionDenied, reading.StatusCode);
        Assert.Equal(StatusCode.PermissionDenied, writing.StatusCode);
        Assert.Equal("banned", writing.Status.Detail);
    }

    [Fact]
    public async Task A_client_that_only_writes_learns_that_the_handler_ended()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, _, _) =>
            {
                Assert.True(await asks.MoveNext());
                throw new RpcException(new Status(StatusCode.InvalidArgument, "malformed"));
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        var thrown = await WriteForeverAsync(call.RequestStream).RefusalAsync();

        // A writer may learn that the call is over before the reader knows why.
        Assert.Contains(thrown.StatusCode, new[] { StatusCode.InvalidArgument, StatusCode.Cancelled });
        Assert.Equal("malformed", (await call.ResponseStream.MoveNext().RefusalAsync()).Status.Detail);
    }

    [Fact]
    public async Task A_client_stream_that_is_refused_fails_its_writer_and_its_answer()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Collect = (_, _) => throw new RpcException(new Status(StatusCode.Unauthenticated, "who are you")),
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Collect();
        var answering = await call.ResponseAsync.RefusalAsync();
        var writing = await call.RequestStream.WriteAsync(new Ask()).RefusalAsync();

        Assert.Equal(StatusCode.Unauthenticated, answering.StatusCode);
        Assert.Equal(StatusCode.Unauthenticated, writing.StatusCode);
    }

    private static async Task WriteForeverAsync(IClientStreamWriter<Ask> requests)
    {
        while (true)
            await requests.WriteAsync(new Ask());
    }
}
