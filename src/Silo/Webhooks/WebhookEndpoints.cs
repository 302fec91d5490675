using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Webhooks;

/// <summary><c>/v1/webhooks</c>: where an account wants to be told of the ends of jobs and batches.</summary>
internal static class WebhookEndpoints
{
    public static void MapWebhooks(this IEndpointRouteBuilder app)
    {
        var webhooks = app.MapGroup("/v1/webhooks").WithTags("webhooks");
        webhooks.MapPost("", CreateAsync).RequireScope(Scopes.Inference)
            .WithName("create_webhook").WithSummary("Registers an endpoint; its secret is shown this once.").TakesJson<NewWebhookJson>().Produces<WebhookJson>(201);
        webhooks.MapGet("", ListAsync).RequireScope(Scopes.Inference).WithName("list_webhooks").WithSummary("The account's endpoints.").Produces<ListJson<WebhookJson>>();
        webhooks.MapGet("/{id}", GetAsync).RequireScope(Scopes.Inference).WithName("get_webhook").WithSummary("One endpoint, without its secret.").Produces<WebhookJson>();
        webhooks.MapDelete("/{id}", DeleteAsync).RequireScope(Scopes.Inference).WithName("delete_webhook").WithSummary("Deletes an endpoint; what waits for it is dropped.").Produces(204);
        webhooks.MapPost("/{id}/rotate", RotateAsync).RequireScope(Scopes.Inference)
            .WithName("rotate_webhook").WithSummary("The endpoint's next secret, shown this once; the one before signs as well for a while.").Produces<WebhookJson>();
        webhooks.MapPost("/{id}/test", TestAsync).RequireScope(Scopes.Inference).WithName("test_webhook").WithSummary("Sends a test event now, once, and tells what the receiver said.").Produces<TestJson>();
        webhooks.MapGet("/{id}/deliveries", ListDeliveriesAsync).RequireScope(Scopes.Inference)
            .WithName("list_deliveries").WithSummary("What was and is to be delivered, the newest first; ?status=dead for what was given up.").Produces<DeliveryPageJson>();
        webhooks.MapPost("/{id}/deliveries/{delivery}/redeliver", RedeliverAsync).RequireScope(Scopes.Inference)
            .WithName("redeliver").WithSummary("Sends what was delivered or given up once more, under the same event's id.").Produces(202);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, WebhookStore store, HubIdentity identity, IOptions<WebhookOptions> options)
    {
        var (body, unreadable) = await Answers.ReadAsync<NewWebhookJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        if (AddressGuard.WhyRefused(body.Url, options.Value) is { } why) return Answers.Error(OpenAiError.BadRequest($"'url' {why}.", "url", "invalid_url"));
        var events = body.Events ?? [.. WebhookEvents.All];
        if (events.FirstOrDefault(type => !WebhookEvents.All.Contains(type)) is { } unknown) return Answers.Error(OpenAiError.BadRequest($"'{unknown}' is not an event; there are: {string.Join(", ", WebhookEvents.All)}.", "events", "invalid_value"));
        if (await store.CreateAsync(http.Caller().AccountId, body.Url!, events.Distinct(StringComparer.Ordinal), http.RequestAborted) is not { } webhook)
            return Answers.Error(new OpenAiError(429, "rate_limit_error", "too_many_webhooks", $"The account has {options.Value.MaxEndpointsPerAccount} endpoints already."));
        return Answers.Json(WebhookJson.Of(webhook) with { Secret = identity.WebhookSecret(webhook.Id, webhook.SecretVersion) }, StatusCodes.Status201Created);
    }

    private static async Task<IResult> ListAsync(HttpContext http, WebhookStore store)
        => Answers.Json(new ListJson<WebhookJson>([.. (await store.ListAsync(http.Caller().AccountId, http.RequestAborted)).Select(WebhookJson.Of)]));

    private static async Task<IResult> GetAsync(HttpContext http, WebhookStore store, string id)
        => await store.FindAsync(http.Caller().AccountId, id, http.RequestAborted) is { } webhook ? Answers.Json(WebhookJson.Of(webhook)) : Unknown(id);

    private static async Task<IResult> DeleteAsync(HttpContext http, WebhookStore store, string id)
        => await store.DeleteAsync(http.Caller().AccountId, id, http.RequestAborted) ? Results.NoContent() : Unknown(id);

