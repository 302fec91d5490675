using System.Collections.Immutable;
using Federation.Contracts.Accounts;

namespace Federation.Silo.Accounts;

/// <summary>What a key may be used for.</summary>
internal static class Scopes
{
    public const string Admin = "admin";
    public const string Inference = "inference";
    public const string Contribute = "contribute";

    public static readonly ImmutableArray<string> All = [Admin, Inference, Contribute];

    /// <summary>What a key gets when nothing is said.</summary>
    public static readonly ImmutableArray<string> Usual = [Inference, Contribute];
}

/// <summary>Who calls.</summary>
internal sealed record ApiCaller(string AccountId, string KeyId, ImmutableArray<string> Scopes)
{
    public bool IsAdmin => Scopes.Contains(Accounts.Scopes.Admin);

    /// <summary>Limits of the key's own; <see langword="null"/> where it has none but its account's.</summary>
    public KeyLimits? Limits { get; init; }

    /// <summary>Patterns of the models the key may use; empty for all its account may.</summary>
    public ImmutableArray<string> Models { get; init; } = [];

    /// <summary>When the key ends; <see langword="null"/> for never.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Came in by a secret that was replaced and opens for a while longer: it may be the one that was lost.</summary>
    public bool IsReplaced { get; init; }

    /// <summary>Whether the key may less than its account.</summary>
    public bool IsLimited => Limits is not null || !Models.IsEmpty;

    /// <summary>Whether the key may use the model, by the name its nodes know it by.</summary>
    public bool MayUse(string model) => Models.IsEmpty || ModelPatterns.Match(Models, model);
}

/// <summary>One key's row; the key itself is nowhere.</summary>
internal sealed record ApiKeyRow(
    string Id, string AccountId, string Name, string Prefix, ImmutableArray<string> Scopes, DateTimeOffset CreatedAt, DateTimeOffset? ExpiresAt, DateTimeOffset? RevokedAt, DateTimeOffset? LastUsedAt)
{
    /// <summary>Limits of the key's own; <see langword="null"/> where it has none.</summary>
    public KeyLimits? Limits { get; init; }

    /// <summary>Patterns of the models it may use; empty for all.</summary>
    public ImmutableArray<string> Models { get; init; } = [];

    /// <summary>Until when the secret before the latest rotation opens; <see langword="null"/> where there is none.</summary>
    public DateTimeOffset? PreviousUntil { get; init; }
}

/// <summary>A key to be made.</summary>
internal sealed record NewKey(string AccountId, string Name, ImmutableArray<string> Scopes)
{
    /// <summary>How long it opens; <see langword="null"/> for as long as it is not revoked.</summary>
    public TimeSpan? Lifetime { get; init; }

    /// <inheritdoc cref="ApiKeyRow.Limits"/>
    public KeyLimits? Limits { get; init; }

    /// <inheritdoc cref="ApiKeyRow.Models"/>
    public ImmutableArray<string> Models { get; init; } = [];
}

/// <summary>The words for the spans of budgets in tables and JSON.</summary>
internal static class BudgetPeriods
{
    public static string Of(BudgetPeriod period) => period switch
    {
        BudgetPeriod.Day => "day",
        BudgetPeriod.Month => "month",
        _ => throw new ArgumentOutOfRangeException(nameof(period), period, null),
    };

    public static BudgetPeriod Parse(string word) => TryParse(word, out var period) ? period : throw new FormatException($"'{word}' is not the span of a budget.");

    /// <summary>Whoever names a budget and no span means a month.</summary>
    public static BudgetPeriod OrMonth(string? word) => word is null ? BudgetPeriod.Month : Parse(word);

    public static bool TryParse(string? word, out BudgetPeriod period)
    {
        period = word == "day" ? BudgetPeriod.Day : BudgetPeriod.Month;
        return word is "day" or "month";
    }
}
