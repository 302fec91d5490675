using Federation.Silo.Accounts.Ledger;

namespace Federation.Silo.Verification.Accrual;

/// <summary>Whose work it was, as far as pay depends on it.</summary>
/// <param name="IsOwner">The client is the node's owner.</param>
/// <param name="IsFree">The client pays nothing by its tier.</param>
/// <param name="Price">What the client pays for the job; zero for open models.</param>
internal readonly record struct PayingClient(bool IsOwner, bool IsFree, Microcredits Price);

/// <summary>
/// What of an earning is paid, given who asked for the work: nobody may gain by being client and node at once (T9). Pure.
/// </summary>
internal static class Payout
{
    /// <summary>The hub's share of a price, rounded up.</summary>
    public static Microcredits Fee(Microcredits price, AccrualOptions options)
    {
        var millionths = (long)Math.Ceiling(options.FeeShare * 1_000_000);
        return new Microcredits((long)((((Int128)price.Value * millionths) + 999_999) / 1_000_000));
    }

    /// <summary>What is credited of <paramref name="earned"/>.</summary>
    public static Microcredits Of(Microcredits earned, in PayingClient client, AccrualOptions options)
    {
        if (WhyNothing(client) is not null) return Microcredits.Zero;
        if (!client.Price.IsPositive) return earned;
        var most = client.Price - Fee(client.Price, options);
        return earned < most ? earned : most;
    }

    /// <summary>Why nothing is paid, in words; null when something is.</summary>
    public static string? WhyNothing(in PayingClient client)
        => client.IsOwner ? "the node's owner asked for it: nobody pays themselves"
            : client.IsFree ? "asked for by an account of the free tier, whose work mints nothing"
            : null;
}
