using Microsoft.Extensions.Options;

namespace Federation.Silo.Nodes;

/// <summary>
/// Keeps sessions that have ended reachable for a while. Whoever heard of one just before calls it still; it says that it is gone, where a reference that nobody is behind says nothing and its
/// caller waits until the call times out.
/// </summary>
internal sealed class EndedSessions(IOptions<NodeLinkOptions> options, TimeProvider time)
{
    private int _kept;

    /// <summary>Keeps the session, and has it forgotten when its time is up; at once when as many are kept as there may be sessions.</summary>
    /// <param name="session">Has ended.</param>
    /// <param name="forget">Takes its reference away.</param>
    public void Keep(NodeSession session, Action forget) => _ = KeepAsync(session, forget);

    private async Task KeepAsync(NodeSession session, Action forget)
    {
        if (Interlocked.Increment(ref _kept) <= options.Value.MaxSessions) await Task.Delay(options.Value.Linger, time);
        Interlocked.Decrement(ref _kept);
        forget();
        // The reference holds it weakly.
        GC.KeepAlive(session);
    }
}
