using System.Text.RegularExpressions;
using Federation.Silo.Pricing;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Pricing;

public sealed class NamePatternTests
{
    [Theory]
    [InlineData("gpt-4o", "gpt-4o", true)]
    [InlineData("gpt-4o", "gpt-4o-mini", false)]
    [InlineData("gpt-4o*", "gpt-4o-mini", true)]
    [InlineData("*", "", true)]
    [InlineData("claude-*-opus*", "claude-3-opus-20240229", true)]
    [InlineData("claude-*-opus*", "claude-opus", false)]
    [InlineData("a*a", "a", false)]
    [InlineData("a*b*c", "abbc", true)]
    [InlineData("gpt-4o", "GPT-4o", false)]
    public void A_star_stands_for_any_text(string pattern, string name, bool fits) => Assert.Equal(fits, new NamePattern(pattern).Matches(name));

    [Fact]
    public void Patterns_fit_what_the_same_regular_expression_fits() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(1_000),
        Prop.ForAll(Arb.From(Words("ab*", 1)), Arb.From(Words("ab", 0)), (pattern, name) => Assert.Equal(
            Regex.IsMatch(name, $"^{Regex.Escape(pattern).Replace("\\*", ".*", StringComparison.Ordinal)}$"), new NamePattern(pattern).Matches(name))));

    [Theory]
    [InlineData("openrouter/*", "openrouter/qwen/qwen3", "*", "qwen/qwen3")]
    [InlineData("fast-*", "fast-8b", "llama-*-instant", "llama-8b-instant")]
    [InlineData("fast", "fast", "llama-8b", "llama-8b")]
    public void A_name_is_translated_with_what_its_star_stood_for(string pattern, string name, string other, string expected)
        => Assert.Equal(expected, new NamePattern(pattern).Translate(name, other));

    private static Gen<string> Words(string letters, int lengthMin)
        => Gen.Choose(lengthMin, 8).SelectMany(length => Gen.Elements(letters.ToCharArray()).ArrayOf(length)).Select(word => new string(word));
}
