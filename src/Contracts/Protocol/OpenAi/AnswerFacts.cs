namespace Federation.Protocol.OpenAi;

/// <summary>What an OpenAI answer, or one event of a streamed one, says about itself.</summary>
/// <param name="Usage">Null where absent, <c>null</c> or not two counts that fit an <see cref="int"/>.</param>
/// <param name="FinishReason">The last one that is a string of at most 64 bytes; null where there is none.</param>
/// <param name="Choices">Objects in <c>choices</c>; -1 where there is no such array.</param>
/// <param name="TextBytes">
/// UTF-8 bytes of everything the model said in <c>delta</c>, <c>message</c> or <c>text</c>: content, reasoning, refusal, names and arguments of
/// tool calls. Zero for a chunk that only sets the role or the finish reason.
/// </param>
/// <param name="IsError">There is a top-level <c>error</c> that is not null.</param>
public readonly record struct AnswerFacts(TokenUsage? Usage, string? FinishReason, int Choices, long TextBytes, bool IsError)
{
    /// <summary>The chunk that <c>stream_options.include_usage</c> asks for: usage, and an empty <c>choices</c>.</summary>
    public bool IsUsageOnly => Choices == 0 && Usage is not null;
}
