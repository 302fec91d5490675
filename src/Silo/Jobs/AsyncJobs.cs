using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Jobs;

/// <summary>What can be done with asynchronous jobs, by whatever door it is asked for.</summary>
internal sealed class AsyncJobs(AsyncJobStore store, AsyncJobRunner runner, AsyncJobSignals signals, HubDirectoryView directory, IOptions<AsyncJobOptions> options)
{
    /// <summary>Takes a job: it is on disk when this returns; or says why not.</summary>
    public async Task<(AsyncJob? Job, OpenAiError? Refusal)> SubmitAsync(ApiCaller caller, WantedJob wanted, CancellationToken cancellationToken)
    {
        if (wanted.Lifetime > options.Value.MaxLifetime) return (null, OpenAiError.BadRequest($"'expires' may be at most {(long)options.Value.MaxLifetime.TotalSeconds} seconds here.", "expires"));
        if (wanted.WebhookId is not null || wanted.WebhookUrl is not null) return (null, OpenAiError.BadRequest("This hub sends no webhooks.", "webhook"));
        // A name that was mistyped would wait for its model until its time is up.
        if (await directory.FindModelAsync(wanted.Model, cancellationToken) is not { } model) return (null, OpenAiError.UnknownModel(wanted.Model));
        if (model.Capabilities.Length > 0 && !model.Capabilities.Contains(wanted.Kind.Word()))
            return (null, OpenAiError.BadRequest($"The model '{wanted.Model}' does not support {wanted.Kind.Path()}; it supports: {string.Join(", ", model.Capabilities)}.", "request.model", "unsupported_model"));
        var job = await store.CreateAsync(
            new NewAsyncJob(caller.AccountId, caller.KeyId, wanted.Kind.Word(), wanted.Model, wanted.Request, wanted.Metadata, null, wanted.Lifetime ?? options.Value.Lifetime), cancellationToken);
        if (job is null)
            return (null, new OpenAiError(429, "rate_limit_error", "too_many_jobs", $"The account has {options.Value.MaxWaitingPerAccount} jobs that wait or run already.") { RetryAfterSeconds = 10 });
        runner.Wake();
        return (job, null);
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
