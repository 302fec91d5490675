using System.Buffers;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Idempotency;

/// <summary>
/// Keeps an answer, while it passes, for whoever sends the request again. It is on disk before its client has the end, and with its price where it has one; an answer that is refused, breaks off or is not taken to its end is not kept, and the
/// request may be run again.
/// </summary>
/// <param name="client">Where the answer goes.</param>
/// <param name="request">To what.</param>
/// <param name="jobId">Of the request.</param>
/// <param name="answers">Where it is kept.</param>
/// <param name="room">The most that is kept of it, bytes.</param>
internal sealed class KeepingSink(AnswerSink client, RepeatableRequest request, string jobId, GivenAnswers answers, long room) : ForwardingSink(client)
{
    private ArrayBufferWriter<byte>? _bytes = new();
    private AnswerHead? _head;
    private bool _isKept;

    public override void Begin(AnswerHead head)
    {
        _head = head;
        base.Begin(head);
    }

    public override void Write(in SseEvent item)
    {
        Add(item.Raw);
        base.Write(item);
    }

    public override void WriteRun(in SseRun run)
    {
        Add(run.Raw);
        base.WriteRun(run);
    }

    public override AnswerOnRecord? KeepEnd(AnswerHead head, ReadOnlyMemory<byte> rest)
    {
        Add(rest.Span);
        return Kept(new GivenAnswer(request.RequestHash, jobId, head, StatusCodes.Status200OK, string.Empty, IsStream: true, _bytes?.WrittenMemory));
    }

    public override AnswerOnRecord? KeepWhole(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        Add(body.Span);
        return Kept(new GivenAnswer(request.RequestHash, jobId, head, status, contentType, IsStream: false, _bytes?.WrittenMemory));
    }

    public override async ValueTask CompleteAsync(ReadOnlyMemory<byte> rest)
    {
        if (!_isKept && KeepEnd(_head!, rest) is { } answer) await answers.KeepAsync(request.AccountId, jobId, answer);
        await base.CompleteAsync(rest);
    }

    public override async ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        if (!_isKept && status < 300 && KeepWhole(head, status, contentType, body) is { } answer) await answers.KeepAsync(request.AccountId, jobId, answer);
        await base.WriteWholeAsync(head, status, contentType, body);
    }

    private AnswerOnRecord Kept(GivenAnswer answer)
    {
        _isKept = true;
        return answers.Record(request, answer);
    }

    private void Add(ReadOnlySpan<byte> bytes)
    {
        if (_bytes is null) return;
        if (_bytes.WrittenCount + (long)bytes.Length > room) _bytes = null;
        else _bytes.Write(bytes);
    }
}
