using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway.Routing;

/// <summary>
/// What became of the requests of this silo lately: which nodes were considered, why one was taken, why others failed. In memory, bounded, without a word of prompt or answer. Safe for use by several threads.
/// </summary>
internal sealed class RequestTraces(IOptions<RequestTraceOptions> options, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<RequestTrace> _byAge = [];
    private readonly Dictionary<string, LinkedListNode<RequestTrace>> _byId = new(StringComparer.Ordinal);

    /// <summary>A request begins.</summary>
    public RequestTrace Begin(InferenceRequest request)
    {
        var trace = new RequestTrace(request, time.GetUtcNow());
        if (options.Value.MaxKept == 0) return trace;
        lock (_gate)
        {
            // A request that is made again by the same name, as a job's next attempt, takes its place.
            if (_byId.Remove(trace.Id, out var before)) _byAge.Remove(before);
            _byId.Add(trace.Id, _byAge.AddLast(trace));
            while (_byAge.First is { } oldest && (_byAge.Count > options.Value.MaxKept || trace.At - oldest.Value.At > options.Value.KeepFor))
            {
                _byAge.RemoveFirst();
                _byId.Remove(oldest.Value.Id);
            }
        }
        return trace;
    }

    /// <summary>A request of this silo; <see langword="null"/> when it is not remembered.</summary>
    public RequestTrace? Find(string id)
    {
        lock (_gate) return _byId.TryGetValue(id, out var known) && time.GetUtcNow() - known.Value.At <= options.Value.KeepFor ? known.Value : null;
    }
}
