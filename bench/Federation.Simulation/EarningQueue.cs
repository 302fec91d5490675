using System.Runtime.InteropServices;
using Federation.Silo.Verification.Accrual;

namespace Federation.Simulation;

/// <summary>What one node earned in one hour, and what of it was not earned.</summary>
/// <param name="Earning">As the hub has it.</param>
/// <param name="Units">Units it was credited for.</param>
/// <param name="Cheated">How many of them were faked; the hub does not know.</param>
internal record struct HourlyEarning(PendingEarning Earning, double Units, double Cheated);

/// <summary>Pending earnings of one maturity age, oldest first: they mature in this order, since both their ages and their audits grow along it.</summary>
internal sealed class EarningQueue
{
    private readonly List<HourlyEarning> _earnings = [];
    private int _first;

    /// <summary>Those that are pending.</summary>
    public Span<HourlyEarning> Pending => CollectionsMarshal.AsSpan(_earnings)[_first..];

    /// <summary>Adds the newest.</summary>
    public void Add(in HourlyEarning earning) => _earnings.Add(earning);

    /// <summary>Takes the oldest away.</summary>
    public void RemoveFirst()
    {
        _first++;
        if (_first < 64 || _first * 2 < _earnings.Count) return;
        _earnings.RemoveRange(0, _first);
        _first = 0;
    }

    /// <summary>Takes all away.</summary>
    public void Clear()
    {
        _earnings.Clear();
        _first = 0;
    }
}
