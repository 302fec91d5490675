using Grpc.Core;

namespace Federation.Silo.Nodes;

/// <summary>Why a session ended, as the node is told.</summary>
internal sealed record SessionStatus(StatusCode Code, string Detail)
{
    public RpcException ToException() => new(new Status(Code, Detail));
}
