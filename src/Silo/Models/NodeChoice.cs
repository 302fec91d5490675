using Federation.Contracts.Nodes;

namespace Federation.Silo.Models;

/// <summary>What speaks for a node that could serve a request now.</summary>
/// <param name="Source">Its place in the model's order of sources; the lower the better.</param>
/// <param name="Rests">Its engine failed a moment ago, or another of its node's at this very request.</param>
/// <param name="IsSticky">It has read the beginning of this conversation.</param>
/// <param name="IsLoaded">The model is in its memory.</param>
/// <param name="Running">Leases it has from this pool.</param>
/// <param name="Slots">Those it serves at once.</param>
/// <param name="TokensPerSecond">Of one answer, as measured by the hub, above 0; where it was not yet, what is usual for the model.</param>
/// <param name="Standing">What the hub thinks of it.</param>
/// <param name="RoundTrip">How long it takes to take a lease; zero: not known yet.</param>
/// <param name="LastGrant">The number of the node's last lease, whichever of its engines had it: the lower, the longer it has rested.</param>
/// <param name="EngineLastGrant">The same of the engine alone, for those of one node.</param>
internal readonly record struct NodeFacts(int Source, bool Rests, bool IsSticky, bool IsLoaded, int Running, int Slots, double TokensPerSecond, Standing Standing, TimeSpan RoundTrip, long LastGrant, long EngineLastGrant);

/// <summary>
/// Which of two nodes is the better one. In this order: the model's order of sources, no failure lately, the model loaded, the conversation's beginning read, the speed that one more answer would find there, free slots, standing, nearness, rest.
/// A strict order: of any number of nodes the same one is the best, whichever are compared first.
/// </summary>
internal static class NodeChoice
{
    /// <summary>Speeds within a quarter are the same: what a measurement of a few answers can tell.</summary>
    private static readonly double PaceStep = Math.Log(1.25);

    /// <summary>Round trips within one step are the same: what lies between two nodes of one town.</summary>
    private static readonly TimeSpan NearnessStep = TimeSpan.FromMilliseconds(50);

    /// <summary>Below zero when the first is the better one, 0 when neither is.</summary>
    public static int Compare(in NodeFacts one, in NodeFacts other) => Difference(one, other).Order;

    /// <summary>Why the best of several was taken, in a word or two: what first told it from the one that came next.</summary>
    public static string Why(in NodeFacts best, NodeFacts? next) => next is { } other ? Difference(best, other).Words : "the only one";

    private static (int Order, string Words) Difference(in NodeFacts one, in NodeFacts other)
    {
        if (one.Source != other.Source) return (one.Source.CompareTo(other.Source), "source");
        if (one.Rests != other.Rests) return (one.Rests ? 1 : -1, "no failure lately");
        if (one.IsLoaded != other.IsLoaded) return (one.IsLoaded ? -1 : 1, "model loaded");
        if (one.IsSticky != other.IsSticky) return (one.IsSticky ? -1 : 1, "same conversation");
        if (Pace(one).CompareTo(Pace(other)) is not 0 and var pace) return (pace, "speed");
        // Shares of the slots, compared without dividing.
        if (((long)one.Running * other.Slots).CompareTo((long)other.Running * one.Slots) is not 0 and var share) return (share, "free slots");
        var (trusted, trustedToo) = (one.Standing is Standing.Trusted, other.Standing is Standing.Trusted);
        if (trusted != trustedToo) return (trusted ? -1 : 1, "standing");
        if (Steps(one.RoundTrip).CompareTo(Steps(other.RoundTrip)) is not 0 and var nearer) return (nearer, "nearness");
        return (one.LastGrant.CompareTo(other.LastGrant) is not 0 and var rest ? rest : one.EngineLastGrant.CompareTo(other.EngineLastGrant), "rested longest");
    }

    /// <summary>Steps of the time that a token takes: a node whose slots are all taken is believed to be half as fast as when it is empty, so that one twice as fast is filled first [uncalibrated].</summary>
    private static long Pace(in NodeFacts node) => (long)Math.Floor(Math.Log((1 + ((double)node.Running / Math.Max(1, node.Slots))) / node.TokensPerSecond) / PaceStep);

    private static long Steps(TimeSpan roundTrip) => roundTrip.Ticks / NearnessStep.Ticks;
}
