using System.Collections.Immutable;

namespace Federation.Silo.Webhooks;

/// <summary>A delivery that can be sent now, the first of its endpoint.</summary>
/// <param name="Id">The delivery; later ones have greater ids.</param>
/// <param name="WebhookId">Its endpoint.</param>
/// <param name="AccountId">Whose endpoint that is.</param>
internal sealed record DueDelivery(string Id, string WebhookId, string AccountId);

/// <summary>
/// Whose deliveries are sent next: of the account that has the fewest under way, and of that the endpoint with the fewest. So an account with a thousand events, or with a receiver that lets each of them wait for
/// its whole time, delays another account's one by no more than it takes until a place is free.
/// </summary>
internal static class DeliveryTurns
{
    /// <summary>Those that are sent now; at most one of an endpoint.</summary>
    /// <param name="due">What waits.</param>
    /// <param name="sending">Account and endpoint of each delivery under way.</param>
    /// <param name="servedLast">Among accounts that have as many under way, the turn is the one's after this.</param>
    /// <param name="perAccount">Most of one account at once.</param>
    /// <param name="max">Most to be taken.</param>
    public static ImmutableArray<DueDelivery> Pick(IEnumerable<DueDelivery> due, IEnumerable<(string AccountId, string WebhookId)> sending, string servedLast, int perAccount, int max)
    {
        var (ofAccount, ofEndpoint) = (new Dictionary<string, int>(StringComparer.Ordinal), new Dictionary<string, int>(StringComparer.Ordinal));
        foreach (var (accountId, webhookId) in sending)
        {
            ofAccount[accountId] = ofAccount.GetValueOrDefault(accountId) + 1;
            ofEndpoint[webhookId] = ofEndpoint.GetValueOrDefault(webhookId) + 1;
        }
        // By accounts in the order of their turns, each with its deliveries in the order of theirs.
        var turns = new PriorityQueue<Queue<DueDelivery>, (int Sending, bool IsNextRound, int Turn)>();
        var accounts = due.GroupBy(delivery => delivery.AccountId, StringComparer.Ordinal).OrderBy(account => account.Key, StringComparer.Ordinal);
        foreach (var (turn, account) in accounts.Index())
        {
            var inTurn = new Queue<DueDelivery>(account.OrderBy(delivery => ofEndpoint.GetValueOrDefault(delivery.WebhookId)).ThenBy(delivery => delivery.Id, StringComparer.Ordinal));
            turns.Enqueue(inTurn, (ofAccount.GetValueOrDefault(account.Key), StringComparer.Ordinal.Compare(account.Key, servedLast) <= 0, turn));
        }
        var picked = ImmutableArray.CreateBuilder<DueDelivery>();
        while (picked.Count < max && turns.TryDequeue(out var account, out var place) && place.Sending < perAccount)
        {
            picked.Add(account.Dequeue());
            if (account.Count > 0) turns.Enqueue(account, place with { Sending = place.Sending + 1 });
        }
        return picked.ToImmutable();
    }
}
