using Federation.Protocol.OpenAi;

namespace Federation.Contracts.Accounts;

/// <summary>A job that asks to run.</summary>
/// <param name="JobId">Its id, which makes asking again harmless.</param>
/// <param name="KeyId">The API key it came with; empty for none.</param>
/// <param name="Kind">Of what kind it is.</param>
/// <param name="Model">By the name its nodes know it by.</param>
/// <param name="PromptTokens">What its prompt may come to; an estimate that is reserved as far as there is room, and refuses nothing.</param>
/// <param name="CompletionTokensMax">The most it may be answered, where the client named it: that much must be left. <see langword="null"/> where not.</param>
[GenerateSerializer, Immutable, Alias("Federation.AdmissionRequest")]
public sealed record AdmissionRequest(
    [property: Id(0)] string JobId,
    [property: Id(1)] string KeyId,
    [property: Id(2)] JobKind Kind,
    [property: Id(3)] string Model,
    [property: Id(4)] long PromptTokens,
    [property: Id(5)] long? CompletionTokensMax)
{
    /// <summary>Limits of the key's own; <see langword="null"/> where it has none.</summary>
    [Id(6)] public KeyLimits? KeyLimits { get; init; }

    /// <summary>A name of which one job at a time runs in this account, made from a client's <c>Idempotency-Key</c>; <see langword="null"/> for none.</summary>
    [Id(7)] public string? Claim { get; init; }

    /// <summary>Nobody waits for it: it counts neither as a request of the minute nor among those that run at once. Its tokens and its price count as everybody's.</summary>
    [Id(8)] public bool IsBackground { get; init; }
}

/// <summary>What one API key may at most, beside what its account may.</summary>
[GenerateSerializer, Immutable, Alias("Federation.KeyLimits")]
public sealed record KeyLimits
{
    /// <summary>Requests in any minute; <see langword="null"/> for no limit.</summary>
    [Id(0)] public long? RequestsPerMinute { get; init; }

    /// <summary>Prompt and completion tokens in one day, UTC; <see langword="null"/> for no limit.</summary>
    [Id(1)] public long? TokensPerDay { get; init; }

    /// <summary>Microcredits in one <see cref="BudgetPeriod"/>; <see langword="null"/> for no limit.</summary>
    [Id(2)] public long? BudgetMicrocredits { get; init; }

    /// <summary>When the budget begins anew.</summary>
    [Id(3)] public BudgetPeriod BudgetPeriod { get; init; }
}

/// <summary>The span of a budget, UTC.</summary>
[GenerateSerializer, Alias("Federation.BudgetPeriod")]
public enum BudgetPeriod
{
    /// <summary>From midnight to midnight.</summary>
    Day = 0,

    /// <summary>From the first of the month.</summary>
    Month = 1,
}

/// <summary>The answer to <see cref="IAccountGrain.Admit"/>.</summary>
/// <param name="Admitted">Whether the job may run.</param>
/// <param name="Tier">The account's tier.</param>
/// <param name="Weight">Share of a busy model's slots beside other accounts; above 0.</param>
/// <param name="EarningMultiplier">What the account's nodes earn is multiplied by.</param>
[GenerateSerializer, Immutable, Alias("Federation.Admission")]
public sealed record Admission(
    [property: Id(0)] bool Admitted,
    [property: Id(1)] Tier Tier,
    [property: Id(2)] double Weight,
    [property: Id(3)] int EarningMultiplier)
{
    /// <summary>Why the job may not run; <see langword="null"/> when it may.</summary>
    [Id(4)] public AdmissionRefusal? Refusal { get; init; }

    /// <summary>Whether the job counts as running, so that its end must be told.</summary>
    [Id(5)] public bool IsCounted { get; init; }

    /// <summary>Requests of the minute, the tighter of the account's and the key's; <see langword="null"/> where neither has a limit.</summary>
    [Id(6)] public LimitLevel? Requests { get; init; }

    /// <summary>Tokens of the day, the tighter of the account's and the key's; <see langword="null"/> where neither has a limit.</summary>
    [Id(7)] public LimitLevel? Tokens { get; init; }

    /// <summary>The activation of the account that judged; 0 where nothing is counted. Another one knows nothing of what runs until it is told.</summary>
    [Id(8)] public long Activation { get; init; }
}

/// <summary>Where something stands with a limit.</summary>
/// <param name="Limit">The most.</param>
/// <param name="Remaining">What is left of it now, reservations taken off; never below 0.</param>
/// <param name="Reset">How long until all of it is there again.</param>
[GenerateSerializer, Immutable, Alias("Federation.LimitLevel")]
public sealed record LimitLevel([property: Id(0)] long Limit, [property: Id(1)] long Remaining, [property: Id(2)] TimeSpan Reset);

