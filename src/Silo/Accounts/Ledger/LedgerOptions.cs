using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>How the ledger shares commits and ends holds.</summary>
public sealed class LedgerOptions
{
    /// <summary>The configuration section these options come from.</summary>
    public const string SectionName = "Ledger";

    /// <summary>Units in one database transaction at most.</summary>
    /// <value>512 by default; 1 (each its own transaction) to 10 000.</value>
    [Range(1, 10_000)]
    public int BatchMax { get; set; } = 512;

    /// <summary>Units waiting for the database at most; more are refused at once.</summary>
    /// <value>16 384 by default; 1 to 1 000 000.</value>
    [Range(1, 1_000_000)]
    public int QueueMax { get; set; } = 16_384;

    /// <summary>How often overdue holds are looked for.</summary>
    /// <value>10 seconds by default; 100 milliseconds to 1 hour. A hold is refused from its moment on, whenever the next look is.</value>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ExpiryPeriod { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Overdue holds ended at one look at most; the rest waits for the next one.</summary>
    /// <value>1 000 by default; 1 to 10 000.</value>
    [Range(1, 10_000)]
    public int ExpiryMax { get; set; } = 1_000;
}

[OptionsValidator]
internal sealed partial class LedgerOptionsValidator : IValidateOptions<LedgerOptions>;
