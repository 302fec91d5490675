using System.Collections.Immutable;
using Orleans.Concurrency;

namespace Federation.Contracts.Accounts;

/// <summary>
/// One account: who owns credits, and the one place where its limits are counted. The key is the account's id, <c>acct_…</c>.
/// </summary>
[Alias("Federation.Account")]
public interface IAccountGrain : IGrainWithStringKey
{
    /// <summary>What the account's tier gives it. Asking changes nothing.</summary>
    [Alias("GetTerms")]
    Task<AccountTerms> GetTerms();

    /// <summary>
    /// May the account have this job run now. If so, and if anything about the account or the key is limited, the job is counted as running until <see cref="Release"/>, or
    /// until nobody has renewed it for its lifetime. Asking again for the same job counts it once.
    /// </summary>
    /// <param name="request">The job.</param>
    /// <param name="activation">The <see cref="Admission.Activation"/> that knows what the asking silo runs for this account; 0 where it runs nothing. Another one judges nothing before it has been told (<see cref="RefusalReason.Moved"/>).</param>
    [Alias("Admit")]
    Task<Admission> Admit(AdmissionRequest request, long activation = 0);

    /// <summary>
    /// Sets what an admitted job may cost at most, before it goes where it costs something. What was set before for this job is replaced; refused, it stays.
    /// </summary>
    /// <param name="jobId">An admitted job.</param>
    /// <param name="spend">At most.</param>
    /// <param name="activation">The one that counts the job, as with <see cref="Admit"/>; 0 where the asking silo does not know.</param>
    /// <returns>Why not; <see langword="null"/> when it may.</returns>
    [Alias("ReserveSpend")]
    Task<AdmissionRefusal?> ReserveSpend(string jobId, JobSpend spend, long activation = 0);

    /// <summary>An admitted job is over. Nobody waits for this: what gets lost on the way is taken from the record when its lifetime is over.</summary>
    [Alias("Release"), OneWay]
    Task Release(JobUsage usage);

    /// <summary>These jobs still run, says the silo that serves them. An activation that has lost its memory takes them on.</summary>
    /// <returns>The activation, which counts them from now on.</returns>
    [Alias("Renew")]
    Task<long> Renew(ImmutableArray<RunningJob> jobs);

    /// <summary>Where the account stands with its limits.</summary>
    [Alias("GetLimits")]
    Task<AccountLimits> GetLimits();

    /// <summary>What the account has.</summary>
    [Alias("GetBalance")]
    Task<AccountBalance> GetBalance(CancellationToken cancellationToken);

    /// <summary>Forgets what is cached of the account's row, after an operator changed it.</summary>
    [Alias("Refresh")]
    Task Refresh();
}

/// <summary>What an account may, by its tier.</summary>
/// <param name="IsOpen">Whether the account exists and was not closed.</param>
/// <param name="Tier">The account's tier; it sets what follows.</param>
/// <param name="Weight">Share of a busy model's slots beside other accounts; above 0.</param>
/// <param name="EarningMultiplier">What the account's nodes earn is multiplied by.</param>
[GenerateSerializer, Immutable, Alias("Federation.AccountTerms")]
public sealed record AccountTerms(
    [property: Id(0)] bool IsOpen,
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
