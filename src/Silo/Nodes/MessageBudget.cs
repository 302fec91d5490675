namespace Federation.Silo.Nodes;

/// <summary>A token bucket over the messages of one node. Used by its reading loop alone.</summary>
internal sealed class MessageBudget(int perSecond, int burst, TimeProvider time)
{
    private double _left = burst;
    private long _refilled = time.GetTimestamp();

    public bool TrySpend()
    {
        var now = time.GetTimestamp();
        _left = Math.Min(burst, _left + (time.GetElapsedTime(_refilled, now).TotalSeconds * perSecond));
        _refilled = now;
        if (_left < 1) return false;
        _left--;
        return true;
    }
}
