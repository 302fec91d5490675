using System.Text;
using Federation.Protocol.Verification;

namespace Federation.Contracts.Tests.Verification;

public sealed class LogprobCommitmentTests
{
    [Fact]
    public void Every_token_of_every_count_proves_itself_and_nothing_else()
    {
        for (var count = 1; count <= 40; count++)
        {
            var tokens = Tokens(count);
            var root = LogprobCommitment.Root(tokens);
            for (var i = 0; i < count; i++)
            {
                var path = LogprobCommitment.Prove(tokens, i);
                Assert.True(LogprobCommitment.Verify(root, count, i, tokens[i], path), $"{i} of {count}");
                Assert.False(LogprobCommitment.Verify(root, count, i, tokens[i] with { MilliNats = (short)(tokens[i].MilliNats - 1) }, path));
                Assert.False(LogprobCommitment.Verify(root, count, (i + 1) % (count + 1), tokens[i], path));
                Assert.False(LogprobCommitment.Verify(root, count + 1, i, tokens[i], path));
                Assert.False(LogprobCommitment.Verify(root, count, i, tokens[i], [.. path, new byte[32]]));
                if (path.Length > 0)
                {
                    Assert.False(LogprobCommitment.Verify(root, count, i, tokens[i], path[1..]));
                    Assert.False(LogprobCommitment.Verify(root, count, i, tokens[i], path.SetItem(0, [.. path[0].Select(value => (byte)(value ^ 1))])));
                }
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(37)]
    [InlineData(256)]
    public void Ways_that_are_worked_out_together_are_the_ones_worked_out_alone(int count)
    {
        var tokens = Tokens(count);
        byte[][] encoded = [.. tokens.Select(LogprobCommitment.Encode)];
        int[] indexes = [.. Enumerable.Range(0, count).Reverse(), 0, 0];
        var together = LogprobCommitment.Prove(encoded, indexes);
        Assert.All(indexes.Zip(together), pair => Assert.Equal(LogprobCommitment.Prove(tokens, pair.First).SelectMany(hash => hash), pair.Second));
        Assert.All(indexes.Zip(together), pair => Assert.True(LogprobCommitment.Verify(LogprobCommitment.Root(encoded), count, pair.First, encoded[pair.First], pair.Second)));
        Assert.Throws<ArgumentOutOfRangeException>(() => LogprobCommitment.Prove(encoded, [count]));
    }

    [Fact]
    public void Each_part_of_each_token_is_bound()
    {
        var tokens = Tokens(5);
        var root = Convert.ToHexString(LogprobCommitment.Root(tokens));
        List<CommittedToken[]> others =
        [
            tokens[..4],
            [.. tokens, tokens[4]],
            [tokens[1], tokens[0], .. tokens[2..]],
            [tokens[0] with { Token = "x"u8.ToArray() }, .. tokens[1..]],
            [tokens[0], tokens[1] with { Top = [] }, .. tokens[2..]],
            [tokens[0], tokens[1] with { Offset = tokens[1].Offset + 1 }, .. tokens[2..]],
            [tokens[0] with { Top = [new CommittedAlternative("b"u8.ToArray(), -1)] }, .. tokens[1..]],
        ];
        Assert.All(others, other => Assert.NotEqual(root, Convert.ToHexString(LogprobCommitment.Root(other))));
        Assert.Equal(root, Convert.ToHexString(LogprobCommitment.Root(Tokens(5))));
    }

    [Fact]
    public void The_root_is_the_same_on_every_machine_and_in_every_version() =>
        Assert.Equal("4d92cfb2985b94d320da96de854535f8bfe4b16565391c57a2629cbbd2bda8fc", Convert.ToHexStringLower(LogprobCommitment.Root(Tokens(3))));

    [Theory]
    [InlineData(-0.0004, 0)]
    [InlineData(-0.0006, -1)]
    [InlineData(-1.2345, -1234)]
    [InlineData(0.5, 0)]
    [InlineData(-100, short.MinValue)]
    [InlineData(double.NegativeInfinity, short.MinValue)]
    [InlineData(double.NaN, short.MinValue)]
    public void Log_probabilities_are_rounded_to_thousandths_and_bounded(double logprob, short expected) =>
        Assert.Equal(expected, LogprobCommitment.ToMilliNats(logprob));

    [Fact]
    public void What_is_shown_of_a_token_is_read_again_and_nothing_else_is()
    {
        foreach (var token in Tokens(12))
        {
            var bytes = LogprobCommitment.Encode(token);
            var read = LogprobCommitment.TryDecode(bytes);
            Assert.Equal((token.Offset, token.MilliNats, token.Top.Length), (read!.Offset, read.MilliNats, read.Top.Length));
            Assert.Equal(token.Token.ToArray(), read.Token.ToArray());
            Assert.Equal(bytes, LogprobCommitment.Encode(read));
            for (var length = 0; length < bytes.Length; length++) Assert.Null(LogprobCommitment.TryDecode(bytes.AsMemory(0, length)));
            Assert.Null(LogprobCommitment.TryDecode((byte[])[.. bytes, 0]));
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("00")]
    [InlineData("8400412000")]
    [InlineData("8420412000f6")]
    [InlineData("8420412020" + "80")]
    [InlineData("8400412001" + "80")]
    [InlineData("84004120398000" + "80")]
    [InlineData("8400412020" + "8182412020" + "00")]
    [InlineData("8400412020" + "868241202082412020824120208241202082412020" + "82412020")]
    [InlineData("9f00412020" + "80ff")]
    public void Bytes_that_are_no_token_are_refused_and_never_throw(string hex) => Assert.Null(LogprobCommitment.TryDecode(Convert.FromHexString(hex)));

    [Fact]
    public void Random_bytes_never_throw()
    {
        var random = new Random(61);
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = new byte[random.Next(40)];
            random.NextBytes(bytes);
            if (bytes.Length > 0) bytes[0] = 0x84;
            LogprobCommitment.TryDecode(bytes);
        }
    }

    private static CommittedToken[] Tokens(int count) =>
    [
        .. LogprobCommitment.InOrder(Enumerable.Range(0, count).Select(i => new CommittedToken(
            Encoding.UTF8.GetBytes($"t{i}"), (short)-i, [.. Enumerable.Range(0, i % 6).Select(j => new CommittedAlternative(Encoding.UTF8.GetBytes($"a{j}"), (short)-j))]))),
    ];
}
