using Federation.Silo.Webhooks;

namespace Federation.Silo.Tests.Webhooks;

public sealed class DeliveryTurnsTests
{
    [Fact]
    public void Who_has_the_fewest_under_way_is_first_and_among_equals_who_comes_after_the_one_served_last()
    {
        DueDelivery[] due = [Due("a", 1), Due("a", 2), Due("b", 1), Due("c", 1), Due("c", 2), Due("c", 3)];
        Assert.Equal(["c/1", "a/1", "c/2", "a/2"], Picked(due, ["b/9", "b/9"], servedLast: "a", perAccount: 9, max: 4));
        Assert.Equal(["c/1", "a/1", "b/1", "c/2"], Picked(due, [], servedLast: "b", perAccount: 9, max: 4));
        Assert.Equal(["a/1", "b/1", "c/1", "a/2"], Picked(due, [], servedLast: "", perAccount: 9, max: 4));
    }

    [Fact]
    public void Of_an_account_the_endpoint_with_the_fewest_under_way_is_first()
        => Assert.Equal(["a/3", "a/2", "a/1"], Picked([Due("a", 1), Due("a", 2), Due("a", 3)], ["a/1", "a/1", "a/2"], servedLast: "", perAccount: 9, max: 9));

    [Fact]
    public void No_account_has_more_than_its_bound_under_way_and_all_places_are_used()
    {
        var random = new Random(11);
        for (var round = 0; round < 1_000; round++)
        {
            var (perAccount, max) = (random.Next(1, 5), random.Next(1, 12));
            DueDelivery[] due = [.. Enumerable.Range(0, random.Next(0, 20)).Select(n => Due(((char)('a' + random.Next(4))).ToString(), n))];
            string[] sending = [.. Enumerable.Range(0, random.Next(0, 6)).Select(n => $"{(char)('a' + random.Next(4))}/{n}")];
            var picked = Picked(due, sending, servedLast: ((char)('a' + random.Next(4))).ToString(), perAccount, max);
            var rooms = due.GroupBy(one => one.AccountId).Sum(account => Math.Clamp(perAccount - sending.Count(one => one[..1] == account.Key), 0, account.Count()));
            Assert.Equal(Math.Min(max, rooms), picked.Length);
            foreach (var account in picked.GroupBy(one => one[..1])) Assert.InRange(account.Count() + sending.Count(one => one[..1] == account.Key), 1, perAccount);
        }
    }

    private static DueDelivery Due(string account, int endpoint) => new($"whd_{account}{endpoint:00}", $"{account}/{endpoint}", account);

    private static string[] Picked(DueDelivery[] due, string[] sending, string servedLast, int perAccount, int max)
        => [.. DeliveryTurns.Pick(due, sending.Select(one => (one[..1], one)), servedLast, perAccount, max).Select(one => one.WebhookId)];
}
