using System.Threading.Channels;
using Federation.Protocol.Machine;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Challenges;

/// <summary>
/// Where proofs are checked: one thread that gets a core only when nobody else wants it, so that a check costs no client anything. Work
/// waits in a bounded line.
/// </summary>
internal sealed class VerificationThread : IDisposable
{
    private readonly Channel<Action> _line;

    public VerificationThread(IOptions<ChallengeScheduleOptions> options)
    {
        _line = Channel.CreateBounded<Action>(new BoundedChannelOptions(options.Value.MaxWaitingProofs) { SingleReader = true });
        IdleThread.Start("verification", Work);
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
        while (_line.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            while (_line.Reader.TryRead(out var work)) work();
        }
    }
}
