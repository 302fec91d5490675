using Federation.NodeAgent.Compute;
using Federation.NodeAgent.Configuration;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;
using Federation.Protocol.V1;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>
/// Answers the hub's challenges, one at a time, on threads of their own. Clients go first: while a lease runs, a challenge rests between
/// two of its rounds. The hub knows of the lease and does not count the time.
/// </summary>
internal sealed partial class ChallengeDesk(
    NodeKey key,
    HubId hub,
    ReadOnlyMemory<byte> hubPublicKey,
    IChallengeDevices devices,
    Func<bool> isWorking,
    Func<NodeMessage, CancellationToken, ValueTask> send,
    TimeProvider time,
    ILogger<ChallengeDesk> logger)
{
    private static readonly TimeSpan Rest = TimeSpan.FromMilliseconds(20);

    private readonly Lock _gate = new();
    private TaskCompletionSource<ReadOnlyMemory<byte>>? _opening;

    /// <summary>Takes on a challenge, or says why not.</summary>
    /// <param name="start">The hub's signed start.</param>
    /// <param name="whyNot">Why the owner does not want it now; empty when nothing speaks against it.</param>
    /// <param name="lost">The connection is gone: the challenge is given up.</param>
    public async ValueTask StartAsync(ReadOnlyMemory<byte> start, string whyNot, CancellationToken lost)
    {
        var opening = new TaskCompletionSource<ReadOnlyMemory<byte>>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (whyNot.Length == 0)
        {
            lock (_gate)
            {
                if (_opening is null) _opening = opening;
                else whyNot = "another challenge is not finished";
            }
        }
        if (whyNot.Length > 0)
        {
            await DeclineAsync(start, whyNot, lost).ConfigureAwait(false);
            return;
        }
        _ = Task.Factory.StartNew(() => RunAsync(start, opening.Task, lost), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>The hub says what it wants to see.</summary>
    public void Open(ReadOnlyMemory<byte> open)
    {
        // Without a challenge it comes too late, or from a hub that has lost the thread; the run judges everything else.
        lock (_gate) _opening?.TrySetResult(open);
    }

    /// <summary>The hub's verdict, for the owner's log.</summary>
    public void Hear(ReadOnlyMemory<byte> result)
    {
        try
        {
            if (!ChallengeCodec.IsSignedBy(hubPublicKey.Span, ChallengeMessage.Result, result.Span)) throw new FormatException("The result is not signed by the hub.");
            var verdict = ChallengeCodec.DecodeResult(result);
            LogResult(verdict.Id, verdict.Outcome, verdict.Sentence);
        }
        catch (FormatException exception)
        {
            LogGivenUp(exception.Message);
        }
    }

    private async Task RunAsync(ReadOnlyMemory<byte> start, Task<ReadOnlyMemory<byte>> opening, CancellationToken lost)
    {
        try
        {
            using var team = new ComputeTeam();
            using var run = ChallengeRun.Begin(start, hub, hubPublicKey, key, new PoliteDevice(devices.For(ChallengeCodec.DecodeStart(start).Parameters, team), isWorking, Rest), team, time);
            LogBegun(run.Start.Id, run.Start.Parameters.Kind);
            var commit = run.Commit(lost);
            await send(new NodeMessage { ChallengeCommit = new Signed { Message = UnsafeByteOperations.UnsafeWrap(commit) } }, lost).ConfigureAwait(false);
            var open = await opening.WaitAsync(TimeSpan.FromMilliseconds(run.Start.DeadlineMs), time, lost).ConfigureAwait(false);
            var proof = run.Prove(open);
            await send(new NodeMessage { ChallengeProof = new Signed { Message = UnsafeByteOperations.UnsafeWrap(proof) } }, lost).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is ChallengeException or FormatException)
        {
            LogGivenUp(exception.Message);
            await DeclineAsync(start, exception.Message, lost).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        catch (Exception exception) when (exception is OperationCanceledException or System.Threading.Channels.ChannelClosedException or TimeoutException)
        {
            // The connection is gone, or the hub has lost interest; either asks anew.
            LogAbandoned(exception.Message);
        }
        catch (Exception exception)
        {
            // A device that fails in a way of its own is no reason to stop working for clients.
            LogFailed(exception);
            await DeclineAsync(start, "the device failed", lost).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            lock (_gate) _opening = null;
            // It took tens of megabytes for seconds. An agent that then is idle would keep them, since nothing makes it collect.
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        }
    }

    private async Task DeclineAsync(ReadOnlyMemory<byte> start, string reason, CancellationToken lost)
    {
        ByteString id;
        try
        {
            id = ByteString.CopyFrom(ChallengeCodec.IdOf(start).ToArray());
        }
        catch (FormatException exception)
        {
            LogGivenUp(exception.Message);
            return;
        }
        await send(new NodeMessage { ChallengeDecline = new ChallengeDecline { ChallengeId = id, Reason = reason } }, lost).ConfigureAwait(false);
    }

    [LoggerMessage(5700, LogLevel.Information, "Challenge {Id} ({Kind}) begins")]
    private partial void LogBegun(ChallengeId id, ChallengeKind kind);

    [LoggerMessage(5701, LogLevel.Warning, "A challenge was not answered: {Why}")]
    private partial void LogGivenUp(string why);

    [LoggerMessage(5702, LogLevel.Information, "A challenge was left unfinished: {Why}")]
    private partial void LogAbandoned(string why);

    [LoggerMessage(5704, LogLevel.Information, "Challenge {Id}: {Outcome}. {Sentence}")]
    private partial void LogResult(ChallengeId id, ChallengeOutcome outcome, string sentence);

    [LoggerMessage(5703, LogLevel.Error, "A challenge failed")]
    private partial void LogFailed(Exception exception);
}
