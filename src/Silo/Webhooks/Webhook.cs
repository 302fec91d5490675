using System.Collections.Immutable;

namespace Federation.Silo.Webhooks;

/// <summary>The events an account can be told of.</summary>
internal static class WebhookEvents
{
    public const string Test = "webhook.test";

    /// <summary>Those an endpoint can ask for.</summary>
    public static readonly ImmutableArray<string> All =
    [
        "job.completed", "job.failed", "job.cancelled", "job.expired", "batch.completed", "batch.failed", "batch.cancelled", "batch.expired",
    ];
}

/// <summary>An endpoint's row. Times are unix milliseconds.</summary>
internal sealed record Webhook
{
    public const string Columns = "id AS Id, account_id AS AccountId, url AS Url, events AS EventWords, secret_version AS SecretVersion, old_secret_until AS OldSecretUntil, created_at AS CreatedAt";

    /// <summary><c>wh_…</c></summary>
    public required string Id { get; init; }

    public required string AccountId { get; init; }

    public required string Url { get; init; }

    /// <summary>Separated by one space; empty: only what names the endpoint itself.</summary>
    public required string EventWords { get; init; }

    public long SecretVersion { get; init; }

    public long? OldSecretUntil { get; init; }

    public long CreatedAt { get; init; }

    public string[] Events => EventWords.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>A delivery's row. Times are unix milliseconds.</summary>
internal sealed record WebhookDelivery
{
    public const string Columns =
        """
        id AS Id, webhook_id AS WebhookId, event_id AS EventId, type AS Type, state AS State, attempts AS Attempts, next_at AS NextAt, give_up_at AS GiveUpAt, last_status AS LastStatus, last_error AS LastError,
        created_at AS CreatedAt, finished_at AS FinishedAt
        """;

    /// <summary><c>whd_…</c>; later deliveries have greater ids.</summary>
    public required string Id { get; init; }

    public required string WebhookId { get; init; }

    /// <summary><c>evt_…</c>, the same whenever and wherever the event is delivered.</summary>
    public required string EventId { get; init; }

    public required string Type { get; init; }

    /// <summary>waiting, delivered or dead.</summary>
    public required string State { get; init; }

    public long Attempts { get; init; }

    public long NextAt { get; init; }

    public long GiveUpAt { get; init; }

    public long? LastStatus { get; init; }

    public string? LastError { get; init; }

    public long CreatedAt { get; init; }

    public long? FinishedAt { get; init; }

    /// <summary>What is sent; null where it was not asked for.</summary>
    public byte[]? Body { get; init; }
}
