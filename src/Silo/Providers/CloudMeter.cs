using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Nodes;
using Federation.Silo.Pricing;

namespace Federation.Silo.Providers;

/// <summary>
/// What an answer of a cloud comes to. The provider's usage is what the hub is billed by, so it counts as far as it is possible: tokens that think and are not shown are in it, which no count of bytes can tell.
/// Where the provider does not say, or the answer was cut off before it did, the hub counts what was delivered.
/// </summary>
internal sealed class CloudMeter(RequestTokens request, PricingOptions pricing)
{
    // The longest token of a usual vocabulary; a run of spaces. Whoever reports fewer tokens than the text can be made of has miscounted.
    private const int BytesPerTokenMax = 128;
    private const int FinishReasonMax = 64;

    private long _deltas;
    private long _textBytes;
    private TokenUsage? _usage;

    /// <summary>In the provider's words, made fit for the job's record.</summary>
    public string FinishReason { get; private set; } = string.Empty;

    /// <summary>UTF-8 bytes of all that the model said.</summary>
    public long TextBytes => _textBytes;

    /// <summary>One event, or the whole answer.</summary>
    public void Add(AnswerFacts facts)
    {
        _textBytes += facts.TextBytes;
        if (facts.TextBytes > 0) _deltas++;
        _usage = facts.Usage ?? _usage;
        if (facts.FinishReason is { } reason) FinishReason = Printable.Of(reason, FinishReasonMax);
    }

    /// <summary>Usage that the stream itself did not show.</summary>
    public void AddReport(int promptTokens, int completionTokens)
    {
        if (promptTokens > 0 || completionTokens > 0) _usage ??= new TokenUsage(promptTokens, completionTokens);
    }

    /// <summary>What counts, given how the answer ended.</summary>
    public (long PromptTokens, long CompletionTokens) Count(JobStatus status)
    {
        if (_usage is { } usage && status is JobStatus.Succeeded)
            return (Math.Min(usage.PromptTokens, request.MaxPrompt(pricing)), Math.Clamp(usage.CompletionTokens, Math.Min(_textBytes / BytesPerTokenMax, request.MaxCompletion(pricing)), request.MaxCompletion(pricing)));
        // A prompt whose answer broke off has to be sent again; one whose client left has done what it was sent for.
        var prompt = status is JobStatus.Failed ? 0 : Math.Min(_usage?.PromptTokens ?? request.EstimatedPrompt(pricing), request.MaxPrompt(pricing));
        // Providers put several tokens into one event.
        return (prompt, Math.Min(Math.Max(_deltas, _textBytes / pricing.BytesPerToken), request.MaxCompletion(pricing)));
    }
}
