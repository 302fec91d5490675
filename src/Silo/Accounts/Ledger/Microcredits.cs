using System.Globalization;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>An amount of money in whole microcredits: one credit is 1 000 000 of them. Never rounded, never floating.</summary>
/// <param name="Value">The number of microcredits; negative for what is owed.</param>
public readonly record struct Microcredits(long Value) : IComparable<Microcredits>
{
    /// <summary>Microcredits in one credit.</summary>
    public const long PerCredit = 1_000_000;

    /// <summary>Nothing.</summary>
    public static Microcredits Zero => default;

    /// <summary>Whether this is more than nothing.</summary>
    public bool IsPositive => Value > 0;

    /// <summary>Whether this is exactly nothing.</summary>
    public bool IsZero => Value == 0;

    /// <summary>The same amount in credits, exact.</summary>
    public decimal Credits => Value / (decimal)PerCredit;

    /// <summary>Whole credits as microcredits.</summary>
    /// <exception cref="OverflowException">More than a <see cref="long"/> of microcredits.</exception>
    public static Microcredits FromCredits(long credits) => new(checked(credits * PerCredit));

    /// <summary>The sum.</summary>
    /// <exception cref="OverflowException">The sum does not fit.</exception>
    public static Microcredits operator +(Microcredits a, Microcredits b) => new(checked(a.Value + b.Value));

    /// <summary>The difference.</summary>
    /// <exception cref="OverflowException">The difference does not fit.</exception>
    public static Microcredits operator -(Microcredits a, Microcredits b) => new(checked(a.Value - b.Value));

    /// <summary>The opposite amount.</summary>
    /// <exception cref="OverflowException">There is no opposite of the smallest amount.</exception>
    public static Microcredits operator -(Microcredits a) => new(checked(-a.Value));

    /// <summary>Whether a is less.</summary>
    public static bool operator <(Microcredits a, Microcredits b) => a.Value < b.Value;

    /// <summary>Whether a is more.</summary>
    public static bool operator >(Microcredits a, Microcredits b) => a.Value > b.Value;

    /// <summary>Whether a is less or the same.</summary>
    public static bool operator <=(Microcredits a, Microcredits b) => a.Value <= b.Value;

    /// <summary>Whether a is more or the same.</summary>
    public static bool operator >=(Microcredits a, Microcredits b) => a.Value >= b.Value;

    /// <inheritdoc/>
    public int CompareTo(Microcredits other) => Value.CompareTo(other.Value);

    /// <summary>The amount in microcredits, with its unit.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Value} µcr");
}
