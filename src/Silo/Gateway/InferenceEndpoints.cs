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
        using (entered)
        {
            var caller = http.Caller();
            var jobId = http.RequestId();
            if (settlements.IsFull)
            {
                await OpenAiError.Busy("The hub cannot record work now. Try again.", TimeSpan.FromSeconds(5)).WriteAsync(http);
                return;
            }
            if (await RequestBody.ReadAsync(http, options.Value.MaxBodyBytes) is not { } body)
            {
                await OpenAiError.BodyTooLarge(options.Value.MaxBodyBytes).WriteAsync(http);
                return;
            }
            if (!RequestHead.TryRead(body.Span, kind, out var head, out var error))
            {
                await error.WriteAsync(http);
                return;
            }
            if (await directory.FindModelAsync(head.Model, http.RequestAborted) is not { } model)
            {
                await OpenAiError.UnknownModel(head.Model).WriteAsync(http);
                return;
            }
            if (model.Capabilities.Length > 0 && !model.Capabilities.Contains(kind.Word()))
            {
                await OpenAiError.BadRequest($"The model '{head.Model}' does not support {kind.Path()}; it supports: {string.Join(", ", model.Capabilities)}.", "model", "unsupported_model").WriteAsync(http);
                return;
            }
            var admission = await AdmitAsync(caller, http.RequestAborted);
            if (!admission.Admitted)
            {
                await OpenAiError.Forbidden("The account is closed.").WriteAsync(http);
                return;
            }
            // From here on the model goes by the name its nodes know it by.
            var request = new InferenceRequest(jobId, kind, head with { Model = model.Name }, body, caller, admission);
            await new InferenceRun(request, http, grains, dispatcher, settlements, abandonments, audited, options.Value, pool.Value, time, logger).ExecuteAsync();
        }
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
            catch (OrleansException) when (time.GetElapsedTime(askedAt) < pool.Value.Patience)
            {
                await Task.Delay(AskAgainAfter, time, cancellationToken);
            }
        }
    }
}
