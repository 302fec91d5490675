namespace Federation.Contracts.Accounts;

/// <summary>One account: who owns credits. The key is the account's id, <c>acct_…</c>.</summary>
[Alias("Federation.Account")]
public interface IAccountGrain : IGrainWithStringKey
{
    /// <summary>May this account have a job run now, and with what weight.</summary>
    [Alias("Admit")]
    Task<Admission> Admit(CancellationToken cancellationToken);

    /// <summary>What the account has.</summary>
    [Alias("GetBalance")]
    Task<AccountBalance> GetBalance(CancellationToken cancellationToken);

    /// <summary>Forgets what is cached of the account's row, after an operator changed it.</summary>
    [Alias("Refresh")]
    Task Refresh();
}

/// <summary>The answer to <see cref="IAccountGrain.Admit"/>.</summary>
/// <param name="Admitted">Whether the account may use the hub.</param>
/// <param name="Tier">The account's tier; it sets <paramref name="Weight"/>.</param>
/// <param name="Weight">Share of a busy model's slots beside other accounts; above 0.</param>
/// <param name="EarningMultiplier">What the account's nodes earn is multiplied by.</param>
[GenerateSerializer, Immutable, Alias("Federation.Admission")]
public sealed record Admission(
    [property: Id(0)] bool Admitted,
    [property: Id(1)] Tier Tier,
    [property: Id(2)] double Weight,
    [property: Id(3)] int EarningMultiplier);

/// <summary>What a hub's customer pays for: quotas, priority, multiplier.</summary>
[GenerateSerializer, Alias("Federation.Tier")]
public enum Tier
{
    /// <summary>No price, low priority.</summary>
    Free = 0,

    /// <summary>Gives hardware; normal priority.</summary>
    Contributor = 1,

    /// <summary>High priority.</summary>
    Pro = 2,

    /// <summary>Highest priority, earns double.</summary>
    Unlimited = 3,

    /// <summary>By contract.</summary>
    Enterprise = 4,
}

/// <summary>Credits of one account, microcredits.</summary>
/// <param name="AvailableMicrocredits">Can be spent now.</param>
/// <param name="HeldMicrocredits">Reserved by running jobs.</param>
/// <param name="PendingMicrocredits">Earned, not yet matured.</param>
[GenerateSerializer, Immutable, Alias("Federation.AccountBalance")]
public sealed record AccountBalance(
    [property: Id(0)] long AvailableMicrocredits,
    [property: Id(1)] long HeldMicrocredits,
    [property: Id(2)] long PendingMicrocredits);
