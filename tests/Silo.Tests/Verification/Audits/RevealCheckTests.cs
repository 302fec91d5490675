using System.Collections.Immutable;
using System.Text;
using Federation.Contracts.Nodes;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Audits;

/// <summary>What a node shows is what it committed to, or it is told apart: what could be forgetting from what could not.</summary>
public sealed class RevealCheckTests
{
    private const string Answer = "The sum of 17 and 25 is 42, whichever of the two comes first.";
    private static readonly ImmutableArray<CommittedToken> Tokens = LogprobCommitment.InOrder(
        [.. Answer.Split(' ').Select((word, i) => new CommittedToken(Encoding.UTF8.GetBytes(i == 0 ? word : $" {word}"), (short)(-10 * i), [])), new CommittedToken(default, -1, [])]);
    private static readonly byte[][] Encoded = [.. Tokens.Select(LogprobCommitment.Encode)];
    private static readonly byte[] Root = LogprobCommitment.Root(Encoded);

    [Fact]
    public void An_honest_reveal_is_shown_in_the_answers_order()
    {
        ImmutableArray<int> positions = [0, 3, 4, Tokens.Length - 1];
        var check = Check(positions, Reveal(positions));
        Assert.Equal((RevealFinding.Shown, "", 4), (check.Finding, check.Words, check.Asked));
        Assert.Equal(positions.Select(position => Tokens[position].Offset), check.Tokens.Select(token => token.Offset));
        Assert.Equal(Tokens[3].MilliNats, check.Tokens[1].MilliNats);
    }

    [Fact]
    public void Any_bit_of_a_reveal_that_differs_is_wrong()
    {
        ImmutableArray<int> positions = [1, 2, 9];
        var honest = Reveal(positions);
        var changes = 0;
        for (var i = 0; i < honest.Tokens.Length; i++)
        {
            var token = honest.Tokens[i];
            foreach (var changed in Flipped(token.Content).Select(content => token with { Content = content }).Concat(Flipped(token.Path).Select(path => token with { Path = path })))
            {
                Assert.Equal(RevealFinding.Wrong, Check(positions, honest with { Tokens = honest.Tokens.SetItem(i, changed) }).Finding);
                changes++;
            }
        }
        Assert.True(changes > 1_000, $"{changes} changes");
        Assert.Equal(RevealFinding.Wrong, Check(positions, honest with { Count = honest.Count + 1 }).Finding);
        Assert.Equal(RevealFinding.Wrong, Check(positions, honest with { Count = honest.Count - 1 }).Finding);
        Assert.Equal(RevealFinding.Wrong, Check(positions, honest with { Tokens = honest.Tokens.SetItem(0, honest.Tokens[0] with { Position = 2 }) }).Finding);
        Assert.Equal(RevealFinding.Wrong, RevealCheck.Of(new byte[32], positions, honest, Answer, Tokens.Length).Finding);
    }

    [Fact]
    public void Whoever_keeps_something_back_is_told_what()
    {
        ImmutableArray<int> positions = [1, 2, 9];
        AssertWithheld("did not show them", Check(positions, Contracts.Nodes.Reveal.None(RevealStatus.Silent)));
        AssertWithheld("shows 2 of the 3 tokens", Check(positions, Reveal(positions) with { Tokens = [.. Reveal(positions).Tokens.Take(2)] }));
        AssertWithheld("committed to 15 tokens of an answer it counts 40 of", RevealCheck.Of(Root, positions, Reveal(positions), Answer, 40));
    }

