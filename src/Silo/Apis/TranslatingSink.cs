using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis;

/// <summary>A client of another API: each event of the engine's answer is read once and written in that API's words.</summary>
/// <param name="http">The client.</param>
/// <param name="reader">Reads what the engine says.</param>
/// <param name="writer">Writes into the client's body.</param>
/// <param name="stream">What the client asked for; an engine that answers the other way is put right.</param>
/// <param name="maxAnswerBytes">Largest answer that is kept until it is whole.</param>
internal class TranslatingSink(HttpContext http, ChatReader reader, AnswerWriter writer, bool stream, int maxAnswerBytes) : AnswerSink
{
    private readonly ChatAnswer _answer = new();
    private AnswerHead? _head;
    private bool _hasNoted;
    private bool _isOver;
    private OpenAiError? _error;

    public override CancellationToken Gone => http.RequestAborted;

    public override void Tell(RateLimits limits) => limits.WriteTo(http.Response);

    public override void Repeat(string jobId) => OpenAiSink.DescribeRepeat(http.Response, jobId);

    public override async ValueTask<bool> NoteAsync(string words)
    {
        if (!stream || !writer.TryNote(words)) return false;
        if (!_hasNoted && _head is null) BeginStream();
        _hasNoted = true;
        await FlushAsync();
        return true;
    }

    public override void Begin(AnswerHead head)
    {
        _head = head;
        if (!stream) return;
        if (_hasNoted)
        {
            // The head is gone: what belongs there stands here.
            writer.TryNote(OpenAiSink.Words(head));
        }
        else
        {
            OpenAiSink.Describe(http.Response, head);
            BeginStream();
        }
        writer.Begin(head);
    }

    public override void Write(in SseEvent item)
    {
        if (!item.Data.IsEmpty && !item.IsMalformed) Take(reader.Read(item.Data));
    }

    public override async ValueTask FlushAsync()
    {
        if (!stream) return;
        var flushed = await http.Response.BodyWriter.FlushAsync(Gone);
        if (flushed.IsCompleted) throw new OperationCanceledException(Gone);
    }

    public override async ValueTask CompleteAsync(ReadOnlyMemory<byte> rest)
    {
        TakeRest(rest.Span);
        Take(reader.End());
        if (!stream)
        {
            await WriteAnswerAsync();
            return;
        }
        if (!_isOver)
        {
            await KeepAsync(_answer);
            writer.End();
        }
        await FlushAsync();
    }

    public override async ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        if (status >= StatusCodes.Status300MultipleChoices)
        {
            if (!_hasNoted) OpenAiSink.Describe(http.Response, head);
            await RefuseAsync(EngineErrors.Read(status, body));
            return;
        }
        Begin(head);
        Take(reader.Read(body.Span));
        await CompleteAsync(default);
    }

    public override ValueTask RefuseAsync(OpenAiError error) => _hasNoted ? BreakOffAsync(error) : new ValueTask(error.WriteAsync(http));

    public override ValueTask BreakOffAsync(OpenAiError error)
    {
        if (!stream) return RefuseAsync(error);
        BreakOff(error);
        return FlushAsync();
    }

    /// <summary>The answer is whole and its client has not been told so yet.</summary>
    /// <param name="answer">All of it; of a stream nothing.</param>
    protected virtual ValueTask KeepAsync(ChatAnswer answer) => ValueTask.CompletedTask;

    private void BeginStream()
    {
        http.Response.StatusCode = StatusCodes.Status200OK;
        OpenAiSink.BeginEventStream(http.Response);
        http.Response.ContentType = writer.StreamType;
    }

    /// <summary>What came with the end: also a last event that no blank line ended.</summary>
    private void TakeRest(ReadOnlySpan<byte> rest)
    {
        var scanner = new SseScanner(maxAnswerBytes);
        while (scanner.TryRead(ref rest, out var item))
        {
            if (item.IsDone) return;
            Write(item);
        }
        if (scanner.TryEnd(out var last) && !last.IsDone) Write(last);
    }

    private void Take(ChatPiece piece)
    {
        if (_isOver) return;
        if (piece.Error is { } error)
        {
            BreakOff(error);
            return;
        }
        if (stream)
        {
            writer.Take(piece);
            return;
        }
        _answer.Add(piece);
        if (_answer.Size > maxAnswerBytes) BreakOff(OpenAiError.NoAnswer());
    }

    private void BreakOff(OpenAiError error)
    {
        if (_isOver) return;
        _isOver = true;
        if (stream) writer.BreakOff(error);
        else _error = error;
    }

    private async ValueTask WriteAnswerAsync()
    {
        OpenAiSink.Describe(http.Response, _head!);
        if (_error is { } error)
        {
            await RefuseAsync(error);
            return;
        }
        await KeepAsync(_answer);
        http.Response.StatusCode = StatusCodes.Status200OK;
        http.Response.ContentType = "application/json";
        writer.Whole(_head!, _answer);
        await http.Response.BodyWriter.FlushAsync(Gone);
    }
}
