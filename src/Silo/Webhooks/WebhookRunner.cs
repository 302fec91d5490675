using System.Collections.Concurrent;
using Federation.Silo.Hosting;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Webhooks;

/// <summary>Sends what is to be delivered, at least once each: again after longer and longer waits, until the receiver says that it has it or its time is up.</summary>
internal sealed partial class WebhookRunner(WebhookStore store, WebhookSender sender, IOptions<WebhookOptions> options, Random random, TimeProvider time, ILogger<WebhookRunner> logger)
    : WakingService(options.Value.LookPeriod, time, logger)
{
    /// <summary>A wait is so much longer or shorter at most, so that what failed together does not come back together.</summary>
    private const double Spread = 0.2;

    private readonly WebhookOptions _options = options.Value;
    private readonly string _owner = $"silo_{Guid.CreateVersion7():N}";
    private readonly ConcurrentDictionary<string, Sending> _sending = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stopping = new();
    private string _servedLast = string.Empty;

    public override async Task LookAsync(CancellationToken cancellationToken)
    {
        await ForgetAsync(store.ForgetAsync, cancellationToken);
        // One of each endpoint a round, until there is no place or nothing more to send; what has ended meanwhile wakes the next look.
        for (var round = 0; round < _options.MaxSending && await SendNextAsync(cancellationToken); round++)
        {
        }
    }

    /// <summary>Completes when everything that was being sent has ended.</summary>
    public Task WhenIdleAsync() => Task.WhenAll(_sending.Values.Select(sending => sending.Task));

    public override void Dispose()
    {
        _stopping.Dispose();
        base.Dispose();
    }

    protected override async Task StopWorkAsync()
    {
        await _stopping.CancelAsync();
        await WhenIdleAsync();
    }

    /// <returns>Whether there may be more.</returns>
    private async Task<bool> SendNextAsync(CancellationToken cancellationToken)
    {
        var free = _options.MaxSending - _sending.Count;
        if (free <= 0) return false;
        var due = await store.DueAsync(cancellationToken);
        var next = DeliveryTurns.Pick(due, _sending.Values.Select(sending => (sending.AccountId, sending.WebhookId)), _servedLast, _options.MaxSendingPerAccount, free);
        if (next.IsEmpty) return false;
        _servedLast = next[^1].AccountId;
        foreach (var (delivery, webhook) in await store.ClaimAsync(_owner, next, cancellationToken))
        {
            // Noted before it can end.
            var begin = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _sending[delivery.Id] = new Sending(webhook.AccountId, webhook.Id, SendAsync(webhook, delivery, begin.Task));
            begin.SetResult();
        }
        return true;
    }

    private async Task SendAsync(Webhook webhook, WebhookDelivery delivery, Task begun)
    {
        await begun;
        try
        {
            var answer = await sender.SendAsync(webhook, delivery, _stopping.Token);
            await store.RecordAsync(_owner, delivery, answer, WaitAfter(delivery.Attempts));
            if (!answer.IsSuccess) LogFailed(delivery.Id, webhook.Id, delivery.Attempts, answer.Error!);
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            // Nobody knows whether it arrived: it is sent again, under the same event's id.
        }
        catch (StorageException exception) when (exception.IsTransient)
        {
            LogUnrecorded(delivery.Id, exception);
        }
        catch (Exception exception)
        {
            LogBroken(delivery.Id, exception);
        }
        finally
        {
            _sending.TryRemove(delivery.Id, out _);
            Wake();
        }
    }

    private TimeSpan WaitAfter(long attempts) => Backoff.Wait(attempts, _options.RetryDelay, _options.MaxRetryDelay, null) * (1 + (Spread * ((2 * random.NextDouble()) - 1)));

    private sealed record Sending(string AccountId, string WebhookId, Task Task);

    [LoggerMessage(4440, LogLevel.Information, "Delivery {DeliveryId} to webhook {WebhookId} failed at attempt {Attempt}: {Why}")]
    private partial void LogFailed(string deliveryId, string webhookId, long attempt, string why);

    [LoggerMessage(4441, LogLevel.Warning, "What became of delivery {DeliveryId} could not be written down; it is sent again")]
    private partial void LogUnrecorded(string deliveryId, Exception exception);

    [LoggerMessage(4442, LogLevel.Error, "Delivery {DeliveryId} could not be sent; it is tried again when its lease has ended")]
    private partial void LogBroken(string deliveryId, Exception exception);
}
