using System.Diagnostics;
using System.Diagnostics.Metrics;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Telemetry;

/// <summary>What the gateway tells the operator's dashboard: OpenTelemetry's names for generative AI where there are any.</summary>
/// <remarks>
/// https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/, still in development: the strings are here and nowhere else. Where nobody listens, nothing is made and nothing measured. Tags are of few
/// values: models, statuses, kinds; never an id.
/// </remarks>
internal sealed class GatewayInstruments
{
    /// <summary>The meter's name.</summary>
    public const string MeterName = "Federation.Silo.Gateway";

    /// <summary>The activity source's name.</summary>
    public const string SourceName = "Federation.Silo.Gateway";

    private static readonly ActivitySource Source = new(SourceName);

    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _firstToken;
    private readonly Histogram<double> _queued;
    private readonly Counter<long> _tokens;
    private readonly Counter<long> _refusals;
    private readonly UpDownCounter<long> _running;

    public GatewayInstruments(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        var seconds = new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92] };
        _duration = meter.CreateHistogram("gen_ai.client.operation.duration", "s", "From a request's arrival to its last byte.", tags: null, seconds);
        _firstToken = meter.CreateHistogram("gen_ai.server.time_to_first_token", "s", "From a lease's dispatch to its first output.", tags: null, seconds);
        _queued = meter.CreateHistogram("federation.gateway.queue.duration", "s", "From a request's arrival to its dispatch.", tags: null, seconds);
        _tokens = meter.CreateCounter<long>("gen_ai.client.token.usage", "{token}", "Tokens read and made.");
        _refusals = meter.CreateCounter<long>("federation.gateway.refusals", "{request}", "Requests that got an error in the place of an answer, by its HTTP status.");
        _running = meter.CreateUpDownCounter<long>("federation.gateway.requests.running", "{request}", "Requests that are being answered or wait for a node.");
    }

    /// <summary>Whether anybody counts refusals.</summary>
    public bool AreRefusalsHeard => _refusals.Enabled;

    /// <summary>Begins the span of a request, under the trace its client named; null where nobody listens.</summary>
    public Activity? Begin(InferenceCall call)
    {
        if (_running.Enabled) _running.Add(1, new KeyValuePair<string, object?>("gen_ai.operation.name", Operation(call.Kind)));
        var activity = Source.StartActivity(Operation(call.Kind), ActivityKind.Internal);
        if (activity is { IsAllDataRequested: true })
        {
            activity.SetTag("gen_ai.operation.name", Operation(call.Kind));
            activity.SetTag("federation.request.id", call.RequestId);
            activity.SetTag("federation.origin", Word(call.Origin));
        }
        return activity;
    }

    /// <summary>The request has ended.</summary>
    public void OnEnded(InferenceCall call)
    {
        if (_running.Enabled) _running.Add(-1, new KeyValuePair<string, object?>("gen_ai.operation.name", Operation(call.Kind)));
    }

    /// <summary>A request got an error in the place of an answer.</summary>
    public void OnRefused(OpenAiError error, Activity? activity)
    {
        if (_refusals.Enabled) _refusals.Add(1, new KeyValuePair<string, object?>("http.response.status_code", error.Status));
        activity?.SetStatus(ActivityStatusCode.Error, error.Code ?? error.Type);
    }

    /// <summary>An answer, or the part of it that one node gave, has ended.</summary>
    public void OnAnswered(JobOutcome outcome)
    {
        if (Activity.Current is { IsAllDataRequested: true } activity && activity.Source == Source)
        {
            activity.SetTag("gen_ai.request.model", outcome.Model);
            activity.SetTag("gen_ai.usage.input_tokens", outcome.PromptTokens);
            activity.SetTag("gen_ai.usage.output_tokens", outcome.CompletionTokens);
            activity.SetTag("federation.node.id", outcome.NodeId);
        }
        if (!_duration.Enabled) return;
        var operation = new KeyValuePair<string, object?>("gen_ai.operation.name", Operation(outcome.Kind));
        var model = new KeyValuePair<string, object?>("gen_ai.request.model", outcome.Model);
        var status = new KeyValuePair<string, object?>("federation.status", Word(outcome.Status));
        _duration.Record(Seconds(outcome.LastMs - outcome.QueuedMs), operation, model, status);
        _firstToken.Record(Seconds(outcome.FirstMs - outcome.DispatchMs), operation, model);
        _queued.Record(Seconds(outcome.DispatchMs - outcome.QueuedMs), operation, model);
        _tokens.Add(outcome.PromptTokens, operation, model, new KeyValuePair<string, object?>("gen_ai.token.type", "input"));
        _tokens.Add(outcome.CompletionTokens, operation, model, new KeyValuePair<string, object?>("gen_ai.token.type", "output"));
    }

    private static double Seconds(long milliseconds) => Math.Max(0, milliseconds) / 1000.0;

    private static string Operation(JobKind kind) => kind switch
    {
        JobKind.Chat => "chat",
        JobKind.Completion => "text_completion",
        JobKind.Embedding => "embeddings",
        JobKind.Score => "score",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };

    private static string Word(JobStatus status) => status switch
    {
        JobStatus.Succeeded => "completed",
        JobStatus.Cancelled => "cancelled",
        JobStatus.Failed => "failed",
        _ => throw new ArgumentOutOfRangeException(nameof(status), status, null),
    };

    private static string Word(CallOrigin origin) => origin switch
    {
        CallOrigin.Client => "client",
        CallOrigin.Job => "job",
        CallOrigin.Batch => "batch",
        _ => throw new ArgumentOutOfRangeException(nameof(origin), origin, null),
    };
}