/// <summary>Why a job may not run.</summary>
/// <param name="Reason">Which limit.</param>
/// <param name="OfKey">It is the key's own, not the account's.</param>
/// <param name="Limit">The most there may be; 0 where it is no number.</param>
/// <param name="Used">What counts against it now.</param>
/// <param name="Requested">What this job wanted.</param>
/// <param name="RetryAfter">When there may be room; zero where waiting does not help.</param>
[GenerateSerializer, Immutable, Alias("Federation.AdmissionRefusal")]
public sealed record AdmissionRefusal(
    [property: Id(0)] RefusalReason Reason,
    [property: Id(1)] bool OfKey,
    [property: Id(2)] long Limit,
    [property: Id(3)] long Used,
    [property: Id(4)] long Requested,
    [property: Id(5)] TimeSpan RetryAfter);

/// <summary>Which limit a job met.</summary>
[GenerateSerializer, Alias("Federation.RefusalReason")]
public enum RefusalReason
{
    /// <summary>The account is closed, or there is none.</summary>
    AccountClosed = 0,

    /// <summary>The tier does not have the model.</summary>
    Model = 1,

    /// <summary>The tier does not have jobs of this kind.</summary>
    Capability = 2,

    /// <summary>Jobs that run at once.</summary>
    Streams = 3,

    /// <summary>Requests of the minute.</summary>
    Requests = 4,

    /// <summary>Tokens of the day.</summary>
    Tokens = 5,

    /// <summary>Tokens of the day from cloud providers.</summary>
    CloudTokens = 6,

    /// <summary>Credits of the key's budget.</summary>
    Budget = 7,

    /// <summary>Another job with the same <see cref="AdmissionRequest.Claim"/> runs.</summary>
    Claim = 8,

    /// <summary>The job was not admitted, or is over.</summary>
    NotRunning = 9,

    /// <summary>The account has moved and does not know what the asking silo runs: renew that, and ask again. No client hears of it.</summary>
    Moved = 10,
}

/// <summary>What a job costs, or may cost at most.</summary>
/// <param name="Microcredits">Of its account; 0 or more.</param>
/// <param name="CloudTokens">Tokens from cloud providers; 0 or more.</param>
[GenerateSerializer, Immutable, Alias("Federation.JobSpend")]
public sealed record JobSpend([property: Id(0)] long Microcredits, [property: Id(1)] long CloudTokens);

/// <summary>What an admitted job took in the end.</summary>
/// <param name="JobId">The job.</param>
/// <param name="KeyId">Its key; empty for none.</param>
/// <param name="Tokens">Prompt and completion; 0 where nothing was delivered.</param>
/// <param name="Spend">What it cost.</param>
[GenerateSerializer, Immutable, Alias("Federation.JobUsage")]
public sealed record JobUsage([property: Id(0)] string JobId, [property: Id(1)] string KeyId, [property: Id(2)] long Tokens, [property: Id(3)] JobSpend Spend)
{
    /// <summary>When it was asked for; <see langword="null"/> where that need not be known any more.</summary>
    [Id(4)] public DateTimeOffset? AskedAt { get; init; }

    /// <summary>The activation that counted it last; 0 for none.</summary>
    [Id(5)] public long Activation { get; init; }

    /// <summary>Nobody waited for it.</summary>
    [Id(6)] public bool IsBackground { get; init; }
}

/// <summary>A job that goes on.</summary>
/// <param name="Request">As it was admitted.</param>
/// <param name="Spend">What it may cost.</param>
[GenerateSerializer, Immutable, Alias("Federation.RunningJob")]
public sealed record RunningJob([property: Id(0)] AdmissionRequest Request, [property: Id(1)] JobSpend Spend)
{
    /// <summary>When it was asked for; <see langword="null"/> where that need not be known any more.</summary>
    [Id(2)] public DateTimeOffset? AskedAt { get; init; }

    /// <summary>The activation that counted it last; 0 for none.</summary>
    [Id(3)] public long Activation { get; init; }
}

/// <summary>Where an account stands with its limits; <see langword="null"/> where there is none.</summary>
[GenerateSerializer, Immutable, Alias("Federation.AccountLimits")]
public sealed record AccountLimits(
    [property: Id(0)] LimitLevel? Requests,
    [property: Id(1)] LimitLevel? Streams,
    [property: Id(2)] LimitLevel? Tokens,
    [property: Id(3)] LimitLevel? CloudTokens);
