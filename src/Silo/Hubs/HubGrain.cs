using System.Collections.Immutable;
using Federation.Contracts.Hubs;
using Federation.Contracts.Nodes;
using Federation.Silo.Gateway;
using Federation.Silo.Models;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Hubs;

/// <inheritdoc cref="IHubGrain"/>
/// <remarks>
/// Which models there are is remembered on disk: after a restart, or when the grain moves to another silo, a model whose nodes
/// have not reported yet is a wait, not an error.
/// </remarks>
internal sealed partial class HubGrain(
    [PersistentState("known-models", SqlGrainStorage.Name)] IPersistentState<RememberedModels> memory,
    IOptions<HubOptions> options,
    IOptions<PoolOptions> pool,
    TimeProvider time,
    ILogger<HubGrain> logger) : Grain, IHubGrain
{
    private readonly Dictionary<string, (NodeView View, long HeardAt)> _nodes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (KnownModel Model, DateTimeOffset ServedAt)> _models = new(StringComparer.Ordinal);
    private HubDirectory? _directory;
    private long _version;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        // Starting at the clock keeps versions growing when the grain moves to another silo.
        _version = time.GetUtcNow().ToUnixTimeMilliseconds();
        foreach (var model in memory.State.Models)
        {
            _models[model.Name] = (new KnownModel(model.Name, 0, 0, [], [.. model.Capabilities], model.ContextLength, model.FirstSeen), model.ServedAt);
        }
        var period = pool.Value.AnnouncePeriod;
        this.RegisterGrainTimer(Sweep, new GrainTimerCreationOptions { DueTime = period, Period = period, KeepAlive = true });
        return Task.CompletedTask;
    }

    public async Task ReportNode(NodeView node)
    {
        if (!_nodes.TryGetValue(node.NodeId, out var known) || !SaysTheSame(known.View, node)) _directory = null;
        _nodes[node.NodeId] = (node, time.GetTimestamp());
        // At once, and not at the next sweep: clients use it from now on, and this silo may die from now on.
        var hasNews = (node.Report?.Engines ?? []).SelectMany(engine => engine.Models).Any(model => !_models.ContainsKey(model.Name));
        if (hasNews) await RememberAsync(CancellationToken.None);
    }

    public Task RemoveNode(string nodeId)
    {
        if (_nodes.Remove(nodeId)) _directory = null;
        return Task.CompletedTask;
    }

    public Task<HubDirectory?> GetDirectory(long knownVersion)
    {
        var directory = _directory ??= Compile();
        return Task.FromResult(directory.Version == knownVersion ? null : directory);
    }

    private async Task Sweep(CancellationToken cancellationToken)
    {
        var silence = pool.Value.AnnouncePeriod * pool.Value.SilentPeriods;
        foreach (var (nodeId, _) in _nodes.Where(entry => time.GetElapsedTime(entry.Value.HeardAt) > silence).ToImmutableArray())
        {
            _nodes.Remove(nodeId);
            _directory = null;
        }
        foreach (var (name, _) in _models.Where(entry => entry.Value.Model.Nodes == 0 && time.GetUtcNow() - entry.Value.ServedAt > options.Value.ModelMemory).ToImmutableArray())
        {
            _models.Remove(name);
            _directory = null;
        }
        await RememberAsync(cancellationToken);
    }

    /// <summary>Writes what is known when models came or went, and now and then how long ago each was served.</summary>
    private async Task RememberAsync(CancellationToken cancellationToken)
    {
        _directory ??= Compile();
        var now = time.GetUtcNow();
        var known = _models.Keys.ToHashSet(StringComparer.Ordinal);
        if (known.SetEquals(memory.State.Models.Select(model => model.Name)) && now - memory.State.WrittenAt < options.Value.ModelMemory / 4) return;
        memory.State = new RememberedModels
        {
            WrittenAt = now,
            Models = [.. _models.Values.Select(entry => new RememberedModel(entry.Model.Name, [.. entry.Model.Capabilities], entry.Model.ContextLength, entry.Model.FirstSeen, entry.ServedAt))],
        };
        try
        {
            await memory.WriteStateAsync(cancellationToken);
        }
        catch (StorageException exception) when (exception.IsTransient)
        {
            LogNotRemembered(exception);
        }
    }

    private HubDirectory Compile()
    {
        var now = time.GetUtcNow();
        var served = _nodes.Values
            .Where(node => node.View.Standing is not Standing.Quarantined)
            .SelectMany(node => (node.View.Report?.Engines ?? []).SelectMany(engine => engine.Models.Select(model => (node.View.NodeId, engine.Slots, model))))
            .GroupBy(entry => entry.model.Name, StringComparer.Ordinal)
            .ToDictionary(group => group.Key, StringComparer.Ordinal);
        foreach (var name in _models.Keys.Except(served.Keys).ToImmutableArray())
        {
            var (model, servedAt) = _models[name];
            _models[name] = (model with { Nodes = 0, Slots = 0 }, servedAt);
        }
        foreach (var (name, entries) in served)
        {
            var firstSeen = _models.TryGetValue(name, out var known) ? known.Model.FirstSeen : time.GetUtcNow();
            _models[name] = (new KnownModel(
                name,
                entries.Select(entry => entry.NodeId).Distinct(StringComparer.Ordinal).Count(),
                entries.Sum(entry => entry.Slots),
                [.. entries.Select(entry => entry.model.Digest).Where(digest => digest.Length > 0).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)],
                [.. CapabilitiesOf([.. entries.Select(entry => entry.model)])],
                entries.Max(entry => entry.model.ContextLength),
                firstSeen), now);
        }
        return new HubDirectory(
            ++_version,
            [.. _nodes.Values.Select(node => node.View).OrderBy(view => view.NodeId, StringComparer.Ordinal)],
            [.. _models.Values.Select(entry => entry.Model).OrderBy(model => model.Name, StringComparer.Ordinal)]);
    }

    /// <summary>What one node can do, the model can; what it cannot, only where every node says so.</summary>
    private static IEnumerable<string> CapabilitiesOf(ImmutableArray<ModelReport> reports) => reports
        .SelectMany(report => report.Capabilities)
        .Distinct(StringComparer.Ordinal)
        .Where(word => !word.StartsWith(UnmetNeeds.LackPrefix, StringComparison.Ordinal) || reports.All(report => report.Capabilities.Contains(word)))
        .Order(StringComparer.Ordinal);

    /// <summary>Whether nothing changed that others would see; a node that only reports again is no news.</summary>
    private static bool SaysTheSame(NodeView before, NodeView after)
        => before.Standing == after.Standing
            && before.HardwareClass == after.HardwareClass
            && before.Network == after.Network
            && before.Report is { } old
            && after.Report is { } now
            && old.AcceptsWork == now.AcceptsWork
            && old.RunningLeases == now.RunningLeases
            && old.Engines.Equals(now.Engines)
            && old.Pulls.Equals(now.Pulls);

    [LoggerMessage(1110, LogLevel.Warning, "Which models there are could not be written down; tried again in the next period")]
    private partial void LogNotRemembered(Exception exception);
}

/// <summary>The models a hub knew when it last wrote them down.</summary>
internal sealed class RememberedModels
{
    public DateTimeOffset WrittenAt { get; set; }

    public List<RememberedModel> Models { get; set; } = [];
}

/// <summary>One of them.</summary>
internal sealed record RememberedModel(string Name, List<string> Capabilities, int ContextLength, DateTimeOffset FirstSeen, DateTimeOffset ServedAt);
