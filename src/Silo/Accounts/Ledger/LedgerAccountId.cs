using System.Collections.Immutable;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>
/// The name of one account in the ledger. Every account of the hub has two (<see cref="Available"/>: to spend;
/// <see cref="Pending"/>: earned, not yet matured); the hub itself has the <see cref="System"/> accounts, and one for each
/// cloud <see cref="Provider"/> that work was bought from.
/// </summary>
public readonly record struct LedgerAccountId
{
    /// <summary>The longest name, characters.</summary>
    public const int LengthMax = 160;

    private readonly string? _value;

    private LedgerAccountId(string value) => _value = value;

    /// <summary>Where credits come from and go back to: the one account that may go below zero.</summary>
    public static LedgerAccountId Treasury { get; } = new("treasury");

    /// <summary>The hub's own share.</summary>
    public static LedgerAccountId Fees { get; } = new("fees");

    /// <summary>Credits taken out of the world.</summary>
    public static LedgerAccountId Burn { get; } = new("burn");

    /// <summary>The hub's own accounts; they exist from the first migration on.</summary>
    public static ImmutableArray<LedgerAccountId> System { get; } = [Treasury, Fees, Burn];

    /// <summary>The name as stored.</summary>
    /// <exception cref="InvalidOperationException">This is no account: the default value.</exception>
    public string Value => _value ?? throw new InvalidOperationException("A ledger account without a name.");

    /// <summary>Whether the account may go below zero.</summary>
    public bool MayOverdraw => this == Treasury;

    /// <summary>What <paramref name="accountId"/> can spend.</summary>
    /// <exception cref="ArgumentException">The account's id is empty, too long, or has characters outside A–Z a–z 0–9 _ - .</exception>
    public static LedgerAccountId Available(string accountId) => new($"acct:{Checked(accountId)}:available");

    /// <summary>What <paramref name="accountId"/> has earned and not yet been proved.</summary>
    /// <inheritdoc cref="Available" path="/exception"/>
    public static LedgerAccountId Pending(string accountId) => new($"acct:{Checked(accountId)}:pending");

    /// <summary>What clients paid for answers of a cloud provider: what the hub has to settle its bill with.</summary>
    /// <param name="name">As the hub's settings call it.</param>
    /// <inheritdoc cref="Available" path="/exception"/>
    public static LedgerAccountId Provider(string name) => new($"provider:{Checked(name)}");

    /// <summary>Reads back a name that <see cref="Value"/> gave.</summary>
    /// <exception cref="FormatException">It is no such name.</exception>
    public static LedgerAccountId Parse(string text) =>
        TryParse(text) ?? throw new FormatException($"'{text}' is not the name of a ledger account.");

    private static LedgerAccountId? TryParse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        foreach (var system in System)
        {
            if (system._value == text)
                return system;
        }

        var word = text.Split(':') switch
        {
            ["acct", var account, "available" or "pending"] => account,
            ["provider", var provider] => provider,
            _ => string.Empty,
        };
        return IsWord(word) && text.Length <= LengthMax ? new LedgerAccountId(text) : null;
    }

    /// <summary>The name as stored; "(none)" for the default value.</summary>
    public override string ToString() => _value ?? "(none)";

    private static string Checked(string accountId) =>
        accountId is not null && IsWord(accountId) && accountId.Length <= LengthMax - "acct::available".Length
            ? accountId
            : throw new ArgumentException($"'{accountId}' cannot be the id of an account.", nameof(accountId));

    private static bool IsWord(string text) => text.Length > 0 && text.All(static c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.');
}
