using System.Collections.Immutable;
using System.Data.Common;
using System.Text.Json;
using Dapper;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Webhooks;

/// <summary>Endpoints and deliveries on disk. An event is written in the commit in which it happens; each delivery is sent by the silo that claimed it.</summary>
internal sealed class WebhookStore(HubDatabase database, IOptions<WebhookOptions> options, TimeProvider time)
{
    public const int ListMax = 100;

    private const int RoundMax = 100;

    /// <summary>Registers an endpoint; null when the account has as many as it may.</summary>
    public Task<Webhook?> CreateAsync(string accountId, string url, IEnumerable<string> events, CancellationToken cancellationToken) => database.WriteAsync<Webhook?>(
        (connection, transaction) => CreateAsync(connection, transaction, accountId, url, string.Join(' ', events)), cancellationToken);

    /// <summary>The endpoint of this account for a URL that a job names; it is registered, and told of nothing else, if there is none.</summary>
    /// <returns>The endpoint, and whether it is new; null when the account has as many as it may.</returns>
    public Task<(Webhook? Webhook, bool IsNew)> EnsureAsync(string accountId, string url, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            await AccountStore.LockAsync(database.Dialect, connection, transaction, accountId);
            var known = await connection.QueryFirstOrDefaultAsync<Webhook?>(
                $"SELECT {Webhook.Columns} FROM webhooks WHERE account_id = @accountId AND deleted_at IS NULL AND url = @url ORDER BY id LIMIT 1", new { accountId, url }, transaction);
            return known is not null ? (known, false) : (await CreateAsync(connection, transaction, accountId, url, string.Empty), true);
        },
        cancellationToken);

    /// <summary>An endpoint of this account; null when there is none.</summary>
    public Task<Webhook?> FindAsync(string accountId, string id, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.QuerySingleOrDefaultAsync<Webhook?>($"SELECT {Webhook.Columns} FROM webhooks WHERE id = @id AND account_id = @accountId AND deleted_at IS NULL", new { id, accountId }), cancellationToken);

    /// <summary>An account's endpoints.</summary>
    public Task<ImmutableArray<Webhook>> ListAsync(string accountId, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<Webhook>($"SELECT {Webhook.Columns} FROM webhooks WHERE account_id = @accountId AND deleted_at IS NULL ORDER BY id", new { accountId })).ToImmutableArray(), cancellationToken);

    /// <summary>Deletes an endpoint; what waits for it is dropped. False when the account has no such endpoint.</summary>
    public Task<bool> DeleteAsync(string accountId, string id, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var now = Ms(time.GetUtcNow());
            if (await connection.ExecuteAsync("UPDATE webhooks SET deleted_at = @now WHERE id = @id AND account_id = @accountId AND deleted_at IS NULL", new { id, accountId, now }, transaction) == 0) return false;
            await connection.ExecuteAsync(
                "UPDATE webhook_deliveries SET state = 'dead', last_error = 'The endpoint was deleted.', finished_at = @now WHERE webhook_id = @id AND state = 'waiting'", new { id, now }, transaction);
            return true;
        },
        cancellationToken);

    /// <summary>The next secret; the one before signs as well for a while. Null when the account has no such endpoint.</summary>
    public Task<Webhook?> RotateAsync(string accountId, string id, CancellationToken cancellationToken) => database.WriteAsync<Webhook?>(
        async (connection, transaction) =>
        {
            await connection.ExecuteAsync(
                "UPDATE webhooks SET secret_version = secret_version + 1, old_secret_until = @until WHERE id = @id AND account_id = @accountId AND deleted_at IS NULL",
                new { id, accountId, until = Ms(time.GetUtcNow() + options.Value.RotationGrace) },
                transaction);
            return await connection.QuerySingleOrDefaultAsync<Webhook?>($"SELECT {Webhook.Columns} FROM webhooks WHERE id = @id AND account_id = @accountId AND deleted_at IS NULL", new { id, accountId }, transaction);
        },
        cancellationToken);

    /// <summary>Writes an event to be delivered, as part of the write in which it happens: to every endpoint that asked for its type, and to the one that is named.</summary>
    /// <param name="connection">Of the write.</param>
    /// <param name="transaction">Of the write.</param>
    /// <param name="accountId">Whose event.</param>
    /// <param name="type">One of <see cref="WebhookEvents"/>.</param>
    /// <param name="webhookId">The endpoint that is named; null for none.</param>
    /// <param name="data">What the event says.</param>
    public async Task TellAsync(DbConnection connection, DbTransaction transaction, string accountId, string type, string? webhookId, object data)
    {
        var endpoints = await connection.QueryAsync<Webhook>($"SELECT {Webhook.Columns} FROM webhooks WHERE account_id = @accountId AND deleted_at IS NULL", new { accountId }, transaction);
        var told = endpoints.Where(endpoint => endpoint.Id == webhookId || endpoint.Events.Contains(type, StringComparer.Ordinal)).ToList();
        if (told.Count == 0) return;
        var now = time.GetUtcNow();
        var eventId = $"evt_{Guid.CreateVersion7():N}";
        var body = Body(eventId, type, now, data);
        foreach (var endpoint in told) await InsertAsync(connection, transaction, endpoint.Id, eventId, type, body, now);
    }

    /// <summary>Takes the account's turn to send a test; how long it has to wait, null where it has the turn.</summary>
    public Task<TimeSpan?> TryTestAsync(Webhook webhook, CancellationToken cancellationToken) => database.WriteAsync<TimeSpan?>(
        async (connection, transaction) =>
        {
            await AccountStore.LockAsync(database.Dialect, connection, transaction, webhook.AccountId);
            var now = time.GetUtcNow();
            // Those that are deleted count: a new endpoint is no new turn.
            var last = await connection.ExecuteScalarAsync<long?>("SELECT max(tested_at) FROM webhooks WHERE account_id = @AccountId", new { webhook.AccountId }, transaction);
            if (At(last) + options.Value.TestPeriod is { } next && next > now) return next - now;
            await connection.ExecuteAsync("UPDATE webhooks SET tested_at = @now WHERE id = @Id", new { webhook.Id, now = Ms(now) }, transaction);
            return null;
        },
        cancellationToken);

    /// <summary>A delivery that only shows that the endpoint works.</summary>
    public WebhookDelivery Test(Webhook webhook)
    {
        var now = time.GetUtcNow();
        var eventId = $"evt_{Guid.CreateVersion7():N}";
        return new WebhookDelivery
        {
            Id = $"whd_{Guid.CreateVersion7():N}",
            WebhookId = webhook.Id,
            EventId = eventId,
            Type = WebhookEvents.Test,
            State = "waiting",
            Body = Body(eventId, WebhookEvents.Test, now, new { webhook_id = webhook.Id }),
        };
    }

    /// <summary>An endpoint's deliveries, the newest first, in this state if one is named.</summary>
    public Task<ImmutableArray<WebhookDelivery>> DeliveriesAsync(string webhookId, string? state, string? after, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<WebhookDelivery>(
            $"SELECT {WebhookDelivery.Columns} FROM webhook_deliveries WHERE webhook_id = @webhookId AND (@state = '' OR state = @state) AND (@after = '' OR id < @after) ORDER BY id DESC LIMIT @limit",
            new { webhookId, state = state ?? string.Empty, after = after ?? string.Empty, limit = (long)limit })).ToImmutableArray(),
        cancellationToken);

    /// <summary>Has a delivery that has ended sent once more, under the same event's id; false when there is none such.</summary>
    public Task<bool> RedeliverAsync(string webhookId, string id, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var now = time.GetUtcNow();
            return await connection.ExecuteAsync(
                "UPDATE webhook_deliveries SET state = 'waiting', attempts = 0, next_at = @now, give_up_at = @giveUp, finished_at = NULL WHERE id = @id AND webhook_id = @webhookId AND state IN ('delivered', 'dead')",
                new { id, webhookId, now = Ms(now), giveUp = Ms(now + options.Value.GiveUpAfter) },
                transaction) == 1;
        },
        cancellationToken);

    /// <summary>What can be sent now: of each endpoint the first.</summary>
    public Task<ImmutableArray<DueDelivery>> DueAsync(CancellationToken cancellationToken) => database.ReadAsync(
        // A step from endpoint to endpoint along the index, however much waits for each of them.
        async connection => (await connection.QueryAsync<(string? Id, string WebhookId, string AccountId)>(
            """
            WITH RECURSIVE waiting (webhook_id) AS (
              SELECT min(webhook_id) FROM webhook_deliveries WHERE state = 'waiting'
              UNION ALL
              SELECT (SELECT min(webhook_id) FROM webhook_deliveries WHERE state = 'waiting' AND webhook_id > waiting.webhook_id) FROM waiting WHERE waiting.webhook_id IS NOT NULL
            )
            SELECT (SELECT id FROM webhook_deliveries due
                    WHERE state = 'waiting' AND due.webhook_id = webhooks.id AND next_at <= @now AND (lease_until IS NULL OR lease_until < @now) ORDER BY next_at LIMIT 1),
                   webhooks.id, webhooks.account_id
            FROM waiting JOIN webhooks ON webhooks.id = waiting.webhook_id
            """,
            new { now = Ms(time.GetUtcNow()) })).Where(row => row.Id is not null).Select(row => new DueDelivery(row.Id!, row.WebhookId, row.AccountId)).ToImmutableArray(),
        cancellationToken);

    /// <summary>Claims deliveries; those that were won, each with its endpoint.</summary>
    public async Task<ImmutableArray<(WebhookDelivery Delivery, Webhook Webhook)>> ClaimAsync(string owner, ImmutableArray<DueDelivery> due, CancellationToken cancellationToken)
    {
        if (due.IsEmpty) return [];
        return await database.WriteAsync(
            async (connection, transaction) =>
            {
                var now = time.GetUtcNow();
                var claimed = ImmutableArray.CreateBuilder<(WebhookDelivery, Webhook)>();
                // In one order everywhere, so that two silos never wait for each other.
                foreach (var id in due.Select(delivery => delivery.Id).Order(StringComparer.Ordinal))
                {
                    var won = await connection.ExecuteAsync(
                        "UPDATE webhook_deliveries SET owner = @owner, lease_until = @until, attempts = attempts + 1 WHERE id = @id AND state = 'waiting' AND next_at <= @now AND (lease_until IS NULL OR lease_until < @now)",
                        new { id, owner, now = Ms(now), until = Ms(now + (2 * options.Value.Timeout)) },
                        transaction);
                    if (won == 0) continue;
                    var delivery = await connection.QuerySingleAsync<WebhookDelivery>($"SELECT {WebhookDelivery.Columns}, body AS Body FROM webhook_deliveries WHERE id = @id", new { id }, transaction);
                    claimed.Add((delivery, await connection.QuerySingleAsync<Webhook>($"SELECT {Webhook.Columns} FROM webhooks WHERE id = @WebhookId", new { delivery.WebhookId }, transaction)));
                }
                return claimed.ToImmutable();
            },
            cancellationToken);
    }

    /// <summary>What became of an attempt: delivered, tried again later, or given up; false when the delivery is another's by now.</summary>
    public Task<bool> RecordAsync(string owner, WebhookDelivery delivery, WebhookAnswer answer, TimeSpan wait) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var now = time.GetUtcNow();
            var next = Ms(now + wait);
            var state = answer.IsSuccess ? "delivered" : next >= delivery.GiveUpAt ? "dead" : "waiting";
            return await connection.ExecuteAsync(
                """
                UPDATE webhook_deliveries SET state = @state, next_at = @next, owner = NULL, lease_until = NULL, last_status = @status, last_error = @Error, finished_at = @finished
                WHERE id = @Id AND attempts = @Attempts AND owner = @owner AND state = 'waiting'
                """,
                new { delivery.Id, delivery.Attempts, owner, state, next, status = (long?)answer.Status, answer.Error, finished = state == "waiting" ? (long?)null : Ms(now) },
                transaction) == 1;
        },
        CancellationToken.None);

    /// <summary>Forgets deliveries that ended longer ago than they are kept, and then deleted endpoints; how many, a round at most.</summary>
    public Task<int> ForgetAsync(CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var before = Ms(time.GetUtcNow() - options.Value.Retention);
            var old = await connection.QueryAsync<string>($"SELECT id FROM webhook_deliveries WHERE finished_at < @before LIMIT {RoundMax}", new { before }, transaction);
            var forgotten = await connection.ExecuteAsync($"DELETE FROM webhook_deliveries WHERE {database.Dialect.In("id", "ids")}", new { ids = database.Dialect.Set(old) }, transaction);
            return forgotten + await connection.ExecuteAsync(
                $"""
                DELETE FROM webhooks WHERE id IN (
                  SELECT id FROM webhooks WHERE deleted_at < @before AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE webhook_id = webhooks.id) LIMIT {RoundMax})
                """,
                new { before },
                transaction);
        },
        cancellationToken);

    private async Task<Webhook?> CreateAsync(DbConnection connection, DbTransaction transaction, string accountId, string url, string events)
    {
        await AccountStore.LockAsync(database.Dialect, connection, transaction, accountId);
        if (await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM webhooks WHERE account_id = @accountId AND deleted_at IS NULL", new { accountId }, transaction) >= options.Value.MaxEndpointsPerAccount) return null;
        var webhook = new Webhook { Id = $"wh_{Guid.CreateVersion7():N}", AccountId = accountId, Url = url, EventWords = events, SecretVersion = 1, CreatedAt = Ms(time.GetUtcNow()) };
        await connection.ExecuteAsync(
            "INSERT INTO webhooks (id, account_id, url, events, secret_version, created_at) VALUES (@Id, @AccountId, @Url, @EventWords, @SecretVersion, @CreatedAt)",
            new { webhook.Id, webhook.AccountId, webhook.Url, webhook.EventWords, webhook.SecretVersion, webhook.CreatedAt },
            transaction);
        return webhook;
    }

    private Task<int> InsertAsync(DbConnection connection, DbTransaction transaction, string webhookId, string eventId, string type, byte[] body, DateTimeOffset now) => connection.ExecuteAsync(
        """
        INSERT INTO webhook_deliveries (id, webhook_id, event_id, type, body, state, attempts, next_at, give_up_at, created_at)
        VALUES (@id, @webhookId, @eventId, @type, @body, 'waiting', 0, @now, @giveUp, @now)
        """,
        new { id = $"whd_{Guid.CreateVersion7():N}", webhookId, eventId, type, body, now = Ms(now), giveUp = Ms(now + options.Value.GiveUpAfter) },
        transaction);

    private static byte[] Body(string eventId, string type, DateTimeOffset at, object data)
        => JsonSerializer.SerializeToUtf8Bytes(new { id = eventId, @object = "event", type, created_at = at.ToUnixTimeSeconds(), data }, Answers.Options);
}
