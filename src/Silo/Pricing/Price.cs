using Federation.Silo.Accounts.Ledger;

namespace Federation.Silo.Pricing;

/// <summary>What a thousand tokens cost. Pure and exact: one rounding for a whole answer, up, so that nobody pays a microcredit or more above the exact price.</summary>
internal readonly record struct Price
{
    /// <summary>The highest price of a thousand tokens: a million credits.</summary>
    public const long PerThousandMax = 1_000_000 * Microcredits.PerCredit;

    /// <summary>The most tokens of a kind that are priced at once. With <see cref="PerThousandMax"/>, every cost fits a <see cref="long"/>.</summary>
    public const long TokensMax = 1_000_000_000;

    /// <summary>The whole price, as against a share of it.</summary>
    public const int Whole = 1_000_000;

    private const long TokensPerUnit = 1_000;

    /// <summary>Creates a price.</summary>
    /// <param name="inputPerThousand">Microcredits for a thousand tokens of the prompt, 0 to <see cref="PerThousandMax"/>.</param>
    /// <param name="outputPerThousand">Microcredits for a thousand tokens of the answer, 0 to <see cref="PerThousandMax"/>.</param>
    public Price(long inputPerThousand, long outputPerThousand)
    {
        InputPerThousand = InRange(inputPerThousand, PerThousandMax, nameof(inputPerThousand));
        OutputPerThousand = InRange(outputPerThousand, PerThousandMax, nameof(outputPerThousand));
    }

    /// <summary>Nothing.</summary>
    public static Price Free => default;

    /// <summary>Microcredits for a thousand tokens of the prompt.</summary>
    public long InputPerThousand { get; }

    /// <summary>Microcredits for a thousand tokens of the answer.</summary>
    public long OutputPerThousand { get; }

    /// <summary>Whether nothing costs anything.</summary>
    public bool IsFree => InputPerThousand == 0 && OutputPerThousand == 0;

    /// <summary>A price as it is configured.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative, above <see cref="PerThousandMax"/>, or finer than a microcredit.</exception>
    public static Price FromCredits(decimal inputPerThousand, decimal outputPerThousand) => new(
        MicrocreditsOf(inputPerThousand) ?? throw new ArgumentOutOfRangeException(nameof(inputPerThousand), inputPerThousand, null),
        MicrocreditsOf(outputPerThousand) ?? throw new ArgumentOutOfRangeException(nameof(outputPerThousand), outputPerThousand, null));

    /// <summary>Credits as microcredits; <see langword="null"/> when they are negative, finer than a microcredit, or more than any price may be.</summary>
    public static long? MicrocreditsOf(decimal credits)
        => credits is >= 0 and <= PerThousandMax / Microcredits.PerCredit && credits * Microcredits.PerCredit is var exact && exact == decimal.Truncate(exact) ? (long)exact : null;

    /// <summary>What so many tokens cost.</summary>
    /// <param name="promptTokens">0 to <see cref="TokensMax"/>.</param>
    /// <param name="completionTokens">0 to <see cref="TokensMax"/>.</param>
    /// <param name="millionths">The share of the price that is asked, 0 to <see cref="Whole"/>: half for a batch.</param>
    public Microcredits Of(long promptTokens, long completionTokens, int millionths = Whole)
    {
        const long divisor = TokensPerUnit * Whole;
        return new Microcredits((long)((Exact(promptTokens, completionTokens, millionths) + (divisor - 1)) / divisor));
    }

    /// <summary>The most tokens of an answer that <paramref name="budget"/> pays beside the prompt; <see langword="null"/> when it does not even pay that.</summary>
    /// <returns>At most <see cref="TokensMax"/>.</returns>
    public long? CompletionTokensWithin(Microcredits budget, long promptTokens, int millionths = Whole)
    {
        if (budget < Of(promptTokens, 0, millionths)) return null;
        var each = (Int128)OutputPerThousand * InRange(millionths, Whole, nameof(millionths));
        if (each == 0) return TokensMax;
        var left = ((Int128)budget.Value * TokensPerUnit * Whole) - Exact(promptTokens, 0, millionths);
        return (long)Int128.Min(left / each, TokensMax);
    }

    // Thousandths of a token's price times millionths of it: no rounding yet.
    private Int128 Exact(long promptTokens, long completionTokens, int millionths)
        => ((((Int128)InputPerThousand) * InRange(promptTokens, TokensMax, nameof(promptTokens))) + ((Int128)OutputPerThousand * InRange(completionTokens, TokensMax, nameof(completionTokens))))
            * InRange(millionths, Whole, nameof(millionths));

    private static long InRange(long value, long max, string name)
        => value >= 0 && value <= max ? value : throw new ArgumentOutOfRangeException(name, value, $"Must be 0 to {max}.");
}
