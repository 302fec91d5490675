using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Benchmarks;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Verification.Benchmarks;

/// <summary>P8: what a node answers in a benchmark never raises what its work is paid.</summary>
public sealed class SpeedRulesTests
{
    private const string Payee = "acct_payee";

    private static readonly BenchmarkOptions Options = new();
    private static readonly TokenTimes Configured = new(200, 9_000);
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(Counts.Of(100_000, 2_000));

    private static readonly Gen<TokenTimes> Times = from prompt in Gen.Choose(1, 100_000) from token in Gen.Choose(1, 1_000_000) select new TokenTimes(prompt, token);

    private static readonly Arbitrary<MeasuredSpeed[]> Others = Gen.ArrayOf(
        from account in Gen.Choose(0, 12) from times in Times select new MeasuredSpeed($"acct_{account}", times)).ToArbitrary();

    [Fact]
    public void Whatever_ones_own_nodes_answer_changes_nothing_of_ones_pay() => Check.One(Thorough, Prop.ForAll(Others, Gen.ArrayOf(Times).ToArbitrary(), (others, own) =>
    {
        var without = Reference(others, Payee, Configured, Options);
        MeasuredSpeed[] all = [.. others, .. own.Select(times => new MeasuredSpeed(Payee, times))];
        Assert.Equal(without, Reference(all, Payee, Configured, Options));
    }));

    [Fact]
    public void Leaving_out_a_payee_is_the_median_over_all_others() => Check.One(Thorough, Prop.ForAll(Others, Gen.Choose(0, 12).ToArbitrary(), (measured, payee) =>
    {
        var accounts = measured.Where(speed => speed.AccountId != $"acct_{payee}").GroupBy(speed => speed.AccountId).ToArray();
        var (times, count) = AccountSpeeds.Of(measured).Without($"acct_{payee}");
        Assert.Equal(accounts.Length, count);
        if (count > 0) Assert.Equal(new TokenTimes(Median(speed => speed.Times.PromptMicroseconds), Median(speed => speed.Times.TokenMicroseconds)), times);

        double Median(Func<MeasuredSpeed, double> axis) => accounts.Select(nodes => nodes.Min(axis)).Order().ElementAt((accounts.Length - 1) / 2);
    }));

    [Fact]
    public void No_reference_is_beyond_the_bounds_around_the_configured_one() => Check.One(Thorough, Prop.ForAll(Others, others =>
    {
        var times = Reference(others, Payee, Configured, Options).Times;
        Assert.InRange(times.PromptMicroseconds, Configured.PromptMicroseconds / 2, Configured.PromptMicroseconds * 2);
        Assert.InRange(times.TokenMicroseconds, Configured.TokenMicroseconds / 2, Configured.TokenMicroseconds * 2);
    }));

    [Fact]
    public void Few_accounts_are_no_median_however_many_nodes_they_have()
    {
        MeasuredSpeed[] four = [.. Enumerable.Range(0, 400).Select(node => new MeasuredSpeed($"acct_{node % 4}", new TokenTimes(210, 9_100)))];
        Assert.Equal(new ReferenceSpeed(Configured, 0), Reference(four, Payee, Configured, Options));
        Assert.Equal(new ReferenceSpeed(new TokenTimes(210, 9_100), 5), Reference([.. four, new("acct_4", new TokenTimes(210, 9_100))], Payee, Configured, Options));
    }

