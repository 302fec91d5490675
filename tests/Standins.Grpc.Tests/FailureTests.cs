using Federation.Standins.Grpc.Tests.V1;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Federation.Standins.Grpc.Tests;

public sealed class FailureTests
{
    private const string Secret = "the password is swordfish";

    [Fact]
    public async Task A_handler_s_exception_is_UNKNOWN_and_keeps_its_text_to_itself()
    {
        await using var server = await ProbeServer.StartAsync(new Script { Unary = (_, _) => throw new InvalidOperationException(Secret) });
        using var channel = server.Channel();

        var failed = await channel.RefusalOfUnaryAsync();

        Assert.Equal(StatusCode.Unknown, failed.StatusCode);
        Assert.Equal("Exception was thrown by handler.", failed.Status.Detail);
        Assert.Contains(server.Errors, error => error.Contains(Secret, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_handler_s_exception_after_messages_is_UNKNOWN_too()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = async (_, answers, _) =>
            {
                await answers.WriteAsync(new Answer());
                throw new InvalidOperationException(Secret);
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask());
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        var failed = await call.ResponseStream.MoveNext().RefusalAsync();

        Assert.Equal(StatusCode.Unknown, failed.StatusCode);
        Assert.DoesNotContain("swordfish", failed.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Detailed_errors_tell_the_text_when_they_are_enabled()
    {
        await using var server = await ProbeServer.StartAsync(
            new Script { Unary = (_, _) => throw new InvalidOperationException("no such model") },
            options => options.EnableDetailedErrors = true);
        using var channel = server.Channel();

        var failed = await channel.RefusalOfUnaryAsync();

        Assert.Equal("Exception was thrown by handler. InvalidOperationException: no such model", failed.Status.Detail);
    }

    [Fact]
    public async Task A_handler_that_answers_nothing_is_CANCELLED()
    {
        await using var server = await ProbeServer.StartAsync(new Script { Unary = (_, _) => Task.FromResult<Answer>(null!) });
        using var channel = server.Channel();

        var failed = await channel.RefusalOfUnaryAsync();

        Assert.Equal(StatusCode.Cancelled, failed.StatusCode);
        Assert.Equal("No message returned from method.", failed.Status.Detail);
    }

    [Theory]
    [InlineData(StatusCode.Cancelled)]
    [InlineData(StatusCode.Unknown)]
    [InlineData(StatusCode.InvalidArgument)]
    [InlineData(StatusCode.DeadlineExceeded)]
    [InlineData(StatusCode.NotFound)]
    [InlineData(StatusCode.AlreadyExists)]
    [InlineData(StatusCode.PermissionDenied)]
    [InlineData(StatusCode.ResourceExhausted)]
    [InlineData(StatusCode.FailedPrecondition)]
    [InlineData(StatusCode.Aborted)]
    [InlineData(StatusCode.OutOfRange)]
    [InlineData(StatusCode.Unimplemented)]
    [InlineData(StatusCode.Internal)]
    [InlineData(StatusCode.Unavailable)]
    [InlineData(StatusCode.DataLoss)]
    [InlineData(StatusCode.Unauthenticated)]
    public async Task Every_status_reaches_the_caller(StatusCode code)
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, _) => throw new RpcException(new Status(code, $"as {code}")),
        });
        using var channel = server.Channel();

        var failed = await channel.RefusalOfUnaryAsync();

        Assert.Equal(code, failed.StatusCode);
        Assert.Equal($"as {code}", failed.Status.Detail);
    }

    [Fact]
    public async Task Nobody_at_the_address_is_UNAVAILABLE()
    {
        string address;
        await using (var server = await ProbeServer.StartAsync(new Script()))
            address = server.Address;
        using var channel = GrpcChannel.ForAddress(address);
        var client = new Probe.ProbeClient(channel);

        var unary = await client.UnaryAsync(new Ask()).ResponseAsync.RefusalAsync();
        using var call = client.Chat();
        var reading = await call.ResponseStream.MoveNext().RefusalAsync();
        var writing = await call.RequestStream.WriteAsync(new Ask()).RefusalAsync();
        var headers = await call.ResponseHeadersAsync.RefusalAsync();

        Assert.All([unary, reading, writing, headers], failed => Assert.Equal(StatusCode.Unavailable, failed.StatusCode));
    }

