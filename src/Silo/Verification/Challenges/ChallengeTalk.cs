using System.Threading.Channels;
using Federation.Contracts.Nodes;
using Federation.Protocol.Challenges;
using Federation.Protocol.V1;
using Federation.Silo.Nodes;
using Google.Protobuf;
using ChallengeOutcome = Federation.Protocol.Challenges.ChallengeOutcome;

namespace Federation.Silo.Verification.Challenges;

/// <summary>What hub and node say to each other in challenges. One challenge at a time: <see cref="TryBegin"/>.</summary>
internal sealed partial class ChallengeTalk(ChallengeRoom room, NodeSession session, NodeIdentity node)
{
    private static readonly TimeSpan LeastWait = TimeSpan.FromMilliseconds(10);

    private readonly ILogger _logger = room.Logger;
    private readonly RoundTrip _roundTrip = new();
    private uint _pings;
    private int _isTaken;

    public NodeSession Session => session;

    public NodeIdentity Node => node;

    /// <summary>The round trip as it is taken off; zero while no ping was answered.</summary>
    public TimeSpan RoundTrip => _roundTrip.Shortest < room.Rules.MaxRoundTrip ? _roundTrip.Shortest : room.Rules.MaxRoundTrip;

    /// <summary>Takes the talk, unless somebody has it.</summary>
    public bool TryBegin() => Interlocked.CompareExchange(ref _isTaken, 1, 0) == 0;

    /// <summary>Whoever took it gives it back.</summary>
    public void End() => Volatile.Write(ref _isTaken, 0);

    /// <summary>One challenge to its verdict; <see langword="null"/> when the node declined it or is not there any more.</summary>
    public async Task<ChallengeVerdict?> AskAsync(ChallengePlan plan, CancellationToken stop)
    {
        while (true)
        {
            if (await TryIssueAsync(plan, stop) is { } challenge) return await AskAsync(challenge, plan, stop);
            // One of a kind in a slot: the next one begins soon.
            await Task.Delay(room.Schedule.Slot, room.Time, stop);
        }
    }

    /// <summary>A challenge that is to be asked now; <see langword="null"/> when the node had one of its kind in this slot.</summary>
    public async Task<ChallengeSession?> TryIssueAsync(ChallengePlan plan, CancellationToken stop)
    {
        var (context, seed) = await room.DrawAsync(stop);
        return ChallengeSession.TryIssue(context, plan, new ChallengeTarget(node.PublicKey.AsMemory(), _roundTrip.Shortest), seed, room.Time.GetTimestamp());
    }

    /// <inheritdoc cref="AskAsync(ChallengePlan, CancellationToken)"/>
    public async Task<ChallengeVerdict?> AskAsync(ChallengeSession challenge, ChallengePlan plan, CancellationToken stop)
    {
        session.Send(new HubMessage { ChallengeStart = new Signed { Message = UnsafeByteOperations.UnsafeWrap(challenge.StartMessage) } });
        var (since, window) = (room.Time.GetTimestamp(), plan.Deadline + room.Rules.MaxRoundTrip);
        while (true)
        {
            if (await NextAsync(since, window, stop) is not { } said)
            {
                if (challenge.Expire(room.Time.GetTimestamp()) is { Verdict: { } late }) return Tell(late);
                continue;
            }
            var step = said.Message.MessageCase switch
            {
                NodeMessage.MessageOneofCase.ChallengeCommit => challenge.TakeCommit(said.Message.ChallengeCommit.Message.Memory, said.At),
                // Up to a second of arithmetic, on the thread that gives way to everybody.
                NodeMessage.MessageOneofCase.ChallengeProof => await room.Thread.RunAsync(() => challenge.TakeProof(said.Message.ChallengeProof.Message.Memory, said.At, stop), stop),
                NodeMessage.MessageOneofCase.ChallengeDecline when IsOf(challenge, said.Message.ChallengeDecline) => null,
                _ => ChallengeStep.Refused("Not a word of this challenge."),
            };
            if (step is null)
            {
                LogDeclined(session.NodeId, Printable.Of(said.Message.ChallengeDecline.Reason, 200));
                return null;
            }
            if (step.Verdict is { } verdict) return Tell(verdict);
            if (step.Refusal is { } refusal) LogRefused(session.NodeId, refusal);
            if (step.Reply.IsEmpty)
            {
                // Whoever talks of other things does not stop the clock.
                if (challenge.Expire(said.At) is { Verdict: { } late }) return Tell(late);
                continue;
            }
            session.Send(new HubMessage { ChallengeOpen = new Signed { Message = UnsafeByteOperations.UnsafeWrap(step.Reply) } });
            (since, window) = (said.At, room.Rules.ProofWindow);
        }
    }

    private ChallengeVerdict Tell(ChallengeVerdict verdict)
    {
        session.Send(new HubMessage { ChallengeResult = new Signed { Message = UnsafeByteOperations.UnsafeWrap(verdict.ResultMessage) } });
        LogVerdict(session.NodeId, verdict.Plan.Parameters.Kind, verdict.Outcome, verdict.Result.Sentence);
        return verdict;
    }

    /// <summary>Measures the round trip by five pings.</summary>
    public async Task PingAsync(CancellationToken stop)
    {
        const int pings = 5;
        for (var i = 0; i < pings; i++)
        {
            var number = ++_pings;
            var sentAt = room.Time.GetTimestamp();
            session.Send(new HubMessage { Ping = new Ping { Number = number } });
            while (await NextAsync(sentAt, room.Schedule.PingTimeout, stop) is { } said && room.Time.GetElapsedTime(sentAt, said.At) <= room.Schedule.PingTimeout)
            {
                if (said.Message.Pong?.Number != number) continue;
                _roundTrip.Add(room.Time.GetElapsedTime(sentAt, said.At));
                break;
            }
        }
    }

    /// <summary>The node's next word; <see langword="null"/> when none came in the <paramref name="window"/> that began at <paramref name="since"/>.</summary>
    private async ValueTask<CheckMessage?> NextAsync(long since, TimeSpan window, CancellationToken stop)
    {
        if (session.Checks.TryRead(out var ready)) return ready;
        var left = window - room.Time.GetElapsedTime(since);
        // At least a moment, so that a clock that stands still is waited for.
        var within = left > LeastWait ? left : LeastWait;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using var timeout = new CancellationTokenSource(within, room.Time);
        using var registration = timeout.Token.Register(patience.Cancel);
        try
        {
            return await session.Checks.ReadAsync(patience.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return null;
        }
        catch (ChannelClosedException)
        {
            throw new OperationCanceledException("The connection is over.");
        }
    }

    private static bool IsOf(ChallengeSession challenge, ChallengeDecline decline) => decline.ChallengeId.Span.SequenceEqual(challenge.Start.Id.ToArray());

    [LoggerMessage(7200, LogLevel.Information, "Node {NodeId}: {Kind} challenge {Outcome}. {Sentence}")]
    private partial void LogVerdict(string nodeId, ChallengeKind kind, ChallengeOutcome outcome, string sentence);

    [LoggerMessage(7201, LogLevel.Information, "Node {NodeId} declined a challenge: {Why}")]
    private partial void LogDeclined(string nodeId, string why);

    [LoggerMessage(7202, LogLevel.Information, "Node {NodeId} said something in a challenge that does not belong there: {What}")]
    private partial void LogRefused(string nodeId, string what);
}
