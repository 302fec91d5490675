using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Providers;
using Federation.Silo.Webhooks;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Jobs;

/// <summary>What can be done with asynchronous jobs, by whatever door it is asked for.</summary>
internal sealed class AsyncJobs(AsyncJobStore store, AsyncJobRunner runner, AsyncJobSignals signals, HubDirectoryView directory, CloudRoutes clouds, WebhookStore webhooks, HubIdentity identity, IOptions<AsyncJobOptions> options, IOptions<WebhookOptions> webhookOptions)
{
    /// <summary>Takes a job: it is on disk when this returns; or says why not.</summary>
    /// <returns>The job, and the secret of its webhook where that was registered just now; or what speaks against it.</returns>
    public async Task<(AsyncJob? Job, string? WebhookSecret, OpenAiError? Refusal)> SubmitAsync(ApiCaller caller, WantedJob wanted, CancellationToken cancellationToken)
    {
        if (wanted.Lifetime > options.Value.MaxLifetime) return (null, null, OpenAiError.BadRequest($"'expires' may be at most {(long)options.Value.MaxLifetime.TotalSeconds} seconds here.", "expires"));
        // A name that was mistyped would wait for its model until its time is up.
        var isInCloud = !clouds.Find(wanted.Model, wanted.Kind).IsEmpty;
        var model = await directory.FindModelAsync(wanted.Model, cancellationToken, insist: !isInCloud);
        if (model is null && !isInCloud) return (null, null, OpenAiError.UnknownModel(wanted.Model));
        if (!caller.MayUse(model?.Name ?? wanted.Model)) return (null, null, LimitErrors.ModelNotAllowed($"The API key does not have access to model `{wanted.Model}`."));
        if (model is { Capabilities.Length: > 0 } && !isInCloud && !model.Capabilities.Contains(wanted.Kind.Word()))
            return (null, null, OpenAiError.BadRequest($"The model '{wanted.Model}' does not support {wanted.Kind.Path()}; it supports: {UnmetNeeds.Words(model.Capabilities)}.", "request.model", "unsupported_model"));
        var (webhook, secret, badWebhook) = await WebhookOfAsync(caller.AccountId, wanted, cancellationToken);
        if (badWebhook is not null) return (null, null, badWebhook);
        var job = await store.CreateAsync(
            new NewAsyncJob(caller.AccountId, caller.KeyId, wanted.Kind.Word(), wanted.Model, wanted.Request, wanted.Metadata, webhook?.Id, wanted.Terms, wanted.Lifetime ?? options.Value.Lifetime), cancellationToken);
        if (job is null)
            return (null, null, new OpenAiError(429, "rate_limit_error", "too_many_jobs", $"The account has as many jobs that wait or run as it may: {options.Value.MaxWaitingPerAccount} jobs, or {options.Value.MaxBytesPerAccount} bytes of requests.") { RetryAfterSeconds = 10 });
        runner.Wake();
        return (job, secret, null);
    }

    private async Task<(Webhook? Webhook, string? Secret, OpenAiError? Problem)> WebhookOfAsync(string accountId, WantedJob wanted, CancellationToken cancellationToken)
    {
        if (wanted.WebhookId is { } id)
            return await webhooks.FindAsync(accountId, id, cancellationToken) is { } known ? (known, null, null) : (null, null, OpenAiError.NotFound("There is no such webhook.") with { Param = "webhook" });
        if (wanted.WebhookUrl is not { } url) return (null, null, null);
        if (AddressGuard.WhyRefused(url, webhookOptions.Value) is { } why) return (null, null, OpenAiError.BadRequest($"'webhook.url' {why}.", "webhook.url", "invalid_url"));
        var (webhook, isNew) = await webhooks.EnsureAsync(accountId, url, cancellationToken);
        if (webhook is null) return (null, null, new OpenAiError(429, "rate_limit_error", "too_many_webhooks", $"The account has {webhookOptions.Value.MaxEndpointsPerAccount} endpoints already."));
        return (webhook, isNew ? identity.WebhookSecret(webhook.Id, webhook.SecretVersion) : null, null);
    }

    /// <summary>Cancels a job, and stops the work for it; the job as it is then, null when the account has no such job.</summary>
    public async Task<AsyncJob?> CancelAsync(string accountId, string id, CancellationToken cancellationToken)
    {
        if (await store.CancelAsync(accountId, id, cancellationToken))
        {
            runner.Stop(id);
            signals.Tell(id);
        }
        return await store.FindAsync(accountId, id, cancellationToken);
    }
}