    [Fact]
    public async Task A_broken_connection_fails_the_stream_on_both_sides()
    {
        var (cancelled, readerFailed) = (new Signal(), new Signal());
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, answers, context) =>
            {
                await answers.WriteAsync(new Answer());
                // Which of the two depends on whether Kestrel sees a reset or an end.
                var reading = await Record.ExceptionAsync(() => asks.MoveNext());
                Assert.True(reading is IOException or OperationCanceledException, $"{reading}");
                readerFailed.Set();
                await cancelled.SetWhenCancelledAsync(context.CancellationToken);
            },
        });
        await using var relay = new TcpRelay(server.Address);
        using var channel = GrpcChannel.ForAddress(relay.Address);

        using var call = new Probe.ProbeClient(channel).Chat();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        relay.Cut();
        var reading = await call.ResponseStream.MoveNext().RefusalAsync();
        var writing = await call.RequestStream.WriteAsync(new Ask()).RefusalAsync();

        Assert.Equal(StatusCode.Unavailable, reading.StatusCode);
        Assert.Equal(StatusCode.Unavailable, writing.StatusCode);
        await cancelled.Happened;
        await readerFailed.Happened;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_broken_connection_fails_a_client_that_only_writes(bool answered)
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, answers, _) =>
            {
                if (answered)
                    await answers.WriteAsync(new Answer());
                await foreach (var ask in asks.ReadAllAsync())
                    Assert.Empty(ask.Text);
            },
        });
        await using var relay = new TcpRelay(server.Address);
        using var channel = GrpcChannel.ForAddress(relay.Address);

        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.WriteAsync(new Ask()).Soon();
        if (answered)
            Assert.True(await call.ResponseStream.MoveNext().Soon());
        relay.Cut();
        var writing = await Assert.ThrowsAnyAsync<Exception>(() => WriteForeverAsync(call.RequestStream).Soon());
        var reading = await call.ResponseStream.MoveNext().RefusalAsync();

        // The transport's exception comes through until the call has ended: who writes must expect both.
        Assert.True(writing is IOException or RpcException { StatusCode: StatusCode.Unavailable }, writing.ToString());
        Assert.Equal(StatusCode.Unavailable, reading.StatusCode);
        Assert.Equal(StatusCode.Unavailable, (await call.RequestStream.WriteAsync(new Ask()).RefusalAsync()).StatusCode);

        static async Task WriteForeverAsync(IClientStreamWriter<Ask> requests)
        {
            while (true)
                await requests.WriteAsync(new Ask());
        }
    }

    [Fact]
    public async Task A_peer_that_falls_silent_is_found_by_keep_alive_pings()
    {
        await using var server = await ProbeServer.StartAsync(new Script { Chat = CallKindTests.EchoAsync });
        await using var relay = new TcpRelay(server.Address);
        using var channel = GrpcChannel.ForAddress(relay.Address, new GrpcChannelOptions
        {
            HttpHandler = new SocketsHttpHandler
            {
                KeepAlivePingDelay = TimeSpan.FromSeconds(1),
                KeepAlivePingTimeout = TimeSpan.FromSeconds(1),
                KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            },
            DisposeHttpClient = true,
        });

        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.WriteAsync(new Ask()).Soon();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        relay.Freeze();
        var failed = await call.ResponseStream.MoveNext().RefusalAsync();

        Assert.Equal(StatusCode.Internal, failed.StatusCode);
    }

    [Fact]
    public async Task A_server_that_aborts_the_connection_fails_its_calls()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, _, context) =>
            {
                Assert.True(await asks.MoveNext());
                context.GetHttpContext().Abort();
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.WriteAsync(new Ask()).Soon();
        var failed = await call.ResponseStream.MoveNext().RefusalAsync();

        Assert.Equal(StatusCode.Internal, failed.StatusCode);
    }

    [Fact]
    public async Task A_server_that_stops_ends_its_streams()
    {
        var server = await ProbeServer.StartAsync(new Script { Chat = CallKindTests.EchoAsync });
        using var channel = server.Channel();
        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.WriteAsync(new Ask()).Soon();
        Assert.True(await call.ResponseStream.MoveNext().Soon());

        await server.StopNowAsync();

        var failed = await call.ResponseStream.MoveNext().RefusalAsync();
        Assert.Contains(failed.StatusCode, new[] { StatusCode.Unavailable, StatusCode.Internal, StatusCode.Cancelled, StatusCode.Unknown });
        await server.DisposeAsync();
    }

    [Theory]
    [InlineData(400, StatusCode.Internal)]
    [InlineData(401, StatusCode.Unauthenticated)]
    [InlineData(403, StatusCode.PermissionDenied)]
    [InlineData(404, StatusCode.Unimplemented)]
    [InlineData(429, StatusCode.Unavailable)]
    [InlineData(431, StatusCode.Internal)]
    [InlineData(500, StatusCode.Unknown)]
    [InlineData(502, StatusCode.Unavailable)]
    [InlineData(503, StatusCode.Unavailable)]
    [InlineData(504, StatusCode.Unavailable)]
    public async Task An_HTTP_error_of_a_proxy_becomes_a_status(int httpStatus, StatusCode code)
    {
        await using var proxy = await ProbeServer.StartAsync(new Script(), inFront: app => app.Run(http =>
        {
            http.Response.StatusCode = httpStatus;
            return Task.CompletedTask;
        }));
        using var channel = proxy.Channel();

        var failed = await channel.RefusalOfUnaryAsync();

        Assert.Equal(code, failed.StatusCode);
        Assert.Equal($"Bad gRPC response. HTTP status code: {httpStatus}", failed.Status.Detail);
    }

    public static TheoryData<string, StatusCode> BadResponses() => new()
    {
        { "no content type", StatusCode.Cancelled },
        { "another content type", StatusCode.Cancelled },
        { "no status", StatusCode.Cancelled },
        { "truncated message", StatusCode.Internal },
        // Protobuf's exception is an IOException, which stands for a lost connection.
        { "bytes that are no message", StatusCode.Unavailable },
        { "compressed message", StatusCode.Internal },
        { "compressed message of an unknown encoding", StatusCode.Unimplemented },
        { "status that is no number", StatusCode.Cancelled },
        { "two messages", StatusCode.Internal },
        { "no message", StatusCode.Internal },
    };

    [Theory]
    [MemberData(nameof(BadResponses))]
    public async Task A_server_that_does_not_speak_the_protocol_fails_the_call(string kind, StatusCode code)
    {
        await using var proxy = await ProbeServer.StartAsync(
            new Script(),
            inFront: app => app.Run(http => AnswerBadlyAsync(http.Response, kind)));
        using var channel = proxy.Channel();

        var failed = await channel.RefusalOfUnaryAsync();

        Assert.Equal(code, failed.StatusCode);
    }

    [Fact]
    public void An_address_must_suit_the_credentials()
    {
        var secure = new GrpcChannelOptions { Credentials = ChannelCredentials.SecureSsl };
        var insecure = new GrpcChannelOptions { Credentials = ChannelCredentials.Insecure };

        Assert.Throws<InvalidOperationException>(() => GrpcChannel.ForAddress("http://localhost", secure));
        Assert.Throws<InvalidOperationException>(() => GrpcChannel.ForAddress("https://localhost", insecure));
        Assert.Throws<InvalidOperationException>(() => GrpcChannel.ForAddress("ftp://localhost"));
        Assert.Throws<UriFormatException>(() => GrpcChannel.ForAddress("nowhere in particular"));
    }

    private static async Task AnswerBadlyAsync(HttpResponse response, string kind)
    {
        if (kind != "no content type")
            response.ContentType = kind == "another content type" ? "text/html" : "application/grpc";
        if (kind == "compressed message of an unknown encoding")
            response.Headers["grpc-encoding"] = "snappy";
        await response.StartAsync();
        byte[] message = RawClient.Frame([8 + 2, 1, (byte)'x']);
        byte[] body = kind switch
        {
            "truncated message" => message[..^1],
            "bytes that are no message" => RawClient.Frame([0xff, 0xff]),
            "compressed message" or "compressed message of an unknown encoding" => [1, .. message[1..]],
            "two messages" => [.. message, .. message],
            "no message" => [],
            _ => message,
        };
        await response.Body.WriteAsync(body);
        if (kind != "no status")
            response.AppendTrailer("grpc-status", kind == "status that is no number" ? "fine" : "0");
    }
}
