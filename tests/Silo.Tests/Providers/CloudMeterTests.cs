using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Providers;

public sealed class CloudMeterTests
{
    private static readonly PricingOptions Pricing = new();

    [Fact]
    public void The_providers_usage_counts_tokens_that_nobody_saw_included()
    {
        var meter = Meter(prompt: 100, limit: 5_000);
        meter.Add(Text(40));
        meter.Add(new AnswerFacts(new TokenUsage(90, 4_000), "stop", 1, 0, false));
        Assert.Equal((90, 4_000), meter.Count(JobStatus.Succeeded));
    }

    [Theory]
    [InlineData(int.MaxValue, int.MaxValue, 100, 50)]
    [InlineData(0, 0, 0, 8)]
    [InlineData(3, 7, 3, 8)]
    public void Usage_that_cannot_be_is_made_possible(int prompt, int completion, long expectedPrompt, long expectedCompletion)
    {
        var meter = Meter(prompt: 100, limit: 50);
        meter.Add(Text(1_024));
        meter.Add(new AnswerFacts(new TokenUsage(prompt, completion), "stop", 1, 0, false));
        Assert.Equal((expectedPrompt, expectedCompletion), meter.Count(JobStatus.Succeeded));
    }

    [Fact]
    public void Without_usage_the_hub_counts_what_came()
    {
        var meter = Meter(prompt: 100, limit: 5_000);
        for (var i = 0; i < 10; i++) meter.Add(Text(2));
        Assert.Equal((100, 10), meter.Count(JobStatus.Succeeded));
        meter.Add(Text(4_000));
        Assert.Equal((100, 1_005), meter.Count(JobStatus.Succeeded));
    }

    [Fact]
    public void An_answer_that_was_cut_off_costs_what_was_delivered_whatever_its_usage_promised()
    {
        var meter = Meter(prompt: 100, limit: 5_000);
        meter.Add(new AnswerFacts(new TokenUsage(90, 4_000), null, 1, 8, false));
        Assert.Equal((90, 2), meter.Count(JobStatus.Cancelled));
        // Its prompt has to be sent again.
        Assert.Equal((0, 2), meter.Count(JobStatus.Failed));
    }

    [Fact]
    public void Whatever_a_provider_says_no_count_is_negative_or_beyond_what_is_held() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(1_000),
        Prop.ForAll(
            Arb.From(
                from prompt in Gen.Choose(0, 10_000)
                from limit in Gen.Choose(1, 10_000)
                from deltas in Gen.Choose(0, 100_000).ListOf(20)
                from claims in Gen.Choose(0, int.MaxValue).ArrayOf(2)
                from status in Gen.Elements(Enum.GetValues<JobStatus>())
                from saysUsage in Gen.Elements(true, false)
                select (prompt, limit, deltas: deltas.ToArray(), claims, status, saysUsage)),
            answer =>
            {
                var meter = Meter(answer.prompt, answer.limit);
                foreach (var bytes in answer.deltas) meter.Add(Text(bytes));
                if (answer.saysUsage) meter.AddReport(answer.claims[0], answer.claims[1]);
                var (prompt, completion) = meter.Count(answer.status);
                Assert.InRange(prompt, 0, answer.prompt);
                Assert.InRange(completion, 0, answer.limit);
            }));

    private static CloudMeter Meter(long prompt, long limit) => new(RequestTokens.Exactly(prompt, limit), Pricing);

    private static AnswerFacts Text(long bytes) => new(null, null, 1, bytes, false);
}
