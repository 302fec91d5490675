using System.Diagnostics;
using Federation.Silo.Gateway;

namespace Federation.Silo.Telemetry;

/// <summary>Passes an answer on, and notes where it is an error.</summary>
internal sealed class ObservedSink(AnswerSink client, InferenceCall call, RequestLog requests, Activity? activity) : ForwardingSink(client)
{
    public override ValueTask RefuseAsync(OpenAiError error)
    {
        requests.OnRefused(call, error, activity);
        return base.RefuseAsync(error);
    }

    public override ValueTask BreakOffAsync(OpenAiError error)
    {
        requests.OnRefused(call, error, activity);
        return base.BreakOffAsync(error);
    }
}
