using Federation.Contracts.Jobs;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Telemetry;

/// <summary>One line for each answer and each refusal: who asked what of whom, and what it took. No word of prompt or answer, and no key.</summary>
internal sealed partial class RequestLog(GatewayInstruments instruments, IOptions<TelemetryOptions> options, ILogger<RequestLog> logger)
{
    private readonly bool _isOn = options.Value.LogRequests;

    /// <summary>A request begins: its span, and the sink that notes an error; the client's own sink where nobody listens.</summary>
    public (AnswerSink Sink, System.Diagnostics.Activity? Activity) Begin(InferenceCall call, AnswerSink client)
    {
        var activity = instruments.Begin(call);
        var isHeard = activity is not null || instruments.AreRefusalsHeard || (_isOn && logger.IsEnabled(LogLevel.Information));
        return (isHeard ? new ObservedSink(client, call, this, activity) : client, activity);
    }

    /// <summary>The request has ended.</summary>
    public void OnEnded(InferenceCall call) => instruments.OnEnded(call);

    /// <summary>An answer, or the part of it that one node gave, has ended.</summary>
    public void OnAnswered(JobOutcome outcome)
    {
        instruments.OnAnswered(outcome);
        if (!_isOn) return;
        LogAnswered(
            outcome.JobId, outcome.AccountId, outcome.Model, outcome.NodeId.Length > 0 ? outcome.NodeId : "a cloud", outcome.Status, outcome.PromptTokens, outcome.CompletionTokens,
            outcome.DispatchMs - outcome.QueuedMs, outcome.FirstMs - outcome.DispatchMs, outcome.LastMs - outcome.QueuedMs);
    }

    /// <summary>A request got an error in the place of an answer.</summary>
    public void OnRefused(InferenceCall call, OpenAiError error, System.Diagnostics.Activity? activity)
    {
        instruments.OnRefused(error, activity);
        if (_isOn) LogRefused(call.RequestId, call.Caller.AccountId, error.Status, error.Code ?? error.Type);
    }

    [LoggerMessage(4500, LogLevel.Information, "Request {RequestId} of {AccountId}: {Model} on {NodeId} {Status}, {PromptTokens}+{CompletionTokens} tokens, {QueuedMs} ms queued, {FirstMs} ms to the first output, {TotalMs} ms in all")]
    private partial void LogAnswered(string requestId, string accountId, string model, string nodeId, JobStatus status, long promptTokens, long completionTokens, long queuedMs, long firstMs, long totalMs);

    [LoggerMessage(4501, LogLevel.Information, "Request {RequestId} of {AccountId} was refused: {Status} {Code}")]
    private partial void LogRefused(string requestId, string accountId, int status, string code);
}