    [Fact]
    public void Whoever_has_forgotten_is_told_from_whoever_keeps_something_back()
    {
        var check = Check([1, 2, 9], new Reveal(RevealStatus.Shown, 0, []));
        Assert.Equal((RevealFinding.Forgotten, 3, 0), (check.Finding, check.Asked, check.Tokens.Length));
        Assert.Contains("no longer has them", check.Words, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_wrong_reveal_showed_stays_and_leads_anybody_to_the_same_finding()
    {
        var honest = Reveal([2, 9]);
        var told = LogprobCommitment.Encode(Tokens[9] with { MilliNats = -1 });
        var wrong = Check([2, 9], honest with { Tokens = honest.Tokens.SetItem(1, honest.Tokens[1] with { Content = [.. told] }) }).Wrong!;
        Assert.Equal((Convert.ToHexStringLower(Root), Tokens.Length, 9, Convert.ToHexStringLower(told)), (wrong.Root, wrong.Count, wrong.Position, wrong.Content));
        bool Repeat(byte[] content) => LogprobCommitment.Verify(Convert.FromHexString(wrong.Root), wrong.Count, wrong.Position, content, Convert.FromHexString(wrong.Path));
        Assert.False(Repeat(Convert.FromHexString(wrong.Content)));
        Assert.True(Repeat(Encoded[9]));
        Assert.Null(Check([2, 9], honest).Wrong);
    }

    [Fact]
    public void Tokens_beyond_a_text_that_a_stop_cut_off_say_nothing()
    {
        ImmutableArray<int> positions = [.. Enumerable.Range(0, Tokens.Length)];
        var visible = Answer[..(Answer.Length / 2)];
        var check = RevealCheck.Of(Root, positions, Reveal(positions), visible, Tokens.Length, hasStop: true);
        Assert.Equal(RevealFinding.Shown, check.Finding);
        Assert.All(check.Tokens, token => Assert.True(token.Offset + token.Token.Length <= visible.Length));
        Assert.InRange(check.Tokens.Length, 5, Tokens.Length - 5);
        AssertWithheld("stand in its answer", RevealCheck.Of(Root, positions, Reveal(positions), visible, Tokens.Length));
        // What lies before the cut must still be the answer's.
        AssertWithheld("stand in its answer", RevealCheck.Of(Root, positions, Reveal(positions), new string('x', visible.Length), Tokens.Length, hasStop: true));
    }

    [Fact]
    public void A_commitment_to_another_answer_is_none()
    {
        ImmutableArray<int> positions = [.. Enumerable.Range(0, Tokens.Length)];
        AssertWithheld("stand in its answer", RevealCheck.Of(Root, positions, Reveal(positions), new string('x', Answer.Length), Tokens.Length));
        // The offset is bound, so that a token cannot be moved to where it would look better.
        var moved = LogprobCommitment.Encode(Tokens[4] with { Offset = 0 });
        Assert.Equal(RevealFinding.Wrong, Check([4], new Reveal(RevealStatus.Shown, Tokens.Length, [new ShownToken(4, [.. moved], Reveal([4]).Tokens[0].Path)])).Finding);
    }

    [Fact]
    public void A_commitment_to_what_is_no_token_is_none()
    {
        byte[][] nonsense = [[1, 2, 3], [4, 5, 6]];
        var paths = LogprobCommitment.Prove(nonsense, [0, 1]);
        var reveal = new Reveal(RevealStatus.Shown, 2, [new ShownToken(0, [.. nonsense[0]], [.. paths[0]]), new ShownToken(1, [.. nonsense[1]], [.. paths[1]])]);
        AssertWithheld("2 of the 2 tokens", RevealCheck.Of(LogprobCommitment.Root(nonsense), [0, 1], reveal, Answer, 2));
    }

    [Theory]
    [InlineData(RevealStatus.Gone)]
    [InlineData(RevealStatus.Busy)]
    public void A_node_that_is_away_or_busy_is_judged_without_its_word(RevealStatus status) => Assert.Equal(RevealFinding.None, Check([1], Contracts.Nodes.Reveal.None(status)).Finding);

    [Fact]
    public void A_text_that_lost_bytes_and_a_stop_text_that_cut_some_off_are_no_fault()
    {
        ImmutableArray<int> positions = [.. Enumerable.Range(0, Tokens.Length)];
        Assert.Equal(RevealFinding.Shown, RevealCheck.Of(Root, positions, Reveal(positions), "\uFFFD" + Answer, Tokens.Length).Finding);
        Assert.Equal(RevealFinding.Shown, RevealCheck.Of(Root, positions, Reveal(positions), Answer[..^7], Tokens.Length).Finding);
    }

    [Fact]
    public void Which_tokens_are_asked_for_follows_from_the_seed()
    {
        var seed = Enumerable.Range(0, 32).Select(i => (byte)i).ToArray();
        var drawn = AuditPlan.Tokens(1_000, seed, 64);
        Assert.Equal(64, drawn.Distinct().Count());
        Assert.Equal(drawn.Order(), drawn);
        Assert.All(drawn, position => Assert.InRange(position, 0, 999));
        Assert.True(drawn.SequenceEqual(AuditPlan.Tokens(1_000, seed, 64)));
        Assert.False(drawn.SequenceEqual(AuditPlan.Tokens(1_000, new byte[32], 64)));
        Assert.Equal(Enumerable.Range(0, 10), AuditPlan.Tokens(10, seed, 64));
        Assert.Empty(AuditPlan.Tokens(0, seed, 64));
    }

    private static void AssertWithheld(string words, RevealCheck check)
    {
        Assert.Equal(RevealFinding.Withheld, check.Finding);
        Assert.Contains(words, check.Words, StringComparison.Ordinal);
        Assert.Empty(check.Tokens);
    }

    private static RevealCheck Check(ImmutableArray<int> positions, Reveal reveal) => RevealCheck.Of(Root, positions, reveal, Answer, Tokens.Length);

    private static Reveal Reveal(ImmutableArray<int> positions) => new(
        RevealStatus.Shown, Tokens.Length, [.. positions.Zip(LogprobCommitment.Prove(Encoded, positions), (position, path) => new ShownToken(position, [.. Encoded[position]], [.. path]))]);

    private static IEnumerable<ImmutableArray<byte>> Flipped(ImmutableArray<byte> bytes) =>
        Enumerable.Range(0, bytes.Length * 8).Select(bit => bytes.SetItem(bit / 8, (byte)(bytes[bit / 8] ^ (1 << (bit % 8)))));
}
