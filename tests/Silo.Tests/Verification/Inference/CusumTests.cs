using Federation.Silo.Verification.Inference;
using Xunit.Abstractions;

namespace Federation.Silo.Tests.Verification.Inference;

/// <summary>The sums' two promises: an honest node is left alone, a small lasting shift is found.</summary>
public sealed class CusumTests(ITestOutputHelper output)
{
    private static readonly bool IsFull = Environment.GetEnvironmentVariable("FEDERATION_TESTS_FULL") == "1";
    private static readonly InferenceCheckOptions Options = new();

    [Fact]
    public void An_honest_node_alarms_once_in_thirty_thousand_audits_at_most()
    {
        // Runs between alarms are spread like their mean: 3 standard errors are allowed, and told.
        var audits = IsFull ? 20_000_000 : 2_000_000;
        var random = new Random(31);
        var alarms = 0;
        var sum = Cusum.Zero;
        for (var i = 0; i < audits; i++)
        {
            sum = sum.Add(Math.Clamp(Normal(random), -Options.CusumClip, Options.CusumClip), Options.CusumAllowance);
            if (sum.Sum < Options.CusumAlarm) continue;
            alarms++;
            sum = Cusum.Zero;
        }

        output.WriteLine($"{alarms} alarms in {audits} audits: one in {audits / Math.Max(1.0, alarms):0}");
        Assert.True(alarms - (3 * Math.Sqrt(alarms)) <= audits / 30_000.0, $"{alarms} alarms in {audits} audits");
    }

    [Theory]
    [InlineData(0.25, 300)]
    [InlineData(0.5, 100)]
    [InlineData(1, 40)]
    [InlineData(2, 20)]
    public void A_lasting_shift_is_found(double shift, int auditsMax)
    {
        var runs = IsFull ? 20_000 : 2_000;
        var random = new Random(32);
        var total = 0L;
        for (var run = 0; run < runs; run++)
        {
            var audits = 0;
            for (var sum = Cusum.Zero; sum.Sum < Options.CusumAlarm; audits++)
            {
                sum = sum.Add(Math.Clamp(shift + Normal(random), -Options.CusumClip, Options.CusumClip), Options.CusumAllowance);
            }

            total += audits;
        }

        output.WriteLine($"shift {shift}: found after {(double)total / runs:0.0} audits");
        Assert.True((double)total / runs <= auditsMax, $"a shift of {shift} takes {(double)total / runs:0.0} audits");
    }

    [Fact]
    public void The_sum_tells_how_long_a_shift_has_lasted()
    {
        var sum = Cusum.Zero.Add(1, 0.25).Add(1, 0.25);
        Assert.Equal(new Cusum(1.5, 2), sum);
        Assert.Equal(Cusum.Zero, sum.Add(-2, 0.25));
    }

    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
