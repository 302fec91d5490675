using Federation.Silo.Hosting;

namespace Federation.Silo.Nodes;

/// <summary>
/// Tells a hub whose own network is away from nodes that are away. Where more than half of the lines at work, and at least <see cref="LinesMin"/>, fell silent together, what is gone lies between all of them and the hub. They
/// are cut off all the same, since clients wait, but no node is blamed.
/// </summary>
/// <remarks>
/// The first of them is given up <c>PingTimeout</c> after the hub's network went, where it had been asked just before that. The others have been silent for as long then, while a line that has only nothing to say is asked after
/// <c>PingAfter</c> and answers. So a line counts as silent from two looks less than the one, or two more than the other. Which lines those were is remembered: they are given up one after the other, and the last of them is alone.
/// The price: nodes that leave together are not blamed where no more than as many others are at work.
/// Not thread-safe: used by whoever looks at the lines.
/// </remarks>
/// <param name="options">When lines are given up.</param>
/// <param name="time">The clock.</param>
internal sealed class CommonSilence(NodeLinkOptions options, TimeProvider time)
{
    /// <summary>Fewer than this may well fall out at once, each by itself.</summary>
    public const int LinesMin = 3;

    private readonly TimeSpan _silence = Durations.Longer(options.PingTimeout - (2 * LineWatch.Period), options.PingAfter + (2 * LineWatch.Period));
    private long? _since;

    /// <summary>A line is given up: looks whether it is one of many.</summary>
    /// <param name="heardAt">When each node that owes an answer was heard last, by a message or by bytes of one, this one's with them: timestamps.</param>
    public void Judge(IReadOnlyCollection<long> heardAt)
    {
        var now = time.GetTimestamp();
        var silent = heardAt.Where(at => time.GetElapsedTime(at, now) >= _silence).ToList();
        if (silent.Count >= LinesMin && silent.Count * 2 > heardAt.Count) _since = silent.Max();
    }

    /// <summary>Whether a line that is given up fell silent with many others.</summary>
    /// <param name="heardAt">When its node was heard last, likewise: timestamp.</param>
    public bool Covers(long heardAt) => heardAt <= _since;
}
