using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Inference;

public sealed class InferenceCalibrationTests
{
    [Fact]
    public void Calibrated_thresholds_leave_the_honest_alone_and_find_what_the_start_values_miss()
    {
        var start = new InferenceCheckOptions();
        var judge = new InferenceJudge(start);
        var quiet = new SyntheticModel(new Random(21)) { HonestNoise = 0.005 };
        InferenceFigures[] Figures(SyntheticModel model, Drawing drawing, int audits) =>
            [.. Enumerable.Range(0, audits).Select(i => judge.Judge(model.Answer(256, drawing), InferenceHistory.Empty, new Random(i)).Verdict.Figures)];

        var calibrated = new InferenceJudge(InferenceCalibration.Calibrate(Figures(quiet, Drawing.Greedy, 200), Figures(quiet, Drawing.Sampled, 200), start));

        // A worker whose logits are off by a twentieth of a nat: honest for one class, another model for this one.
        var bent = new SyntheticModel(new Random(22)) { HonestNoise = 0.005, Bend = 0.05 };
        foreach (var drawing in new[] { Drawing.Greedy, Drawing.Sampled })
        {
            Assert.Equal((0, 20), (Accused(judge, bent, drawing), Accused(calibrated, bent, drawing)));
            Assert.InRange(Accused(calibrated, quiet, drawing), 0, 1);
        }
    }

    private static int Accused(InferenceJudge judge, SyntheticModel model, Drawing drawing) => Enumerable.Range(0, 20)
        .Count(i => judge.Judge(model.Answer(256, drawing), InferenceHistory.Empty, new Random(i)).Verdict.Outcome == InferenceOutcome.SoftMismatch);
}
