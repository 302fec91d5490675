using System.Text;
using Federation.Standins.Grpc.Tests.V1;
using Grpc.Core;

namespace Federation.Standins.Grpc.Tests;

public sealed class MetadataTests
{
    private static readonly byte[] _everyByte = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];

    [Fact]
    public async Task Request_headers_reach_the_handler_as_text_and_as_bytes()
    {
        Metadata? seen = null;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, context) =>
            {
                seen = context.RequestHeaders;
                return Task.FromResult(new Answer());
            },
        });
        using var channel = server.Channel();

        var sent = new Metadata { { "X-Plain", "some text" }, { "proof-bin", _everyByte }, { "empty-bin", [] } };
        await new Probe.ProbeClient(channel).UnaryAsync(new Ask(), sent).ResponseAsync.Soon();

        Assert.NotNull(seen);
        Assert.Equal("some text", seen.GetValue("x-plain"));
        Assert.Equal(_everyByte, seen.GetValueBytes("proof-bin"));
        Assert.Empty(seen.GetValueBytes("empty-bin")!);
        Assert.DoesNotContain(seen, entry => entry.Key is "grpc-accept-encoding" or "te" or "content-type");
    }

    [Fact]
    public async Task Response_headers_arrive_before_the_first_message()
    {
        var release = new TaskCompletionSource();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = async (_, answers, context) =>
            {
                await context.WriteResponseHeadersAsync(new Metadata { { "node", "nd_1" }, { "nonce-bin", _everyByte } });
                await release.Task;
                await answers.WriteAsync(new Answer { Text = "late" });
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask());
        var headers = await call.ResponseHeadersAsync.Soon();
        Assert.Equal("nd_1", headers.GetValue("node"));
        Assert.Equal(_everyByte, headers.GetValueBytes("nonce-bin"));

        release.SetResult();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        Assert.Equal("late", call.ResponseStream.Current.Text);
    }

    [Fact]
    public async Task Response_headers_are_sent_at_most_once()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = async (_, context) =>
            {
                await context.WriteResponseHeadersAsync(new Metadata { { "a", "1" } });
                var again = await Assert.ThrowsAsync<InvalidOperationException>(
                    () => context.WriteResponseHeadersAsync(new Metadata { { "b", "2" } }));
                return new Answer { Text = again.Message };
            },
        });
        using var channel = server.Channel();

        var answer = await new Probe.ProbeClient(channel).UnaryAsync(new Ask()).ResponseAsync.Soon();

        Assert.Equal("Response headers can only be sent once per call.", answer.Text);
    }

    [Fact]
    public async Task Trailers_come_with_a_good_answer()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, context) =>
            {
                context.ResponseTrailers.Add("cost", "7");
                context.ResponseTrailers.Add("receipt-bin", _everyByte);
                return Task.FromResult(new Answer());
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).UnaryAsync(new Ask());
        Assert.Throws<InvalidOperationException>(() => call.GetTrailers());
        Assert.Throws<InvalidOperationException>(() => call.GetStatus());
        await call.ResponseAsync.Soon();

        Assert.Equal("7", call.GetTrailers().GetValue("cost"));
        Assert.Equal(_everyByte, call.GetTrailers().GetValueBytes("receipt-bin"));
        Assert.DoesNotContain(call.GetTrailers(), entry => entry.Key.StartsWith("grpc-", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Trailers_come_at_the_end_of_a_stream()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = async (asks, answers, context) =>
            {
                await CallKindTests.EchoAsync(asks, answers, context);
                context.ResponseTrailers.Add("count", "1");
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.WriteAsync(new Ask()).Soon();
        await call.RequestStream.CompleteAsync();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        Assert.False(await call.ResponseStream.MoveNext().Soon());

        Assert.Equal("1", call.GetTrailers().GetValue("count"));
    }

    [Fact]
    public async Task Trailers_of_a_refusal_are_on_the_exception()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, context) =>
            {
                context.ResponseTrailers.Add("from-context", "1");
                throw new RpcException(new Status(StatusCode.FailedPrecondition, "not yet"), new Metadata { { "from-exception", "2" } });
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).UnaryAsync(new Ask());
        var refused = await call.ResponseAsync.RefusalAsync();

        Assert.Equal(StatusCode.FailedPrecondition, refused.StatusCode);
        Assert.Equal("not yet", refused.Status.Detail);
        Assert.Equal("1", refused.Trailers.GetValue("from-context"));
        Assert.Equal("2", refused.Trailers.GetValue("from-exception"));
        Assert.Equal("2", call.GetTrailers().GetValue("from-exception"));
        Assert.Equal(StatusCode.FailedPrecondition, call.GetStatus().StatusCode);
    }

    [Fact]
    public async Task Trailers_of_a_refusal_come_after_messages_too()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = async (_, answers, _) =>
            {
                await answers.WriteAsync(new Answer { Number = 1 });
                throw new RpcException(new Status(StatusCode.ResourceExhausted, "enough"), new Metadata { { "left", "0" } });
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask());
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        var refused = await call.ResponseStream.MoveNext().RefusalAsync();

        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
        Assert.Equal("0", refused.Trailers.GetValue("left"));
        var again = await call.ResponseStream.MoveNext().RefusalAsync();
        Assert.Equal(StatusCode.ResourceExhausted, again.StatusCode);
    }

    [Theory]
    [InlineData("plain words")]
    [InlineData("50 % of 100%25")]
    [InlineData("line one\nline two\ttabbed")]
    [InlineData("Müller kostet 5 €, 猫 🐈")]
    [InlineData("ends in percent %")]
    [InlineData("")]
    public async Task A_status_message_survives_the_wire(string detail)
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, _) => throw new RpcException(new Status(StatusCode.Aborted, detail)),
        });
        using var channel = server.Channel();

        var refused = await channel.RefusalOfUnaryAsync();

        Assert.Equal(StatusCode.Aborted, refused.StatusCode);
        Assert.Equal(detail, refused.Status.Detail);
    }

    [Fact]
    public async Task Status_details_pass_through()
    {
        var details = Encoding.UTF8.GetBytes("a google.rpc.Status would be here");
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, _) => throw new RpcException(
                new Status(StatusCode.InvalidArgument, "bad"),
                new Metadata { { "grpc-status-details-bin", details } }),
        });
        using var channel = server.Channel();

        var refused = await channel.RefusalOfUnaryAsync();

        Assert.Equal(details, refused.Trailers.GetValueBytes("grpc-status-details-bin"));
    }

    [Fact]
    public async Task A_handler_may_set_a_status_and_return()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Spread = (_, _, context) =>
            {
                context.Status = new Status(StatusCode.NotFound, "nothing here");
                return Task.CompletedTask;
            },
        });
        using var channel = server.Channel();

        using var call = new Probe.ProbeClient(channel).Spread(new Ask());
        var refused = await call.ResponseStream.MoveNext().RefusalAsync();

        Assert.Equal(StatusCode.NotFound, refused.StatusCode);
        Assert.Equal("nothing here", refused.Status.Detail);
    }

    [Fact]
    public async Task The_context_says_who_calls_what()
    {
        var seen = "";
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, context) =>
            {
                seen = $"{context.Method} {context.Peer}";
                Assert.Equal(new Uri("http://" + context.Host).Port, context.GetHttpContext().Connection.LocalPort);
                context.UserState["key"] = "value";
                Assert.Equal("value", context.UserState["key"]);
                Assert.False(context.AuthContext.IsPeerAuthenticated);
                Assert.Equal(DateTime.MaxValue, context.Deadline);
                return Task.FromResult(new Answer());
            },
        });
        using var channel = server.Channel();

        await new Probe.ProbeClient(channel).UnaryAsync(new Ask()).ResponseAsync.Soon();

        Assert.StartsWith("/federation.probe.v1.Probe/Unary ipv4:127.0.0.1:", seen, StringComparison.Ordinal);
        Assert.Empty(server.Errors);
    }

    [Fact]
    public void Keys_are_lower_case_and_checked()
    {
        var metadata = new Metadata { { "Some-Key.1_x", "a" }, { "some-key.1_x", "b" } };

        Assert.Equal("some-key.1_x", metadata[0].Key);
        Assert.Equal("b", metadata.GetValue("SOME-KEY.1_X"));
        Assert.Equal(["a", "b"], metadata.GetAll("some-key.1_x").Select(entry => entry.Value));
        Assert.Null(metadata.Get("other"));
        Assert.Throws<ArgumentException>(() => metadata.Add("bad key", "x"));
        Assert.Throws<ArgumentException>(() => metadata.Add("text-bin", "x"));
        Assert.Throws<ArgumentException>(() => metadata.Add("bytes", [1]));
        Assert.Throws<InvalidOperationException>(() => Metadata.Empty.Add("a", "b"));
        Assert.Throws<InvalidOperationException>(() => new Metadata { { "a-bin", [1] } }.GetValue("a-bin"));
    }
}
