using System.Collections.Immutable;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;

namespace Federation.Silo.Verification.Challenges;

/// <summary>
/// One challenge, from the hub's side.
/// <code>
///   Issued ──commitment──▶ Committed, Opened ──proof──▶ Decided
///      └── deadline: Late          └── deadline: Withheld
/// </code>
/// What a node signed and no honest node could have is fraud, with the messages as evidence. Slowness is not: it places the node in another class. What does not belong here at
/// all (another challenge's message, one out of its order) is refused and changes nothing, since a network can do that too.
/// </summary>
/// <remarks>
/// Not safe for use by several threads at once. <see cref="TakeProof"/> computes for up to a second: not on a grain's scheduler. Times are timestamps of the clock, taken when a
/// message arrived, not when it is looked at.
/// </remarks>
internal sealed class ChallengeSession
{
    /// <summary>Nothing shorter is measured, so that no speed is infinite.</summary>
    private static readonly TimeSpan ShortestTime = TimeSpan.FromMilliseconds(1);

    private readonly ChallengeContext _context;
    private readonly ChallengePlan _plan;
    private readonly byte[] _nodePublicKey;
    private readonly ReadOnlyMemory<byte> _startMessage;
    private readonly long _sentAt;
    private readonly TimeSpan _roundTrip;
    private State _state;
    private ReadOnlyMemory<byte> _commitMessage;
    private ReadOnlyMemory<byte> _openMessage;
    private ChallengeCommit? _commit;
    private ImmutableArray<ChallengeCell> _cells;
    private long _committedAt;
    private long _openedAt;

    private ChallengeSession(ChallengeContext context, ChallengePlan plan, ChallengeStart start, byte[] nodePublicKey, ReadOnlyMemory<byte> startMessage, TimeSpan roundTrip, long now)
    {
        (_context, _plan, Start, _nodePublicKey, _startMessage, _roundTrip, _sentAt) = (context, plan, start, nodePublicKey, startMessage, roundTrip, now);
    }

    private enum State
    {
        Issued,
        Opened,
        Decided,
    }

    /// <summary>What was asked.</summary>
    public ChallengeStart Start { get; }

    /// <summary>What must be sent to the node, now: the clock runs.</summary>
    public ReadOnlyMemory<byte> StartMessage => _startMessage;

    /// <summary>Issues a challenge; <see langword="null"/> when the node had one of this kind in this slot.</summary>
    /// <param name="context">The hub's side of it.</param>
    /// <param name="plan">How much is asked for.</param>
    /// <param name="target">Who is asked.</param>
    /// <param name="draw">What makes this challenge this one.</param>
    /// <param name="now">Timestamp of the clock.</param>
    public static ChallengeSession? TryIssue(ChallengeContext context, ChallengePlan plan, ChallengeTarget target, ChallengeSeed draw, long now)
    {
        var node = NodeId.FromPublicKey(target.PublicKey.Span);
        if (!context.Used.TryTakeSlot(node, plan.Parameters.Kind, draw.Slot)) return null;
        var start = new ChallengeStart
        {
            Id = draw.Id,
            Parameters = plan.Parameters,
            Hub = context.Hub,
            Node = node,
            Slot = draw.Slot,
            Epoch = draw.Epoch,
            Beacon = draw.Beacon,
            Nonce = draw.Nonce,
            DeadlineMs = (long)plan.Deadline.TotalMilliseconds,
        };
        var message = ChallengeCodec.Sign(ChallengeCodec.Encode(start), ChallengeMessage.Start, context.Sign);
        return new ChallengeSession(context, plan, start, target.PublicKey.ToArray(), message, target.RoundTrip, now);
    }