    [Fact]
    public void Less_than_half_of_the_accounts_cannot_make_the_reference_slower_than_honest_nodes_are() => Check.One(
        Thorough,
        Prop.ForAll(Gen.Choose(5, 25).ToArbitrary(), Gen.Choose(0, int.MaxValue).ToArbitrary(), (accounts, seed) =>
        {
            var random = new Random(seed);
            var slow = (accounts - 1) / 2;
            var honest = Enumerable.Range(0, accounts - slow).Select(account => new MeasuredSpeed($"honest_{account}", new TokenTimes(random.Next(190, 220), random.Next(8_500, 9_500)))).ToArray();
            // As many nodes as they like, all as slow as they like, to pay themselves through each other.
            var colluding = Enumerable.Range(0, slow * 10).Select(node => new MeasuredSpeed($"slow_{node % Math.Max(1, slow)}", new TokenTimes(1e6, 1e7))).ToArray();
            var reference = Reference([.. honest, .. slow > 0 ? colluding : []], Payee, Configured, Options);
            Assert.True(reference.IsMeasured);
            Assert.InRange(reference.Times.PromptMicroseconds, 190, honest.Max(speed => speed.Times.PromptMicroseconds));
            Assert.InRange(reference.Times.TokenMicroseconds, 8_500, honest.Max(speed => speed.Times.TokenMicroseconds));
        }));

    [Fact]
    public void No_class_is_paid_more_for_a_token_of_any_model_than_a_class_that_earns_more_an_hour()
    {
        var classes = new HardwareClasses(Microsoft.Extensions.Options.Options.Create(new HardwareClassOptions()));
        var ranked = new HardwareClassOptions().Classes.OrderByDescending(hardware => hardware.CreditsPerHour).ToArray();
        // From a megabyte to a terabyte, 32 sizes for each doubling.
        for (var step = 0; step <= 20 * 32; step++)
        {
            var bytes = (long)((1 << 20) * Math.Pow(2, step / 32.0));
            var (prompt, token) = (double.PositiveInfinity, double.PositiveInfinity);
            foreach (var hardware in ranked)
            {
                var rate = classes.ConfiguredPay(hardware.Name, bytes);
                var (nextPrompt, nextToken) = (rate.PaidTimes.PromptMicroseconds * hardware.CreditsPerHour, rate.PaidTimes.TokenMicroseconds * hardware.CreditsPerHour);
                Assert.True(nextPrompt <= prompt * (1 + 1e-12) && nextToken <= token * (1 + 1e-12), $"{hardware.Name} is paid more than a better class for {bytes} bytes.");
                Assert.True(rate.PaidTimes.PromptMicroseconds <= rate.Times.PromptMicroseconds && rate.PaidTimes.TokenMicroseconds <= rate.Times.TokenMicroseconds);
                (prompt, token) = (nextPrompt, nextToken);
            }
        }
    }

    [Fact]
    public void Whatever_the_references_are_a_job_earns_no_more_in_a_weaker_class() => Check.One(
        Thorough,
        Prop.ForAll(Gen.Choose(1, 100_000).ToArbitrary(), Gen.Choose(1, 100_000).ToArbitrary(), Gen.Choose(0, int.MaxValue).ToArbitrary(), (prompt, completion, seed) =>
        {
            var classes = new HardwareClasses(Microsoft.Extensions.Options.Options.Create(new HardwareClassOptions()));
            var random = new Random(seed);
            var times = new HardwareClassOptions().Classes.ToDictionary(hardware => hardware.Name, _ => new TokenTimes(random.Next(1, 10_000), random.Next(1, 1_000_000)));
            var ranked = new HardwareClassOptions().Classes.OrderByDescending(hardware => hardware.CreditsPerHour).Select(hardware => classes.Find(hardware.Name)).ToArray();
            var most = long.MaxValue;
            foreach (var hardware in ranked)
            {
                var rate = PayRate.Of(hardware, times[hardware.Name], classes.NotBelow(hardware.Name).Select(other => (other, times[other.Name])));
                var work = rate.Times.WorkMicroseconds(prompt, completion);
                var earned = rate.CreditsFor(classes, prompt, completion, work, work, 1).Value;
                // Work is whole microseconds, pay whole microcredits, each rounded down by itself.
                Assert.True(earned <= (most == long.MaxValue ? most : most + 1), $"{hardware.Name}: {earned} > {most}");
                most = earned;
            }
        }));

