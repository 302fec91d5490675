using System.Security.Cryptography;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Gateway;

public sealed class AnswerMeterTests
{
    [Fact]
    public void The_engines_usage_counts()
    {
        using var meter = new AnswerMeter(requestBytes: 1_000);
        meter.AddFacts(Text(300));
        meter.AddFacts(new AnswerFacts(new TokenUsage(100, 70), "stop", 0, 0, false));
        Assert.Equal((100, 70, "stop"), (meter.PromptTokens, meter.CompletionTokens, meter.FinishReason));
    }

    [Fact]
    public void Without_usage_every_delta_with_text_counts_as_a_token()
    {
        using var meter = new AnswerMeter(requestBytes: 1_000);
        meter.AddFacts(Text(0));
        for (var delta = 0; delta < 5; delta++) meter.AddFacts(Text(4));
        meter.AddFacts(new AnswerFacts(null, "length", 1, 0, false));
        Assert.Equal((0, 5, "length"), (meter.PromptTokens, meter.CompletionTokens, meter.FinishReason));
    }

    [Fact]
    public void What_the_node_reports_counts_only_where_the_answer_says_nothing()
    {
        using var meter = new AnswerMeter(requestBytes: 1_000);
        meter.AddFacts(Text(300));
        meter.AddFacts(new AnswerFacts(new TokenUsage(100, 70), "stop", 0, 0, false));
        meter.AddReport(999, 299, "length");
        Assert.Equal((100, 70, "stop"), (meter.PromptTokens, meter.CompletionTokens, meter.FinishReason));

        using var silent = new AnswerMeter(requestBytes: 1_000);
        silent.AddFacts(Text(300));
        silent.AddReport(120, 80, "length");
        Assert.Equal((120, 80, "length"), (silent.PromptTokens, silent.CompletionTokens, silent.FinishReason));

        using var nothing = new AnswerMeter(requestBytes: 1_000);
        nothing.AddFacts(Text(300));
        nothing.AddReport(0, 0, "");
        Assert.Equal((0, 1, ""), (nothing.PromptTokens, nothing.CompletionTokens, nothing.FinishReason));
    }

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same answers again.
    [Fact]
    public void Nobody_is_paid_for_more_tokens_than_the_bytes_can_carry() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(500),
        Prop.ForAll(
            Arb.From(
                from request in Gen.Choose(0, 10_000)
                from deltas in Gen.Choose(0, 200).ListOf(20)
                from claims in Gen.Choose(0, int.MaxValue).ArrayOf(4)
                select (request, deltas: deltas.ToArray(), claims)),
            answer =>
            {
                using var meter = new AnswerMeter(answer.request);
                foreach (var bytes in answer.deltas) meter.AddFacts(Text(bytes));
                meter.AddFacts(new AnswerFacts(new TokenUsage(answer.claims[0], answer.claims[1]), null, 0, 0, false));
                meter.AddReport(answer.claims[2], answer.claims[3], "");
                Assert.InRange(meter.PromptTokens, 0, answer.request);
                Assert.InRange(meter.CompletionTokens, 0, answer.deltas.Sum() + 16L);
            }));

    [Fact]
    public void Words_of_an_engine_are_made_fit_for_the_record()
    {
        using var meter = new AnswerMeter(10);
        meter.AddFacts(new AnswerFacts(null, "st\0op\n", 1, 1, false));
        Assert.Equal("st·op·", meter.FinishReason);

        using var reported = new AnswerMeter(10);
        reported.AddReport(1, 1, new string('x', 1_000) + "\0");
        Assert.Equal(64, reported.FinishReason.Length);
    }

    [Fact]
    public void The_hash_is_over_all_bytes_however_they_were_cut_and_can_be_asked_for_in_between()
    {
        using var meter = new AnswerMeter(0);
        Assert.Equal(SHA256.HashData([]), meter.Hash().ToArray());
        meter.AddBytes("one"u8);
        Assert.Equal(SHA256.HashData("one"u8), meter.Hash().ToArray());
        meter.AddBytes([]);
        meter.AddBytes("two"u8);
        Assert.Equal(SHA256.HashData("onetwo"u8), meter.Hash().ToArray());
    }

    private static AnswerFacts Text(long bytes) => new(null, null, 1, bytes, false);
}
