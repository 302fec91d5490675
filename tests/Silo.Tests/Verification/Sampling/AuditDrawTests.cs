using System.Security.Cryptography;
using Federation.Silo.Verification.Sampling;

namespace Federation.Silo.Tests.Verification.Sampling;

/// <summary>P9: who is audited is chance, the same for everybody who looks, and nobody's choice.</summary>
public sealed class AuditDrawTests
{
    // χ² with 255 degrees of freedom exceeds this with a probability of 0.001.
    private const double ChiSquare255 = 330.52;

    private static readonly int Receipts = Counts.Of(1_000_000, 100_000);

    [Fact]
    public void Tickets_are_uniform_in_their_high_bits_and_their_low_ones()
    {
        var (high, low) = (new int[256], new int[256]);
        var beacon = SHA256.HashData("uniform"u8);
        foreach (var id in Ids(Receipts))
        {
            var ticket = AuditDraw.Ticket(beacon, id);
            high[ticket >> 56]++;
            low[ticket & 255]++;
        }
        Assert.InRange(ChiSquare(high), 0, ChiSquare255);
        Assert.InRange(ChiSquare(low), 0, ChiSquare255);
    }

    [Theory]
    [InlineData(10_000)]
    [InlineData(20_000)]
    [InlineData(350_000)]
    public void The_share_drawn_is_the_rate(int millionths)
    {
        var (beacon, rate) = (SHA256.HashData("share"u8), new AuditRate(millionths));
        var drawn = Ids(Receipts).Count(id => AuditDraw.IsDrawn(beacon, id, rate));
        var p = millionths / 1e6;
        var sigma = Math.Sqrt(Receipts * p * (1 - p));
        Assert.InRange(drawn, (Receipts * p) - (4 * sigma), (Receipts * p) + (4 * sigma));
    }

    [Fact]
    public void Everybody_computes_the_same_draw_by_the_published_formula()
    {
        var beacon = EpochSecret.Beacon(495_000, SHA256.HashData("secret"u8));
        foreach (var id in Ids(1_000))
        {
            // As anybody would write it from the protocol's text, in exact integers.
            var ticket = new System.Numerics.BigInteger(HMACSHA256.HashData(beacon, id).AsSpan(0, 8), isUnsigned: true, isBigEndian: true);
            foreach (var millionths in new[] { 0, 1, 10_000, 999_999, 1_000_000 })
            {
                var expected = ticket * 1_000_000 < System.Numerics.BigInteger.Pow(2, 64) * millionths - (System.Numerics.BigInteger.Pow(2, 64) * millionths % 1_000_000);
                Assert.Equal(expected, AuditDraw.IsDrawn(beacon, id, new AuditRate(millionths)));
            }
        }
    }

    [Fact]
    public void Golden_values_hold_on_every_machine()
    {
        // Computed by Python's hashlib and hmac.
        var secret = SHA256.HashData("secret"u8);
        Assert.Equal("65aacfc87c7875f3f95b4e7d2d67d85eb535705ef0231234d88b8ff5b5df1688", Convert.ToHexStringLower(EpochSecret.Commitment(495_000, secret)));
        var beacon = EpochSecret.Beacon(495_000, secret);
        Assert.Equal("53dbcee27ceedd685eec85013ec747699ee608d83f3058c1722b38ce35fe8750", Convert.ToHexStringLower(beacon));
        Assert.Equal(0x8a1d6ffca6862f56UL, AuditDraw.Ticket(beacon, SHA256.HashData("receipt"u8)));
    }

    [Fact]
    public void Before_the_beacon_the_draw_cannot_be_foreseen()
    {
        // The best guess from everything that is known before (ids, rates, commitments, the last beacon) is right as often as chance.
        var (known, real) = (SHA256.HashData("last beacon"u8), SHA256.HashData("next beacon"u8));
        var half = new AuditRate(500_000);
        var right = Ids(Receipts).Count(id => AuditDraw.IsDrawn(known, id, half) == AuditDraw.IsDrawn(real, id, half));
        Assert.InRange(right / (double)Receipts, 0.5 - (2 / Math.Sqrt(Receipts)), 0.5 + (2 / Math.Sqrt(Receipts)));
    }

    [Fact]
    public void At_the_same_rate_every_node_is_drawn_alike()
    {
        const int Nodes = 256;
        var (beacon, rate) = (SHA256.HashData("alike"u8), new AuditRate(100_000));
        var drawn = new int[Nodes];
        foreach (var (id, index) in Ids(Receipts).Select((id, index) => (id, index)))
        {
            if (AuditDraw.IsDrawn(beacon, id, rate)) drawn[index % Nodes]++;
        }
        // Binomial instead of multinomial: the statistic is χ² over the variance n·p·(1−p).
        var (expected, variance) = (Receipts / (double)Nodes * 0.1, Receipts / (double)Nodes * 0.1 * 0.9);
        Assert.InRange(drawn.Sum(count => (count - expected) * (count - expected) / variance), 0, ChiSquare255 + 3);
    }

    [Fact]
    public void Always_is_always_and_never_is_never()
    {
        var beacon = SHA256.HashData("edges"u8);
        Assert.All(Ids(10_000), id => Assert.True(AuditDraw.IsDrawn(beacon, id, AuditRate.Always)));
        Assert.All(Ids(10_000), id => Assert.False(AuditDraw.IsDrawn(beacon, id, new AuditRate(0))));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0.01, 10_000)]
    [InlineData(0.0100000001, 10_001)]
    [InlineData(1, 1_000_000)]
    public void A_rate_is_rounded_so_that_no_unit_escapes(double share, int millionths) => Assert.Equal(millionths, AuditRate.Of(share).Millionths);

    [Theory]
    [InlineData(-0.1)]
    [InlineData(1.1)]
    [InlineData(double.NaN)]
    public void A_share_outside_is_refused(double share) => Assert.Throws<ArgumentOutOfRangeException>(() => AuditRate.Of(share));

    private static IEnumerable<byte[]> Ids(int count) => Enumerable.Range(0, count).Select(i => SHA256.HashData(BitConverter.GetBytes(i)));

    private static double ChiSquare(int[] bins)
    {
        var expected = bins.Sum() / (double)bins.Length;
        return bins.Sum(count => (count - expected) * (count - expected) / expected);
    }
}
