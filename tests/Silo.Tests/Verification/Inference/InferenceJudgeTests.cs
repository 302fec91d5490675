using System.Collections.Immutable;
using Federation.Silo.Verification.Inference;
using Xunit.Abstractions;

namespace Federation.Silo.Tests.Verification.Inference;

/// <summary>P11 on made-up logits: what the judge says of honest noise, of bent weights, of other temperatures, of ends and counts.</summary>
public sealed class InferenceJudgeTests(ITestOutputHelper output)
{
    private const int Tokens = 256;
    private const double HonestNoise = 0.05;

    private static readonly bool IsFull = Environment.GetEnvironmentVariable("FEDERATION_TESTS_FULL") == "1";
    private static readonly InferenceJudge Judge = new(new InferenceCheckOptions());

    [Theory]
    [InlineData(nameof(Drawing.Greedy), 256, true)]
    [InlineData(nameof(Drawing.Greedy), 256, false)]
    [InlineData(nameof(Drawing.Greedy), 16, true)]
    [InlineData(nameof(Drawing.Greedy), 16, false)]
    [InlineData(nameof(Drawing.Sampled), 16, true)]
    [InlineData(nameof(Drawing.Sampled), 256, true)]
    [InlineData(nameof(Drawing.Sampled), 256, false)]
    public void Honest_noise_is_accused_at_most_twice_in_a_thousand_audits(string drawing, int tokens, bool workerIsKnown)
    {
        var audits = IsFull ? 10_000 : tokens == 16 ? 2_000 : 600;
        var model = new SyntheticModel(new Random(11)) { HonestNoise = HonestNoise, WorkerIsKnown = workerIsKnown };

        var accused = Accused(model, audits, tokens, Enum.Parse<Drawing>(drawing));

        // Three standard deviations above 0.2 %, so that the scaled run is not a coin toss.
        var most = (0.002 * audits) + (3 * Math.Sqrt(0.002 * audits));
        output.WriteLine($"{drawing}, {tokens} tokens, worker {(workerIsKnown ? "known" : "unknown")}: {accused} of {audits} accused");
        Assert.True(accused <= most, $"{accused} of {audits} honest audits accused");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_divergence_of_a_twentieth_nat_a_token_is_found_in_one_greedy_audit(bool workerIsKnown)
    {
        var audits = IsFull ? 2_000 : 200;
        var model = new SyntheticModel(new Random(12)) { HonestNoise = HonestNoise, Bend = 0.47, WorkerIsKnown = workerIsKnown };

        var accused = Accused(model, audits, Tokens, Drawing.Greedy);

        output.WriteLine($"KL {model.MeanDivergence:0.000} nat/token, worker {(workerIsKnown ? "known" : "unknown")}: {accused} of {audits} accused");
        Assert.InRange(model.MeanDivergence, 0.045, 0.065);
        Assert.True(accused >= 0.95 * audits, $"{accused} of {audits} found at {model.MeanDivergence:0.000} nat a token");
    }

    [Fact]
    public void A_divergence_of_a_twentieth_nat_a_token_is_found_in_a_drawn_answer_by_the_workers_own_logprobs()
    {
        var audits = IsFull ? 2_000 : 200;
        var model = new SyntheticModel(new Random(13)) { HonestNoise = HonestNoise, Bend = 0.47 };

        var accused = Accused(model, audits, Tokens, Drawing.Sampled);

        output.WriteLine($"KL {model.MeanDivergence:0.000} nat/token: {accused} of {audits} accused");
        Assert.True(accused >= 0.95 * audits, $"{accused} of {audits} found");
    }

    [Theory]
    [InlineData(0.6)]
    [InlineData(1.5)]
    public void Draws_that_are_surer_or_wilder_than_the_model_are_found_in_a_thousand_tokens(double sharpness)
    {
        const int Cheats = 60;
        var found = 0;
        var model = new SyntheticModel(new Random(14)) { HonestNoise = HonestNoise, Sharpness = sharpness, WorkerIsKnown = false };
        for (var i = 0; i < Cheats; i++)
        {
            var history = InferenceHistory.Empty;
            var outcome = InferenceOutcome.Ok;
            for (var audit = 0; audit < 4 && outcome == InferenceOutcome.Ok; audit++)
            {
                (var verdict, history) = Judge.Judge(model.Answer(Tokens, Drawing.Sampled), history, new Random(i));
                outcome = verdict.Outcome;
            }

            found += outcome == InferenceOutcome.SoftMismatch ? 1 : 0;
        }

        output.WriteLine($"temperature {sharpness} of the asked one: {found} of {Cheats} found, KL {model.MeanDivergence:0.000}");
        Assert.True(found >= 0.95 * Cheats, $"{found} of {Cheats} found");
    }

    [Fact]
    public void Draws_are_pooled_until_there_are_enough_and_each_is_tested_once()
    {
        var model = new SyntheticModel(new Random(15)) { WorkerIsKnown = false };
        var (first, history) = Judge.Judge(model.Answer(300, Drawing.Sampled), InferenceHistory.Empty, new Random(1));
        Assert.Equal(0, first.Figures.PitTokens);
        Assert.Equal(300, history.Draws.Places.Length);

        (var second, history) = Judge.Judge(model.Answer(300, Drawing.Sampled), history, new Random(1));
        Assert.Equal(600, second.Figures.PitTokens);
        Assert.Empty(history.Draws.Places);
        Assert.Equal(InferenceOutcome.Ok, second.Outcome);
    }

    [Fact]
    public void Skipped_positions_count_for_nothing()
    {
        var answer = Greedy(20) with
        {
            Positions =
            [
                .. Greedy(20).Positions,
                new ScoredPosition(20, null, null, Skip: SkipReason.PartialCharacter),
                new ScoredPosition(21, 4.0, -4.0, -0.01, Skip: SkipReason.UnsafeCut),
            ],
        };

        var (verdict, _) = Judge.Judge(answer, InferenceHistory.Empty, new Random(1));

        Assert.Equal(InferenceOutcome.Ok, verdict.Outcome);
        Assert.Equal(20, verdict.Figures.Scored);
        Assert.Equal(1, verdict.Figures.Skipped[SkipReason.PartialCharacter]);
        Assert.Equal(1, verdict.Figures.Skipped[SkipReason.UnsafeCut]);
    }

    [Fact]
    public void Too_few_positions_give_no_verdict()
    {
        var (verdict, history) = Judge.Judge(Greedy(3), InferenceHistory.Empty, new Random(1));

        Assert.Equal(InferenceOutcome.Inconclusive, verdict.Outcome);
        Assert.Equal("Only 3 positions could be scored; a verdict needs 4.", Assert.Single(verdict.Reasons));
        Assert.Equal(InferenceHistory.Empty.Margin, history.Margin);
    }

    [Fact]
    public void Of_few_positions_one_far_from_the_models_choice_is_enough_and_a_near_tie_is_not()
    {
        var far = AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(2) with { Positions = Greedy(2).Positions.SetItem(1, new ScoredPosition(1, null, null)) });
        Assert.Equal("Where the answer first differs from the model's choice it is no near tie: 5.000 nat apart, at most 0.350.", Assert.Single(far.Reasons));
        AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(1) with { Positions = [new ScoredPosition(0, 3, -3.1, IsEnd: true)] });
        AssertOutcome(InferenceOutcome.Inconclusive, Greedy(2) with { Positions = Greedy(2).Positions.SetItem(1, new ScoredPosition(1, 0.3, -0.9)) });
        AssertOutcome(InferenceOutcome.Inconclusive, Greedy(2) with { Drawing = Drawing.Sampled, Positions = Greedy(2).Positions.SetItem(1, new ScoredPosition(1, null, null)) });
        AssertOutcome(InferenceOutcome.Inconclusive, Greedy(0));
    }

    [Fact]
    public void One_near_tie_in_sixteen_positions_is_honest_and_a_clear_difference_is_not()
    {
        AssertOutcome(InferenceOutcome.Ok, Greedy(16) with { Positions = Greedy(16).Positions.SetItem(5, new ScoredPosition(5, 0.3, -0.9)) });
        var clear = AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(16) with { Positions = Greedy(16).Positions.SetItem(5, new ScoredPosition(5, 0.4, -1.1)) });
        Assert.Contains("Where the answer first differs from the model's choice it is no near tie: 0.400 nat apart, at most 0.350.", clear.Reasons);
        var unlisted = AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(16) with { Positions = Greedy(16).Positions.SetItem(5, new ScoredPosition(5, null, null)) });
        Assert.Equal(5.0, unlisted.Figures.FirstDivergenceMargin);
    }

    [Fact]
    public void Many_near_ties_are_no_honest_answer()
    {
        var positions = Greedy(256).Positions.Select((position, i) => i % 16 == 0 ? position with { Margin = 0.1 } : position);
        var verdict = AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(256) with { Positions = [.. positions] });
        Assert.Contains("16 of 256 tokens are not what the model would have chosen; at most 13 happen to an honest node.", verdict.Reasons);
    }

    [Fact]
    public void Passing_over_the_end_and_ending_too_early_are_found()
    {
        var passed = Greedy(16).Positions.SetItem(7, new ScoredPosition(7, 2.0, -2.1, LikeliestIsEnd: true));
        Assert.Contains("The model would have ended at byte 7; the answer went on.", AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(16) with { Positions = passed }).Reasons);
        var early = Greedy(16).Positions.Add(new ScoredPosition(16, 3.0, -3.1, IsEnd: true));
        Assert.Contains("The answer ends where the model would have gone on, at byte 16.", AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(16) with { Positions = early }).Reasons);
        AssertOutcome(InferenceOutcome.Ok, Greedy(16) with { Positions = Greedy(16).Positions.Add(new ScoredPosition(16, 0, -0.1, IsEnd: true, LikeliestIsEnd: true)) });
    }

    [Fact]
    public void A_drawn_answer_may_pass_over_an_unlikely_end_and_not_a_certain_one()
    {
        var drawn = new SyntheticModel(new Random(16)) { WorkerIsKnown = false }.Answer(20, Drawing.Sampled);
        AssertOutcome(InferenceOutcome.Ok, drawn with { Positions = drawn.Positions.SetItem(4, drawn.Positions[4] with { EndMass = 0.9 }) });
        AssertOutcome(InferenceOutcome.SoftMismatch, drawn with { Positions = drawn.Positions.SetItem(4, drawn.Positions[4] with { EndMass = 0.9999999 }) });
        AssertOutcome(InferenceOutcome.SoftMismatch, drawn with { Positions = drawn.Positions.Add(new ScoredPosition(20, 9, -19, EndMass: 1e-8, IsEnd: true)) });
    }

    [Theory]
    [InlineData(10, 16, null, 4096, true)]
    [InlineData(16, 16, null, 4096, false)]
    [InlineData(10, null, 30, 40, false)]
    [InlineData(10, null, 30, 4096, true)]
    [InlineData(10, null, null, null, false)]
    public void An_answer_cut_off_by_length_must_have_reached_a_limit(int tokens, int? max, int? prompt, int? context, bool isMismatch)
    {
        var answer = Greedy(tokens) with { FinishReason = "length", CompletionTokensMax = max, PromptTokensCounted = prompt ?? 1, ContextTokens = context };
        AssertOutcome(isMismatch ? InferenceOutcome.SoftMismatch : InferenceOutcome.Ok, answer);
    }

    [Fact]
    public void Tokens_claimed_beyond_the_text_are_found()
    {
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { CompletionTokensCounted = 95 });
        var verdict = AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(100) with { CompletionTokensCounted = 90 });
        Assert.Equal("The node claims 100 tokens; the text has 90.", Assert.Single(verdict.Reasons));
        // Of an answer that broke off some were made and never came.
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { CompletionTokensCounted = 79, IsWhole = false, FinishReason = "" });
        AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(100) with { CompletionTokensCounted = 78, IsWhole = false, FinishReason = "" });
    }

    [Fact]
    public void An_answer_whose_end_nobody_could_read_is_not_cleared_by_its_beginning_and_accused_all_the_same()
    {
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { UnreadBytes = 64 });
        AssertOutcome(InferenceOutcome.Inconclusive, Greedy(100) with { UnreadBytes = 65 });
        AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(100) with { UnreadBytes = 65, CompletionTokensCounted = 90 });
    }

    [Fact]
    public void A_prompts_tokens_claimed_beyond_the_verifiers_count_and_a_template_are_found()
    {
        // 1000 and 5 %, two more, and a template's 16.
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { PromptTokens = 1_068, PromptTokensCounted = 1_000 });
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { PromptTokens = 30, PromptTokensCounted = 12 });
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { PromptTokens = 4_000, PromptTokensCounted = null });
        var verdict = AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(100) with { PromptTokens = 1_069, PromptTokensCounted = 1_000 });
        Assert.Equal("The node claims 1069 tokens of prompt; it has 1000.", Assert.Single(verdict.Reasons));
        // Three to four times the truth is what the bytes of a request would carry; an answer too short for a verdict of its own is no way out.
        Assert.Contains("of prompt", AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(2) with { PromptTokens = 3_500, PromptTokensCounted = 1_000 }).Reasons[0], StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_claimed_larger_than_the_verifiers_own_of_the_same_digest_is_found()
    {
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { ModelBytes = 5_100_000, ModelBytesCounted = 5_000_000 });
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { ModelBytes = 0, ModelBytesCounted = 5_000_000 });
        AssertOutcome(InferenceOutcome.Ok, Greedy(100) with { ModelBytes = 1L << 44, ModelBytesCounted = null });
        var verdict = AssertOutcome(InferenceOutcome.SoftMismatch, Greedy(100) with { ModelBytes = 5_100_001, ModelBytesCounted = 5_000_000 });
        Assert.Equal("The node claims 5100001 bytes of weights; the same weights have 5000000.", Assert.Single(verdict.Reasons));
    }

    [Fact]
    public void A_constrained_answer_is_held_to_the_workers_own_logprobs_alone()
    {
        var positions = Enumerable.Range(0, 16).Select(i => new ScoredPosition(i, 2.0, -2.5, -2.5)).ToImmutableArray();
        var answer = Greedy(16) with { Drawing = Drawing.Constrained, Positions = positions };
        AssertOutcome(InferenceOutcome.Ok, answer);
        AssertOutcome(InferenceOutcome.SoftMismatch, answer with { Positions = [.. positions.Select(position => position with { WorkerLogprob = -2.2 })] });
    }

    private static AuditedAnswer Greedy(int tokens) => new()
    {
        Drawing = Drawing.Greedy,
        Positions = [.. Enumerable.Range(0, tokens).Select(i => new ScoredPosition(i, 0, -0.1))],
        FinishReason = "stop",
        CompletionTokens = tokens,
    };

    private static InferenceVerdict AssertOutcome(InferenceOutcome expected, AuditedAnswer answer)
    {
        var (verdict, _) = Judge.Judge(answer, InferenceHistory.Empty, new Random(1));
        Assert.True(expected == verdict.Outcome, $"{verdict.Outcome}, not {expected}: {string.Join(' ', verdict.Reasons)} {verdict.Figures}");
        return verdict;
    }

    private int Accused(SyntheticModel model, int audits, int tokens, Drawing drawing)
    {
        var history = InferenceHistory.Empty;
        var verdicts = new List<InferenceVerdict>();
        for (var i = 0; i < audits; i++)
        {
            (var verdict, history) = Judge.Judge(model.Answer(tokens, drawing), history, new Random(i));
            verdicts.Add(verdict);
        }

        var tests = verdicts.SelectMany(verdict => verdict.Reasons).CountBy(reason => string.Concat(reason.Where(char.IsLetter)))
            .Select(test => $"{test.Value}x {test.Key}");
        output.WriteLine($"z of margins {verdicts.Average(verdict => verdict.Figures.MarginScore):0.00}, of deltas {verdicts.Average(verdict => verdict.Figures.DeltaScore):0.00}; {string.Join("; ", tests)}");
        output.WriteLine($"mean delta {verdicts.Average(verdict => verdict.Figures.MeanDelta):0.0000}, spread of z {Spread(verdicts.Select(verdict => verdict.Figures.DeltaScore ?? 0)):0.00}");
        return verdicts.Count(verdict => verdict.Outcome == InferenceOutcome.SoftMismatch);
    }

    private static double Spread(IEnumerable<double> values)
    {
        var mean = values.Average();
        return Math.Sqrt(values.Average(value => (value - mean) * (value - mean)));
    }
}
