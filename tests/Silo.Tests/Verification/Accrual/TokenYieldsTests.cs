using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Verification.Accrual;

namespace Federation.Silo.Tests.Verification.Accrual;

/// <summary>How many tokens are believed of so many bytes.</summary>
public sealed class TokenYieldsTests
{
    private readonly TokenYields _yields = new(new AccrualOptions());

    [Fact]
    public void Nobody_is_paid_for_more_than_twice_the_tokens_that_others_have()
    {
        AddOthers(3);
        var believed = _yields.Believe(Job(4_000, 4_000, 3_000, 3_000), "payee");
        Assert.Equal((2_032, 1_532), (believed.PromptTokens, believed.CompletionTokens));
        Assert.Equal("4000 tokens of prompt and 3000 of answer were claimed; 2032 and 1532 are paid, 2 times what other accounts' nodes have of as many bytes", believed.Unpaid);
        // Honest texts lie well within.
        Assert.Equal(new BelievedTokens(1_900, 700, null), _yields.Believe(Job(1_900, 4_000, 700, 3_000), "payee"));
        // A few tokens have no bytes: a template's, and the end's.
        Assert.Equal(new BelievedTokens(30, 20, null), _yields.Believe(Job(30, 12, 20, 8), "payee"));
    }

    [Fact]
    public void Too_few_others_bound_nothing_nor_does_anybodys_own_word_about_himself()
    {
        var claim = Job(4_000, 4_000, 3_000, 3_000);
        var all = new BelievedTokens(4_000, 3_000, null);
        Assert.Equal(all, _yields.Believe(claim, "payee"));
        AddOthers(2);
        for (var job = 0; job < 100; job++) _yields.Add(Job(1_000, 12_000, 1_000, 12_000), "payee");
        Assert.Equal(all, _yields.Believe(claim, "payee"));
        // Short jobs of a third say too little as yet.
        _yields.Add(Job(1_000, 4_000, 1_000, 4_000), "other_2");
        Assert.Equal(all, _yields.Believe(claim, "payee"));
        _yields.Add(Job(1_000, 4_000, 1_000, 4_000), "other_2");
        Assert.NotNull(_yields.Believe(claim, "payee").Unpaid);
        // Neither another model's tokens nor those of its vectors are the same.
        Assert.Null(_yields.Believe(claim with { Model = "another" }, "payee").Unpaid);
        Assert.Null(_yields.Believe(claim with { Kind = JobKind.Embedding }, "payee").Unpaid);
    }

    [Fact]
    public void Neither_pictures_nor_one_account_of_several_make_the_others_tokens_dear()
    {
        AddOthers(3);
        for (var other = 0; other < 3; other++) _yields.Add(Job(600, 900_000, 1, 4), $"other_{other}");
        Assert.Equal(2_032, _yields.Believe(Job(4_000, 4_000, 1, 4), "payee").PromptTokens);
        for (var job = 0; job < 100; job++) _yields.Add(Job(1_000, 12_000, 1_000, 12_000), "other_0");
        Assert.Equal(2_032, _yields.Believe(Job(4_000, 4_000, 1, 4), "payee").PromptTokens);
    }

    [Fact]
    public void What_the_hub_did_not_count_bounds_nothing()
    {
        AddOthers(3);
        Assert.Equal(new BelievedTokens(4_000, 3_000, null), _yields.Believe(Job(4_000, 0, 3_000, 0), "payee"));
    }

    private void AddOthers(int count)
    {
        for (var other = 0; other < count; other++) _yields.Add(Job(2_000, 8_000, 2_000, 8_000), $"other_{other}");
    }

    private static JobOutcome Job(long promptTokens, long requestBytes, long completionTokens, long textBytes)
        => new("job", 1, "acct_client", "key", JobKind.Chat, "m", "", 0, "nd_a", JobStatus.Succeeded, "stop", promptTokens, completionTokens, [], [], 0, 0, 0, 0, "dc") { RequestBytes = requestBytes, TextBytes = textBytes };
}
