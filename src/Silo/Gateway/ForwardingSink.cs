using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway;

/// <summary>Passes everything on; whoever derives from it sees it pass.</summary>
internal abstract class ForwardingSink(AnswerSink next) : AnswerSink
{
    public override CancellationToken Gone => next.Gone;

    public override void Tell(RateLimits limits) => next.Tell(limits);

    public override ValueTask<bool> NoteAsync(string words) => next.NoteAsync(words);

    public override void Repeat(string jobId) => next.Repeat(jobId);

    public override void Begin(AnswerHead head) => next.Begin(head);

    public override void Write(in SseEvent item) => next.Write(item);

    public override bool TakesRuns => next.TakesRuns;

    public override void WriteRun(in SseRun run) => next.WriteRun(run);

    public override ValueTask FlushAsync() => next.FlushAsync();

    public override AnswerOnRecord? KeepEnd(AnswerHead head, ReadOnlyMemory<byte> rest) => next.KeepEnd(head, rest);

    public override AnswerOnRecord? KeepWhole(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body) => next.KeepWhole(head, status, contentType, body);

    public override ValueTask CompleteAsync(ReadOnlyMemory<byte> rest) => next.CompleteAsync(rest);

    public override ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body) => next.WriteWholeAsync(head, status, contentType, body);

    public override ValueTask RefuseAsync(OpenAiError error) => next.RefuseAsync(error);

    public override ValueTask BreakOffAsync(OpenAiError error) => next.BreakOffAsync(error);
}
