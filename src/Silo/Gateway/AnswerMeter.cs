using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Federation.Protocol.OpenAi;
using Federation.Silo.Nodes;

namespace Federation.Silo.Gateway;

/// <summary>
/// What an answer amounts to, in the hub's own count. A node's usage is believed as far as the bytes that came can carry it:
/// a token is at least a byte, of the request or of the answer, but for the few that end a turn.
/// </summary>
internal sealed class AnswerMeter(int requestBytes) : IDisposable
{
    private const int SilentTokens = 16;

    // What a token of usual text has [uncalibrated]. The same for all nodes of a model, so it tells which is the faster.
    private const double BytesPerToken = 4;
    private const int FinishReasonMax = 64;

    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private ImmutableArray<byte>? _sum;
    private long _deltas;
    private TokenUsage? _usage;

    /// <summary>In the engine's words, made fit for the job's record.</summary>
    public string FinishReason { get; private set; } = string.Empty;

    /// <summary>UTF-8 bytes of all that the model said.</summary>
    public long TextBytes { get; private set; }

    public long PromptTokens => Math.Min(_usage?.PromptTokens ?? 0, requestBytes);

    /// <summary>Without usage, the count of deltas: engines send a token each.</summary>
    public long CompletionTokens => _usage is { } usage ? Math.Min(usage.CompletionTokens, TextBytes + SilentTokens) : _deltas;

    /// <summary>What was delivered, by the hub's own count of its text: neither what a node says of itself nor how it cuts its events adds to it.</summary>
    public double DeliveredTokens => TextBytes / BytesPerToken;

    /// <summary>Bytes as the node sent them.</summary>
    public void AddBytes(ReadOnlySpan<byte> bytes)
    {
        _hash.AppendData(bytes);
        _sum = null;
    }

    /// <summary>One event of a stream, or the whole answer.</summary>
    public void AddFacts(in AnswerFacts facts) => Add(facts, facts.TextBytes > 0 ? 1 : 0);

    /// <summary>Several events of a stream.</summary>
    public void AddRun(in SseRun run) => Add(run.Facts, run.Texts);

    private void Add(in AnswerFacts facts, int deltas)
    {
        TextBytes += facts.TextBytes;
        _deltas += deltas;
        _usage = facts.Usage ?? _usage;
        if (facts.FinishReason is { } reason) FinishReason = Printable.Of(reason, FinishReasonMax);
    }

    /// <summary>What the node reported beside the answer, where the answer itself did not say.</summary>
    public void AddReport(int promptTokens, int completionTokens, string finishReason)
    {
        if (promptTokens > 0 || completionTokens > 0) _usage ??= new TokenUsage(promptTokens, completionTokens);
        if (FinishReason.Length == 0) FinishReason = Printable.Of(finishReason, FinishReasonMax);
    }

    /// <summary>SHA-256 of all bytes so far.</summary>
    public ImmutableArray<byte> Hash() => _sum ??= ImmutableCollectionsMarshal.AsImmutableArray(_hash.GetCurrentHash());

    public void Dispose() => _hash.Dispose();
}
