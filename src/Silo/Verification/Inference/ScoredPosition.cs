using System.Collections.Immutable;
using System.Text;
using System.Text.Unicode;
using Federation.Protocol.Verification;

namespace Federation.Silo.Verification.Inference;

/// <summary>Why a position says nothing.</summary>
internal enum SkipReason
{
    /// <summary>It counts.</summary>
    None,

    /// <summary>The token is a part of a character; engines behind HTTP re-derive bytes from text, so it may be any of several.</summary>
    PartialCharacter,

    /// <summary>A probe where the text before might be cut into other tokens than the worker's: the token begins with neither space nor new line.</summary>
    UnsafeCut,

    /// <summary>A stop text, or a limit, ended the answer; the model did not have to.</summary>
    EndNotTheModels,

    /// <summary>Just before the place where the answer broke off: the worker's token may have been a longer one.</summary>
    BrokenOff,
}

/// <summary>What a verifier found at one position of an answer, and what the worker itself had said.</summary>
/// <param name="Offset">Bytes of UTF-8 into the answer.</param>
/// <param name="Margin">
/// Nats between the verifier's choice and the answer's token, 0 where they are the same; null when the token is not among those listed.
/// </param>
/// <param name="Logprob">The verifier's log-probability of the answer's token; null as <paramref name="Margin"/>.</param>
/// <param name="LogprobAtMost">A token that is not listed is no likelier than this for the verifier.</param>
/// <param name="WorkerLogprob">The worker's own, committed before the audit; null when it is not known.</param>
/// <param name="Below">Probability of likelier tokens under the sampler's distribution; null when it is not known.</param>
/// <param name="Mass">Probability of the answer's token under it.</param>
/// <param name="EndMass">Probability of the end under it; null when it is not known.</param>
/// <param name="IsEnd">This is the answer's end.</param>
/// <param name="LikeliestIsEnd">The verifier's model would have ended here.</param>
/// <param name="Skip">Why the position does not count.</param>
internal sealed record ScoredPosition(
    int Offset,
    double? Margin,
    double? Logprob,
    double? WorkerLogprob = null,
    double? LogprobAtMost = null,
    double? Below = null,
    double? Mass = null,
    double? EndMass = null,
    bool IsEnd = false,
    bool LikeliestIsEnd = false,
    SkipReason Skip = SkipReason.None)
{
    /// <summary>No token that matters is longer.</summary>
    private const int TokenBytesMax = 32;

    /// <summary>
    /// How far worker and verifier are apart on the answer's token, nats; for an unlisted one as far as is certain. Null where the worker's word
    /// is not known, or says nothing against an unlisted token.
    /// </summary>
    public double? Delta => (WorkerLogprob, Logprob, LogprobAtMost) switch
    {
        ({ } worker, { } own, _) => Math.Abs(worker - own),
        ({ } worker, null, { } most) when worker > most => worker - most,
        _ => null,
    };

    /// <summary>Takes a verifier's answer apart.</summary>
    /// <param name="answer">Within the codec's bounds.</param>
    /// <param name="text">The answer that was scored.</param>
    /// <param name="endIsTheModels">Nothing but the model can have ended the answer: no stop text, no limit.</param>
    /// <param name="worker">What the worker committed to about some of its tokens, or all; empty when it is not known.</param>
    /// <param name="isWhole">The answer came to its end.</param>
    public static ImmutableArray<ScoredPosition> Of(ScoreAnswer answer, string text, bool endIsTheModels, IReadOnlyList<CommittedToken> worker, bool isWhole = true)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        var isProbe = answer.Method == "probe";
        var claims = Claims(worker, bytes.Length, isProbe ? [] : answer.Positions);
        return
        [
            .. answer.Positions.Where(position => position.Offset <= bytes.Length).Select(position => new ScoredPosition(
                position.Offset,
                position.Margin ?? (position is { Logprob: { } own, LikeliestLogprob: { } likeliest } ? Math.Max(0, likeliest - own) : null),
                position.Logprob,
                claims.TryGetValue((position.Offset, position.IsEnd), out var claim) && position.Token.Span.SequenceEqual(claim.Token.Span) && (!position.IsEnd || endIsTheModels) ? claim.MilliNats / 1000.0 : null,
                position.LogprobAtMost,
                position.Below,
                position.Mass,
                position.EndMass,
                position.IsEnd,
                position.LikeliestIsEnd,
                Judge(position, bytes, isProbe, endIsTheModels, isWhole))),
        ];
    }

    /// <summary>A text where a probe may cut: at its start, at its end, and where a word or a line begins.</summary>
    public static bool IsSafeCut(ReadOnlySpan<byte> text, int offset) =>
        offset == 0 || offset == text.Length || (offset < text.Length && IsSpace(text[offset]) && !IsSpace(text[offset - 1]));

    private static SkipReason Judge(ScorePosition position, byte[] text, bool isProbe, bool endIsTheModels, bool isWhole)
    {
        // Where something else may have ended the answer, an end the model did want still counts for it.
        if (position.IsEnd) return endIsTheModels || position.LikeliestIsEnd ? SkipReason.None : SkipReason.EndNotTheModels;
        if (!isWhole && position.Offset > text.Length - TokenBytesMax) return SkipReason.BrokenOff;
        if (!isProbe) return SkipReason.None;
        if (!IsSafeCut(text, position.Offset)) return SkipReason.UnsafeCut;
        return Utf8.IsValid(position.Token.Span) ? SkipReason.None : SkipReason.PartialCharacter;
    }

    /// <summary>
    /// What the worker said, by place, as far as both read the same tokens. A text can be cut into tokens in several ways, and a token without text cannot be seen in it: behind a place where the worker's
    /// tokens are others than the verifier's, their models have read different things, and log-probabilities that differ say nothing of the weights.
    /// </summary>
    private static Dictionary<(int Offset, bool IsEnd), CommittedToken> Claims(IReadOnlyList<CommittedToken> worker, int textBytes, ImmutableArray<ScorePosition> read)
    {
        var tokens = new Dictionary<int, ReadOnlyMemory<byte>>();
        foreach (var position in read.Where(position => !position.IsEnd)) tokens.TryAdd(position.Offset, position.Token);
        var readTo = tokens.Select(token => token.Key + token.Value.Length).DefaultIfEmpty().Max();
        var claims = new Dictionary<(int, bool), CommittedToken>();
        for (var i = 0; i < worker.Count; i++)
        {
            var token = worker[i];
            var isEnd = token.Token.IsEmpty && token.Offset == textBytes && i == worker.Count - 1;
            if (token.Token.IsEmpty && !isEnd) break;
            // Where a verifier scored all tokens, one of the worker's that is not among them is where they part.
            var isSame = !tokens.TryGetValue(token.Offset, out var own) ? read.IsEmpty || token.Offset >= readTo : own.Span.SequenceEqual(token.Token.Span);
            if (!isEnd && !isSame) break;
            claims.TryAdd((token.Offset, isEnd), token);
        }
        return claims;
    }

    private static bool IsSpace(byte value) => value is (byte)' ' or (byte)'\n';
}
