using System.Text;
using System.Text.Json;
using Federation.Silo.Apis;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Apis;

public sealed class StreamedTextTests
{
    private static readonly string[] Alphabet = ["a", "é", "模", "🦙", "\"", "\\", "\n", "\u2028", "👩‍👩‍👧", " "];

    [Fact]
    public void A_character_cut_into_bytes_comes_whole()
    {
        var bytes = Encoding.UTF8.GetBytes("🦙");
        for (var cut = 1; cut < bytes.Length; cut++)
        {
            var text = new StreamedText();
            Assert.Equal("a", text.Add(Json([.. "a"u8, .. bytes[..cut]])));
            Assert.Equal("🦙b", text.Add(Json([.. bytes[cut..], .. "b"u8])));
            Assert.Equal(string.Empty, text.End());
        }
    }

    [Fact]
    public void A_character_cut_into_escaped_halves_comes_whole()
    {
        var text = new StreamedText();
        Assert.Equal("x", text.Add(Json("""x\ud83e"""u8)));
        Assert.Equal("🦙y", text.Add(Json("""\uDD99y"""u8)));
    }

    [Theory]
    [InlineData("""\ud83e""", "b", "\uFFFDb")]
    [InlineData("a", """\udd99""", "a\uFFFD")]
    [InlineData("""\ud83e\ud83e""", """\udd99""", "\uFFFD🦙")]
    [InlineData("""\ud83e\n""", "", "\uFFFD\n")]
    [InlineData("""a\ud83e""", "", "a\uFFFD")]
    public void What_never_becomes_a_character_is_the_mark_of_one(string first, string second, string whole)
    {
        var text = new StreamedText();
        Assert.Equal(whole, text.Add(Json(Encoding.UTF8.GetBytes(first))) + text.Add(Json(Encoding.UTF8.GetBytes(second))) + text.End());
    }

    [Fact]
    public void Bytes_that_are_no_text_are_marked_and_the_rest_is_kept()
    {
        var text = new StreamedText();
        Assert.Equal("a\uFFFDb", text.Add(Json([.. "a"u8, 0xff, .. "b"u8])));
        Assert.Equal(string.Empty, text.Add(Json([0xf0, 0x9f])));
        Assert.Equal("\uFFFD\n", text.Add(Json("""\n"""u8)));
    }

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same text again.
    [Fact]
    public void However_a_text_is_cut_it_comes_whole() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(2_000),
        Prop.ForAll(
            Arb.From(
                from parts in Gen.Elements(Alphabet).ListOf()
                from cuts in Gen.Choose(1, 7).NonEmptyListOf()
                from isEscaped in Gen.Elements(true, false)
                select (string.Concat(parts), cuts, isEscaped)),
            sample =>
            {
                var (whole, cuts, isEscaped) = sample;
                var text = new StreamedText();
                var joined = new StringBuilder();
                var rest = Pieces(whole, isEscaped);
                for (var i = 0; rest.Count > 0; i++)
                {
                    var length = Math.Min(rest.Count, cuts[i % cuts.Count]);
                    var piece = text.Add(Json([.. rest.Take(length).SelectMany(part => part)]));
                    Assert.DoesNotContain('\uFFFD', piece);
                    joined.Append(piece);
                    rest.RemoveRange(0, length);
                }
                Assert.Equal(whole, joined + text.End());
            }));

    /// <summary>The smallest pieces of a JSON string between which an engine may cut: its bytes, or its escaped UTF-16 units.</summary>
    private static List<byte[]> Pieces(string text, bool isEscaped) => isEscaped
        ? [.. text.Select(unit => Encoding.ASCII.GetBytes($"\\u{(int)unit:x4}"))]
        : [.. text.EnumerateRunes().SelectMany(rune => rune.Value is '"' or '\\' or '\n' ? [Encoding.ASCII.GetBytes($"\\u{rune.Value:x4}")] : Encoding.UTF8.GetBytes(rune.ToString()).Select(one => new[] { one }))];

    private static JsonElement Json(ReadOnlySpan<byte> inside)
    {
        byte[] json = [(byte)'"', .. inside, (byte)'"'];
        var reader = new Utf8JsonReader(json);
        return JsonDocument.ParseValue(ref reader).RootElement;
    }
}
