namespace Federation.Protocol.OpenAi;

/// <summary>The <c>usage</c> object of an OpenAI answer. Both counts are tokens, zero or more.</summary>
public readonly record struct TokenUsage(int PromptTokens, int CompletionTokens)
{
    /// <summary>Prompt and completion together.</summary>
    public long TotalTokens => (long)PromptTokens + CompletionTokens;
}
