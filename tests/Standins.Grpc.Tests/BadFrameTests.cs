using System.Net;
using Federation.Standins.Grpc.Tests.V1;
using Google.Protobuf;

namespace Federation.Standins.Grpc.Tests;

/// <summary>A peer that does not speak the protocol gets a clear answer, and the server goes on serving.</summary>
public sealed class BadFrameTests
{
    private const string Unary = "/federation.probe.v1.Probe/Unary";
    private const string Ok = "0";
    private const string Unknown = "2";
    private const string ResourceExhausted = "8";
    private const string Unimplemented = "12";
    private const string Internal = "13";

    private static readonly byte[] _ask = new Ask { Text = "ask" }.ToByteArray();

    [Theory]
    [InlineData("Unary")]
    [InlineData("Chat")]
    public Task A_truncated_prefix_is_INTERNAL(string method) =>
        ExpectAsync(method, RawClient.Frame(_ask)[..3], Internal, "Incomplete message.");

    [Theory]
    [InlineData("Unary")]
    [InlineData("Chat")]
    public Task A_length_beyond_the_body_is_INTERNAL(string method) =>
        ExpectAsync(method, RawClient.Frame(_ask, length: 1000), Internal, "Incomplete message.");

    [Theory]
    [InlineData("Unary")]
    [InlineData("Chat")]
    public Task A_length_beyond_the_limit_is_RESOURCE_EXHAUSTED_before_the_body_has_come(string method) =>
        ExpectAsync(
            method,
            RawClient.Frame(_ask, length: 2_000_000_000),
            ResourceExhausted,
            "Received message exceeds the maximum configured message size.");

    [Theory]
    [InlineData("Unary")]
    [InlineData("Chat")]
    public Task A_compressed_message_without_an_encoding_is_INTERNAL(string method) =>
        ExpectAsync(
            method,
            RawClient.Frame(_ask, flag: 1),
            Internal,
            "Request did not include grpc-encoding value with compressed message.");

    [Fact]
    public Task A_compressed_message_of_encoding_identity_is_INTERNAL() =>
        ExpectAsync(
            "Unary",
            RawClient.Frame(_ask, flag: 1),
            Internal,
            "Request sent 'identity' grpc-encoding value with compressed message.",
            ("grpc-encoding", "identity"));

    [Fact]
    public Task A_compressed_message_of_an_unknown_encoding_is_UNIMPLEMENTED() =>
        ExpectAsync("Unary", RawClient.Frame(_ask, flag: 1), Unimplemented, message: null, ("grpc-encoding", "snappy"));

    [Fact]
    public Task An_encoding_without_a_compressed_message_is_fine() =>
        ExpectAsync("Unary", RawClient.Frame(_ask), Ok, message: null, ("grpc-encoding", "snappy"));

    [Theory]
    [InlineData("Unary")]
    [InlineData("Chat")]
    public Task A_flag_that_is_none_is_an_error(string method) =>
        ExpectAsync(method, RawClient.Frame(_ask, flag: 7), Unknown, "Exception was thrown by handler.");

