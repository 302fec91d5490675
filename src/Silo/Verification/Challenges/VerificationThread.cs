using System.Runtime.InteropServices;
using System.Threading.Channels;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Challenges;

/// <summary>
/// Where proofs are checked: one thread that gets a core only when nobody else wants it, so that a check costs no client anything. Work
/// waits in a bounded line.
/// </summary>
internal sealed class VerificationThread : IDisposable
{
    // The weakest claim to a core that Linux knows for ordinary threads.
    private const int LeastNice = 19;
    private const int PriorityOfProcess = 0;

    private readonly Channel<Action> _line;

    public VerificationThread(IOptions<ChallengeScheduleOptions> options)
    {
        _line = Channel.CreateBounded<Action>(new BoundedChannelOptions(options.Value.MaxWaitingProofs) { SingleReader = true });
        new Thread(Work) { IsBackground = true, Name = "verification", Priority = ThreadPriority.Lowest }.Start();
    }

    /// <summary>Does the work when its turn comes; waits for a place in the line if it is full.</summary>
    public async Task<T> RunAsync<T>(Func<T> work, CancellationToken cancellationToken)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        await _line.Writer.WriteAsync(
            () =>
            {
                try
                {
                    if (cancellationToken.IsCancellationRequested) done.TrySetCanceled(cancellationToken);
                    else done.TrySetResult(work());
                }
                catch (Exception exception)
                {
                    // Whoever waits hears of it; the thread goes on with the next.
                    done.TrySetException(exception);
                }
            },
            cancellationToken);
        return await done.Task.WaitAsync(cancellationToken);
    }

    public void Dispose() => _line.Writer.TryComplete();

    private void Work()
    {
        // .NET leaves priorities to the system, and Linux knows them by thread under this name only. Without it the work is done all the same.
        if (OperatingSystem.IsLinux()) _ = SetPriority(PriorityOfProcess, 0, LeastNice);
        while (_line.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            while (_line.Reader.TryRead(out var work)) work();
        }
    }

    [DllImport("libc", EntryPoint = "setpriority")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetPriority(int which, uint who, int nice);
}
