using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Inference;

/// <summary>What of a verifier's answer counts, and what is set beside it.</summary>
public sealed class ScoredPositionTests
{
    private const string Text = "für 日本 dich";

    [Fact]
    public void A_probe_counts_only_where_the_text_may_be_cut_and_the_token_is_whole_characters()
    {
        var positions = ScoredPosition.Of(
            Answer(
                "probe",
                At(0, "f"u8),
                At(1, "ür"u8),
                At(4, [0x20, 0xE6]),
                At(11, " dich"u8),
                At(16, [], isEnd: true)),
            Text,
            endIsTheModels: true,
            []);

        Assert.Equal([SkipReason.None, SkipReason.UnsafeCut, SkipReason.PartialCharacter, SkipReason.None, SkipReason.None], positions.Select(position => position.Skip));
    }

    [Fact]
    public void A_whole_text_counts_everywhere()
    {
        var positions = ScoredPosition.Of(Answer("whole", At(0, "f"u8), At(1, [0xC3]), At(2, [0xBC]), At(3, "r"u8)), Text, endIsTheModels: true, []);
        Assert.All(positions, position => Assert.Equal(SkipReason.None, position.Skip));
    }

    [Fact]
    public void An_end_that_something_else_may_have_made_counts_only_if_the_model_wanted_it()
    {
        var end = At(16, [], isEnd: true);
        Assert.Equal(SkipReason.EndNotTheModels, Assert.Single(ScoredPosition.Of(Answer("whole", end), Text, endIsTheModels: false, [])).Skip);
        Assert.Equal(SkipReason.None, Assert.Single(ScoredPosition.Of(Answer("whole", end with { LikeliestIsEnd = true }), Text, endIsTheModels: false, [])).Skip);
    }

    [Fact]
    public void Where_an_answer_broke_off_the_last_bytes_say_nothing()
    {
        var text = new string('a', 40);
        SkipReason Skip(int offset, bool isWhole) => Assert.Single(ScoredPosition.Of(Answer("whole", At(offset, "a"u8)), text, endIsTheModels: false, [], isWhole)).Skip;
        Assert.Equal([SkipReason.None, SkipReason.None, SkipReason.BrokenOff, SkipReason.BrokenOff], new[] { 0, 8, 9, 39 }.Select(offset => Skip(offset, isWhole: false)));
        Assert.Equal(SkipReason.None, Skip(39, isWhole: true));
    }

    [Fact]
    public void The_workers_word_stands_beside_the_same_token_at_the_same_place()
    {
        var worker = LogprobCommitment.InOrder([Committed("fü"u8, -100), Committed("r"u8, -250), Committed(" 日"u8, -7), Committed([], -1)]);
        var answer = Answer("whole", At(0, "fü"u8), At(3, "r"u8), At(4, " 日"u8), End(8));

        Assert.Equal([-0.1, -0.25, -0.007, -0.001], Words(answer, worker));
        // Of a part, the same parts.
        Assert.Equal([null, null, -0.007, null], Words(answer, [worker[2]]));
        // Which end it was, or whether a stop text was one, nobody can see.
        Assert.Equal([-0.1, -0.25, -0.007, null], Words(answer, worker, endIsTheModels: false));
    }

    [Fact]
    public void Behind_a_place_where_both_read_other_tokens_nothing_is_compared()
    {
        var worker = LogprobCommitment.InOrder([Committed("f"u8, -100), Committed("ü"u8, -200), Committed("r"u8, -250), Committed(" 日"u8, -7), Committed([], -1)]);

        Assert.Equal([-0.1, null, null, null], Words(Answer("whole", At(0, "f"u8), At(1, "ür"u8), At(4, " 日"u8), End(8)), worker));
        Assert.Equal([null, null, null], Words(Answer("whole", At(0, "für"u8), At(4, " 日"u8), End(8)), worker));
        // The verifier read other tokens where the worker has none.
        Assert.Equal([null, null, null, null, null], Words(Answer("whole", At(0, "f"u8), At(1, [0xC3]), At(2, [0xBC]), At(3, "r"u8), End(8)), [worker[1], worker[2]]));
    }

    [Fact]
    public void A_token_without_text_is_read_by_the_worker_alone_and_is_no_end()
    {
        var first = LogprobCommitment.InOrder([Committed("fü"u8, -100), Committed([], -9_000), Committed("r"u8, -250), Committed(" 日"u8, -7), Committed([], -1)]);
        var last = LogprobCommitment.InOrder([Committed("fü"u8, -100), Committed("r"u8, -250), Committed(" 日"u8, -7), Committed([], -9_000), Committed([], -1)]);
        var answer = Answer("whole", At(0, "fü"u8), At(3, "r"u8), At(4, " 日"u8), End(8));

        Assert.Equal([-0.1, null, null, null], Words(answer, first));
        Assert.Equal([-0.1, -0.25, -0.007, null], Words(answer, last));
    }

    [Fact]
    public void Where_only_places_were_scored_the_workers_tokens_are_taken_as_they_are()
    {
        var worker = LogprobCommitment.InOrder([Committed("f"u8, -100), Committed("ür"u8, -200), Committed(" 日"u8, -7), Committed([], -1)]);

        Assert.Equal([-0.007], Words(Answer("probe", At(4, " 日"u8)), worker));
    }

    [Fact]
    public void The_margin_is_the_samplers_where_it_is_told_and_the_models_otherwise()
    {
        var position = At(0, "f"u8) with { Logprob = -0.5, LikeliestLogprob = -0.1 };
        Assert.Equal(0.4, Assert.Single(ScoredPosition.Of(Answer("whole", position), Text, true, [])).Margin!.Value, 12);
        Assert.Equal(0, Assert.Single(ScoredPosition.Of(Answer("whole", position with { Margin = 0 }), Text, true, [])).Margin);
        Assert.Null(Assert.Single(ScoredPosition.Of(Answer("probe", position with { Logprob = null, Rank = null }), Text, true, [])).Margin);
    }

    [Fact]
    public void A_token_that_is_not_listed_is_as_far_from_the_workers_word_as_is_certain()
    {
        Assert.Equal(3, new ScoredPosition(0, null, null, WorkerLogprob: -1, LogprobAtMost: -4).Delta);
        Assert.Null(new ScoredPosition(0, null, null, WorkerLogprob: -5, LogprobAtMost: -4).Delta);
        Assert.Null(new ScoredPosition(0, 0, -1).Delta);
    }

    private static ScoreAnswer Answer(string method, params ScorePosition[] positions) => new() { Method = method, ModelDigest = "", Positions = [.. positions] };

    private static ScorePosition At(int offset, ReadOnlySpan<byte> token, bool isEnd = false) =>
        new() { Offset = offset, Token = token.ToArray(), Logprob = -0.1, Rank = 1, LikeliestLogprob = -0.1, IsEnd = isEnd };

    private static CommittedToken Committed(ReadOnlySpan<byte> token, short milliNats) => new(token.ToArray(), milliNats, []);

    private static IEnumerable<double?> Words(ScoreAnswer answer, IReadOnlyList<CommittedToken> worker, bool endIsTheModels = true)
        => ScoredPosition.Of(answer, "für 日", endIsTheModels, worker).Select(position => position.WorkerLogprob);

    private static ScorePosition End(int offset) => At(offset, []) with { IsEnd = true };
}
