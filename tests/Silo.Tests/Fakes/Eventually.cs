using System.Diagnostics;

namespace Federation.Silo.Tests.Fakes;

/// <summary>Waits for what another thread is about to do; a test that would hang fails instead.</summary>
internal static class Eventually
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static Task TrueAsync(Func<bool> condition, string what) => TrueAsync(() => Task.FromResult(condition()), what);

    public static async Task TrueAsync(Func<Task<bool>> condition, string what)
    {
        var watch = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(watch.Elapsed < Patience, $"Waited in vain for this: {what}.");
            await Task.Yield();
        }
    }

    public static Task<T> WithinPatienceAsync<T>(this Task<T> task) => task.WaitAsync(Patience);

    public static Task WithinPatienceAsync(this Task task) => task.WaitAsync(Patience);
}
