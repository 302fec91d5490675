using System.Text.Json;
using System.Text.Unicode;
using Federation.Protocol;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;

namespace Federation.Silo.Jobs;

/// <summary>What an attempt came to, for work that can wait.</summary>
internal enum AttemptVerdict
{
    /// <summary>There is an answer.</summary>
    Answered,

    /// <summary>The request itself is wrong, or may not be made: another attempt would end the same.</summary>
    Refused,

    /// <summary>Not now: the model is busy or away, a limit is reached. Says nothing about the request.</summary>
    Later,

    /// <summary>Nodes or the hub failed; perhaps because of this very request.</summary>
    Failed,
}

/// <summary>The outcome of one attempt.</summary>
/// <param name="RequestId">The id it went by: a job of its own in the books, so that an attempt that is repeated is paid like any other.</param>
/// <param name="Verdict">What it came to.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Body">OpenAI's JSON: the answer or the error.</param>
/// <param name="NodeId">Who answered; null when nobody did.</param>
/// <param name="RetryAfter">When another attempt makes sense; null where nobody said.</param>
internal sealed record BackgroundAnswer(string RequestId, AttemptVerdict Verdict, int Status, ReadOnlyMemory<byte> Body, string? NodeId, TimeSpan? RetryAfter)
{
    /// <summary>An error's code, in OpenAI's words.</summary>
    public string? Code { get; init; }

    /// <summary>An error's message.</summary>
    public string? Message { get; init; }
}

/// <summary>Has requests answered for which nobody waits on a line: jobs' and batches' lines.</summary>
internal interface IBackgroundInference
{
    /// <summary>Makes one attempt with the authority of the key that asked for it; null when <paramref name="gone"/> ended it.</summary>
    /// <param name="kind">Which of OpenAI's endpoints the body is for.</param>
    /// <param name="body">OpenAI's JSON.</param>
    /// <param name="keyId">The key that asked for it.</param>
    /// <param name="origin">What it is part of.</param>
    /// <param name="terms">What was demanded with it.</param>
    /// <param name="gone">Nobody wants the answer any more.</param>
    Task<BackgroundAnswer?> TryAsync(JobKind kind, ReadOnlyMemory<byte> body, string keyId, CallOrigin origin, AnswerTerms terms, CancellationToken gone);
}

/// <inheritdoc cref="IBackgroundInference"/>
internal sealed class BackgroundInference(InferenceGate gate, ApiKeys keys) : IBackgroundInference
{
    /// <inheritdoc/>
    public async Task<BackgroundAnswer?> TryAsync(JobKind kind, ReadOnlyMemory<byte> body, string keyId, CallOrigin origin, AnswerTerms terms, CancellationToken gone)
    {
        if (await keys.FindCallerAsync(keyId, gone) is { } caller) return await TryAsync(kind, body, caller, origin, terms, gone);
        var revoked = new OpenAiError(401, "invalid_request_error", "invalid_api_key", "The API key that asked for this was revoked, or has expired.");
        return WholeAnswerSink.AnswerOf(NewRequestId(), revoked);
    }

    /// <summary>Makes one attempt for a caller; null when <paramref name="gone"/> ended it.</summary>
    public async Task<BackgroundAnswer?> TryAsync(JobKind kind, ReadOnlyMemory<byte> body, ApiCaller caller, CallOrigin origin, AnswerTerms terms, CancellationToken gone)
    {
        var sink = new WholeAnswerSink(NewRequestId(), gone);
        await gate.RunAsync(new InferenceCall(sink.RequestId, kind, body, caller) { Origin = origin, Terms = terms }, sink);
        return gone.IsCancellationRequested ? null : sink.Answer ?? throw new InvalidOperationException($"Request {sink.RequestId} ended without an answer.");
    }

    private static string NewRequestId() => $"job_{Guid.CreateVersion7():N}";
}

/// <summary>Keeps an answer that nobody waits for until it is whole.</summary>
internal sealed class WholeAnswerSink(string requestId, CancellationToken gone) : AnswerSink
{
    /// <summary>Deepest answer: so that it can be written inside of what it is put into, a job's result or a line of a batch's output.</summary>
    internal static readonly int DepthMax = Answers.Options.MaxDepth - 2;

    private string? _nodeId;

    public string RequestId => requestId;

    /// <summary>The answer; null before there is one.</summary>
    public BackgroundAnswer? Answer { get; private set; }

    public override CancellationToken Gone => gone;

    /// <summary>What an error means for whoever can wait.</summary>
    public static BackgroundAnswer AnswerOf(string requestId, OpenAiError error, string? nodeId = null)
    {
        var verdict = error switch
        {
            { Status: 429 or 503 } or { Status: 404, Code: "model_not_found" } => AttemptVerdict.Later,
            { Status: >= 500 } => AttemptVerdict.Failed,
            _ => AttemptVerdict.Refused,
        };
        return new BackgroundAnswer(requestId, verdict, error.Status, error.ToJson(), nodeId, error.RetryAfterSeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : null) { Code = error.Code, Message = error.Message };
    }

    public override void Begin(AnswerHead head) => _nodeId = head.NodeId;

    public override void Write(in SseEvent item)
    {
        // Nobody asked for a stream: an engine that sends one all the same is told of in CompleteAsync.
    }

    public override ValueTask FlushAsync() => ValueTask.CompletedTask;

    public override ValueTask CompleteAsync(ReadOnlyMemory<byte> rest) => RefuseAsync(new OpenAiError(502, "server_error", "unexpected_stream", "The engine streamed an answer that was asked for whole."));

    public override ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        _nodeId = head.NodeId;
        if (!IsJson(body.Span)) return RefuseAsync(new OpenAiError(502, "server_error", "malformed_answer", "The engine's answer is not JSON."));
        Answer = new BackgroundAnswer(requestId, status < 300 ? AttemptVerdict.Answered : AttemptVerdict.Refused, status, body, _nodeId, null);
        return ValueTask.CompletedTask;
    }

    public override ValueTask RefuseAsync(OpenAiError error)
    {
        Answer = AnswerOf(requestId, error, _nodeId);
        return ValueTask.CompletedTask;
    }

    public override ValueTask BreakOffAsync(OpenAiError error) => RefuseAsync(error);

    /// <summary>Whether whoever the answer is for can read it, inside of what it is kept in: shallow enough, every text one.</summary>
    private static bool IsJson(ReadOnlySpan<byte> body)
    {
        if (!Utf8.IsValid(body)) return false;
        try
        {
            var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = DepthMax });
            while (reader.Read())
            {
                if (reader.ValueIsEscaped) reader.GetString();
            }
            return true;
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return false;
        }
    }
}
