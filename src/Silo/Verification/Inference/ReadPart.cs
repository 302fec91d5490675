using System.Text;
using Federation.Protocol.Verification;

namespace Federation.Silo.Verification.Inference;

/// <summary>
/// How far a verifier read an answer, and how many tokens it has at most. One that reads texts as a whole stops at a replaced character, and counts nothing where a stop text was cut off; both are the worker's to bring about.
/// </summary>
/// <param name="UnreadBytes">Behind the last place that was looked at; 0 where places were drawn.</param>
/// <param name="TokensMax">As the verifier counts them; else what was read, a token for each other byte, and for each of a stop text. Null when it does not tell.</param>
internal readonly record struct ReadPart(int UnreadBytes, int? TokensMax)
{
    /// <summary>Of a verifier's answer.</summary>
    /// <param name="score">The answer, asked for all places where it says "whole".</param>
    /// <param name="text">What was to be read.</param>
    /// <param name="stopBytes">Length of the longest stop text that may have been cut off.</param>
    public static ReadPart Of(ScoreAnswer score, string text, int stopBytes)
    {
        if (score.Method != "whole") return new ReadPart(0, score.AnswerTokens);
        var read = score.Positions.IsEmpty ? 0 : score.Positions[^1].Offset + score.Positions[^1].Token.Length;
        var unread = Math.Max(0, Encoding.UTF8.GetByteCount(text) - read);
        return new ReadPart(unread, score.AnswerTokens ?? score.Positions.Length + unread + stopBytes);
    }
}
