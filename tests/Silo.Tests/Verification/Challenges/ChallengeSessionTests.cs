using System.Collections.Immutable;
using Federation.Protocol.Challenges;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Challenges;

namespace Federation.Silo.Tests.Verification.Challenges;

/// <summary>P5 of the verification protocol: the state machine under a clock that is moved by hand.</summary>
public sealed class ChallengeSessionTests : IDisposable
{
    private static readonly ChallengeParameters Small = ChallengeParameters.Matrix(128, 6);
    private static readonly ChallengeParameters SmallMemory = ChallengeParameters.Memory(20 * ChallengeMemory.SegmentBytes, 4, 3);

    private readonly TestClock _clock = new();
    private readonly TestNode _node = new();
    private readonly TestChallenges _hub;

    public ChallengeSessionTests() => _hub = new TestChallenges(_clock);

    public void Dispose()
    {
        _node.Dispose();
        _hub.Dispose();
    }

    // ---------------------------------------------------------------------------------------------------- the honest way

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_honest_node_in_time_passes_and_anybody_can_see_why(bool memory)
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(memory ? SmallMemory : Small), roundTrip: Milliseconds(50));
        var verdict = Run(session, computes: TimeSpan.FromSeconds(5));

        Assert.Equal(ChallengeOutcome.Passed, verdict.Outcome);
        Assert.False(verdict.IsFraud);
        Assert.False(verdict.FasterThanClass);
        Assert.Equal(4_950_000, verdict.Result.ElapsedMicroseconds);
        Assert.Equal(50_000, verdict.Result.RoundTripMicroseconds);
        Assert.Equal(5 / 4.95, verdict.SpeedRatio, 6);
        Assert.Equal(session.Start.Parameters.Work / 4.95, verdict.Result.PerSecond, session.Start.Parameters.Work / 1e3);

        // The four messages, signed, hash to what the hub signed: a third party needs nothing else.
        Assert.Equal(4, verdict.Evidence.Length);
        Assert.True(ChallengeCodec.IsSignedBy(_hub.PublicKey.Span, ChallengeMessage.Result, verdict.ResultMessage.Span));
        var result = ChallengeCodec.DecodeResult(verdict.ResultMessage);
        Assert.Equal(result.TranscriptHash.AsEnumerable(), ChallengeCodec.TranscriptHash([.. verdict.Evidence]));
        var start = ChallengeCodec.DecodeStart(verdict.Evidence[0]);
        var cells = ChallengeCodec.DecodeOpen(verdict.Evidence[2], start.Parameters).Cells;
        var final = ChallengeCodec.DecodeCommit(verdict.Evidence[1]).Final;
        Assert.Equal(cells.AsEnumerable(), ChallengeDraw.Cells(_hub.Context.DrawSecret.Span, start.Id, final.AsSpan(), start.Parameters, cells.Length));
        Assert.Null(ProofCheck.WhyWrong(start, _node.PublicKey.Span, final.AsSpan(), cells, ChallengeCodec.DecodeProof(verdict.Evidence[3], start.Parameters, cells), default));
    }

    [Theory]
    [InlineData(6_250, ChallengeOutcome.Passed)]
    [InlineData(6_251, ChallengeOutcome.TooSlow)]
    [InlineData(30_000, ChallengeOutcome.TooSlow)]
    [InlineData(30_200, ChallengeOutcome.TooSlow)]
    [InlineData(30_201, ChallengeOutcome.Late)]
    public void Slowness_is_no_fraud(int milliseconds, ChallengeOutcome expected)
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var verdict = Run(session, computes: Milliseconds(milliseconds));
        Assert.Equal(expected, verdict.Outcome);
        Assert.False(verdict.IsFraud);
    }

    [Theory]
    [InlineData(3_704, false)]
    [InlineData(3_703, true)]
    public void Whoever_is_much_faster_than_the_class_is_flagged(int milliseconds, bool flagged)
    {
        var verdict = Run(_hub.Issue(_node, TestChallenges.Plan(Small)), computes: Milliseconds(milliseconds));
        Assert.Equal(ChallengeOutcome.Passed, verdict.Outcome);
        Assert.Equal(flagged, verdict.FasterThanClass);
    }

    // ----------------------------------------------------------------------------------------------------- the round trip

    [Fact]
    public void The_round_trip_never_makes_a_time_negative_nor_buys_more_than_its_bound()
    {
        var random = new Random(1);
        for (var i = 0; i < 10_000; i++)
        {
            var span = TimeSpan.FromTicks(random.NextInt64(0, TimeSpan.TicksPerSecond * 10) + 1);
            var roundTrip = TimeSpan.FromTicks(random.NextInt64(0, TimeSpan.TicksPerSecond * 20));
            var off = RoundTrip.TakenOff(span, roundTrip, Milliseconds(200));
            Assert.InRange(off, TimeSpan.Zero, Milliseconds(200));
            Assert.True(span - off > TimeSpan.Zero);
            Assert.True(off <= roundTrip);
        }
    }

    [Fact]
    public void A_node_that_answers_pings_late_gains_no_more_than_the_bound()
    {
        var verdict = Run(_hub.Issue(_node, TestChallenges.Plan(Small), roundTrip: TimeSpan.FromSeconds(4)), computes: TimeSpan.FromSeconds(8));
        Assert.Equal(ChallengeOutcome.TooSlow, verdict.Outcome);
        Assert.Equal(7_800_000, verdict.Result.ElapsedMicroseconds);
    }

    [Fact]
    public void The_shortest_of_the_last_five_pings_counts()
    {
        var roundTrip = new RoundTrip();
        Assert.Equal(TimeSpan.Zero, roundTrip.Shortest);
        foreach (var sample in new[] { 10, 60, 50, 40, 30 }) roundTrip.Add(Milliseconds(sample));
        Assert.Equal(Milliseconds(10), roundTrip.Shortest);
        roundTrip.Add(Milliseconds(70));
        Assert.Equal(Milliseconds(30), roundTrip.Shortest);
        roundTrip.Add(Milliseconds(-5)); // a clock that went backwards
        Assert.Equal(Milliseconds(30), roundTrip.Shortest);
    }

    // ----------------------------------------------------------------------------------------------------- out of order

    [Fact]
    public void A_proof_before_its_commitment_is_refused_and_changes_nothing()
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var work = _node.Compute(session.Start);
        var step = session.TakeProof(_node.Prove(work, [new ChallengeCell(0, 0), new(0, 0), new(0, 0), new(0, 0)]), Now);
        Assert.NotNull(step.Refusal);
        Assert.Null(step.Verdict);
        Assert.Equal(ChallengeOutcome.Passed, Run(session, TimeSpan.FromSeconds(5)).Outcome);
    }

    [Fact]
    public void Nothing_is_opened_before_the_commitment_and_what_is_opened_follows_from_it()
    {
        var (one, other) = (_hub.Issue(_node, TestChallenges.Plan(Small, cells: 64)), _hub.Issue(_node, TestChallenges.Plan(Small, cells: 64)));
        var cells = CellsOf(one, one.TakeCommit(_node.Commit(_node.Compute(one.Start)), Now));
        var others = CellsOf(other, other.TakeCommit(_node.Commit(_node.Compute(other.Start)), Now));
        Assert.NotEqual(cells.AsEnumerable(), others.AsEnumerable());
    }

    [Fact]
    public void The_same_commitment_again_is_refused_and_another_one_is_fraud()
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var work = _node.Compute(session.Start);
        var commit = _node.Commit(work);
        Assert.False(session.TakeCommit(commit, Now).Reply.IsEmpty);
        Assert.NotNull(session.TakeCommit(commit, Now).Refusal);

        var second = session.TakeCommit(_node.Commit(_node.Compute(session.Start, (round, hashes) => hashes[0]++)), Now);
        Assert.Equal("The node committed to two results.", AssertFraud(second));
        Assert.NotNull(session.TakeCommit(commit, Now).Refusal);
        Assert.NotNull(session.TakeProof(_node.Prove(work, [new ChallengeCell(0, 0)]), Now).Refusal);
    }

    [Fact]
    public void A_commitment_or_proof_of_another_challenge_is_refused()
    {
        var (one, other) = (_hub.Issue(_node, TestChallenges.Plan(Small)), _hub.Issue(_node, TestChallenges.Plan(SmallMemory)));
        var (work, otherWork) = (_node.Compute(one.Start), _node.Compute(other.Start));
        Assert.Contains("is for", other.TakeCommit(_node.Commit(work), Now).Refusal, StringComparison.Ordinal);

        var cells = CellsOf(one, one.TakeCommit(_node.Commit(work), Now));
        var otherCells = CellsOf(other, other.TakeCommit(_node.Commit(otherWork), Now));
        Assert.Contains("is for", one.TakeProof(_node.Prove(otherWork, otherCells), Now).Refusal, StringComparison.Ordinal);
        Assert.Equal(ChallengeOutcome.Passed, one.TakeProof(_node.Prove(work, cells), Now).Verdict!.Outcome);
    }

    [Fact]
    public void A_replayed_commitment_is_fraud_even_where_the_session_was_forgotten()
    {
        var seed = _hub.NextSeed();
        var first = ChallengeSession.TryIssue(_hub.Context, TestChallenges.Plan(Small), new ChallengeTarget(_node.PublicKey, default), seed, Now)!;
        var commit = _node.Commit(_node.Compute(first.Start));
        first.TakeCommit(commit, Now);

        // The same id in another slot: a hub that restarted and drew badly.
        var second = ChallengeSession.TryIssue(_hub.Context, TestChallenges.Plan(Small), new ChallengeTarget(_node.PublicKey, default), seed with { Slot = 99 }, Now)!;
        Assert.Contains("was answered before", AssertFraud(second.TakeCommit(commit, Now)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_node_has_one_challenge_of_a_kind_in_a_slot()
    {
        var seed = _hub.NextSeed();
        Assert.NotNull(ChallengeSession.TryIssue(_hub.Context, TestChallenges.Plan(Small), new ChallengeTarget(_node.PublicKey, default), seed, Now));
        Assert.NotNull(ChallengeSession.TryIssue(_hub.Context, TestChallenges.Plan(SmallMemory), new ChallengeTarget(_node.PublicKey, default), seed, Now));
        Assert.Null(ChallengeSession.TryIssue(_hub.Context, TestChallenges.Plan(Small), new ChallengeTarget(_node.PublicKey, default), seed with { Id = new ChallengeId(77) }, Now));
    }

    // ------------------------------------------------------------------------------------------------------- the deadlines

    [Fact]
    public void A_challenge_nobody_answers_is_late_and_no_fraud()
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        Assert.Null(session.Expire(Now));
        _clock.Advance(Milliseconds(30_200));
        Assert.Null(session.Expire(Now));
        _clock.Advance(Milliseconds(1));
        var verdict = session.Expire(Now)!.Verdict!;
        Assert.Equal((ChallengeOutcome.Late, false, 0.0), (verdict.Outcome, verdict.IsFraud, verdict.SpeedRatio));
        Assert.Null(session.Expire(Now));
        Assert.NotNull(session.TakeCommit(_node.Commit(_node.Compute(session.Start)), Now).Refusal);
    }

    [Fact]
    public void A_commitment_without_its_proof_is_withheld()
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        session.TakeCommit(_node.Commit(_node.Compute(session.Start)), Now);
        _clock.Advance(Milliseconds(10_000));
        Assert.Null(session.Expire(Now));
        _clock.Advance(Milliseconds(1));
        Assert.Equal(ChallengeOutcome.Withheld, session.Expire(Now)!.Verdict!.Outcome);
    }

    [Fact]
    public void A_proof_after_its_window_is_withheld_though_it_be_right()
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var work = _node.Compute(session.Start);
        var cells = CellsOf(session, session.TakeCommit(_node.Commit(work), Now));
        _clock.Advance(Milliseconds(10_001));
        var verdict = session.TakeProof(_node.Prove(work, cells), Now).Verdict!;
        Assert.Equal((ChallengeOutcome.Withheld, 0.0), (verdict.Outcome, verdict.SpeedRatio));
    }

    [Fact]
    public void Time_counts_from_when_a_message_arrived_not_from_when_it_was_looked_at()
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var work = _node.Compute(session.Start);
        _clock.Advance(TimeSpan.FromSeconds(5));
        var received = Now;
        _clock.Advance(TimeSpan.FromSeconds(100));
        var cells = CellsOf(session, session.TakeCommit(_node.Commit(work), received));
        Assert.Equal(5_000_000, session.TakeProof(_node.Prove(work, cells), received).Verdict!.Result.ElapsedMicroseconds);
    }

    // -------------------------------------------------------------------------------------------------------------- fraud

    [Theory]
    [InlineData("beacon")]
    [InlineData("nonce")]
    [InlineData("slot")]
    [InlineData("hub")]
    public void Work_for_something_else_than_was_asked_is_fraud(string what)
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var asked = session.Start;
        var other = what switch
        {
            "beacon" => asked with { Beacon = asked.Nonce },
            "nonce" => asked with { Nonce = asked.Beacon },
            "slot" => asked with { Slot = asked.Slot - 1 },
            _ => asked with { Hub = Protocol.Identity.HubId.FromPublicKey(_node.PublicKey.Span) },
        };
        var work = _node.Compute(other);
        var cells = CellsOf(session, session.TakeCommit(_node.Commit(work), Now));
        Assert.Contains("wrong result", AssertFraud(session.TakeProof(_node.Prove(work, cells), Now)), StringComparison.Ordinal);
    }

    [Fact]
    public void Another_nodes_work_is_fraud()
    {
        using var helper = new TestNode();
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var work = helper.Compute(session.Start);
        Assert.Contains("not signed", AssertFraud(_hub.Issue(_node, TestChallenges.Plan(Small)).TakeCommit(helper.Commit(work), Now)), StringComparison.Ordinal);
        var cells = CellsOf(session, session.TakeCommit(_node.Commit(work), Now));
        Assert.Contains("wrong result", AssertFraud(session.TakeProof(_node.Prove(work, cells), Now)), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_signed_and_makes_no_sense_is_fraud_and_harms_nobody()
    {
        foreach (var garbage in new byte[][] { [], [0xA4], new byte[100], [.. Enumerable.Repeat((byte)0xFF, 5_000)], new byte[1 << 20] })
        {
            var session = _hub.Issue(_node, TestChallenges.Plan(Small));
            Assert.Contains("is none", AssertFraud(session.TakeCommit(_node.Sign(ChallengeMessage.Commit, [0x00, .. garbage]), Now)), StringComparison.Ordinal);
            session = _hub.Issue(_node, TestChallenges.Plan(Small));
            session.TakeCommit(_node.Commit(_node.Compute(session.Start)), Now);
            Assert.Contains("is none", AssertFraud(session.TakeProof(_node.Sign(ChallengeMessage.Proof, [0x00, .. garbage]), Now)), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_evidence_ends_with_the_message_that_convicts()
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var work = _node.Compute(session.Start, (_, hashes) => Array.Clear(hashes));
        var cells = CellsOf(session, session.TakeCommit(_node.Commit(work), Now));
        var proof = _node.Prove(work, cells);
        var verdict = session.TakeProof(proof, Now).Verdict!;
        Assert.Equal(proof, verdict.Evidence[^1].ToArray());
        Assert.Equal(4, verdict.Evidence.Length);
        Assert.Equal(0, verdict.Result.PerSecond);
    }

    private long Now => _clock.GetTimestamp();

    private static TimeSpan Milliseconds(int count) => TimeSpan.FromMilliseconds(count);

    private static string AssertFraud(ChallengeStep step)
    {
        Assert.NotNull(step.Verdict);
        Assert.True(step.Verdict.IsFraud);
        Assert.True(step.Reply.IsEmpty);
        return step.Verdict.Result.Sentence;
    }

    private static ImmutableArray<ChallengeCell> CellsOf(ChallengeSession session, ChallengeStep step) => ChallengeCodec.DecodeOpen(step.Reply, session.Start.Parameters).Cells;

    private ChallengeVerdict Run(ChallengeSession session, TimeSpan computes)
    {
        var work = _node.Compute(session.Start);
        _clock.Advance(computes);
        var step = session.TakeCommit(_node.Commit(work), Now);
        if (step.Verdict is { } early) return early;
        _clock.Advance(TimeSpan.FromSeconds(1));
        return session.TakeProof(_node.Prove(work, CellsOf(session, step)), Now).Verdict!;
    }
}
