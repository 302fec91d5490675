using System.Collections.Immutable;
using System.Text;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.Scoring;

/// <summary>A token that an engine named, with its log-probability.</summary>
/// <param name="Bytes">Of its text; empty for an end token.</param>
/// <param name="Logprob">Natural logarithm of its probability.</param>
/// <param name="IsEnd">It ends an answer.</param>
internal readonly record struct ProbedToken(ReadOnlyMemory<byte> Bytes, double Logprob, bool IsEnd);

/// <summary>What an engine would have written next at one place.</summary>
/// <param name="Ends">It would have ended.</param>
/// <param name="Top">The likeliest tokens, best first; empty where it told none.</param>
internal sealed record Probe(bool Ends, ImmutableArray<ProbedToken> Top);

/// <summary>
/// Scores an answer with an engine that gives log-probabilities only of what it writes itself (verification.md §2.4): at each place, the
/// text so far goes in and one token comes out. Places ascend, so that each text begins with the one before and the engine's prefix cache
/// reads it once.
/// </summary>
internal static class ProbeScorer
{
    /// <summary>Tokens that engines list at most.</summary>
    public const int Listed = 20;

    /// <summary>Sends the probes one after the other.</summary>
    /// <param name="request">With offsets.</param>
    /// <param name="probe">Gives what the engine would write after a beginning of the answer.</param>
    /// <param name="cancellationToken">Stops between and in the probes.</param>
    /// <exception cref="ScoringException">There are no offsets, or one of them lies inside a character.</exception>
    public static async Task<ScoreAnswer> ScoreAsync(ScoreRequest request, Func<string, CancellationToken, Task<Probe>> probe, CancellationToken cancellationToken)
    {
        if (request.Offsets is not { IsDefaultOrEmpty: false } offsets)
        {
            throw new ScoringException("This engine scores positions of an answer, not whole answers.");
        }

        var text = Encoding.UTF8.GetBytes(request.AnswerText);
        var positions = ImmutableArray.CreateBuilder<ScorePosition>(offsets.Length);
        foreach (var offset in offsets)
        {
            if (offset < text.Length && (text[offset] & 0xC0) == 0x80)
            {
                throw new ScoringException($"Byte {offset} of the answer lies inside a character.");
            }

            if (offset == text.Length && request.FinishReason != "stop") continue;
            var found = await probe(Encoding.UTF8.GetString(text.AsSpan(0, offset)), cancellationToken).ConfigureAwait(false);
            positions.Add(Position(request, offset, text.AsSpan(offset), found));
        }

        return new ScoreAnswer { Method = "probe", ModelDigest = "", Positions = positions.ToImmutable() };
    }

    /// <summary>What one probe says about the text that really follows.</summary>
    internal static ScorePosition Position(ScoreRequest request, int offset, ReadOnlySpan<byte> rest, Probe probe)
    {
        ProbedToken[] top = [.. probe.Top.OrderByDescending(token => token.Logprob).Take(Listed)];
        var isEnd = rest.IsEmpty;
        var at = isEnd ? Array.FindIndex(top, token => token.IsEnd) : LongestBeginning(top, rest);
        var weighed = request.Sampler is { } sampler ? ListedDistribution.Weigh([.. top.Select(token => token.Logprob)], at, sampler) : null;
        double? endMass = weighed is { } known
            ? Array.FindIndex(top, token => token.IsEnd) is >= 0 and var end ? known.MassOf(end) : isEnd ? null : 0
            : null;
        return new ScorePosition
        {
            Offset = offset,
            Token = at >= 0 ? top[at].Bytes : default,
            IsEnd = isEnd,
            Logprob = at >= 0 ? top[at].Logprob : null,
            Rank = at >= 0 ? at + 1 : null,
            LogprobAtMost = at < 0 && top.Length == Listed ? top[^1].Logprob : null,
            LikeliestLogprob = top.Length > 0 ? top[0].Logprob : null,
            LikeliestIsEnd = probe.Ends,

            // The engine's own word comes first: it wrote the end, whether or not it lists it.
            Margin = isEnd && probe.Ends ? 0 : null,
            Below = weighed?.Below,
            Mass = weighed?.Mass,
            EndMass = endMass,
            Top = [.. top.Take(request.Top).Select(token => new ScoreAlternative(token.Bytes, token.Logprob))],
        };
    }

    /// <summary>
    /// The listed token that the text goes on with. Of several, the longest: " the" rather than " t", as the tokenizer would cut it.
    /// </summary>
    private static int LongestBeginning(ProbedToken[] top, ReadOnlySpan<byte> rest)
    {
        var best = -1;
        for (var i = 0; i < top.Length; i++)
        {
            if (!top[i].IsEnd && !top[i].Bytes.IsEmpty && rest.StartsWith(top[i].Bytes.Span) && (best < 0 || top[i].Bytes.Length > top[best].Bytes.Length)) best = i;
        }

        return best;
    }
}