    private static async Task<IResult> RotateAsync(HttpContext http, WebhookStore store, HubIdentity identity, string id)
        => await store.RotateAsync(http.Caller().AccountId, id, http.RequestAborted) is { } webhook ? Answers.Json(WebhookJson.Of(webhook) with { Secret = identity.WebhookSecret(webhook.Id, webhook.SecretVersion) }) : Unknown(id);

    private static async Task<IResult> TestAsync(HttpContext http, WebhookStore store, WebhookSender sender, TimeProvider time, string id)
    {
        if (await store.FindAsync(http.Caller().AccountId, id, http.RequestAborted) is not { } webhook) return Unknown(id);
        if (await store.TryTestAsync(webhook, http.RequestAborted) is { } wait)
            return Answers.Error(new OpenAiError(429, "requests", "rate_limit_exceeded", $"Rate limit reached for this account on tests of webhooks. Please try again in {RateLimits.Duration(wait)}.") { RetryAfterSeconds = (int)Math.Ceiling(wait.TotalSeconds) });
        var delivery = store.Test(webhook);
        var sentAt = time.GetTimestamp();
        var answer = await sender.SendAsync(webhook, delivery, http.RequestAborted);
        return Answers.Json(new TestJson(delivery.EventId, answer.IsSuccess, answer.Status, answer.Error, (long)time.GetElapsedTime(sentAt).TotalMilliseconds));
    }

    private static async Task<IResult> ListDeliveriesAsync(HttpContext http, WebhookStore store, string id, string? status, string? after, int? limit)
    {
        if (limit is < 1 or > WebhookStore.ListMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {WebhookStore.ListMax}.", "limit"));
        if (status is not (null or "waiting" or "delivered" or "dead")) return Answers.Error(OpenAiError.BadRequest("'status' must be 'waiting', 'delivered' or 'dead'.", "status"));
        if (await store.FindAsync(http.Caller().AccountId, id, http.RequestAborted) is null) return Unknown(id);
        var wanted = limit ?? 20;
        var rows = await store.DeliveriesAsync(id, status, after, wanted + 1, http.RequestAborted);
        return Answers.Json(new DeliveryPageJson([.. rows.Take(wanted).Select(DeliveryJson.Of)], rows.Length > wanted));
    }

    private static async Task<IResult> RedeliverAsync(HttpContext http, WebhookStore store, WebhookRunner runner, string id, string delivery)
    {
        if (await store.FindAsync(http.Caller().AccountId, id, http.RequestAborted) is null) return Unknown(id);
        if (!await store.RedeliverAsync(id, delivery, http.RequestAborted)) return Answers.Error(OpenAiError.NotFound("There is no such delivery that has ended."));
        runner.Wake();
        return Results.StatusCode(StatusCodes.Status202Accepted);
    }

    private static IResult Unknown(string id) => Answers.Error(OpenAiError.NotFound($"There is no webhook '{(id.Length <= 64 ? id : id[..64])}'."));

    internal sealed record NewWebhookJson(string? Url, string[]? Events);

    internal sealed record TestJson(string EventId, bool Delivered, int? Status, string? Error, long DurationMs);

    internal sealed record DeliveryPageJson(IReadOnlyList<DeliveryJson> Data, bool HasMore)
    {
        public string Object { get; } = "list";
    }

    internal sealed record WebhookJson(string Id, string Url, string[] Events, long CreatedAt)
    {
        public string Object { get; } = "webhook";

        /// <summary>Only when it was made or rotated just now.</summary>
        public string? Secret { get; init; }

        public static WebhookJson Of(Webhook webhook) => new(webhook.Id, webhook.Url, webhook.Events, webhook.CreatedAt / 1000);
    }

    internal sealed record DeliveryJson(string Id, string EventId, string Type, string Status, long Attempts, long CreatedAt, long? NextAttemptAt, long? FinishedAt, long? LastStatus, string? LastError)
    {
        public static DeliveryJson Of(WebhookDelivery delivery) => new(
            delivery.Id, delivery.EventId, delivery.Type, delivery.State, delivery.Attempts, delivery.CreatedAt / 1000, delivery.State == "waiting" ? delivery.NextAt / 1000 : null, delivery.FinishedAt / 1000, delivery.LastStatus, delivery.LastError);
    }
}
