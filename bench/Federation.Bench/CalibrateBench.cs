using System.Globalization;
using Federation.Silo.Tests.Verification.Inference.RealModels;
using Federation.Silo.Verification.Inference;

namespace Federation.Bench;

/// <summary>Sets the inference checks' thresholds from honest audits with the demo model, and says what they find of dishonest ones.</summary>
internal static class CalibrateBench
{
    private const int Tokens = 256;

    /// <param name="models">Folder of <c>federation-demo.gguf</c>.</param>
    /// <param name="impostor">File of the worse-trained model.</param>
    /// <param name="honestAudits">Audits to calibrate from; as many again are the test of it.</param>
    /// <param name="dishonestAudits">Audits of each dishonest model.</param>
    public static async Task<Table> RunAsync(string models, string impostor, int honestAudits, int dishonestAudits)
    {
        await using var audits = new ModelAudits(Path.Combine(models, "federation-demo.gguf"), impostor);
        var start = new InferenceCheckOptions();
        var greedy = await CollectAsync(audits, "honest", Drawing.Greedy, honestAudits, firstSeed: 1_000_000);
        var drawn = await CollectAsync(audits, "honest", Drawing.Sampled, honestAudits, firstSeed: 2_000_000);
        var calibrated = InferenceCalibration.Calibrate([.. greedy.Select(audit => Judge(start, audit).Figures)], [.. drawn.Select(audit => Judge(start, audit).Figures)], start);
        Console.Error.WriteLine(System.Text.Json.JsonSerializer.Serialize(calibrated));
        var table = new Table("worker runs", "answers", "own logprobs", "exact rate", "mean margin", "mean delta", "found in one audit: start values", "calibrated", "audits until the sums alarm (start / calibrated)");
        foreach (var drawing in new[] { Drawing.Greedy, Drawing.Sampled })
        {
            foreach (var worker in ModelAudits.Workers)
            {
                var known = await CollectAsync(audits, worker, drawing, worker == "honest" ? honestAudits : dishonestAudits, firstSeed: 0);
                AuditedAnswer[] unknown = [.. known.Select(audit => audit with { Positions = [.. audit.Positions.Select(position => position with { WorkerLogprob = null })] })];
                foreach (var (seen, isKnown) in new[] { (known, true), (unknown, false) })
                {
                    var figures = seen.Select(audit => Judge(start, audit).Figures).ToArray();
                    table.Add(
                        worker,
                        drawing == Drawing.Greedy ? "greedy" : "drawn",
                        isKnown ? "known" : "unknown",
                        Number(figures.Average(figure => figure.ExactRate), "0.0000"),
                        Number(figures.Average(figure => figure.MeanMargin), "0.00000"),
                        Number(figures.Average(figure => figure.MeanDelta), "0.00000"),
                        Share(start, seen),
                        Share(calibrated, seen),
                        $"{AlarmAfter(start, seen)} / {AlarmAfter(calibrated, seen)}");
                }
            }
        }

        return table;
    }

    private static async Task<AuditedAnswer[]> CollectAsync(ModelAudits audits, string worker, Drawing drawing, int count, int firstSeed)
    {
        var seen = new AuditedAnswer[count];
        await Parallel.ForAsync(0, count, async (i, _) => seen[i] = await audits.AuditAsync(worker, drawing, Tokens, firstSeed + i));
        return seen;
    }

    private static InferenceVerdict Judge(InferenceCheckOptions options, AuditedAnswer audit) => new InferenceJudge(options).Judge(audit, InferenceHistory.Empty, new Random(1)).Verdict;

    /// <summary>Each audit by itself; the distribution test sees two together, as it waits for 500 tokens.</summary>
    private static string Share(InferenceCheckOptions options, AuditedAnswer[] seen)
    {
        var found = 0;
        var history = InferenceHistory.Empty;
        foreach (var audit in seen)
        {
            (var verdict, history) = new InferenceJudge(options).Judge(audit, InferenceHistory.Empty with { Draws = history.Draws }, new Random(found));
            found += verdict.Outcome == InferenceOutcome.SoftMismatch ? 1 : 0;
        }

        return $"{Number(100.0 * found / seen.Length, "0.0#")} % of {seen.Length}";
    }

    private static string AlarmAfter(InferenceCheckOptions options, AuditedAnswer[] seen)
    {
        var (margin, delta) = (Cusum.Zero, Cusum.Zero);
        for (var i = 0; i < seen.Length; i++)
        {
            var figures = Judge(options, seen[i]).Figures;
            margin = figures.MarginScore is { } z ? margin.Add(z, options.CusumAllowance) : margin;
            delta = figures.DeltaScore is { } d ? delta.Add(d, options.CusumAllowance) : delta;
            if (Math.Max(margin.Sum, delta.Sum) >= options.CusumAlarm) return $"{i + 1}";
        }

        return $"none in {seen.Length}";
    }

    private static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "–";
}
