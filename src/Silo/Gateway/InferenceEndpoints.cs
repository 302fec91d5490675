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

    public async Task HandleAsync(HttpContext http, JobKind kind)
    {
        if (drain.TryEnter() is not { } entered)
        {
            await OpenAiError.Busy("The hub is stopping. Try again.", TimeSpan.FromSeconds(1)).WriteAsync(http);
            return;
        }
        var settled = Task.CompletedTask;
        try
        {
            if (await CheckAsync(http, kind) is not { } request) return;
            var run = new InferenceRun(request, http, grains, dispatcher, settlements, abandonments, audited, options.Value, pool.Value, time, logger);
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

    /// <summary>The request, if nothing speaks against it; else the client has been told what does.</summary>
    private async Task<InferenceRequest?> CheckAsync(HttpContext http, JobKind kind)
    {
        var (request, error) = await ReadAsync(http, kind);
        if (error is not null) await error.WriteAsync(http);
        return request;
    }

    private async Task<(InferenceRequest? Request, OpenAiError? Error)> ReadAsync(HttpContext http, JobKind kind)
    {
        if (settlements.IsFull) return (null, OpenAiError.Busy("The hub cannot record work now. Try again.", TimeSpan.FromSeconds(5)));
        if (await RequestBody.ReadAsync(http, options.Value.MaxBodyBytes) is not { } body) return (null, OpenAiError.BodyTooLarge(options.Value.MaxBodyBytes));
        if (!RequestHead.TryRead(body.Span, kind, out var head, out var error)) return (null, error);
        if (await directory.FindModelAsync(head.Model, http.RequestAborted) is not { } model) return (null, OpenAiError.UnknownModel(head.Model));
        if (model.Capabilities.Length > 0 && !model.Capabilities.Contains(kind.Word()))
            return (null, OpenAiError.BadRequest($"The model '{head.Model}' does not support {kind.Path()}; it supports: {string.Join(", ", model.Capabilities)}.", "model", "unsupported_model"));
        var caller = http.Caller();
        var admission = await AdmitAsync(caller, http.RequestAborted);
        if (!admission.Admitted) return (null, OpenAiError.Forbidden("The account is closed."));
        // From here on the model goes by the name its nodes know it by.
        return (new InferenceRequest(http.RequestId(), kind, head with { Model = model.Name }, body, caller, admission), null);
    }

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
