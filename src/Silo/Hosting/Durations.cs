namespace Federation.Silo.Hosting;

/// <summary>What <see cref="TimeSpan"/> does not say of itself.</summary>
internal static class Durations
{
    /// <summary>The longer of two.</summary>
    public static TimeSpan Longer(TimeSpan one, TimeSpan other) => one > other ? one : other;
}
