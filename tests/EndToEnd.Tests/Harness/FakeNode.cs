using Federation.Protocol.Identity;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>
/// A node that does what a test tells it, right or wrong: it speaks the node link itself and runs no engine. It holds a key and
/// a way to one hub; <see cref="OpenAsync"/> gives a connection.
/// </summary>
internal sealed class FakeNode : IAsyncDisposable
{
    private static readonly Marshaller<byte[]> Bytes = Marshallers.Create(bytes => bytes, bytes => bytes);

    // As the generated client has it, but for the messages: those the test may want to write byte by byte.
    private static readonly Method<byte[], byte[]> Connect = new(MethodType.DuplexStreaming, NodeLink.Descriptor.FullName, "Connect", Bytes, Bytes);

    private readonly GrpcChannel _channel;

    private FakeNode(Uri hub, SigningKey key, HttpMessageHandler? handler)
    {
        Key = key;
        Id = NodeId.FromPublicKey(key.PublicKey.Span);
        _channel = GrpcChannel.ForAddress(hub, new GrpcChannelOptions { HttpHandler = handler, MaxReceiveMessageSize = 64 * 1024 * 1024, MaxSendMessageSize = null });
        Link = new NodeLink.NodeLinkClient(_channel);
    }

    public SigningKey Key { get; }

    public NodeId Id { get; }

    public NodeLink.NodeLinkClient Link { get; }

    /// <summary>A node with a fresh key, or this one, that has not joined yet.</summary>
    public static FakeNode Dial(Uri hub, SigningKey? key = null, HttpMessageHandler? handler = null) => new(hub, key ?? SigningKey.Create(), handler);

    /// <summary>A node that has joined, for this account; none: the operator's.</summary>
    public static async Task<FakeNode> JoinedAsync(HubProcess hub, string? account = null)
    {
        using var admin = hub.Client();
        var node = Dial(hub.Nodes);
        await node.EnrolAsync(await admin.JoinTokenAsync(account));
        return node;
    }

    /// <summary>Enrols, honestly unless the test changes the request.</summary>
    /// <exception cref="RpcException">The hub refused.</exception>
    public async Task<Enrolled> EnrolAsync(string token, Action<EnrolRequest, Challenge>? change = null)
    {
        using var call = Link.Enrol();
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).Soon("the challenge of an enrolment"));
        var challenge = call.ResponseStream.Current.Challenge;
        var request = new EnrolRequest
        {
            JoinToken = token,
            PublicKey = ByteString.CopyFrom(Key.PublicKey.Span),
            Signature = ByteString.CopyFrom(Key.Sign(Proofs.Enrolment(HubId.Parse(challenge.HubId), challenge.Nonce.Span, token, Key.PublicKey.Span))),
            DisplayName = "fake",
        };
        change?.Invoke(request, challenge);
        await call.RequestStream.WriteAsync(request);
        await call.RequestStream.CompleteAsync();
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).Soon("the end of an enrolment"));
        return call.ResponseStream.Current.Enrolled;
    }

    /// <summary>Opens a connection and reads the challenge; says nothing yet.</summary>
    public async Task<NodeLine> OpenAsync()
    {
        var line = new NodeLine(this, _channel.CreateCallInvoker().AsyncDuplexStreamingCall(Connect, null, new CallOptions()));
        await line.NextChallengeAsync();
        return line;
    }

    /// <summary>Connects as a node should, with one engine that has this model, and waits until the hub offers it.</summary>
    public async Task<NodeLine> ConnectAsync(HubProcess hub, string model, uint slots = 4, params string[] capabilities)
    {
        var line = await OpenAsync();
        await line.SendAsync(new NodeMessage { Hello = line.Hello(model, slots, capabilities) });
        await line.WelcomeAsync();
        using var admin = hub.Client();
        await Patience.UntilAsync(async () => (await admin.NodeAsync(Id.ToString()))["connected"]!.GetValue<bool>() && await admin.HasModelAsync(model), $"the hub to offer {model}");
        return line;
    }

    /// <summary>Calls a method by its name, with an empty message.</summary>
    public async Task<byte[]> CallAsync(string method)
        => await _channel.CreateCallInvoker().AsyncUnaryCall(new Method<byte[], byte[]>(MethodType.Unary, NodeLink.Descriptor.FullName, method, Bytes, Bytes), null, new CallOptions(), []);

    public ValueTask DisposeAsync()
    {
        _channel.Dispose();
        Key.Dispose();
        return ValueTask.CompletedTask;
    }
}
