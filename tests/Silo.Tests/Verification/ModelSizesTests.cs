using Federation.Contracts.Nodes;
using Federation.Silo.Accounts;
using Federation.Silo.Verification;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Verification;

public sealed class ModelSizesTests
{
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(Counts.Of(100_000, 2_000));

    private static readonly HardwareClassOptions Rules = new() { UnvouchedModelBytes = 16, VouchingAccounts = 3 };

    private static readonly Dictionary<string, long> Nothing = [];

    private static readonly Gen<NodeView> Nodes =
        from account in Gen.Elements("a", "b", "c", "d", "e", "f", OperatorAccount.AccountId)
        from standing in Gen.Elements(Standing.Probation, Standing.Trusted, Standing.Trusted, Standing.Quarantined, Standing.Banned)
        from connected in Gen.Frequency((4, Gen.Constant(true)), (1, Gen.Constant(false)))
        from digest in Gen.Elements("", "d", "e")
        from bytes in Gen.Choose(0, 40)
        select Node(account, standing, bytes, digest, connected);

    [Fact]
    public void What_counts_is_the_operators_word_or_the_median_of_enough_other_accounts_or_the_bound() => Check.One(
        Thorough,
        Prop.ForAll(Gen.ArrayOf(Nodes).ToArbitrary(), Gen.Elements("m", "d", "e").ToArbitrary(), Gen.Choose(0, 100).ToArbitrary(), (nodes, weights, claimed) =>
        {
            var voices = nodes
                .Where(node => node is { Connected: true, AccountId: not "a" } && (node.Standing is Standing.Trusted || (node.Standing is Standing.Probation && node.AccountId == OperatorAccount.AccountId)))
                .GroupBy(node => node.AccountId, node => node.Report!.Engines[0].Models[0])
                .Select(account => (account.Key, Bytes: account.Where(model => model.SizeBytes > 0 && (weights == "m" || model.Digest == weights)).Min(model => (long?)model.SizeBytes)))
                .Where(voice => voice.Bytes is not null).OrderBy(voice => voice.Bytes).ToArray();
            var vouched = voices.FirstOrDefault(voice => voice.Key == OperatorAccount.AccountId).Bytes
                ?? voices.Length switch
                {
                    >= 3 => voices[(voices.Length - 1) / 2].Bytes,
                    2 => Math.Min(16, voices[1].Bytes!.Value),
                    1 => Math.Min(16, Math.Max(voices[0].Bytes!.Value, Math.Min(claimed, 16) / 2)),
                    _ => null,
                };
            Assert.Equal(claimed > 0 ? Math.Min(claimed, vouched ?? 16) : vouched ?? 0, VouchedSizes.Of(nodes, Nothing).Counted(weights, claimed, "a", Rules));
        }));

    [Fact]
    public void Whatever_ones_own_nodes_say_changes_nothing_of_what_others_vouch_for() => Check.One(
        Thorough,
        Prop.ForAll(Gen.ArrayOf(Nodes).ToArbitrary(), Gen.Choose(0, 100).ToArbitrary(), (nodes, claimed) => Assert.Equal(
            VouchedSizes.Of(nodes.Where(node => node.AccountId != "a"), Nothing).Counted("d", claimed, "a", Rules), VouchedSizes.Of(nodes, Nothing).Counted("d", claimed, "a", Rules))));

    [Fact]
    public void A_payee_and_a_friend_are_paid_for_no_more_than_the_bound_whatever_they_say_of_a_model_that_nobody_else_has()
    {
        var both = VouchedSizes.Of([Node("a", Standing.Trusted, 1L << 40, "theirs"), Node("b", Standing.Trusted, 1L << 40, "theirs")], Nothing);
        Assert.Equal((16, 16), (both.Counted("theirs", 1L << 40, "a", Rules), both.Counted("theirs", 1L << 40, "b", Rules)));
        Assert.Equal(16, both.Counted("theirs", 0, "a", Rules));
    }

    [Fact]
    public void Few_can_neither_raise_nor_lower_what_many_say()
    {
        NodeView[] honest = [Node("b", Standing.Trusted, 30, "d"), Node("c", Standing.Trusted, 30, "d")];
        Assert.Equal(30, VouchedSizes.Of([.. honest, Node("e", Standing.Trusted, 1, "d")], Nothing).Counted("d", 100, "a", Rules));
        Assert.Equal(30, VouchedSizes.Of([.. honest, Node("e", Standing.Trusted, 90, "d")], Nothing).Counted("d", 100, "a", Rules));
    }

    [Fact]
    public void One_of_two_others_alone_takes_nothing_from_a_payee()
        => Assert.Equal(12, VouchedSizes.Of([Node("b", Standing.Trusted, 12, "d"), Node("e", Standing.Trusted, 1, "d")], Nothing).Counted("d", 12, "a", Rules));

    [Theory]
    [InlineData(12, 1, 6)]
    [InlineData(12, 10, 10)]
    [InlineData(12, 99, 12)]
    [InlineData(99, 1, 8)]
    [InlineData(99, 20, 16)]
    [InlineData(0, 1, 1)]
    public void A_single_other_takes_no_more_than_half_of_what_a_payee_is_paid_on_his_own_word(long claimed, long said, long counted)
        => Assert.Equal(counted, VouchedSizes.Of([Node("e", Standing.Trusted, said, "d")], Nothing).Counted("d", claimed, "a", Rules));

    [Fact]
    public void The_operators_catalog_counts_before_what_any_node_says()
    {
        var sizes = VouchedSizes.Of([Node(OperatorAccount.AccountId, Standing.Trusted, 5, "d")], new Dictionary<string, long> { ["d"] = 40 });
        Assert.Equal((40, 30, 40), (sizes.Counted("d", 90, "a", Rules), sizes.Counted("d", 30, "a", Rules), sizes.Counted("d", 0, "a", Rules)));
    }

    [Fact]
    public void A_model_without_its_digest_is_known_by_its_name()
        => Assert.Equal(12, VouchedSizes.Of([Node("b", Standing.Trusted, 12, "d")], Nothing).Counted("m", 1L << 44, "a", Rules));

    private static NodeView Node(string account, Standing standing, long bytes, string digest, bool connected = true) => new(
        $"nd_{account}", account, "", standing, "cpu", connected, null,
        new NodeReport("1", [], [new EngineReport("e", "ollama", "1", 1, [new ModelReport("m", digest, bytes, true, 0, [], "")])], 0, true, "", []));
}
