using System.Security.Cryptography;
using Federation.Contracts.Nodes;
using Federation.Protocol.Identity;
using Federation.Protocol.V1;
using Federation.Silo.Hubs;
using Federation.Silo.Storage;
using Federation.Silo.Verification.Challenges;
using Federation.Silo.Verification.CommonSlots;
using Federation.Silo.Verification.Probes;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Nodes;

/// <summary>The hub's end of the node link: enrolment, and the handshake that opens a session.</summary>
internal sealed partial class NodeLinkService(
    HubIdentity identity,
    JoinTokens joinTokens,
    NodeSessions sessions,
    EndedSessions ended,
    SessionGrains grains,
    HubDrain drain,
    ChallengeRoom challenges,
    ProbeRoom probes,
    SlotRoom slots,
    IOptions<NodeLinkOptions> options,
    TimeProvider time,
    ILoggerFactory loggers,
    ILogger<NodeLinkService> logger) : NodeLink.NodeLinkBase
{
    private const int DisplayNameMax = 64;

    private readonly NodeLinkOptions _options = options.Value;

    public override Task Enrol(IAsyncStreamReader<EnrolRequest> requestStream, IServerStreamWriter<EnrolResponse> responseStream, ServerCallContext context)
        => GuardAsync(async () =>
        {
            var nonce = RandomNumberGenerator.GetBytes(Proofs.NonceBytes);
            await responseStream.WriteAsync(new EnrolResponse { Challenge = ChallengeOf(nonce) }, context.CancellationToken);
            var request = await ReadWithinAsync(requestStream, "the enrolment", context.CancellationToken);
            var enrolled = await EnrolAsync(nonce, request, context.CancellationToken);
            await responseStream.WriteAsync(new EnrolResponse { Enrolled = enrolled }, context.CancellationToken);
        });

    public override Task Connect(IAsyncStreamReader<NodeMessage> requestStream, IServerStreamWriter<HubMessage> responseStream, ServerCallContext context)
        => GuardAsync(async () =>
        {
            if (drain.IsDraining) throw Refusal(StatusCode.Unavailable, "the hub is stopping; dial again");
            var nonce = RandomNumberGenerator.GetBytes(Proofs.NonceBytes);
            await responseStream.WriteAsync(new HubMessage { Challenge = ChallengeOf(nonce) }, context.CancellationToken);
            var first = await ReadWithinAsync(requestStream, "the hello", context.CancellationToken);
            if (first.MessageCase is not NodeMessage.MessageOneofCase.Hello) throw Refusal(StatusCode.InvalidArgument, "the first message must be a hello");
            var (session, node) = await OpenAsync(nonce, first.Hello, RemoteNetwork.Of(context.Peer, slots.Options), context.GetHttpContext().Features.Get<HeardBytes>());
            await RunAsync(session, node, first.Hello, requestStream, responseStream, context.CancellationToken);
        });

    private async Task<Enrolled> EnrolAsync(byte[] nonce, EnrolRequest request, CancellationToken cancellationToken)
    {
        var publicKey = request.PublicKey.Memory;
        if (!PublicKeys.IsValid(publicKey.Span)) throw Refusal(StatusCode.InvalidArgument, "the public key is not an ECDSA P-256 key");
        if (request.DisplayName.Length > DisplayNameMax) throw Refusal(StatusCode.InvalidArgument, $"the display name is longer than {DisplayNameMax} characters");
        if (!PublicKeys.Verify(publicKey.Span, Proofs.Enrolment(identity.Id, nonce, request.JoinToken, publicKey.Span), request.Signature.Span))
            throw Refusal(StatusCode.Unauthenticated, "the signature does not prove possession of the key for this challenge");

        var nodeId = NodeId.FromPublicKey(publicKey.Span).ToString();
        var redemption = await joinTokens.RedeemAsync(request.JoinToken, nodeId, cancellationToken);
        if (redemption.AccountId is not { } accountId)
        {
            LogTokenRefused(nodeId, redemption.Status);
            throw Refusal(StatusCode.Unauthenticated, redemption.Status switch
            {
                JoinTokenStatus.Expired => "the join token has expired; ask the hub for a new one",
                JoinTokenStatus.Used => "the join token was used already; ask the hub for a new one",
                _ => "the join token is unknown; give all of it, or ask the hub for a new one",
            });
        }
        var hardware = request.Hardware ?? new Hardware();
        var name = Printable.Of(request.DisplayName.Length > 0 ? request.DisplayName : hardware.Hostname, DisplayNameMax);
        var status = await grains.EnrolAsync(nodeId, new NodeEnrolment(accountId, [.. publicKey.Span], name, [.. hardware.ToByteArray()]));
        switch (status)
        {
            case EnrolmentStatus.Enrolled:
            case EnrolmentStatus.AlreadyEnrolled:
                LogEnrolled(nodeId, accountId, status);
                return new Enrolled { NodeId = nodeId, AccountId = accountId };
            case EnrolmentStatus.OwnedByAnotherAccount:
                throw Refusal(StatusCode.AlreadyExists, "the key belongs to another account");
            case EnrolmentStatus.Banned:
                throw Refusal(StatusCode.PermissionDenied, "the node is banned");
            default:
                throw new InvalidOperationException($"Status {status} is not handled.");
        }
    }

    private async Task<(NodeSession Session, NodeIdentity Node)> OpenAsync(byte[] nonce, Hello hello, string network, HeardBytes? bytes)
    {
        if (!NodeId.TryParse(hello.NodeId, out var nodeId)) throw Refusal(StatusCode.InvalidArgument, "the node id is malformed");
        if (await grains.GetIdentityAsync(nodeId.ToString()) is not { } known) throw Refusal(StatusCode.Unauthenticated, "the node is unknown to this hub; join it first");
        if (!PublicKeys.Verify(known.PublicKey.AsSpan(), Proofs.Connection(identity.Id, nonce, nodeId), hello.Signature.Span))
            throw Refusal(StatusCode.Unauthenticated, "the signature does not answer this challenge");
        if (known.Standing is Standing.Banned) throw Refusal(StatusCode.PermissionDenied, "the node is banned");
        if (Reports.WhyInvalid(hello, _options) is { } problem) throw Refusal(StatusCode.InvalidArgument, problem);
        var session = new NodeSession(
            nodeId.ToString(), $"ns_{Guid.CreateVersion7():N}", Reports.Of(hello), _options, grains, time, loggers.CreateLogger<NodeSession>())
        {
            IsQuarantined = known.Standing is Standing.Quarantined,
            Standing = known.Standing,
            AccountId = known.AccountId,
            Network = network,
            Bytes = bytes,
        };
        if (!sessions.TryAdd(session)) throw Refusal(StatusCode.ResourceExhausted, "this silo holds as many nodes as it may; dial another");
        return (session, known);
    }

    private async Task RunAsync(
        NodeSession session, NodeIdentity node, Hello hello, IAsyncStreamReader<NodeMessage> inbound, IServerStreamWriter<HubMessage> outbound, CancellationToken aborted)
    {
        var reference = grains.ReferenceTo(session);
        session.Reference = reference;
        var checking = Task.CompletedTask;
        try
        {
            session.Send(new HubMessage
            {
                Welcome = new Welcome
                {
                    HeartbeatMs = (uint)_options.Heartbeat.TotalMilliseconds,
                    InitialWindowBytes = (uint)_options.WindowBytes,
                    MaxChunkBytes = (uint)_options.MaxChunkBytes,
                    MaxBundleBytes = (uint)_options.MaxMessageBytes,
                },
            });
            var status = await grains.ConnectAsync(session.NodeId, new NodeConnection(session.SessionId, reference, session.Report) { Network = session.Network });
            if (status is not ConnectionStatus.Connected) throw Refusal(StatusCode.PermissionDenied, $"the node may not connect: {status}");
            LogConnected(session.NodeId, hello.AgentVersion.Length > 0 ? Printable.Of(hello.AgentVersion, 64) : "unknown", session.Report.Engines.Sum(engine => engine.Models.Length));
            var talk = challenges.TalkTo(session, node);
            checking = Task.WhenAll(challenges.For(talk).RunAsync(session.Ended), slots.For(talk).RunAsync(session.Ended), probes.For(session).RunAsync(session.Ended));
            await session.RunAsync(inbound, outbound, aborted);
        }
        finally
        {
            await checking.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            sessions.Remove(session);
            LogDisconnected(session.NodeId, session.EndStatus?.Detail ?? "the node hung up");
            await DisconnectAsync(session);
            ended.Keep(session, () => grains.Forget(reference));
        }
    }

    private async Task DisconnectAsync(NodeSession session)
    {
        try
        {
            await grains.DisconnectAsync(session.NodeId, session.SessionId);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException or StorageException)
        {
            // Its grain notices the silence by itself.
            LogDisconnectFailed(session.NodeId, exception);
        }
    }

    private Challenge ChallengeOf(byte[] nonce) => new()
    {
        Nonce = ByteString.CopyFrom(nonce),
        HubId = identity.Id.ToString(),
        HubPublicKey = ByteString.CopyFrom(identity.PublicKey.Span),
    };

    private async Task<T> ReadWithinAsync<T>(IAsyncStreamReader<T> stream, string what, CancellationToken cancellationToken)
    {
        using var limit = new CancellationTokenSource(_options.HandshakeTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            return await stream.MoveNext(either.Token) ? stream.Current : throw Refusal(StatusCode.InvalidArgument, $"the stream ended before {what}");
        }
        catch (Exception exception) when (limit.IsCancellationRequested && exception is OperationCanceledException or RpcException { StatusCode: StatusCode.Cancelled })
        {
            throw Refusal(StatusCode.DeadlineExceeded, $"{what} did not come within {_options.HandshakeTimeout.TotalSeconds:0} s");
        }
    }

    /// <summary>What the hub means to say goes out as it is; what it did not expect is logged, and the node hears only whose fault it was.</summary>
    private async Task GuardAsync(Func<Task> call)
    {
        try
        {
            await call();
        }
        catch (Exception exception) when (exception is StorageException { IsTransient: true } or OrleansException or TimeoutException)
        {
            LogUnavailable(exception);
            throw Refusal(StatusCode.Unavailable, "the hub cannot answer now; dial again");
        }
        catch (InvalidProtocolBufferException)
        {
            throw Refusal(StatusCode.InvalidArgument, "a malformed message");
        }
    }

    private static RpcException Refusal(StatusCode code, string detail) => new(new Status(code, detail));

    [LoggerMessage(3100, LogLevel.Information, "Node {NodeId} enrolled for account {AccountId} ({Status})")]
    private partial void LogEnrolled(string nodeId, string accountId, EnrolmentStatus status);

    [LoggerMessage(3101, LogLevel.Information, "Node {NodeId} was refused: its join token is {Status}")]
    private partial void LogTokenRefused(string nodeId, JoinTokenStatus status);

    [LoggerMessage(3102, LogLevel.Information, "Node {NodeId} connected: agent {Version}, {Models} models")]
    private partial void LogConnected(string nodeId, string version, int models);

    [LoggerMessage(3103, LogLevel.Information, "Node {NodeId} disconnected: {Why}")]
    private partial void LogDisconnected(string nodeId, string why);

    [LoggerMessage(3104, LogLevel.Warning, "Node {NodeId}: its disconnection could not be recorded")]
    private partial void LogDisconnectFailed(string nodeId, Exception exception);

    [LoggerMessage(3105, LogLevel.Error, "A node was turned away because the hub could not do its part")]
    private partial void LogUnavailable(Exception exception);
}
