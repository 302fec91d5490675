using System.Collections.Immutable;
using System.Diagnostics.Metrics;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>What the ledger tells the operator's dashboard.</summary>
public sealed class LedgerInstruments
{
    /// <summary>The meter's name.</summary>
    public const string MeterName = "Federation.Silo.Ledger";

    private readonly Histogram<double> _commitDuration;
    private readonly Histogram<int> _commitSize;
    private readonly Counter<long> _transfers;

    /// <summary>Creates the instruments.</summary>
    public LedgerInstruments(IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(meters);
        var meter = meters.Create(MeterName);
        _commitDuration = meter.CreateHistogram<double>(
            "federation.ledger.commit.duration", "s", "From the first read of a group commit until it is on disk.");
        _commitSize = meter.CreateHistogram<int>("federation.ledger.commit.size", "{unit}", "Units that shared one commit.");
        _transfers = meter.CreateCounter<long>("federation.ledger.transfers", "{transfer}", "Transfers answered, by status.");
    }

    internal void OnCommitted(ImmutableArray<LedgerUnitResult> units, TimeSpan elapsed)
    {
        _commitDuration.Record(elapsed.TotalSeconds);
        _commitSize.Record(units.Length);
        if (!_transfers.Enabled)
            return;

        foreach (var transfer in units.SelectMany(static unit => unit.Transfers))
            _transfers.Add(1, new KeyValuePair<string, object?>("status", transfer.Status.ToString()));
    }
}
