using System.Security.Cryptography;
using Federation.NodeAgent.Engines;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Federation.Protocol.Verification;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>One lease on this node: the request goes to the engine as it came, the engine's bytes come back as they come.</summary>
internal sealed partial class LeaseRun(
    Assign assign, JobKind kind, IEngine engine, Welcome limits, Func<NodeMessage, CancellationToken, ValueTask> send, WorkLog work, RevealLog reveals, TimeProvider time, ILogger logger) : IDisposable
{
    /// <summary>What a message in a bundle has beside its own bytes: a tag and a length.</summary>
    public const int BundledBytes = 6;

    // Of a longer answer the last ones are kept.
    private const int PrefixesMax = 4_096;
    private const int BufferBytes = 16 * 1024;

    // How long what an engine says of an answer that is asked for whole may wait for the rest of it: nobody does anything with a part.
    private static readonly TimeSpan WholeWithin = TimeSpan.FromMilliseconds(250);

    // What a timer can wait for, and longer than any answer takes.
    private static readonly TimeSpan DeadlineMax = TimeSpan.FromDays(1);

    private readonly CancellationTokenSource _cancelled = new();
    private readonly LeaseWindow _window = new(limits.InitialWindowBytes);
    private readonly Queue<ulong> _prefixes = [];
    private readonly Lock _gate = new();
    // What goes with the next message.
    private readonly List<NodeMessage> _gathered = [];
    private IncrementalHash? _output;
    private byte[] _outputHash = SHA256.HashData([]);
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
        _output?.Dispose();
    }

    private async Task RelayAsync(CancellationToken cancellationToken)
    {
        var request = new EngineRequest(kind, assign.Model, assign.Body.Memory, assign.Stream);
        var response = await engine.SendAsync(request, cancellationToken).ConfigureAwait(false);
        await using (response.ConfigureAwait(false))
        {
            _gathered.Add(new NodeMessage { Head = new Head { LeaseId = LeaseId, Status = (uint)response.Status, ContentType = response.ContentType } });
            await RelayBodyAsync(response.Body, cancellationToken).ConfigureAwait(false);
            // Before the hub hears of the end: what it then asks for must be there.
            var commitment = reveals.Commit(LeaseId, response.Tokens);
            Record(response.Usage, commitment);
            await SayAsync(
                new NodeMessage
                {
                    Done = new Done
                    {
                        LeaseId = LeaseId,
                        Usage = response.Usage is { } usage ? new Usage { PromptTokens = (uint)usage.PromptTokens, CompletionTokens = (uint)usage.CompletionTokens } : null,
                        OutputSha256 = ByteString.CopyFrom(_outputHash),
                        FinishReason = response.FinishReason ?? string.Empty,
                        LogprobCommitment = ByteString.CopyFrom(commitment),
                    },
                },
                cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Sends what the engine writes but its last piece, which goes with the end. What it has written already goes in one message; nothing waits for more, but for the rest of a short whole answer.</summary>
    private async Task RelayBodyAsync(Stream body, CancellationToken cancellationToken)
    {
        var begunAt = time.GetTimestamp();
        // A message that the window never has room for would wait for ever.
        var buffer = new byte[(int)Math.Clamp(limits.InitialWindowBytes / 4, 1, Math.Min(BufferBytes, limits.MaxChunkBytes))];
        var (sent, filled) = (0, 0);
        while (true)
        {
            if (sent < filled && buffer.Length - filled <= buffer.Length / 4)
            {
                await TakeChunkAsync(buffer.AsMemory(sent, filled - sent), isLast: false, cancellationToken).ConfigureAwait(false);
                await FlushAsync(cancellationToken).ConfigureAwait(false);
                sent = filled;
            }
            if (sent == filled) (sent, filled) = (0, 0);
            var reading = body.ReadAsync(buffer.AsMemory(filled), cancellationToken);
            int read;
            if (reading.IsCompletedSuccessfully)
            {
                read = await reading.ConfigureAwait(false);
            }
            else
            {
                var pending = reading.AsTask();
                if (MayWait(begunAt) is { } left) await ((Task)pending).WaitAsync(left, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                // Also where reading has failed: what came before is the client's.
                if (!pending.IsCompletedSuccessfully)
                {
                    await SendSoFarAsync(buffer.AsMemory(sent, filled - sent), pending, cancellationToken).ConfigureAwait(false);
                    sent = filled;
                }
                read = await pending.ConfigureAwait(false);
            }
            filled += read;
            if (read > 0) continue;
            if (sent < filled) await TakeChunkAsync(buffer.AsMemory(sent, filled - sent), isLast: true, cancellationToken).ConfigureAwait(false);
            return;
        }
    }

    private async Task SendSoFarAsync(ReadOnlyMemory<byte> data, Task reading, CancellationToken cancellationToken)
    {
        try
        {
            if (data.Length > 0) await TakeChunkAsync(data, isLast: false, cancellationToken).ConfigureAwait(false);
            await FlushAsync(cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            // A stream is not closed under its reader.
            await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
    }

    /// <summary>How long what there is may wait for the rest; <see langword="null"/> where it may not.</summary>
    private TimeSpan? MayWait(long begunAt)
        => !assign.Stream && _sequence == 0 && limits.MaxBundleBytes > 0 && WholeWithin - time.GetElapsedTime(begunAt) is var left && left > TimeSpan.Zero ? left : null;

    /// <summary>Judges another node's answer; nobody signs or pays for that, so nothing is recorded.</summary>
    private async Task ScoreAsync(CancellationToken cancellationToken)
    {
        if (engine is not IScoringEngine scorer) throw new ScoringException($"Engine {engine.Name} cannot score.");
        if (!ScoreCodec.TryRead(assign.Body.Span, out ScoreRequest? request, out var fault)) throw new ScoringException($"The request cannot be read: {fault}.");
        ReadOnlyMemory<byte> answer = ScoreCodec.Write(await scorer.ScoreAsync(request, cancellationToken).ConfigureAwait(false));
        _gathered.Add(new NodeMessage { Head = new Head { LeaseId = LeaseId, Status = 200, ContentType = "application/json" } });
        var most = (int)Math.Min(BufferBytes, limits.MaxChunkBytes);
        for (var at = 0; at < answer.Length; at += most)
        {
            if (at > 0) await FlushAsync(cancellationToken).ConfigureAwait(false);
            await TakeChunkAsync(answer[at..Math.Min(at + most, answer.Length)], isLast: at + most >= answer.Length, cancellationToken).ConfigureAwait(false);
        }
        await SayAsync(new NodeMessage { Done = new Done { LeaseId = LeaseId, OutputSha256 = ByteString.CopyFrom(_outputHash) } }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes a chunk for the next message.</summary>
    private async ValueTask TakeChunkAsync(ReadOnlyMemory<byte> data, bool isLast, CancellationToken cancellationToken)
    {
        if (!_window.TryTake(data.Length))
        {
            // The hub gives more room for what it has.
            await FlushAsync(cancellationToken).ConfigureAwait(false);
            await _window.TakeAsync(data.Length, cancellationToken).ConfigureAwait(false);
        }
        HashOutput(data.Span, isLast);
        _gathered.Add(new NodeMessage { Chunk = new Chunk { LeaseId = LeaseId, Sequence = _sequence++, Data = ByteString.CopyFrom(data.Span) } });
    }

    private void HashOutput(ReadOnlySpan<byte> data, bool isLast)
    {
        if (isLast && _output is null)
        {
            _outputHash = SHA256.HashData(data);
        }
        else
        {
            _output ??= IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            _output.AppendData(data);
            _outputHash = _output.GetCurrentHash();
        }
        _prefixes.Enqueue(WorkRecord.Shorten(_outputHash));
        if (_prefixes.Count > PrefixesMax) _prefixes.Dequeue();
    }

    private ValueTask SayAsync(NodeMessage message, CancellationToken cancellationToken)
    {
        _gathered.Add(message);
        return FlushAsync(cancellationToken);
    }

    /// <summary>Sends what is gathered, in one message if the hub takes such.</summary>
    private async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        if (_gathered.Count == 0) return;
        if (_gathered.Count > 1 && _gathered.Sum(message => message.CalculateSize() + BundledBytes) <= limits.MaxBundleBytes)
        {
            var bundle = new Bundle();
            bundle.Messages.AddRange(_gathered);
            _gathered.Clear();
            await send(new NodeMessage { Bundle = bundle }, cancellationToken).ConfigureAwait(false);
            return;
        }
        foreach (var message in _gathered) await send(message, cancellationToken).ConfigureAwait(false);
        _gathered.Clear();
    }

    private ValueTask FailAsync(FailReason reason, string detail, CancellationToken linkLost)
    {
        // The hub wants no more of the answer, or has all that came.
        _gathered.Clear();
        return send(new NodeMessage { Failed = new Failed { LeaseId = LeaseId, Reason = reason, Detail = detail } }, linkLost);
    }

    private void Record(TokenUsage? usage, byte[]? commitment = null)
        => work.Add(new WorkRecord(assign.JobId, (int)assign.Attempt, [.. SHA256.HashData(assign.Body.Span)], [.. _outputHash], [.. _prefixes], usage, [.. commitment ?? []]));

    [LoggerMessage(5200, LogLevel.Warning, "Lease {LeaseId}: engine {Engine} failed")]
    private partial void LogEngineFailed(string leaseId, string engine, Exception exception);
}
