using Federation.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Nodes;

/// <summary>What a look at a line says.</summary>
internal enum LineState
{
    /// <summary>The node speaks, or owes nothing.</summary>
    Fine,

    /// <summary>It owes an answer and says nothing: it is to be asked whether it is there.</summary>
    Ask,

    /// <summary>It was asked and does not answer: nobody is there any more.</summary>
    Dead,
}

/// <summary>
/// Notices that a line is dead whose node owes an answer: a client waits at its other end. TCP would take minutes; the server's own pings reckon with a clock that is wrong by a second and look once a second, which makes
/// twice their settings. Looked at each <see cref="Period"/>, a dead line is known after the two settings and two periods at most. Bytes are an answer too; where they come, but no message, the node is asked again and again.
/// </summary>
/// <remarks>Safe for use by a looker and a writer.</remarks>
/// <param name="askAfter">Silence after which the node is asked.</param>
/// <param name="patience">How long it may take to say anything, from when the question was written.</param>
/// <param name="time">The clock.</param>
internal sealed class LineWatch(TimeSpan askAfter, TimeSpan patience, TimeProvider time)
{
    /// <summary>How often lines are looked at.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromMilliseconds(250);

    // A look that comes so late says that the hub itself stood still: what nodes said meanwhile is not read yet.
    private static readonly TimeSpan LateAfter = 4 * Period;

    private const long NotAsked = 0;
    private const long Asking = -1;

    private long? _lookedAt;
    private long _since;
    private long _askedAt;

    /// <summary>Looks at the line.</summary>
    /// <param name="heardAt">When the node said something last: timestamp.</param>
    /// <param name="bytesAt">When bytes of it came last, be it of a message that is not whole yet: over a slow line that takes seconds.</param>
    /// <param name="owes">Whether work runs on the node.</param>
    /// <param name="listens">Whether the hub reads the line; a hub that is at something else hears nothing.</param>
    public LineState Look(long heardAt, long bytesAt, bool owes, bool listens)
    {
        var now = time.GetTimestamp();
        var wasAway = _lookedAt is { } before && time.GetElapsedTime(before, now) > LateAfter;
        _lookedAt = now;
        if (wasAway || !listens || !owes) _since = now;
        if (time.GetElapsedTime(Math.Max(heardAt, _since), now) < askAfter)
        {
            Interlocked.Exchange(ref _askedAt, NotAsked);
            return LineState.Fine;
        }
        if (Interlocked.CompareExchange(ref _askedAt, Asking, NotAsked) == NotAsked) return LineState.Ask;
        var asked = Interlocked.Read(ref _askedAt);
        if (asked is Asking) return LineState.Fine;
        if (time.GetElapsedTime(Math.Max(asked, bytesAt), now) >= patience) return LineState.Dead;
        // Whoever is still at a message hears nothing meanwhile, and would give the line up from its end.
        return bytesAt > asked && time.GetElapsedTime(asked, now) >= askAfter && Interlocked.CompareExchange(ref _askedAt, Asking, asked) == asked ? LineState.Ask : LineState.Fine;
    }

    /// <summary>The question is on its way: before that, a request that fills the line may have been in front of it.</summary>
    public void Asked() => Interlocked.CompareExchange(ref _askedAt, time.GetTimestamp(), Asking);
}

/// <summary>Looks at the lines of this silo, again and again, and gives up those that are dead.</summary>
internal sealed class LineWatcher(NodeSessions sessions, IOptions<NodeLinkOptions> options, TimeProvider time, ILogger<LineWatcher> logger) : PeriodicService(LineWatch.Period, time, logger)
{
    private readonly CommonSilence _silence = new(options.Value, time);

    /// <inheritdoc/>
    public override Task LookAsync(CancellationToken cancellationToken)
    {
        var dead = sessions.All.Where(session => session.Look() is LineState.Dead).ToList();
        if (dead.Count == 0) return Task.CompletedTask;
        _silence.Judge([.. sessions.All.Where(session => session.OwesAnswer).Select(HeardAt)]);
        foreach (var session in dead) session.GiveUp(_silence.Covers(HeardAt(session)));
        return Task.CompletedTask;
    }

    /// <summary>By what a line lives: words, and bytes of words that are not whole yet.</summary>
    private static long HeardAt(NodeSession session) => Math.Max(session.LastHeard, session.Bytes?.At ?? 0);
}
