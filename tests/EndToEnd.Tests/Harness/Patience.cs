using System.Diagnostics;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A bound on every wait, so that what never happens fails a test instead of hanging it. The bound is generous: it is no assertion on speed.</summary>
internal static class Patience
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    public static async Task Soon(this Task task, string what)
    {
        try
        {
            await task.WaitAsync(Limit);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"Not within {Limit.TotalSeconds:0} s: {what}");
        }
    }

    public static async Task<T> Soon<T>(this Task<T> task, string what)
    {
        await ((Task)task).Soon(what);
        return await task;
    }

    /// <summary>Asks again and again until the answer is yes. For states of other processes, which nobody announces.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            if (clock.Elapsed > Limit) throw new TimeoutException($"Not within {Limit.TotalSeconds:0} s: {what}");
            await Task.Delay(Pause);
        }
    }
}
