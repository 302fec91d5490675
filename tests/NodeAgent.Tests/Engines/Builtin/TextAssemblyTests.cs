using System.Text;
using Federation.NodeAgent.Engines.Builtin.Text;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

public sealed class TextAssemblyTests
{
    [Fact]
    public void A_character_is_shown_when_it_is_whole()
    {
        var assembly = new TextAssembly([]);

        Assert.Equal(["G", "", "ü", "", "", "", "😀", ""], Add(assembly, [0x47, 0xC3, 0xBC, 0xF0, 0x9F, 0x98, 0x80, 0xE2]));
        Assert.Equal("�", assembly.End());
    }

    [Fact]
    public void Bytes_that_can_become_no_character_are_shown_at_once() =>
        Assert.Equal(["�", "", "�a"], Add(new TextAssembly([]), [0xFF, 0xC3, 0x61]));

    [Fact]
    public void A_stop_text_over_several_tokens_is_never_shown()
    {
        var assembly = new TextAssembly(["STOP"u8.ToArray()]);

        Assert.Equal(["a", "", "", "", ""], Add(assembly, "aSTOP"u8));
        Assert.True(assembly.IsStopped);
        Assert.Equal("", assembly.End());
        Assert.Equal((1, 5), (assembly.ReleasedBytes, assembly.TakenBytes));
    }

    [Fact]
    public void What_only_began_like_a_stop_text_is_shown_late()
    {
        var assembly = new TextAssembly(["STOP"u8.ToArray()]);

        Assert.Equal(["", "", "STa", ""], Add(assembly, "STaS"u8));
        Assert.Equal("S", assembly.End());
        Assert.False(assembly.IsStopped);
    }

    [Theory]
    [InlineData("aab", "aaab", "a")] // begins again inside itself
    [InlineData("b", "ab", "a")]
    [InlineData("ü", "Gü", "G")]
    [InlineData("x", "abc", "abc")]
    public void The_text_before_a_stop_text_is_all_there_is(string stop, string text, string expected)
    {
        var assembly = new TextAssembly([Encoding.UTF8.GetBytes(stop)]);

        Assert.Equal(expected, string.Concat(Add(assembly, Encoding.UTF8.GetBytes(text))) + assembly.End());
    }

    [Fact]
    public void Of_several_stop_texts_the_first_to_come_ends_the_text()
    {
        var assembly = new TextAssembly(["cd"u8.ToArray(), "b"u8.ToArray()]);

        Assert.Equal("a", assembly.Add("abcd"u8));
    }

    [Fact]
    public void Any_text_in_any_pieces_is_what_stands_before_the_stop()
    {
        const int seed = 11;
        var random = new Random(seed);
        string[] letters = ["a", "b", "ü", "😀"];
        for (var round = 0; round < 2000; round++)
        {
            var text = string.Concat(Enumerable.Range(0, random.Next(20)).Select(_ => letters[random.Next(4)]));
            var stops = Enumerable.Range(0, random.Next(2)).Select(_ => string.Concat(Enumerable.Range(0, random.Next(1, 4)).Select(_ => letters[random.Next(4)]))).ToArray();
            var first = stops.Select(stop => text.IndexOf(stop, StringComparison.Ordinal)).Where(position => position >= 0).DefaultIfEmpty(text.Length).Min();
            var assembly = new TextAssembly([.. stops.Select(Encoding.UTF8.GetBytes)]);
            var shown = new StringBuilder();
            var rest = Encoding.UTF8.GetBytes(text).AsSpan();
            while (!rest.IsEmpty && !assembly.IsStopped)
            {
                // A piece may hold a stop and more; a token may too. Only bytes up to the stop count.
                var length = random.Next(1, Math.Min(3, rest.Length) + 1);
                shown.Append(assembly.Add(rest[..length]));
                rest = rest[length..];
            }

            shown.Append(assembly.End());
            Assert.True(text[..first] == shown.ToString(), $"seed {seed}, round {round}: \"{text}\" with {string.Join(',', stops)} gave \"{shown}\"");
        }
    }

    private static List<string> Add(TextAssembly assembly, ReadOnlySpan<byte> bytes)
    {
        var shown = new List<string>();
        foreach (var value in bytes)
        {
            shown.Add(assembly.Add([value]));
        }

        return shown;
    }
}
