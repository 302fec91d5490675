using Federation.Silo.Nodes;

namespace Federation.Silo.Tests.Nodes;

public sealed class PrintableTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("a plain word", "a plain word")]
    [InlineData("Zürich 模型 🦙", "Zürich 模型 🦙")]
    [InlineData("two\nlines\r", "two·lines·")]
    [InlineData("nul\0", "nul·")]
    [InlineData("\u001b[31mred", "·[31mred")]
    [InlineData("\u009b31mred", "·31mred")] // the same in one C1 character
    [InlineData("del\u007f", "del·")]
    [InlineData("line\u2028paragraph\u2029", "line·paragraph·")]
    [InlineData("\u202egnp.exe", "·gnp.exe")] // turns the reading direction
    [InlineData("\u2066isolated\u2069", "·isolated·")]
    public void Words_from_outside_are_made_fit(string text, string fit) => Assert.Equal(fit, Printable.Of(text, 100));

    [Fact]
    public void Half_a_character_is_none()
    {
        // Built at run time: attributes cannot hold a lone surrogate.
        Assert.Equal("a·", Printable.Of("a" + '\ud83e', 100));
        Assert.Equal("·a", Printable.Of('\udd99' + "a", 100));
        Assert.Equal("··", Printable.Of(string.Concat('\udd99', '\ud83e'), 100));
    }

    [Fact]
    public void What_is_too_long_is_cut_between_characters()
    {
        Assert.Equal("abc", Printable.Of("abcdef", 3));
        Assert.Equal("ab", Printable.Of("ab🦙", 3));
        Assert.Equal("ab🦙", Printable.Of("ab🦙cd", 4));
        Assert.Equal("", Printable.Of("🦙", 1));
        Assert.Equal("", Printable.Of("abc", 0));
        Assert.Equal("a·c", Printable.Of("a\nc\0", 3));
    }

    [Fact]
    public void Fit_words_are_passed_through_as_they_are()
    {
        var text = "as it is";
        Assert.Same(text, Printable.Of(text, 8));
    }
}
