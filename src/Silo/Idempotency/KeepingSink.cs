using System.Buffers;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Idempotency;

/// <summary>
/// Keeps an answer, while it passes, for whoever sends the request again. It is on disk before its client has the end; an answer that is refused, breaks off or is not taken to its end is not kept, and the
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

    public override async ValueTask CompleteAsync(ReadOnlyMemory<byte> rest)
    {
        Add(rest.Span);
        await answers.KeepAsync(request, new GivenAnswer(request.RequestHash, jobId, _head!, StatusCodes.Status200OK, string.Empty, IsStream: true, _bytes?.WrittenMemory));
        await base.CompleteAsync(rest);
    }

    public override async ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        Add(body.Span);
        if (status < 300) await answers.KeepAsync(request, new GivenAnswer(request.RequestHash, jobId, head, status, contentType, IsStream: false, _bytes?.WrittenMemory));
        await base.WriteWholeAsync(head, status, contentType, body);
    }

    private void Add(ReadOnlySpan<byte> bytes)
    {
        if (_bytes is null) return;
        if (_bytes.WrittenCount + (long)bytes.Length > room) _bytes = null;
        else _bytes.Write(bytes);
    }
}
