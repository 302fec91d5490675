using Federation.Contracts.Nodes;
using Federation.Silo.Accounts;
using Federation.Silo.Verification;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Verification;

public sealed class ModelSizesTests
{
    private const long Bound = 16;

    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(Counts.Of(100_000, 2_000));

    private static readonly Gen<NodeView> Nodes =
        from account in Gen.Elements("a", "b", "c", OperatorAccount.AccountId)
        from standing in Gen.Elements(Standing.Probation, Standing.Trusted, Standing.Quarantined, Standing.Banned)
        from connected in Gen.Frequency((4, Gen.Constant(true)), (1, Gen.Constant(false)))
        from digest in Gen.Elements("", "d", "e")
        from bytes in Gen.Choose(0, 40)
        select Node(account, standing, bytes, digest, connected);

    [Fact]
    public void What_counts_is_the_least_that_another_trusted_account_or_the_operator_vouches_for() => Check.One(
        Thorough,
        Prop.ForAll(Gen.ArrayOf(Nodes).ToArbitrary(), Gen.Elements("m", "d", "e").ToArbitrary(), Gen.Choose(0, 100).ToArbitrary(), (nodes, weights, claimed) =>
        {
            var vouching = nodes
                .Where(node => node is { Connected: true, AccountId: not "a" } && (node.Standing is Standing.Trusted || (node.Standing is Standing.Probation && node.AccountId == OperatorAccount.AccountId)))
                .Select(node => node.Report!.Engines[0].Models[0])
                .Where(model => model.SizeBytes > 0 && (weights == "m" || model.Digest == weights))
                .Select(model => (long?)model.SizeBytes).Min();
            var counted = VouchedSizes.Of(nodes).Counted(weights, claimed, "a", Bound);
            Assert.Equal(claimed > 0 ? Math.Min(claimed, vouching ?? Bound) : vouching ?? 0, counted);
        }));

    [Fact]
    public void Whatever_ones_own_nodes_say_changes_nothing_of_what_others_vouch_for() => Check.One(
        Thorough,
        Prop.ForAll(Gen.ArrayOf(Nodes).ToArbitrary(), Gen.Choose(0, 100).ToArbitrary(), (nodes, claimed) => Assert.Equal(
            VouchedSizes.Of(nodes.Where(node => node.AccountId != "a")).Counted("d", claimed, "a", Bound), VouchedSizes.Of(nodes).Counted("d", claimed, "a", Bound))));

    [Fact]
    public void A_model_without_its_digest_is_known_by_its_name()
        => Assert.Equal(5, VouchedSizes.Of([Node("b", Standing.Trusted, 5, "d")]).Counted("m", 1L << 44, "a", Bound));

    private static NodeView Node(string account, Standing standing, long bytes, string digest, bool connected = true) => new(
        $"nd_{account}", account, "", standing, "cpu", connected, null,
        new NodeReport("1", [], [new EngineReport("e", "ollama", "1", 1, [new ModelReport("m", digest, bytes, true, 0, [], "")])], 0, true, "", []));
}