    /// <summary>A commitment came.</summary>
    /// <param name="message">As it came.</param>
    /// <param name="receivedAt">When, as timestamp of the clock.</param>
    /// <returns>The opening to be sent, or the end.</returns>
    public ChallengeStep TakeCommit(ReadOnlyMemory<byte> message, long receivedAt)
    {
        if (_state == State.Decided) return ChallengeStep.Refused($"{Start.Id} is decided.");
        if (WhyUnsigned(ChallengeMessage.Commit, "commitment", message) is { } unsigned) return unsigned;
        ChallengeCommit commit;
        try
        {
            commit = ChallengeCodec.DecodeCommit(message);
        }
        catch (FormatException exception)
        {
            return Fraud($"What the node signed as a commitment is none: {exception.Message}", message);
        }
        if (commit.Id != Start.Id) return ChallengeStep.Refused($"The commitment is for {commit.Id}, not for {Start.Id}.");
        if (_state != State.Issued)
        {
            return commit.Final.AsSpan().SequenceEqual(_commit!.Final.AsSpan())
                ? ChallengeStep.Refused("The commitment came before.")
                : Fraud("The node committed to two results.", message);
        }
        if (!_context.Used.TryAnswer(commit.Id)) return Fraud($"{commit.Id} was answered before.", message);
        (_commit, _commitMessage, _committedAt) = (commit, message, receivedAt);
        if (_context.Time.GetElapsedTime(_sentAt, receivedAt) is var raw && raw > _plan.Deadline + _context.Options.MaxRoundTrip)
        {
            return Decide(ChallengeOutcome.Late, $"The commitment came after {raw.TotalSeconds:F1} s; it was waited for {_plan.Deadline.TotalSeconds:F1} s.");
        }
        _cells = ChallengeDraw.Cells(_context.DrawSecret.Span, Start.Id, commit.Final.AsSpan(), Start.Parameters, _plan.Cells);
        _openMessage = ChallengeCodec.Sign(ChallengeCodec.Encode(new ChallengeOpen { Id = Start.Id, Cells = _cells }), ChallengeMessage.Open, _context.Sign);
        _openedAt = receivedAt;
        _state = State.Opened;
        return ChallengeStep.Answer(_openMessage);
    }

    /// <summary>A proof came.</summary>
    /// <param name="message">As it came.</param>
    /// <param name="receivedAt">When, as timestamp of the clock.</param>
    /// <param name="cancellationToken">Gives up the check; the challenge is as if the proof had not come.</param>
    public ChallengeStep TakeProof(ReadOnlyMemory<byte> message, long receivedAt, CancellationToken cancellationToken = default)
    {
        if (_state == State.Decided) return ChallengeStep.Refused($"{Start.Id} is decided.");
        if (WhyUnsigned(ChallengeMessage.Proof, "proof", message) is { } unsigned) return unsigned;
        if (_state != State.Opened) return ChallengeStep.Refused("A proof comes after its commitment.");
        ChallengeProof proof;
        try
        {
            // Another challenge's proof need not have the form of this one's.
            if (ChallengeCodec.IdOf(message) is var id && id != Start.Id) return ChallengeStep.Refused($"The proof is for {id}, not for {Start.Id}.");
            proof = ChallengeCodec.DecodeProof(message, Start.Parameters, _cells);
        }
        catch (FormatException exception)
        {
            return Fraud($"What the node signed as a proof is none: {exception.Message}", message);
        }
        if (_context.Time.GetElapsedTime(_openedAt, receivedAt) is var raw && raw > _context.Options.ProofWindow)
        {
            return Decide(ChallengeOutcome.Withheld, $"The proof came after {raw.TotalSeconds:F1} s; it was waited for {_context.Options.ProofWindow.TotalSeconds:F1} s.", message);
        }
        if (ProofCheck.WhyWrong(Start, _nodePublicKey, _commit!.Final.AsSpan(), _cells, proof, cancellationToken) is { } wrong) return Fraud(wrong, message);
        return Timed(message);
    }

    /// <summary>The end of a challenge whose deadline passed; null while there is time.</summary>
    public ChallengeStep? Expire(long now) => _state switch
    {
        State.Issued when _context.Time.GetElapsedTime(_sentAt, now) > _plan.Deadline + _context.Options.MaxRoundTrip
            => Decide(ChallengeOutcome.Late, $"No commitment came within {_plan.Deadline.TotalSeconds:F1} s."),
        State.Opened when _context.Time.GetElapsedTime(_openedAt, now) > _context.Options.ProofWindow
            => Decide(ChallengeOutcome.Withheld, $"The node committed to a result and did not show it within {_context.Options.ProofWindow.TotalSeconds:F1} s."),
        _ => null,
    };

    /// <summary>What comes of a message that is not signed with the node's key, or cannot be checked; null when it is.</summary>
    private ChallengeStep? WhyUnsigned(ChallengeMessage kind, string what, ReadOnlyMemory<byte> message) => SignatureCheck.Of(() => ChallengeCodec.IsSignedBy(_nodePublicKey, kind, message.Span)) switch
    {
        SignatureFinding.Right => null,
        SignatureFinding.Wrong => Fraud($"The {what} is not signed with the node's key.", message),
        _ => ChallengeStep.Refused($"The hub could not check the signature of the {what}."),
    };

