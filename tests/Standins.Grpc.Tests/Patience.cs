namespace Federation.Standins.Grpc.Tests;

/// <summary>A bound on every wait, so that what never happens fails a test instead of hanging it.</summary>
internal static class Patience
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(60);

    public static Task Soon(this Task task) => task.WaitAsync(_limit);

    public static Task<T> Soon<T>(this Task<T> task) => task.WaitAsync(_limit);
}
