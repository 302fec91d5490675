using System.Buffers;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>
/// An engine's answer on its way to the client: the bytes pass as they come, and what they say is noted. Of a stream whose usage only we asked
/// for, the chunk that holds nothing else is taken out.
/// </summary>
internal sealed class RelayedBody : Stream
{
    private const int ReadBytes = 16 << 10;

    private readonly Stream _engine;
    private readonly SseScanner? _events;
    private readonly AnswerScanner? _whole;
    private readonly StreamLogprobs? _logprobs;
    private readonly bool _withholdsUsage;
    private readonly ArrayBufferWriter<byte> _ready = new();
    private readonly byte[] _incoming;
    private readonly CancellationToken _requestCancelled;
    private int _readyTaken;
    private bool _isStreamWhole;
    private bool _isAtEnd;

    /// <param name="engine">The engine's bytes. Owned.</param>
    /// <param name="isEventStream">They are server-sent events, not one JSON value.</param>
    /// <param name="withholdsUsage">Take out the chunk that only holds usage.</param>
    /// <param name="logprobs">Reads the events' log-probabilities; null where nobody asked for any.</param>
    /// <param name="requestCancelled">The request was given up, and the engine's stream closed under whoever reads it.</param>
    public RelayedBody(Stream engine, bool isEventStream, bool withholdsUsage, StreamLogprobs? logprobs, CancellationToken requestCancelled)
    {
        _requestCancelled = requestCancelled;
        _logprobs = logprobs;
        (_engine, _withholdsUsage) = (engine, isEventStream && withholdsUsage);
        (_events, _whole) = isEventStream ? (new SseScanner(), null) : ((SseScanner?)null, new AnswerScanner());
        _incoming = _withholdsUsage ? new byte[ReadBytes] : [];
    }

    /// <summary>Known at the end.</summary>
    public TokenUsage? Usage { get; private set; }

    /// <summary>Known at the end.</summary>
    public string? FinishReason { get; private set; }

    /// <summary>Known at the end; empty where nobody asked for log-probabilities.</summary>
    public IReadOnlyList<CommittedToken> Tokens => _logprobs?.Tokens ?? [];

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        _requestCancelled.ThrowIfCancellationRequested();
        if (buffer.IsEmpty)
        {
            return 0;
        }

        if (!_withholdsUsage)
        {
            var read = await ReadEngineAsync(buffer, cancellationToken).ConfigureAwait(false);
            Note(buffer.Span[..read]);
            return read;
        }

        while (_readyTaken == _ready.WrittenCount && !_isAtEnd)
        {
            _ready.ResetWrittenCount();
            _readyTaken = 0;
            var read = await ReadEngineAsync(_incoming, cancellationToken).ConfigureAwait(false);
            Note(_incoming.AsSpan(0, read));
        }

        var count = Math.Min(buffer.Length, _ready.WrittenCount - _readyTaken);
        _ready.WrittenSpan.Slice(_readyTaken, count).CopyTo(buffer.Span);
        _readyTaken += count;
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) =>
        throw new NotSupportedException("An answer is read asynchronously.");

    public override void Flush() => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _engine.Dispose();
        }

        base.Dispose(disposing);
    }

    private async ValueTask<int> ReadEngineAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            return await _engine.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (_requestCancelled.IsCancellationRequested && e is IOException or ObjectDisposedException or HttpRequestException)
        {
            throw new OperationCanceledException("the request was cancelled", e, _requestCancelled);
        }
        catch (HttpRequestException e)
        {
            throw new IOException("the engine's answer broke off", e);
        }
    }

    /// <summary>Notes what passes; no bytes are the end.</summary>
    private void Note(ReadOnlySpan<byte> bytes)
    {
        _isAtEnd = bytes.IsEmpty;
        if (_whole is not null)
        {
            NoteWhole(bytes);
            return;
        }

        try
        {
            while (true)
            {
                if (_logprobs is null && _events!.TryReadRun(ref bytes, out var run))
                {
                    Note(run.Facts, run.Raw);
                }
                else if (_events!.TryRead(ref bytes, out var next))
                {
                    Note(next);
                }
                else
                {
                    break;
                }
            }
        }
        catch (SseEventTooLargeException e)
        {
            throw new IOException($"the engine's stream is broken: {e.Message}", e);
        }

        if (_isAtEnd)
        {
            NoteEnd();
        }
    }

    private void NoteWhole(ReadOnlySpan<byte> bytes)
    {
        _whole!.Feed(bytes);
        if (_isAtEnd && _whole.End())
        {
            (Usage, FinishReason) = (_whole.Facts.Usage, _whole.Facts.FinishReason);
        }
    }

    private void Note(SseEvent next)
    {
        _logprobs?.Read(next.Data);
        _isStreamWhole |= next.IsDone;
        Note(next.Facts, next.Raw);
    }

    private void Note(in AnswerFacts facts, ReadOnlySpan<byte> raw)
    {
        Usage = facts.Usage ?? Usage;
        FinishReason = facts.FinishReason ?? FinishReason;
        _isStreamWhole |= facts.FinishReason is not null || facts.IsError;
        if (_withholdsUsage && !facts.IsUsageOnly)
        {
            _ready.Write(raw);
        }
    }

    private void NoteEnd()
    {
        if (_events!.TryEnd(out var last))
        {
            Note(last);
        }

        // A connection that closes is no end of an answer: engines without chunked encoding look the same when they die.
        if (!_isStreamWhole)
        {
            throw new IOException("the engine ended its stream in mid-answer");
        }
    }
}
