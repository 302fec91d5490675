namespace Federation.Silo.Hosting;

/// <summary>How long work waits for its next attempt.</summary>
internal static class Backoff
{
    /// <summary>Twice as long after each attempt, between what it was told to wait and the longest wait.</summary>
    /// <param name="attempt">The one that came to nothing, from 1.</param>
    /// <param name="first">After the first.</param>
    /// <param name="most">The longest; what it was told may be longer.</param>
    /// <param name="told">What it was told to wait at least.</param>
    public static TimeSpan Wait(long attempt, TimeSpan first, TimeSpan most, TimeSpan? told)
    {
        // 2^20 of anything is beyond every longest wait.
        var doubled = first.TotalSeconds * Math.Pow(2, Math.Clamp(attempt - 1, 0, 20));
        var wait = TimeSpan.FromSeconds(Math.Min(doubled, most.TotalSeconds));
        return told > wait ? told.Value : wait;
    }
}
