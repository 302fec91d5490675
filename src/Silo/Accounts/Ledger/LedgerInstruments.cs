using System.Collections.Immutable;
using System.Diagnostics.Metrics;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>What the ledger tells the operator's dashboard.</summary>
public sealed class LedgerInstruments
{
    /// <summary>The meter's name.</summary>
    public const string MeterName = "Federation.Silo.Ledger";

    private readonly Histogram<double> commitDuration;
    private readonly Histogram<int> commitSize;
    private readonly Counter<long> transfers;

    /// <summary>Creates the instruments.</summary>
    public LedgerInstruments(IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(meters);
        var meter = meters.Create(MeterName);
        commitDuration = meter.CreateHistogram<double>(
            "federation.ledger.commit.duration", "s", "From the first read of a group commit until it is on disk.");
        commitSize = meter.CreateHistogram<int>("federation.ledger.commit.size", "{unit}", "Units that shared one commit.");
        transfers = meter.CreateCounter<long>("federation.ledger.transfers", "{transfer}", "Transfers answered, by status.");
    }

    internal void OnCommitted(ImmutableArray<LedgerUnitResult> units, TimeSpan elapsed)
    {
        commitDuration.Record(elapsed.TotalSeconds);
        commitSize.Record(units.Length);
        if (!transfers.Enabled)
            return;

        foreach (var transfer in units.SelectMany(static unit => unit.Transfers))
            transfers.Add(1, new KeyValuePair<string, object?>("status", transfer.Status.ToString()));
    }
}
