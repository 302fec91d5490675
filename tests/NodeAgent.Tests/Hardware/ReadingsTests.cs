using Federation.NodeAgent.Hardware;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class ReadingsTests
{
    [Theory]
    [InlineData("  NVIDIA GeForce RTX 4090 \n", "NVIDIA GeForce RTX 4090")]
    [InlineData("evil\u001b[31mname\u202e", "evil[31mname")]
    [InlineData("[N/A]", null)]
    [InlineData("[Not Supported]", null)]
    [InlineData("n/a", null)]
    [InlineData("\u0000\u0001", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    public void Text_is_clean_or_unknown(string? raw, string? expected) => Assert.Equal(expected, Readings.Text(raw));

    [Fact]
    public void Text_has_an_end() => Assert.Equal(127, Readings.Text(new string('x', 100_000))!.Length);

    [Fact]
    public void Text_of_a_C_library_ends_at_its_zero() => Assert.Equal("abc", Readings.Text("abc\0rest"u8));

    [Theory]
    [InlineData("00000000:0A:00.0", "0000:0a:00.0")]
    [InlineData("0000:03:00.0", "0000:03:00.0")]
    [InlineData("0000000F:01:00.0", "000f:01:00.0")]
    [InlineData("10000:e1:00.0", "10000:e1:00.0")]
    [InlineData("03:00.0", null)]
    [InlineData("0000:zz:00.0", null)]
    [InlineData("0000:000003:00.0", null)]
    [InlineData("-1:03:00.0", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    public void A_PCI_address_has_one_form(string? raw, string? expected) => Assert.Equal(expected, Readings.PciAddress(raw));

    [Fact]
    public void Figures_have_limits()
    {
        Assert.Null(Readings.Bytes((long?)-1));
        Assert.Null(Readings.Bytes(long.MaxValue, 1024));
        Assert.Null(Readings.Bytes(double.MaxValue, 1024));
        Assert.Null(Readings.Bytes(double.NaN));
        Assert.Null(Readings.Share(100.1));
        Assert.Equal(1, Readings.Share(100));
        Assert.Null(Readings.Celsius(double.NaN));
        Assert.Null(Readings.Number("Infinity"));
        Assert.Null(Readings.Number("1e999"));
        Assert.Null(Readings.Count(0, 10));
        Assert.Null(Readings.Count(11, 10));
    }
}
