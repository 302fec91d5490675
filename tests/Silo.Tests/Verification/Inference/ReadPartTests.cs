using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Inference;

public sealed class ReadPartTests
{
    // "ab", "cd" and what was not read.
    [Theory]
    [InlineData("abcd", null, 0, 0, 2)]
    [InlineData("abcd", null, 5, 0, 7)]
    [InlineData("abcd\uFFFDrubbish", null, 0, 10, 12)]
    [InlineData("abcd\uFFFDrubbish", 9, 5, 10, 9)]
    public void What_a_verifier_did_not_read_or_count_has_at_most_a_token_a_byte(string text, int? counted, int stopBytes, int unread, int most)
        => Assert.Equal(new ReadPart(unread, most), ReadPart.Of(Score("whole", counted), text, stopBytes));

    [Fact]
    public void Drawn_places_say_nothing_of_the_others() => Assert.Equal(new ReadPart(0, null), ReadPart.Of(Score("probe", null), new string('x', 1_000), 5));

    private static ScoreAnswer Score(string method, int? tokens) => new()
    {
        Method = method,
        ModelDigest = string.Empty,
        AnswerTokens = tokens,
        Positions = [new ScorePosition { Offset = 0, Token = "ab"u8.ToArray() }, new ScorePosition { Offset = 2, Token = "cd"u8.ToArray() }],
    };
}
