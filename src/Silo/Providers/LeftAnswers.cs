namespace Federation.Silo.Providers;

/// <summary>Paid answers in one piece whose clients have left. A provider bills them to their end, so their end is waited for; so many at a time.</summary>
/// <param name="max">At most.</param>
internal sealed class LeftAnswers(int max)
{
    private int _count;

    /// <summary>Takes a place, if one is free; whoever took one leaves it.</summary>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref _count) <= max) return true;
        Leave();
        return false;
    }

    /// <summary>Gives a place back.</summary>
    public void Leave() => Interlocked.Decrement(ref _count);
}
