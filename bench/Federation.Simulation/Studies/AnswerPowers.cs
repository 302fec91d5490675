using System.Collections.Frozen;
using Federation.Silo.Tests.Verification.Inference;
using Federation.Silo.Verification.Inference;

namespace Federation.Simulation;

/// <summary>What one audit finds in an answer of some kind.</summary>
/// <param name="Verifier">Chance that the verifier disagrees, who remembers the node's earlier audits.</param>
/// <param name="Arbiter">Chance that an arbiter does, who sees this answer alone.</param>
/// <param name="Shift">What the answer adds to the sum over many audits, standard deviations of honest ones.</param>
internal readonly record struct AnswerPower(double Verifier, double Arbiter, double Shift);

/// <summary>
/// How often the hub's <see cref="InferenceJudge"/> sees what: measured on the made-up logits of property P11, with honest noise of 0.05 nat, not
/// assumed. Half of the traffic is greedy, half drawn [uncalibrated].
/// </summary>
internal sealed class AnswerPowers
{
    private const double HonestNoise = 0.05;

    private readonly FrozenDictionary<(FakeAnswer, Drawing), AnswerPower> _powers;

    private AnswerPowers(FrozenDictionary<(FakeAnswer, Drawing), AnswerPower> powers) => _powers = powers;

    /// <summary>Of one kind of answer to one kind of request.</summary>
    public AnswerPower this[FakeAnswer answer, Drawing drawing] => _powers[(answer, drawing)];

    /// <summary>Of a request as it comes.</summary>
    public AnswerPower Draw(FakeAnswer answer, Draws draws) => answer is FakeAnswer.None ? default : _powers[(answer, draws.Happens(0.5) ? Drawing.Greedy : Drawing.Sampled)];

    /// <summary>Measures all kinds.</summary>
    /// <param name="audits">Audits of each kind.</param>
    /// <param name="tokens">Positions an audit scores.</param>
    /// <param name="seed">For the logits.</param>
    public static AnswerPowers Measure(int audits, int tokens, int seed)
    {
        var powers = new Dictionary<(FakeAnswer, Drawing), AnswerPower>();
        foreach (var answer in Enum.GetValues<FakeAnswer>())
        {
            powers[(answer, Drawing.Greedy)] = Measure(answer, Drawing.Greedy, audits, tokens, seed);
            powers[(answer, Drawing.Sampled)] = Measure(answer, Drawing.Sampled, audits, tokens, seed);
        }

        return new AnswerPowers(powers.ToFrozenDictionary());
    }

    /// <summary>Measures one kind.</summary>
    public static AnswerPower Measure(FakeAnswer answer, Drawing drawing, int audits, int tokens, int seed)
    {
        var judge = new InferenceJudge(new InferenceCheckOptions());
        var model = Model(answer, seed);
        var random = new Random(seed);
        var history = InferenceHistory.Empty;
        var (byVerifier, byArbiter) = (0, 0);
        for (var i = 0; i < audits; i++)
        {
            var audited = model.Answer(tokens, drawing);
            (var verdict, history) = judge.Judge(audited, history, random);
            (var alone, _) = judge.Judge(audited, InferenceHistory.Empty, random);
            if (verdict.Outcome is InferenceOutcome.SoftMismatch) byVerifier++;
            if (alone.Outcome is InferenceOutcome.SoftMismatch) byArbiter++;
        }

        return new AnswerPower((double)byVerifier / audits, (double)byArbiter / audits, answer is FakeAnswer.HalfDeviation ? 0.5 : 0);
    }

    private static SyntheticModel Model(FakeAnswer answer, int seed) => new(new Random(seed))
    {
        HonestNoise = HonestNoise,
        // One step of quantisation: 0.05 nat a token (P11). A smaller model: half a nat or more. Garbage: nothing in common. The half deviation is
        // put in as a shift of the sum; one answer of it looks honest.
        Bend = answer switch
        {
            FakeAnswer.None or FakeAnswer.HalfDeviation => 0,
            FakeAnswer.QuantisationStep => 0.47,
            FakeAnswer.SmallerModel or FakeAnswer.SmallerModelRescored => 2,
            FakeAnswer.Garbage => 50,
            _ => throw new InvalidOperationException($"Unknown answer {answer}."),
        },
        WorkerIsKnown = answer is not FakeAnswer.SmallerModelRescored,
    };
}
