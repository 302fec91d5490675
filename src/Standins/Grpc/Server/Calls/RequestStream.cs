using System.IO.Pipelines;
using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Connections;

namespace Grpc.AspNetCore.Server;

/// <summary>The requests of a call, read one at a time by its handler.</summary>
internal sealed class RequestStream<TRequest>(
    ServerCall call,
    PipeReader body,
    Marshaller<TRequest> marshaller) : IAsyncStreamReader<TRequest>
    where TRequest : class
{
    private TRequest? _current;

    public TRequest Current => _current!;

    public Task<bool> MoveNext(CancellationToken cancellationToken)
    {
        var isOver = call.HasEnded;
        if (cancellationToken.IsCancellationRequested)
            return Task.FromCanceled<bool>(cancellationToken);
        if (isOver)
            return Task.FromException<bool>(call.Over(new InvalidOperationException("Can't read messages after the request is complete.")));

        // A stream may idle for hours: the last message is not kept alive meanwhile.
        _current = null;
        var next = body.ReadNextAsync(call.Limits, call.Payload, marshaller.ContextualDeserializer, cancellationToken);
        return next.IsCompletedSuccessfully ? Task.FromResult(Take(next.Result)) : AwaitAsync(next);
    }

    private async Task<bool> AwaitAsync(ValueTask<TRequest?> next)
    {
        try
        {
            return Take(await next);
        }
        catch (IOException gone) when (gone is ConnectionResetException || gone.GetType() == typeof(IOException))
        {
            // Kestrel's own words for a reset stream. A derived exception is a marshaller's.
            call.Over(gone);
            throw;
        }
    }

    private bool Take(TRequest? message)
    {
        _current = message;
        return message is not null;
    }
}
