using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
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
    Settlements settlements,
    Abandonments abandonments,
    AnswerBuffer audited,
    IOptions<GatewayOptions> options,
    IOptions<PoolOptions> pool,
    TimeProvider time,
    ILogger<InferenceRun> logger)
{
    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromMilliseconds(200);

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
            var (request, error) = await CheckAsync(call, sink.Gone);
            if (request is null)
            {
                await sink.RefuseAsync(error!);
                return;
            }
            var run = new InferenceRun(request, sink, grains, dispatcher, settlements, abandonments, audited, options.Value, pool.Value, time, logger);
            await run.ExecuteAsync();
            settled = run.Settled;
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

    /// <summary>The request, if nothing speaks against it; else what does.</summary>
    private async Task<(InferenceRequest? Request, OpenAiError? Error)> CheckAsync(InferenceCall call, CancellationToken cancellationToken)
    {
        if (settlements.IsFull) return (null, OpenAiError.Busy("The hub cannot record work now. Try again.", TimeSpan.FromSeconds(5)));
        if (!RequestHead.TryRead(call.Body.Span, call.Kind, out var head, out var error)) return (null, error);
        if (await directory.FindModelAsync(head.Model, cancellationToken) is not { } model) return (null, OpenAiError.UnknownModel(head.Model));
        if (model.Capabilities.Length > 0 && !model.Capabilities.Contains(call.Kind.Word()))
            return (null, OpenAiError.BadRequest($"The model '{head.Model}' does not support {call.Kind.Path()}; it supports: {string.Join(", ", model.Capabilities)}.", "model", "unsupported_model"));
        var admission = await AdmitAsync(call.Caller, cancellationToken);
        if (!admission.Admitted) return (null, OpenAiError.Forbidden("The account is closed."));
        // From here on the model goes by the name its nodes know it by.
        return (new InferenceRequest(call.RequestId, call.Kind, head with { Model = model.Name }, call.Body, call.Caller, InTurn(admission, call.Origin)) { Origin = call.Origin }, null);
    }

    /// <summary>Nobody waits for work in the background, so it takes what those leave who do.</summary>
    private Admission InTurn(Admission admission, CallOrigin origin) => origin is CallOrigin.Client ? admission : admission with { Weight = admission.Weight * pool.Value.BackgroundWeight };

    /// <summary>Asks the account's grain, and again while it moves from a silo that died to another: the answer changes nothing, so asking is free.</summary>
    private async Task<Admission> AdmitAsync(ApiCaller caller, CancellationToken cancellationToken)
    {
        var askedAt = time.GetTimestamp();
        while (true)
        {
            try
            {
                return await grains.GetGrain<IAccountGrain>(caller.AccountId).Admit(cancellationToken);
            }
            catch (Exception exception) when (exception is OrleansException or TimeoutException && time.GetElapsedTime(askedAt) < pool.Value.Patience)
            {
                await Task.Delay(AskAgainAfter, time, cancellationToken);
            }
        }
    }
}
