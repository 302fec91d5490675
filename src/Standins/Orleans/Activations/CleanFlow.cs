// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Activations;

/// <summary>Starts what outlives its starter without the starter's async locals.</summary>
internal static class CleanFlow
{
    /// <summary>The flow of a thread that nobody has lent anything to.</summary>
    public static ExecutionContext Context { get; } = OfNewThread();

    public static T Run<T>(Func<T> start)
    {
        if (ExecutionContext.IsFlowSuppressed())
        {
            return start();
        }

        using (ExecutionContext.SuppressFlow())
        {
            return start();
        }
    }

    private static ExecutionContext OfNewThread()
    {
        ExecutionContext? context = null;
        var thread = new Thread(() => context = ExecutionContext.Capture());
        thread.UnsafeStart();
        thread.Join();
        return context!;
    }
}
