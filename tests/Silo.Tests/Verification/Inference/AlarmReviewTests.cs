using Federation.Silo.Verification.Inference;
using Xunit.Abstractions;

namespace Federation.Silo.Tests.Verification.Inference;

/// <summary>What arbiters make of an alarm: of a shift they find it again, of chance they do not.</summary>
public sealed class AlarmReviewTests(ITestOutputHelper output)
{
    private static readonly InferenceCheckOptions Options = new();

    [Theory]
    [InlineData(6)]
    [InlineData(16)]
    [InlineData(64)]
    [InlineData(256)]
    public void Honest_answers_that_no_alarm_has_picked_out_are_found_right(int audits)
    {
        // One in a thousand, and three standard errors of so many reviews.
        var reviews = Counts.Of(1_000_000, 20_000);
        var random = new Random(41);
        var upheld = Enumerable.Range(0, reviews).Count(_ => Review(Enumerable.Range(0, audits).Select(_ => Normal(random))) is InferenceOutcome.SoftMismatch);
        output.WriteLine($"{audits} answers: {upheld} of {reviews} reviews against an honest node");
        Assert.True(upheld <= (0.001 * reviews) + (3 * Math.Sqrt(0.001 * reviews)), $"{upheld} of {reviews}");
    }

    [Theory]
    [InlineData(0.5, 0.0, 0.40)]
    [InlineData(0.5, 0.5, 0.65)]
    [InlineData(1.0, 0.5, 0.85)]
    [InlineData(2.0, 0.5, 0.99)]
    public void Two_arbiters_confirm_most_alarms_of_a_lasting_shift(double shift, double shared, double atLeast)
    {
        var confirmed = ConfirmedShare(shift, shared, Counts.Of(20_000, 1_000), seed: 42);
        output.WriteLine($"shift {shift}, {shared:P0} of a score's variance the worker's own: {confirmed:P1} confirmed");
        Assert.True(confirmed >= atLeast, $"{confirmed}");
    }

    [Theory]
    [InlineData(0.0, 0.01)]
    [InlineData(0.5, 0.15)]
    public void Two_arbiters_confirm_few_alarms_of_an_honest_node(double shared, double atMost)
    {
        // Each takes an honest node some 40 000 audits.
        var confirmed = ConfirmedShare(shift: 0, shared, Counts.Of(2_000, 100), seed: 43);
        output.WriteLine($"{shared:P0} of a score's variance the worker's own: {confirmed:P1} confirmed");
        Assert.True(confirmed <= atMost + (3 * Math.Sqrt(atMost / 100)), $"{confirmed}");
    }

    [Fact]
    public void A_worker_a_little_off_looks_honest_in_each_answer_and_is_found_in_all_of_them()
    {
        var random = new Random(44);
        var honest = new SyntheticModel(random) { HonestNoise = 0.05 };
        var judge = new InferenceJudge(Calibrated(honest));
        var (soft, upheld) = ReviewAll(judge, new SyntheticModel(random) { HonestNoise = 0.05, Bend = 0.018 });
        output.WriteLine($"a little off: {soft:P1} of the answers alone, reviews {string.Join(", ", upheld.Select(review => $"{review.Score:0.0}"))}");
        Assert.True(soft <= 0.05, $"{soft}");
        Assert.All(upheld, review => Assert.Equal(InferenceOutcome.SoftMismatch, review.Outcome));

        var (_, cleared) = ReviewAll(judge, honest);
        output.WriteLine($"honest: reviews {string.Join(", ", cleared.Select(review => $"{review.Score:0.0}"))}");
        Assert.All(cleared, review => Assert.Equal(InferenceOutcome.Ok, review.Outcome));
    }

    [Fact]
    public void Too_few_answers_are_no_review()
    {
        Assert.Equal(InferenceOutcome.Inconclusive, Review(Enumerable.Repeat(3.0, Options.AlarmReviewAuditsMin - 1)));
        Assert.Equal(InferenceOutcome.Inconclusive, Review([]));
        Assert.Equal(InferenceOutcome.SoftMismatch, Review(Enumerable.Repeat(3.0, Options.AlarmReviewAuditsMin)));
    }

    [Fact]
    public void Over_very_many_answers_a_shift_must_be_larger_than_what_the_sum_allows()
    {
        Assert.Equal(InferenceOutcome.SoftMismatch, Review(Enumerable.Repeat(0.26, 1_000)));
        Assert.Equal(InferenceOutcome.Ok, Review(Enumerable.Repeat(0.24, 1_000)));
    }

    /// <summary>Of so many alarms, those that two arbiters confirm who score the same answers.</summary>
    private static double ConfirmedShare(double shift, double shared, int alarms, int seed)
    {
        var random = new Random(seed);
        double Score(double own) => Math.Clamp(own + (Math.Sqrt(1 - shared) * Normal(random)), -Options.CusumClip, Options.CusumClip);
        var confirmed = 0;
        for (var alarm = 0; alarm < alarms; alarm++)
        {
            var behind = new List<double>();
            for (var sum = Cusum.Zero; sum.Sum < Options.CusumAlarm;)
            {
                var own = shift + (Math.Sqrt(shared) * Normal(random));
                sum = sum.Add(Score(own), Options.CusumAllowance);
                if (sum.Audits == 0) behind.Clear();
                else behind.Add(own);
            }

            var escalation = Escalation.Begin("worker", "verifier");
            foreach (var arbiter in new[] { "a", "b" }) escalation = escalation.Hear(arbiter, Review(behind.Select(Score)));
            if (escalation.Status is EscalationStatus.Confirmed) confirmed++;
        }

        return (double)confirmed / alarms;
    }

    private static InferenceOutcome Review(IEnumerable<double> scores)
        => AlarmReview.Of(AuditSum.Delta, [.. scores.Select(score => Math.Clamp(score, -Options.CusumClip, Options.CusumClip))], Options).Outcome;

    /// <summary>Sixty answers, each scored by two arbiters.</summary>
    private static (double SoftShare, AlarmReview[] Reviews) ReviewAll(InferenceJudge judge, SyntheticModel worker)
    {
        var random = new Random(1);
        var answers = Enumerable.Range(0, 60).Select(_ => worker.Answer(256, Drawing.Greedy, scorers: 2)).ToArray();
        var verdicts = Enumerable.Range(0, 2).Select(arbiter => answers.Select(answer => judge.Judge(answer[arbiter], InferenceHistory.Empty, random).Verdict).ToArray()).ToArray();
        var soft = verdicts[0].Count(verdict => verdict.Outcome is InferenceOutcome.SoftMismatch) / (double)answers.Length;
        return (soft, [.. verdicts.Select(all => AlarmReview.Of(AuditSum.Delta, [.. all.Select(verdict => verdict.Figures.DeltaScore!.Value)], Options))]);
    }

    private static InferenceCheckOptions Calibrated(SyntheticModel honest)
    {
        var judge = new InferenceJudge(Options);
        var figures = Enumerable.Range(0, 400).Select(_ => judge.Judge(honest.Answer(256, Drawing.Greedy), InferenceHistory.Empty, new Random(1)).Verdict.Figures).ToArray();
        return InferenceCalibration.Calibrate(figures, [], Options);
    }

    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