    private ChallengeStep Timed(ReadOnlyMemory<byte> proofMessage)
    {
        var allowed = _plan.Reference / _context.Options.Tolerance;
        var elapsed = Elapsed().Elapsed;
        var what = Start.Parameters.Kind == ChallengeKind.Matrix ? "rows" : "segments";
        return elapsed > allowed
            ? Decide(ChallengeOutcome.TooSlow, $"All {_cells.Length} {what} are right, but took {elapsed.TotalSeconds:F2} s; {_plan.Class.Name} has {allowed.TotalSeconds:F2} s.", proofMessage)
            : Decide(ChallengeOutcome.Passed, $"All {_cells.Length} {what} are right, and took {elapsed.TotalSeconds:F2} s; {_plan.Class.Name} has {allowed.TotalSeconds:F2} s.", proofMessage);
    }

    private ChallengeStep Fraud(string sentence, ReadOnlyMemory<byte> message) => Decide(ChallengeOutcome.Fraud, sentence, message);

    private ChallengeStep Decide(ChallengeOutcome outcome, string sentence, params ReadOnlySpan<ReadOnlyMemory<byte>> last)
    {
        _state = State.Decided;
        var (elapsed, roundTrip) = Elapsed();
        // What was not proved was not measured.
        var speedRatio = outcome is ChallengeOutcome.Passed or ChallengeOutcome.TooSlow ? _plan.Reference / elapsed : 0;
        ImmutableArray<ReadOnlyMemory<byte>> evidence =
            [.. ((ReadOnlyMemory<byte>[])[_startMessage, _commitMessage, _openMessage, .. last]).Where(message => !message.IsEmpty)];
        var result = new ChallengeResult
        {
            Id = Start.Id,
            Outcome = outcome,
            ElapsedMicroseconds = (long)elapsed.TotalMicroseconds,
            RoundTripMicroseconds = (long)roundTrip.TotalMicroseconds,
            PerSecond = (long)Math.Min(Start.Parameters.Work / _plan.Reference.TotalSeconds * speedRatio, 1e18),
            HardwareClass = _plan.Class.Name,
            Sentence = sentence.Length <= ChallengeResult.MaxSentenceLength ? sentence : sentence[..ChallengeResult.MaxSentenceLength],
            TranscriptHash = [.. ChallengeCodec.TranscriptHash([.. evidence])],
        };
        var message = ChallengeCodec.Sign(ChallengeCodec.Encode(result), ChallengeMessage.Result, _context.Sign);
        return ChallengeStep.Decided(new ChallengeVerdict(result, message, _plan, speedRatio, speedRatio > _context.Options.SuspiciousSpeed, evidence));
    }

    private (TimeSpan Elapsed, TimeSpan RoundTrip) Elapsed()
    {
        if (_commit is null) return (TimeSpan.Zero, TimeSpan.Zero);
        var raw = _context.Time.GetElapsedTime(_sentAt, _committedAt);
        var off = RoundTrip.TakenOff(raw, _roundTrip, _context.Options.MaxRoundTrip);
        var elapsed = raw - off;
        return (elapsed < ShortestTime ? ShortestTime : elapsed, off);
    }
}

/// <summary>What a hub brings to every challenge.</summary>
/// <param name="Hub">Its id.</param>
/// <param name="Sign">Signs with its key.</param>
/// <param name="DrawSecret">The epoch's secret, which the cells are drawn with; revealed when the epoch ends.</param>
/// <param name="Used">What was used before.</param>
/// <param name="Options">The rules.</param>
/// <param name="Time">The clock whose timestamps are given.</param>
internal sealed record ChallengeContext(
    HubId Hub, Func<byte[], byte[]> Sign, ReadOnlyMemory<byte> DrawSecret, UsedChallenges Used, ChallengeOptions Options, TimeProvider Time);

/// <summary>Who is challenged.</summary>
/// <param name="PublicKey">The node's SubjectPublicKeyInfo.</param>
/// <param name="RoundTrip">To it: <see cref="RoundTrip.Shortest"/>.</param>
internal sealed record ChallengeTarget(ReadOnlyMemory<byte> PublicKey, TimeSpan RoundTrip);

/// <summary>What makes one challenge unlike any other.</summary>
/// <param name="Id">16 random bytes.</param>
/// <param name="Slot">The time slot.</param>
/// <param name="Epoch">Whose beacon it is.</param>
/// <param name="Beacon">32 bytes.</param>
/// <param name="Nonce">32 random bytes.</param>
internal sealed record ChallengeSeed(ChallengeId Id, long Slot, long Epoch, ImmutableArray<byte> Beacon, ImmutableArray<byte> Nonce);
