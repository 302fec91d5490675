using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;

namespace Federation.Silo.Verification.Challenges;

/// <summary>The challenges and slots that were used, so that none is used twice. Bounded: the oldest are forgotten, long after their deadlines. Safe for use by several threads.</summary>
internal sealed class UsedChallenges(int remembered)
{
    private readonly Lock _gate = new();
    private readonly Remembered<ChallengeId> _answered = new(remembered);
    private readonly Remembered<(NodeId Node, ChallengeKind Kind, long Slot)> _slots = new(remembered);

    /// <summary>Takes a node's slot for a challenge; <see langword="false"/> if it had one in it.</summary>
    public bool TryTakeSlot(NodeId node, ChallengeKind kind, long slot)
    {
        lock (_gate) return _slots.Add((node, kind, slot));
    }

    /// <summary>A commitment for this challenge is taken; <see langword="false"/> if one was before.</summary>
    public bool TryAnswer(ChallengeId id)
    {
        lock (_gate) return _answered.Add(id);
    }

    private sealed class Remembered<T>(int max)
        where T : notnull
    {
        private readonly HashSet<T> _items = [];
        private readonly Queue<T> _order = [];

        public bool Add(T item)
        {
            if (!_items.Add(item)) return false;
            _order.Enqueue(item);
            if (_order.Count > max) _items.Remove(_order.Dequeue());
            return true;
        }
    }
}
