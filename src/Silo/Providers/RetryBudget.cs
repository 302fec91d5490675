namespace Federation.Silo.Providers;

/// <summary>
/// Lets requests be tried again in proportion to those that were tried at all, so that an outage is not answered with more load. Safe to use from any number of threads.
/// </summary>
/// <param name="share">Retries for each request.</param>
/// <param name="reserve">Retries that may be saved up, and that there are in the beginning.</param>
internal sealed class RetryBudget(double share, int reserve)
{
    private readonly Lock _gate = new();
    private double _saved = reserve;

    /// <summary>A request was made for the first time.</summary>
    public void OnRequest()
    {
        lock (_gate) _saved = Math.Min(reserve, _saved + share);
    }

    /// <summary>Takes one retry, if there is one.</summary>
    public bool TryTake()
    {
        lock (_gate)
        {
            if (_saved < 1) return false;
            _saved--;
            return true;
        }
    }
}
