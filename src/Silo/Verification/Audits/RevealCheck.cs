using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Federation.Contracts.Nodes;
using Federation.Protocol.Verification;

namespace Federation.Silo.Verification.Audits;

/// <summary>What came of asking a node for the log-probabilities it committed to.</summary>
internal enum RevealFinding
{
    /// <summary>It had committed to nothing, or is away: the answer is judged without its word.</summary>
    None,

    /// <summary>It showed what it had committed to.</summary>
    Shown,

    /// <summary>It no longer has what it committed to, as after a restart: judged without its word, and a soft mismatch once in a connection.</summary>
    Forgotten,

    /// <summary>It does not show, or not all of, what it committed to, or could have committed to, or what it shows is not about this answer: a soft mismatch.</summary>
    Withheld,

    /// <summary>What it shows is not what it committed to: no honest cause.</summary>
    Wrong,
}

/// <summary>A reveal held against the commitment in the node's own receipt, and against the answer. Pure.</summary>
/// <param name="Finding">What it comes to.</param>
/// <param name="Words">Why, in a sentence; empty for <see cref="RevealFinding.Shown"/>.</param>
/// <param name="Asked">Tokens that were asked for.</param>
/// <param name="Tokens">Those that were shown and stand in the answer where the node says.</param>
internal sealed record RevealCheck(RevealFinding Finding, string Words, int Asked, ImmutableArray<CommittedToken> Tokens)
{
    /// <summary>What does not lead to the root; only of <see cref="RevealFinding.Wrong"/>.</summary>
    public WrongReveal? Wrong { get; private init; }

    /// <summary>Share of the tokens shown that must stand in the answer, and how many are allowed beside it: a stop text may have cut off the last ones. [uncalibrated]</summary>
    private const double PlacedShareMin = 0.9;

    private const int UnplacedMax = 2;

    /// <summary>Tokens that an engine may count and not tell the log-probability of: an end, or a template's. [uncalibrated]</summary>
    private const double UncommittedShareMax = 0.05;

    private const int UncommittedMax = 2;

    /// <summary>Nobody was asked.</summary>
    public static RevealCheck Nothing { get; } = new(RevealFinding.None, string.Empty, 0, []);

    /// <summary>The engine of our own commits to every answer that can be audited: without a commitment it was not run as it is.</summary>
    public static RevealCheck Uncommitted { get; } = new(RevealFinding.Withheld, "The node names our own engine, which commits to every answer it gives, and committed to nothing.", 0, []);

    /// <summary>Checks a reveal.</summary>
    /// <param name="commitment">32 bytes.</param>
    /// <param name="positions">What was asked for, ascending.</param>
    /// <param name="reveal">What came; of the session's form.</param>
    /// <param name="answer">The answer's text.</param>
    /// <param name="completionTokens">Tokens the node is paid for.</param>
    /// <param name="hasStop">A stop text may have cut the answer off: tokens that reach beyond it say nothing.</param>
    public static RevealCheck Of(ReadOnlySpan<byte> commitment, ImmutableArray<int> positions, Reveal reveal, string answer, long completionTokens, bool hasStop = false)
    {
        RevealCheck Withheld(FormattableString words) => new(RevealFinding.Withheld, words.ToString(CultureInfo.InvariantCulture), positions.Length, []);
        if (reveal.Status is RevealStatus.Gone or RevealStatus.Busy) return Nothing with { Asked = positions.Length };
        if (reveal.Status is RevealStatus.Silent) return Withheld($"The node committed to its log-probabilities and did not show them when it was asked.");
        if (reveal is { Count: 0, Tokens.IsEmpty: true }) return new RevealCheck(RevealFinding.Forgotten, "The node committed to its log-probabilities and no longer has them.", positions.Length, []);
        foreach (var token in reveal.Tokens)
        {
            if (!LogprobCommitment.Verify(commitment, reveal.Count, token.Position, token.Content.AsSpan(), token.Path.AsSpan()))
                return new RevealCheck(RevealFinding.Wrong, string.Create(CultureInfo.InvariantCulture, $"What the node shows of token {token.Position} of {reveal.Count} is not what it committed to."), positions.Length, [])
                {
                    Wrong = new WrongReveal(
                        Convert.ToHexStringLower(commitment), reveal.Count, token.Position, Convert.ToHexStringLower(token.Content.AsSpan()), Convert.ToHexStringLower(token.Path.AsSpan())),
                };
        }

        var there = positions.Count(position => position < reveal.Count);
        if (reveal.Tokens.Length < there) return Withheld($"The node shows {reveal.Tokens.Length} of the {there} tokens it committed to and was asked for.");
        if (reveal.Count + UncommittedMax < completionTokens * (1 - UncommittedShareMax)) return Withheld($"The node committed to {reveal.Count} tokens of an answer it counts {completionTokens} of.");
        var tokens = reveal.Tokens.Select(token => LogprobCommitment.TryDecode(token.Content.AsMemory())).OfType<CommittedToken>().ToImmutableArray();
        if (tokens.Length < reveal.Tokens.Length) return Withheld($"{reveal.Tokens.Length - tokens.Length} of the {reveal.Tokens.Length} tokens the node committed to are none.");
        var text = Encoding.UTF8.GetBytes(answer);
        if (hasStop) tokens = [.. tokens.Where(token => token.Offset + (long)token.Token.Length <= text.Length)];
        var placed = tokens.Where(token => Stands(token, text)).ToImmutableArray();
        // Where an engine's bytes were no text they came out as other bytes, and everything behind them lies elsewhere.
        if (placed.Length + UnplacedMax < tokens.Length * PlacedShareMin && !answer.Contains('\uFFFD')) return Withheld($"Only {placed.Length} of the {tokens.Length} tokens the node committed to stand in its answer.");
        return new RevealCheck(RevealFinding.Shown, string.Empty, positions.Length, placed);
    }

    private static bool Stands(CommittedToken token, byte[] text)
        => token.Offset <= text.Length - token.Token.Length && text.AsSpan(token.Offset, token.Token.Length).SequenceEqual(token.Token.Span);
}

/// <summary>A token that a node showed and that does not lead to what it committed to: enough for anybody to find the same (<see cref="LogprobCommitment.Verify(ReadOnlySpan{byte}, int, int, ReadOnlySpan{byte}, ReadOnlySpan{byte})"/>).</summary>
/// <param name="Root">The commitment in the receipt, hexadecimal as all of it.</param>
/// <param name="Count">Tokens the node says it covers.</param>
/// <param name="Position">The token's number.</param>
/// <param name="Content">What the node showed as the token.</param>
/// <param name="Path">And as its way to the root.</param>
internal sealed record WrongReveal(string Root, int Count, int Position, string Content, string Path);
