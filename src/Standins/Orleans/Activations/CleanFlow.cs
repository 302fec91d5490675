// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Activations;

/// <summary>Starts what outlives its starter without the starter's async locals.</summary>
internal static class CleanFlow
{
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
}
