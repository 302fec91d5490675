using System.Net;

namespace Federation.Silo.Providers;

/// <summary>A request's body that knows whether all of it has gone out: from then on the provider may bill it.</summary>
internal sealed class SentContent(ReadOnlyMemory<byte> body) : HttpContent
{
    private volatile bool _isSent;

    /// <summary>Whether its last byte was handed to a connection.</summary>
    public bool IsSent => _isSent;

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        await stream.WriteAsync(body, cancellationToken);
        _isSent = true;
    }

    protected override bool TryComputeLength(out long length)
    {
        length = body.Length;
        return true;
    }
}
