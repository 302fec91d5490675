using Federation.NodeAgent.Configuration;
using Federation.Protocol.Identity;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Federation.NodeAgent.Link;

/// <summary>What joining a hub gave.</summary>
internal sealed record EnrolmentResult(HubId Hub, string NodeId, string AccountId);

/// <summary>Makes this machine a node of a hub: the token says for whom, the signature proves the key.</summary>
internal static class Enrolment
{
    /// <exception cref="HubUnreachableException">The hub does not answer.</exception>
    /// <exception cref="EnrolmentRefusedException">The hub says no; its words are the message.</exception>
    public static async Task<EnrolmentResult> JoinAsync(
        Uri hubUrl, string joinToken, NodeKey key, string? displayName, Protocol.V1.Hardware hardware, CancellationToken cancellationToken)
    {
        var hub = await HubAddress.DiscoverAsync(hubUrl, cancellationToken).ConfigureAwait(false);
        using var channel = HubChannel.Open(hub.NodeLink);
        using var call = new NodeLink.NodeLinkClient(channel).Enrol(cancellationToken: cancellationToken);
        try
        {
            var challenge = (await ReadAsync(call.ResponseStream, cancellationToken).ConfigureAwait(false)).Challenge
                ?? throw new HubUnreachableException("The hub did not begin with a challenge.");
            if (challenge.HubId != hub.Id.ToString() || HubId.FromPublicKey(challenge.HubPublicKey.Span) != hub.Id) throw new EnrolmentRefusedException("The node link belongs to another hub than the URL.");
            var request = new EnrolRequest
            {
                JoinToken = joinToken,
                PublicKey = ByteString.CopyFrom(key.PublicKey.Span),
                Signature = ByteString.CopyFrom(key.Sign(Proofs.Enrolment(hub.Id, challenge.Nonce.Span, joinToken, key.PublicKey.Span))),
                DisplayName = displayName ?? string.Empty,
                Hardware = hardware,
            };
            await call.RequestStream.WriteAsync(request, cancellationToken).ConfigureAwait(false);
            var enrolled = (await ReadAsync(call.ResponseStream, cancellationToken).ConfigureAwait(false)).Enrolled
                ?? throw new HubUnreachableException("The hub did not say who this node is.");
            await call.RequestStream.CompleteAsync().ConfigureAwait(false);
            return new EnrolmentResult(hub.Id, enrolled.NodeId, enrolled.AccountId);
        }
        catch (RpcException exception) when (exception.StatusCode is StatusCode.Unavailable or StatusCode.DeadlineExceeded)
        {
            throw new HubUnreachableException($"The hub does not answer: {exception.Status.Detail}", exception);
        }
        catch (RpcException exception)
        {
            throw new EnrolmentRefusedException(exception.Status.Detail, exception);
        }
    }

    private static async Task<EnrolResponse> ReadAsync(IAsyncStreamReader<EnrolResponse> stream, CancellationToken cancellationToken)
        => await stream.MoveNext(cancellationToken).ConfigureAwait(false) ? stream.Current : throw new HubUnreachableException("The hub ended the conversation.");
}

/// <summary>The hub did not let the node in. Trying the same again cannot help.</summary>
internal sealed class EnrolmentRefusedException(string message, Exception? inner = null) : Exception(message, inner);