    [Fact]
    public void The_best_class_is_paid_all_of_its_reference_work()
    {
        var classes = new HardwareClasses(Microsoft.Extensions.Options.Options.Create(new HardwareClassOptions()));
        var rate = classes.ConfiguredPay("a100-80gb", 5L << 30);
        Assert.Equal(rate.Times, rate.PaidTimes);
        var work = rate.Times.WorkMicroseconds(1_000, 500);
        Assert.Equal(classes.CreditsFor("a100-80gb", work, 2), rate.CreditsFor(classes, 1_000, 500, work, work, 2));
        // And of what the caps leave the same share.
        Assert.Equal(classes.CreditsFor("a100-80gb", work / 4, 2), rate.CreditsFor(classes, 1_000, 500, work, work / 4, 2));
    }

    [Theory]
    [InlineData(100, 4_500, true)]
    [InlineData(250, 11_250, true)]
    [InlineData(251, 9_000, false)]
    [InlineData(200, 11_300, false)]
    public void Four_fifths_of_the_reference_keep_a_class_on_both_axes(double prompt, double token, bool reaches)
        => Assert.Equal(reaches, SpeedRules.Reaches(new TokenTimes(prompt, token), Configured, Options));

    [Theory]
    [InlineData("fast", "fast")]
    [InlineData("slow,slow", "slow")]
    [InlineData("slow,fast,fast", "fast")]
    [InlineData("slow,fast,slow", "slow")]
    public void Two_of_three_attempts_take_a_class_and_one_keeps_it(string measured, string decided)
    {
        var attempts = new List<BenchmarkResult>();
        foreach (var name in measured.Split(','))
        {
            Assert.False(attempts.Count > 0 && InferenceBenchmark.IsDecided(attempts, "fast"));
            attempts.Add(new BenchmarkResult(null!, Configured, name, string.Empty, null!));
        }
        Assert.True(attempts.Count == 3 || InferenceBenchmark.IsDecided(attempts, "fast"));
        Assert.Equal(decided, attempts.OrderBy(attempt => attempt.HardwareClass, StringComparer.Ordinal).ElementAt(Math.Min(1, attempts.Count - 1)).HardwareClass);
    }

    [Theory]
    [InlineData(0, 2_048, 128)]
    [InlineData(131_072, 2_048, 128)]
    [InlineData(2_240, 2_048, 128)]
    [InlineData(512, 421, 26)]
    [InlineData(128, 60, 3)]
    [InlineData(64, 0, 0)]
    public void A_benchmark_fits_the_models_context(int context, int prompt, int completion)
    {
        var size = InferenceBenchmark.Size(context, Options);
        Assert.Equal((prompt, completion), (size.PromptTokens, size.CompletionTokens));
        // One letter is one token at most.
        if (context > 0) Assert.InRange(size.Characters, 0, Math.Max(0, context - completion - 64));
    }

    [Fact]
    public void Times_are_the_hubs_less_the_way_there_and_back()
    {
        var outcome = new JobOutcome("job_1", 1, "acct", "", JobKind.Chat, "m", "", 0, "nd_1", JobStatus.Succeeded, "length", 2_000, 101, [], [], 0, 1_000, 1_450, 3_450, "");
        Assert.Equal(new TokenTimes(200, 20_000), InferenceBenchmark.TimesOf(outcome, TimeSpan.FromMilliseconds(50), Options));
        // Never more than half: what remains is positive, whatever the pings say.
        Assert.Equal(112.5, InferenceBenchmark.TimesOf(outcome, TimeSpan.FromSeconds(10), Options)!.Value.PromptMicroseconds);
        Assert.Null(InferenceBenchmark.TimesOf(outcome with { CompletionTokens = 7 }, TimeSpan.Zero, Options));
        Assert.Null(InferenceBenchmark.TimesOf(outcome with { PromptTokens = 0 }, TimeSpan.Zero, Options));
    }

    private static ReferenceSpeed Reference(IEnumerable<MeasuredSpeed> measured, string payee, TokenTimes configured, BenchmarkOptions options)
        => SpeedRules.Reference(AccountSpeeds.Of(measured), payee, configured, options);
}
