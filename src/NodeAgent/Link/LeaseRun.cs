using System.Security.Cryptography;
using Federation.NodeAgent.Engines;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Federation.Protocol.Verification;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>One lease on this node: the request goes to the engine as it came, the engine's bytes come back as they come.</summary>
internal sealed partial class LeaseRun(Assign assign, JobKind kind, IEngine engine, Welcome limits, Func<NodeMessage, CancellationToken, ValueTask> send, WorkLog work, RevealLog reveals, ILogger logger)
    : IDisposable
{
    // Of a longer answer the last ones are kept.
    private const int PrefixesMax = 4_096;
    private const int BufferBytes = 16 * 1024;

    // What a timer can wait for, and longer than any answer takes.
    private static readonly TimeSpan DeadlineMax = TimeSpan.FromDays(1);

    private readonly CancellationTokenSource _cancelled = new();
    private readonly LeaseWindow _window = new(limits.InitialWindowBytes);
    private readonly IncrementalHash _output = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly Queue<ulong> _prefixes = [];
    private readonly Lock _gate = new();
    private ulong _sequence;
    private bool _isDisposed;

    public string LeaseId => assign.LeaseId;

    public IEngine Engine => engine;

    /// <summary>The hub wants no more of it: its slot is as good as free.</summary>
    public bool IsCancelled => _cancelled.IsCancellationRequested;

    public void Grant(uint bytes) => _window.Grant(bytes);

    /// <summary>The hub wants no more of it.</summary>
    public void Cancel()
    {
        // The hub may say so just when the lease has ended by itself.
        lock (_gate)
        {
            if (!_isDisposed) _cancelled.Cancel();
        }
    }

    /// <summary>Runs to the end and tells the hub how it ended. Throws only when the hub can no longer be told.</summary>
    public async Task RunAsync(CancellationToken linkLost)
    {
        var deadline = TimeSpan.FromMilliseconds(assign.DeadlineMs);
        _cancelled.CancelAfter(deadline < DeadlineMax ? deadline : DeadlineMax);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(_cancelled.Token, linkLost);
        try
        {
            await send(new NodeMessage { Accept = new Accept { LeaseId = LeaseId } }, linkLost).ConfigureAwait(false);
            await (kind is JobKind.Score ? ScoreAsync(either.Token) : RelayAsync(either.Token)).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (either.IsCancellationRequested)
        {
            Record(usage: null);
            if (!linkLost.IsCancellationRequested) await FailAsync(FailReason.Cancelled, "cancelled", linkLost).ConfigureAwait(false);
        }
        catch (EngineUnavailableException exception)
        {
            LogEngineFailed(LeaseId, engine.Name, exception);
            await FailAsync(FailReason.EngineUnreachable, "the engine does not answer", linkLost).ConfigureAwait(false);
        }
        catch (ScoringException exception)
        {
            LogEngineFailed(LeaseId, engine.Name, exception);
            await FailAsync(FailReason.EngineError, exception.Message, linkLost).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or HttpRequestException)
        {
            LogEngineFailed(LeaseId, engine.Name, exception);
            Record(usage: null);
            await FailAsync(FailReason.EngineError, "the engine broke off", linkLost).ConfigureAwait(false);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            _cancelled.Dispose();
        }
        _output.Dispose();
    }

    private async Task RelayAsync(CancellationToken cancellationToken)
    {
        var request = new EngineRequest(kind, assign.Model, assign.Body.Memory, assign.Stream);
        var response = await engine.SendAsync(request, cancellationToken).ConfigureAwait(false);
        await using (response.ConfigureAwait(false))
        {
            await send(new NodeMessage { Head = new Head { LeaseId = LeaseId, Status = (uint)response.Status, ContentType = response.ContentType } }, cancellationToken).ConfigureAwait(false);
            await RelayBodyAsync(response.Body, cancellationToken).ConfigureAwait(false);
            // Before the hub hears of the end: what it then asks for must be there.
            var commitment = reveals.Commit(LeaseId, response.Tokens);
            Record(response.Usage, commitment);
            await send(
                new NodeMessage
                {
                    Done = new Done
                    {
                        LeaseId = LeaseId,
                        Usage = response.Usage is { } usage ? new Usage { PromptTokens = (uint)usage.PromptTokens, CompletionTokens = (uint)usage.CompletionTokens } : null,
                        OutputSha256 = ByteString.CopyFrom(_output.GetCurrentHash()),
                        FinishReason = response.FinishReason ?? string.Empty,
                        LogprobCommitment = ByteString.CopyFrom(commitment),
                    },
                },
                cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Sends what the engine writes. What it has written already goes in one message; nothing waits for more.</summary>
    private async Task RelayBodyAsync(Stream body, CancellationToken cancellationToken)
    {
        // A message that the window never has room for would wait for ever.
        var buffer = new byte[(int)Math.Clamp(limits.InitialWindowBytes / 4, 1, Math.Min(BufferBytes, limits.MaxChunkBytes))];
        var (sent, filled) = (0, 0);
        while (true)
        {
            if (sent < filled && buffer.Length - filled <= buffer.Length / 4)
            {
                await SendChunkAsync(buffer.AsMemory(sent, filled - sent), cancellationToken).ConfigureAwait(false);
                sent = filled;
            }
            if (sent == filled) (sent, filled) = (0, 0);
            var reading = body.ReadAsync(buffer.AsMemory(filled), cancellationToken);
            // Also where reading has failed: what came before is the client's.
            if (sent < filled && !reading.IsCompletedSuccessfully)
            {
                try
                {
                    await SendChunkAsync(buffer.AsMemory(sent, filled - sent), cancellationToken).ConfigureAwait(false);
                }
                catch
                {
                    // A stream is not closed under its reader.
                    await ((Task)reading.AsTask()).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    throw;
                }
                sent = filled;
            }
            var read = await reading.ConfigureAwait(false);
            filled += read;
            if (read > 0) continue;
            if (sent < filled) await SendChunkAsync(buffer.AsMemory(sent, filled - sent), cancellationToken).ConfigureAwait(false);
            return;
        }
    }

    /// <summary>Judges another node's answer; nobody signs or pays for that, so nothing is recorded.</summary>
    private async Task ScoreAsync(CancellationToken cancellationToken)
    {
        if (engine is not IScoringEngine scorer) throw new ScoringException($"Engine {engine.Name} cannot score.");
        if (!ScoreCodec.TryRead(assign.Body.Span, out ScoreRequest? request, out var fault)) throw new ScoringException($"The request cannot be read: {fault}.");
        ReadOnlyMemory<byte> answer = ScoreCodec.Write(await scorer.ScoreAsync(request, cancellationToken).ConfigureAwait(false));
        await send(new NodeMessage { Head = new Head { LeaseId = LeaseId, Status = 200, ContentType = "application/json" } }, cancellationToken).ConfigureAwait(false);
        var most = (int)Math.Min(BufferBytes, limits.MaxChunkBytes);
        for (var at = 0; at < answer.Length; at += most) await SendChunkAsync(answer[at..Math.Min(at + most, answer.Length)], cancellationToken).ConfigureAwait(false);
        await send(new NodeMessage { Done = new Done { LeaseId = LeaseId, OutputSha256 = ByteString.CopyFrom(_output.GetCurrentHash()) } }, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask SendChunkAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        await _window.TakeAsync(data.Length, cancellationToken).ConfigureAwait(false);
        _output.AppendData(data.Span);
        RememberPrefix();
        var chunk = new Chunk { LeaseId = LeaseId, Sequence = _sequence++, Data = ByteString.CopyFrom(data.Span) };
        await send(new NodeMessage { Chunk = chunk }, cancellationToken).ConfigureAwait(false);
    }

    private void RememberPrefix()
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        _output.GetCurrentHash(hash);
        _prefixes.Enqueue(WorkRecord.Shorten(hash));
        if (_prefixes.Count > PrefixesMax) _prefixes.Dequeue();
    }

    private ValueTask FailAsync(FailReason reason, string detail, CancellationToken linkLost)
        => send(new NodeMessage { Failed = new Failed { LeaseId = LeaseId, Reason = reason, Detail = detail } }, linkLost);

    private void Record(TokenUsage? usage, byte[]? commitment = null)
        => work.Add(new WorkRecord(assign.JobId, (int)assign.Attempt, [.. SHA256.HashData(assign.Body.Span)], [.. _output.GetCurrentHash()], [.. _prefixes], usage, [.. commitment ?? []]));

    [LoggerMessage(5200, LogLevel.Warning, "Lease {LeaseId}: engine {Engine} failed")]
    private partial void LogEngineFailed(string leaseId, string engine, Exception exception);
}
