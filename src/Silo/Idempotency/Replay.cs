using System.Buffers;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Idempotency;

/// <summary>Gives an answer again.</summary>
internal static class Replay
{
    /// <summary>Answers a repeated request from the first, in the same bytes; or says why it cannot.</summary>
    /// <param name="given">What was answered.</param>
    /// <param name="request">What is asked now.</param>
    /// <param name="sink">Where the answer goes.</param>
    public static async Task WriteAsync(GivenAnswer given, RepeatableRequest request, AnswerSink sink)
    {
        if (!given.RequestHash.AsSpan().SequenceEqual(request.RequestHash.AsSpan()))
        {
            await sink.RefuseAsync(new OpenAiError(422, "invalid_request_error", "idempotency_key_reused", "This Idempotency-Key came with another request before. Use a new key for each request.", RepeatableRequest.Header));
            return;
        }
        if (given.Bytes is not { } bytes)
        {
            await sink.RefuseAsync(new OpenAiError(409, "invalid_request_error", "idempotent_answer_not_kept", $"This request was answered already, as {given.JobId}; the answer was too large to be kept.", RepeatableRequest.Header));
            return;
        }
        sink.Repeat(given.JobId);
        if (given.IsStream) await WriteEventsAsync(given.Head, bytes, sink);
        else await sink.WriteWholeAsync(given.Head, given.Status, given.ContentType, bytes);
    }

    private static async Task WriteEventsAsync(AnswerHead head, ReadOnlyMemory<byte> bytes, AnswerSink sink)
    {
        sink.Begin(head);
        var rest = new ArrayBufferWriter<byte>();
        WriteEvents(bytes.Span, sink, rest);
        await sink.FlushAsync();
        await sink.CompleteAsync(rest.WrittenMemory);
    }

    /// <summary>All events but the mark of the end and what comes after it, as they came the first time.</summary>
    private static void WriteEvents(ReadOnlySpan<byte> bytes, AnswerSink sink, ArrayBufferWriter<byte> rest)
    {
        var scanner = new SseScanner(Math.Max(1, bytes.Length));
        while (scanner.TryRead(ref bytes, out var item))
        {
            if (item.IsDone || rest.WrittenCount > 0) rest.Write(item.Raw);
            else sink.Write(item);
        }
        if (scanner.TryEnd(out var last)) rest.Write(last.Raw);
    }
}
