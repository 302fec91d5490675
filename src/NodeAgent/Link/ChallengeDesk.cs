using System.Threading.Channels;
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
/// <remarks>What does not belong to the challenge at hand is named in the log and changes nothing, as on the hub's side.</remarks>
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
    // An honest hub sends one opening. Of those that wait for being read, more are not kept.
    private const int OpeningsMax = 4;

    private static readonly TimeSpan Rest = TimeSpan.FromMilliseconds(20);

    private readonly Lock _gate = new();
    private bool _isBusy;
    private ChallengeId? _latest;
    private ChannelWriter<ReadOnlyMemory<byte>>? _openings;

    /// <summary>Takes on a challenge, or says why not.</summary>
    /// <param name="message">The hub's signed start.</param>
    /// <param name="whyNot">Why the owner does not want it now; empty when nothing speaks against it.</param>
    /// <param name="lost">The connection is gone: the challenge is given up.</param>
    public async ValueTask StartAsync(ReadOnlyMemory<byte> message, string whyNot, CancellationToken lost)
    {
        ChallengeStart start;
        try
        {
            start = ChallengeRun.Read(message, hub, hubPublicKey, key);
        }
        catch (ChallengeException exception)
        {
            LogGivenUp(exception.Message);
            // Without an id there is nobody to tell.
            if (TryIdOf(message) is { } id) await send(Decline(id, exception.Message), lost).ConfigureAwait(false);
            return;
        }
        if (whyNot.Length == 0 && !TryTake(start.Id)) whyNot = "another challenge is not finished";
        if (whyNot.Length > 0)
        {
            await send(Decline(start.Id, whyNot), lost).ConfigureAwait(false);
            return;
        }
        _ = Task.Factory.StartNew(() => RunAsync(start, lost), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>The hub says what it wants to see.</summary>
    public void Open(ReadOnlyMemory<byte> open)
    {
        bool isExpected;
        lock (_gate) isExpected = _openings?.TryWrite(open) is true;
        // Too early, too late, or from a hub that has lost the thread.
        if (!isExpected) LogIgnored("no challenge waits for an opening");
    }

    /// <summary>The hub's verdict, for the owner's log.</summary>
    public void Hear(ReadOnlyMemory<byte> result)
    {
        try
        {
            if (!ChallengeCodec.IsSignedBy(hubPublicKey.Span, ChallengeMessage.Result, result.Span)) throw new FormatException("the result is not signed by the hub");
            var verdict = ChallengeCodec.DecodeResult(result);
            ChallengeId? latest;
            lock (_gate) latest = _latest;
            if (verdict.Id != latest) throw new FormatException($"the result is of {verdict.Id}, which this node was not asked last");
            LogResult(verdict.Id, verdict.Outcome, verdict.Sentence);
        }
        catch (FormatException exception)
        {
            LogIgnored(exception.Message);
        }
    }

    private bool TryTake(ChallengeId id)
    {
        lock (_gate)
        {
            if (_isBusy) return false;
            (_isBusy, _latest) = (true, id);
            return true;
        }
    }

    private async Task RunAsync(ChallengeStart start, CancellationToken lost)
    {
        NodeMessage? lastWord = null;
        try
        {
            var proof = await AnswerAsync(start, lost).ConfigureAwait(false);
            lastWord = new NodeMessage { ChallengeProof = new Signed { Message = UnsafeByteOperations.UnsafeWrap(proof) } };
        }
        catch (ChallengeException exception)
        {
            LogGivenUp(exception.Message);
            lastWord = Decline(start.Id, exception.Message);
        }
        catch (Exception exception) when (exception is OperationCanceledException or ChannelClosedException)
        {
            // The connection is gone, or the hub has lost interest; either asks anew.
            LogAbandoned(exception.Message);
        }
        catch (Exception exception)
        {
            // A device that fails in a way of its own is no reason to stop working for clients.
            LogFailed(exception);
            lastWord = Decline(start.Id, "the device failed");
        }
        // It took tens of megabytes for seconds. An agent that then is idle would keep them, since nothing makes it collect; one that works collects by itself, and its answers wait for nobody.
        if (!isWorking()) GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        // Before the hub can have the last word: its next challenge may follow at once, and declining that would count against the node.
        lock (_gate) (_isBusy, _openings) = (false, null);
        if (lastWord is not null) await send(lastWord, lost).AsTask().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>From the first round to the proof.</summary>
    private async Task<byte[]> AnswerAsync(ChallengeStart start, CancellationToken lost)
    {
        using var team = new ComputeTeam();
        using var run = ChallengeRun.Begin(start, hubPublicKey, key, new PoliteDevice(devices.For(start.Parameters, team), isWorking, Rest), team, time);
        LogBegun(start.Id, start.Parameters.Kind);
        var commit = run.Commit(lost);
        var openings = Channel.CreateBounded<ReadOnlyMemory<byte>>(OpeningsMax);
        // Before the commitment: the answer may be here before the next line is.
        lock (_gate) _openings = openings.Writer;
        await send(new NodeMessage { ChallengeCommit = new Signed { Message = UnsafeByteOperations.UnsafeWrap(commit) } }, lost).ConfigureAwait(false);
        return await ProveAsync(run, openings.Reader, lost).ConfigureAwait(false);
    }

    /// <summary>Waits for the opening of this challenge, as long as the commitment may have taken.</summary>
    private async Task<byte[]> ProveAsync(ChallengeRun run, ChannelReader<ReadOnlyMemory<byte>> openings, CancellationToken lost)
    {
        using var window = new CancellationTokenSource(TimeSpan.FromMilliseconds(run.Start.DeadlineMs), time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(window.Token, lost);
        while (true)
        {
            var open = await openings.ReadAsync(either.Token).ConfigureAwait(false);
            try
            {
                return run.Prove(open);
            }
            catch (ChallengeException exception)
            {
                // The right one still can come.
                LogIgnored(exception.Message);
            }
        }
    }

    private static ChallengeId? TryIdOf(ReadOnlyMemory<byte> message)
    {
        try
        {
            return ChallengeCodec.IdOf(message);
        }
        catch (FormatException)
        {
            // Whoever asks has said already what is wrong with it.
            return null;
        }
    }

    private static NodeMessage Decline(ChallengeId id, string reason) => new() { ChallengeDecline = new ChallengeDecline { ChallengeId = ByteString.CopyFrom(id.ToArray()), Reason = reason } };

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

    [LoggerMessage(5705, LogLevel.Warning, "What the hub said of a challenge is ignored: {Why}")]
    private partial void LogIgnored(string why);
}