    [Theory]
    [InlineData("Unary")]
    [InlineData("Chat")]
    public Task Bytes_that_are_no_message_are_an_error(string method) =>
        ExpectAsync(method, RawClient.Frame([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Unknown, "Exception was thrown by handler.");

    [Fact]
    public Task A_unary_call_without_a_message_is_INTERNAL() => ExpectAsync("Unary", [], Internal, "Incomplete message.");

    [Fact]
    public Task A_unary_call_with_two_messages_is_INTERNAL() =>
        ExpectAsync("Unary", [.. RawClient.Frame(_ask), .. RawClient.Frame(_ask)], Internal, "Additional data after the message received.");

    [Fact]
    public async Task A_stream_without_messages_is_fine()
    {
        await using var server = await EchoServerAsync();
        using var raw = new RawClient(server.Address);

        var answer = await raw.PostAsync("Chat", []).Soon();

        Assert.Equal(Ok, answer.Status);
        Assert.Empty(answer.Messages);
    }

    [Fact]
    public async Task Frames_may_be_cut_anywhere()
    {
        await using var server = await EchoServerAsync();
        using var raw = new RawClient(server.Address);
        var asks = Enumerable.Range(0, 50).Select(number => new Ask { Number = number, Text = new string('x', number * 7) });
        var body = asks.SelectMany(ask => RawClient.Frame(ask.ToByteArray())).ToArray();

        var answer = await raw.DribbleAsync("Chat", body).Soon();

        Assert.Equal(Ok, answer.Status);
        Assert.Equal(Enumerable.Range(0, 50), answer.Messages.Select(bytes => Answer.Parser.ParseFrom(bytes).Number));
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("application/grpcish")]
    [InlineData("text/plain")]
    public async Task Another_content_type_is_refused(string contentType)
    {
        await using var server = await EchoServerAsync();
        using var raw = new RawClient(server.Address);

        var answer = await raw.SendAsync(HttpMethod.Post, Unary, RawClient.Frame(_ask), contentType, HttpVersion.Version20).Soon();

        Assert.Equal(HttpStatusCode.UnsupportedMediaType, answer.HttpStatus);
        Assert.Equal(Internal, answer.Status);
        await StillServesAsync(server);
    }

    [Fact]
    public async Task No_content_type_is_refused()
    {
        await using var server = await EchoServerAsync();
        using var raw = new RawClient(server.Address);

        var answer = await raw.SendAsync(HttpMethod.Post, Unary, RawClient.Frame(_ask), contentType: null, HttpVersion.Version20).Soon();

        Assert.Equal(HttpStatusCode.UnsupportedMediaType, answer.HttpStatus);
        Assert.Equal("Content-Type is missing from the request.", answer.Message);
    }

    [Theory]
    [InlineData("application/grpc")]
    [InlineData("application/grpc+proto")]
    [InlineData("application/grpc; charset=utf-8")]
    public async Task Every_spelling_of_the_content_type_is_served(string contentType)
    {
        await using var server = await EchoServerAsync();
        using var raw = new RawClient(server.Address);

        var answer = await raw.SendAsync(HttpMethod.Post, Unary, RawClient.Frame(_ask), contentType, HttpVersion.Version20).Soon();

        Assert.Equal(Ok, answer.Status);
    }

    [Fact]
    public async Task An_HTTP_1_request_is_told_to_upgrade()
    {
        await using var server = await ProbeServer.StartAsync(
            new Script { Unary = (ask, _) => Task.FromResult(new Answer { Text = ask.Text }) },
            listen: endpoint => endpoint.Protocols = Microsoft.AspNetCore.Server.Kestrel.Core.HttpProtocols.Http1);
        using var raw = new RawClient(server.Address);

        var answer = await raw.SendAsync(HttpMethod.Post, Unary, RawClient.Frame(_ask), "application/grpc", HttpVersion.Version11).Soon();

        Assert.Equal(HttpStatusCode.UpgradeRequired, answer.HttpStatus);
        Assert.Equal(Internal, answer.Status);
    }

    [Fact]
    public async Task A_GET_is_not_a_call()
    {
        await using var server = await EchoServerAsync();
        using var raw = new RawClient(server.Address);

        var answer = await raw.SendAsync(HttpMethod.Get, Unary, [], contentType: null, HttpVersion.Version20).Soon();

        Assert.Equal(HttpStatusCode.NotFound, answer.HttpStatus);
    }

    [Theory]
    [InlineData("/federation.probe.v1.Probe/Nothing", "Method is unimplemented.")]
    [InlineData("/federation.probe.v1.Nobody/Unary", "Service is unimplemented.")]
    public async Task An_unknown_method_or_service_is_UNIMPLEMENTED(string path, string message)
    {
        await using var server = await EchoServerAsync();
        using var raw = new RawClient(server.Address);

        var answer = await raw.SendAsync(HttpMethod.Post, path, RawClient.Frame(_ask), "application/grpc", HttpVersion.Version20).Soon();

        Assert.Equal(HttpStatusCode.OK, answer.HttpStatus);
        Assert.Equal(Unimplemented, answer.Status);
        Assert.Equal(message, answer.Message);
        Assert.True(answer.StatusWasInHeaders);
    }

    [Fact]
    public async Task Metadata_that_is_not_base64_does_not_stop_the_server()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, context) => Task.FromResult(new Answer { Number = context.RequestHeaders.Count }),
        });
        using var raw = new RawClient(server.Address);

        var answer = await raw.PostAsync("Unary", RawClient.Frame(_ask), ("proof-bin", "***")).Soon();

        Assert.Equal(Unknown, answer.Status);
        Assert.Equal(Ok, (await raw.PostAsync("Unary", RawClient.Frame(_ask)).Soon()).Status);
    }

    private static async Task ExpectAsync(
        string method,
        byte[] body,
        string status,
        string? message,
        params (string Name, string Value)[] headers)
    {
        await using var server = await EchoServerAsync();
        using var raw = new RawClient(server.Address);

        var answer = await raw.PostAsync(method, body, headers).Soon();

        Assert.Equal(HttpStatusCode.OK, answer.HttpStatus);
        Assert.Equal(status, answer.Status);
        if (message is not null)
            Assert.Equal(message, answer.Message);
        await StillServesAsync(server);
    }

    private static async Task StillServesAsync(ProbeServer server)
    {
        using var channel = server.Channel();
        var answer = await new Probe.ProbeClient(channel).UnaryAsync(new Ask { Text = "still here" }).ResponseAsync.Soon();
        Assert.Equal("still here", answer.Text);
    }

    private static Task<ProbeServer> EchoServerAsync() => ProbeServer.StartAsync(new Script
    {
        Unary = (ask, _) => Task.FromResult(new Answer { Text = ask.Text }),
        Chat = CallKindTests.EchoAsync,
    });
}
