namespace Federation.Silo.Accounts.Ledger;

/// <summary>
/// The caller-made name of one transfer: it makes submitting the transfer again harmless. Make it from what the transfer is for
/// (<c>settle:{job}</c>), or make it at random and keep it before submitting.
/// </summary>
public readonly record struct TransferId
{
    /// <summary>The longest id a caller may make, characters.</summary>
    public const int LengthMax = 128;

    private const string ExpiryPrefix = "expire:";

    private readonly string? _value;

    private TransferId(string value) => _value = value;

    /// <summary>The id as stored.</summary>
    /// <exception cref="InvalidOperationException">This is no id: the default value.</exception>
    public string Value => _value ?? throw new InvalidOperationException("A transfer without an id.");

    /// <summary>An id of the caller's making.</summary>
    /// <param name="value">1 to <see cref="LengthMax"/> printable ASCII characters without spaces; "expire:" is the ledger's own.</param>
    /// <exception cref="ArgumentException">The id is empty, too long, has other characters, or begins with "expire:".</exception>
    public static TransferId Of(string value)
    {
        ArgumentException.ThrowIfNullOrEmpty(value);
        if (value.Length > LengthMax)
            throw new ArgumentException($"A transfer's id has at most {LengthMax} characters, not {value.Length}.", nameof(value));
        if (value.Any(static c => c is <= ' ' or > '~'))
            throw new ArgumentException("A transfer's id has printable ASCII characters only, and no spaces.", nameof(value));
        if (value.StartsWith(ExpiryPrefix, StringComparison.Ordinal))
            throw new ArgumentException($"Ids that begin with '{ExpiryPrefix}' are the ledger's own.", nameof(value));
        return new TransferId(value);
    }

    /// <summary>The id under which a hold's expiry is recorded: one per hold, whoever notices it first.</summary>
    internal static TransferId OfExpiry(TransferId hold) => new(ExpiryPrefix + hold.Value);

    internal static TransferId FromStorage(string value) => new(value);

    /// <summary>The id as stored; "(none)" for the default value.</summary>
    public override string ToString() => _value ?? "(none)";
}
