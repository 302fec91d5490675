using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Simulation;

/// <summary>A hub's nodes on virtual time, hour by hour, from one seed: the same seed gives the same result, to the last microcredit.</summary>
internal sealed class World
{
    private const int SmallClassNodes = 3;
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly ulong _seed;
    private readonly Draws _draws;
    private readonly SimulatedNode?[] _nodes;
    private readonly (Strategy Strategy, int DeterminismClass)[] _slots;
    private readonly List<(int Hour, int Slot)> _returns = [];
    private readonly List<Life> _lives = [];
    private readonly int[] _peers;
    private readonly double[] _ringShares;
    private int _identities;

    public World(Scenario scenario, AnswerPowers powers, ulong seed)
    {
        Scenario = scenario;
        Powers = powers;
        _seed = seed;
        _draws = new Draws(Draws.Seed(seed, 0));
        Machines = new Machines(scenario);
        Statistics = new Statistics(scenario.Days);
        Ledger.Open(Clients);
        Ledger.Post(LedgerAccountId.Treasury, Clients, Microcredits.FromCredits(1_000_000_000), TransferReason.Purchase, Start);
        var smallClasses = Math.Min(scenario.SmallClasses, Math.Max(1, scenario.Nodes / 1000));
        _peers = new int[scenario.LargeClasses + smallClasses];
        _ringShares = new double[_peers.Length];
        _slots = [.. Enumerable.Range(0, scenario.Nodes).Select(slot => SlotOf(slot, smallClasses))];
        _nodes = new SimulatedNode?[scenario.Nodes];
    }

    /// <summary>What is simulated.</summary>
    public Scenario Scenario { get; }

    /// <summary>What audits of faked answers find.</summary>
    public AnswerPowers Powers { get; }

    /// <summary>Cards and challenges.</summary>
    public Machines Machines { get; }

    /// <summary>What a class earns: the hub's.</summary>
    public HardwareClasses Classes { get; } = new(Options.Create(new HardwareClassOptions()));

    /// <summary>The hub's rules of verdicts.</summary>
    public InferenceCheckOptions InferenceChecks { get; } = new();

    /// <summary>The hub's ledger.</summary>
    public MemoryLedger Ledger { get; } = new();

    /// <summary>The account of those who send jobs to their own nodes.</summary>
    public LedgerAccountId Clients { get; } = LedgerAccountId.Available("clients");

    /// <summary>What is counted on the way.</summary>
    public Statistics Statistics { get; }

    /// <summary>A moment of virtual time.</summary>
    /// <param name="hours">Hours since the beginning.</param>
    public static DateTimeOffset At(double hours) => Start.AddHours(hours);

    /// <summary>The inverse of <see cref="At"/>.</summary>
    public static double HoursAt(DateTimeOffset moment) => (moment - Start).TotalHours;

    /// <summary>Nodes of a determinism class.</summary>
    public int Peers(int determinismClass) => _peers[determinismClass];

    /// <summary>Share of a class's nodes that belong to a ring.</summary>
    public double RingShare(int determinismClass) => _ringShares[determinismClass];

    /// <summary>Share of honest audits that disagree, in a class and at a time: more while a model drifts.</summary>
    public double SoftMismatches(int determinismClass, DateTimeOffset now)
    {
        var day = HoursAt(now) / 24;
        return determinismClass == 1 && day >= Scenario.Drift.FromDay && day < Scenario.Drift.ToDay ? Scenario.Drift.SoftMismatches : Scenario.SoftMismatches;
    }

    /// <summary>Runs all days and returns every life that was lived.</summary>
    /// <exception cref="InvalidOperationException">Money came from nowhere or went there.</exception>
    public IReadOnlyList<Life> Run()
    {
        for (var slot = 0; slot < _nodes.Length; slot++) _returns.Add((_draws.Below(24), slot));
        for (var hour = 0; hour < Scenario.Days * 24; hour++)
        {
            if (hour % 24 == 0) BeginDay(hour);
            Return(hour);
            for (var slot = 0; slot < _nodes.Length; slot++)
            {
                if (_nodes[slot] is not { } node) continue;
                node.Live(hour);
                if (node.IsBanned) Remove(slot, comesBackAt: _draws.Happens(Scenario.ComesBack) ? hour + 24 + _draws.Below(48) : null);
            }
        }

        for (var slot = 0; slot < _nodes.Length; slot++)
        {
            if (_nodes[slot] is not null) Remove(slot, comesBackAt: null);
        }

        return Ledger.Sum().IsZero ? _lives : throw new InvalidOperationException($"The ledger's sum is {Ledger.Sum()}, not 0.");
    }

    private (Strategy, int) SlotOf(int slot, int smallClasses)
    {
        var share = (slot + 0.5) / Scenario.Nodes;
        // One in fifty of the honest runs as those do who share a card, so that incomes compare.
        var strategy = share < Scenario.HonestShare * 0.02 ? Strategy.HonestComparable
            : share < Scenario.HonestShare ? Strategy.Honest
            : Strategy.Others[Math.Min((int)((share - Scenario.HonestShare) / (1 - Scenario.HonestShare) * Strategy.Others.Length), Strategy.Others.Length - 1)];
        if (strategy.IsRing) return (strategy, 2);
        // The last of the honest make up the small classes.
        var last = (int)(Scenario.HonestShare * Scenario.Nodes) - 1 - slot;
        if (last >= 0 && last < smallClasses * SmallClassNodes) return (strategy, Scenario.LargeClasses + (last / SmallClassNodes));
        // Squared: the first classes are larger.
        var uniform = _draws.Uniform();
        return (strategy, (int)(uniform * uniform * Scenario.LargeClasses));
    }

    private void BeginDay(int hour)
    {
        var ring = new int[_peers.Length];
        for (var slot = 0; slot < _nodes.Length; slot++)
        {
            if (_nodes[slot] is not { } node) continue;
            if (hour > 0 && _draws.Happens(Scenario.LeavesPerDay)) Remove(slot, comesBackAt: hour + _draws.Below(24));
            else if (node.IsRing) ring[node.DeterminismClass]++;
        }

        for (var i = 0; i < ring.Length; i++) _ringShares[i] = (double)ring[i] / Math.Max(1, _peers[i]);
    }

    private void Return(int hour)
    {
        foreach (var (_, slot) in _returns.Where(item => item.Hour == hour))
        {
            var (strategy, determinismClass) = _slots[slot];
            var number = ++_identities;
            _nodes[slot] = new SimulatedNode(this, strategy, number, determinismClass, hour, new Draws(Draws.Seed(_seed, (ulong)number)));
            _peers[determinismClass]++;
        }

        _returns.RemoveAll(item => item.Hour == hour);
    }

    private void Remove(int slot, int? comesBackAt)
    {
        var node = _nodes[slot]!;
        node.End();
        _lives.Add(node.Life);
        _peers[node.DeterminismClass]--;
        _nodes[slot] = null;
        if (comesBackAt is { } hour) _returns.Add((hour, slot));
    }
}
