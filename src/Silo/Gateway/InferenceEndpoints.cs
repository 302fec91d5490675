using Federation.Contracts.Accounts;
using Federation.Contracts.Hubs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Hubs;
using Federation.Silo.Models;
using Federation.Silo.Verification.Audits;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway;

/// <summary>The three endpoints that make nodes work.</summary>
internal static class InferenceEndpoints
{
    public static void MapInference(this IEndpointRouteBuilder app)
    {
        foreach (var kind in JobKinds.ForClients)
        {
            app.MapPost(kind.Path(), (HttpContext http, InferenceGate gate) => gate.HandleAsync(http, kind))
                .RequireScope(Scopes.Inference)
                .WithName($"create_{kind.Word()}")
                .WithSummary("As OpenAI's endpoint of this name; a node's engine answers, in its own bytes.")
                .WithTags("inference");
        }
    }
}

/// <summary>What is asked, by whom, before anything was checked.</summary>
/// <param name="RequestId">Also the job's id.</param>
/// <param name="Kind">Which of OpenAI's endpoints the body is for.</param>
/// <param name="Body">OpenAI's JSON, as a client sent it or as another API's request was translated.</param>
/// <param name="Caller">Who asks.</param>
internal sealed record InferenceCall(string RequestId, JobKind Kind, ReadOnlyMemory<byte> Body, ApiCaller Caller)
{
    /// <summary>What the request is part of; a client that waits for its answer by default.</summary>
    public CallOrigin Origin { get; init; }
}

/// <summary>What a request is part of: it sets its place beside others, and may set its price.</summary>
internal enum CallOrigin
{
    /// <summary>A client waits for the answer.</summary>
    Client = 0,

    /// <summary>An asynchronous job: it gives way to clients.</summary>
    Job,

    /// <summary>A line of a batch: it gives way to clients.</summary>
    Batch,
}

/// <summary>Everything that can be said of a request before a node is bothered.</summary>
internal sealed class InferenceGate(
    IGrainFactory grains,
    HubDirectoryView directory,
    HubDrain drain,
    LeaseDispatcher dispatcher,
    Reservations reservations,
    Settlements settlements,
    Abandonments abandonments,
    AnswerBuffer audited,
    IOptions<GatewayOptions> options,
    IOptions<PoolOptions> pool,
    IOptions<LimitOptions> limits,
    TimeProvider time,
    ILogger<InferenceRun> logger)
{
    /// <summary>Answers an OpenAI client.</summary>
    public async Task HandleAsync(HttpContext http, JobKind kind)
    {
        var sink = new OpenAiSink(http);
        if (await RequestBody.ReadAsync(http, options.Value.MaxBodyBytes) is { } body) await RunAsync(new InferenceCall(http.RequestId(), kind, body, http.Caller()), sink);
        else await sink.RefuseAsync(OpenAiError.BodyTooLarge(options.Value.MaxBodyBytes));
    }

    /// <summary>Answers a request from wherever it came, or says why not; never fails for what the request says.</summary>
    public async Task RunAsync(InferenceCall call, AnswerSink sink)
    {
        if (drain.TryEnter() is not { } entered)
        {
            await sink.RefuseAsync(OpenAiError.Busy("The hub is stopping. Try again.", TimeSpan.FromSeconds(1)));
            return;
        }
        var settled = Task.CompletedTask;
        try
        {
            var (head, model, error) = await CheckAsync(call, sink.Gone);
            if (head is null)
            {
                await sink.RefuseAsync(error!);
                return;
            }
            var ask = new AdmissionRequest(call.RequestId, call.Caller.KeyId, call.Kind, model!.Name, call.Body.Length / limits.Value.BytesPerToken, MaxTokensOf(head, call.Kind)) { KeyLimits = call.Caller.Limits };
            var (admission, reservation) = await reservations.AdmitAsync(call.Caller.AccountId, ask, sink.Gone);
            if (RateLimits.Of(admission) is { } levels) sink.Tell(levels);
            if (admission.Refusal is { } refusal)
            {
                await sink.RefuseAsync(LimitErrors.Of(refusal, head.Model, call.Kind));
                return;
            }
            // From here on the model goes by the name its nodes know it by.
            settled = await RunAsync(new InferenceRequest(call.RequestId, call.Kind, head with { Model = model.Name }, call.Body, call.Caller, InTurn(admission, call.Origin)) { Origin = call.Origin }, sink, reservation);
        }
        finally
        {
            _ = LeaveAsync(entered, settled);
        }
    }

    /// <summary>A hub that stops waits for what is not on record yet.</summary>
    private static async Task LeaveAsync(IDisposable entered, Task settled)
    {
        await settled;
        entered.Dispose();
    }

    /// <summary>Runs what was admitted.</summary>
    /// <returns>Completes, and never fails, when what was answered is on record.</returns>
    private async Task<Task> RunAsync(InferenceRequest request, AnswerSink sink, Reservation reservation)
    {
        // Where nothing is counted, nothing stands between the run and its client.
        var counted = reservation.IsOver ? null : new CountedSink(sink, reservation);
        var run = new InferenceRun(request, counted ?? sink, grains, dispatcher, settlements, abandonments, audited, options.Value, pool.Value, time, logger);
        if (counted is not null) counted.Run = run;
        try
        {
            await run.ExecuteAsync();
            return run.Settled;
        }
        finally
        {
            reservation.End(run.DeliveredTokens, 0, 0);
        }
    }

    /// <summary>Nobody waits for work in the background, so it takes what those leave who do.</summary>
    private Admission InTurn(Admission admission, CallOrigin origin) => origin is CallOrigin.Client ? admission : admission with { Weight = admission.Weight * pool.Value.BackgroundWeight };

    /// <summary>What can be known of a request without asking anybody about its caller.</summary>
    /// <returns>Head and model, or what speaks against it.</returns>
    private async ValueTask<(RequestHead? Head, KnownModel? Model, OpenAiError? Error)> CheckAsync(InferenceCall call, CancellationToken cancellationToken)
    {
        if (settlements.IsFull) return (null, null, OpenAiError.Busy("The hub cannot record work now. Try again.", TimeSpan.FromSeconds(5)));
        if (!RequestHead.TryRead(call.Body.Span, call.Kind, out var head, out var error)) return (null, null, error);
        if (await directory.FindModelAsync(head.Model, cancellationToken) is not { } model) return (null, null, OpenAiError.UnknownModel(head.Model));
        if (model.Capabilities.Length > 0 && !model.Capabilities.Contains(call.Kind.Word()))
            return (null, null, OpenAiError.BadRequest($"The model '{head.Model}' does not support {call.Kind.Path()}; it supports: {string.Join(", ", model.Capabilities)}.", "model", "unsupported_model"));
        if (!call.Caller.MayUse(model.Name)) return (null, null, LimitErrors.ModelNotAllowed($"The API key does not have access to model `{head.Model}`."));
        return (head, model, null);
    }

    /// <summary>The most tokens an answer may have by the client's own words; vectors have none.</summary>
    private static long? MaxTokensOf(RequestHead head, JobKind kind) => kind is JobKind.Embedding ? 0 : Math.Min(head.MaxTokens ?? 0, TierOptions.LimitMax) * head.Choices is > 0 and var tokens ? tokens : null;
}
