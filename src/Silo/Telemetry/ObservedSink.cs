using System.Diagnostics;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Telemetry;

/// <summary>Passes an answer on, and notes where it is an error.</summary>
internal sealed class ObservedSink(AnswerSink client, InferenceCall call, RequestLog requests, Activity? activity) : AnswerSink
{
    public override CancellationToken Gone => client.Gone;

    public override void Tell(RateLimits limits) => client.Tell(limits);

    public override void Repeat(string jobId) => client.Repeat(jobId);

    public override void Begin(AnswerHead head) => client.Begin(head);

    public override void Write(in SseEvent item) => client.Write(item);

    public override ValueTask FlushAsync() => client.FlushAsync();

    public override ValueTask CompleteAsync(ReadOnlyMemory<byte> rest) => client.CompleteAsync(rest);

    public override ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body) => client.WriteWholeAsync(head, status, contentType, body);

    public override ValueTask RefuseAsync(OpenAiError error)
    {
        requests.OnRefused(call, error, activity);
        return client.RefuseAsync(error);
    }

    public override ValueTask BreakOffAsync(OpenAiError error)
    {
        requests.OnRefused(call, error, activity);
        return client.BreakOffAsync(error);
    }
}
