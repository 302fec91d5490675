namespace Federation.Silo.Providers;

/// <summary>Paid answers in one piece whose clients have left. A provider bills them to their end, so their end is waited for; so many at a time, and of each account no more than its share.</summary>
/// <param name="max">At most.</param>
/// <param name="maxPerAccount">Of one account at most.</param>
internal sealed class LeftAnswers(int max, int maxPerAccount)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _byAccount = new(StringComparer.Ordinal);
    private int _count;

    /// <summary>Takes a place, if one is free; whoever took one leaves it.</summary>
    /// <param name="accountId">Who had asked.</param>
    public bool TryEnter(string accountId)
    {
        lock (_gate)
        {
            var own = _byAccount.GetValueOrDefault(accountId);
            if (_count >= max || own >= maxPerAccount) return false;
            _count++;
            _byAccount[accountId] = own + 1;
            return true;
        }
    }

    /// <summary>Gives a place back.</summary>
    /// <param name="accountId">Whose it was.</param>
    public void Leave(string accountId)
    {
        lock (_gate)
        {
            _count--;
            if (--_byAccount[accountId] == 0) _byAccount.Remove(accountId);
        }
    }
}
