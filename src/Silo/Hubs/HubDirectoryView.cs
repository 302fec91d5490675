using System.Diagnostics.CodeAnalysis;
using Federation.Contracts.Hubs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Hubs;

/// <summary>This silo's view of the hub's directory, at most <see cref="HubOptions.DirectoryAge"/> old.</summary>
internal sealed partial class HubDirectoryView(IGrainFactory grains, IOptions<HubOptions> options, TimeProvider time, ILogger<HubDirectoryView> logger) : IDisposable
{
    private const string LatestTag = ":latest";

    private static readonly HubDirectory Nothing = new(0, [], []);

    private readonly SemaphoreSlim _refreshing = new(1, 1);
    private volatile Snapshot _snapshot = new(Nothing, FetchedAt: null);

    /// <summary>The directory as it is now, or was a moment ago.</summary>
    public ValueTask<HubDirectory> GetAsync(CancellationToken cancellationToken)
        => _snapshot is { } snapshot && snapshot.IsYoungerThan(options.Value.DirectoryAge, time)
            ? ValueTask.FromResult(snapshot.Directory)
            : new ValueTask<HubDirectory>(RefreshAsync(options.Value.DirectoryAge, cancellationToken));

    /// <summary>A known model; asks again before it says that there is none. "llama3.2" finds "llama3.2:latest", as with Ollama itself.</summary>
    /// <param name="name">As a client wrote it.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <param name="insist">Whether it asks again.</param>
    public async ValueTask<KnownModel?> FindModelAsync(string name, CancellationToken cancellationToken, bool insist = true)
    {
        if (TryFind(await GetAsync(cancellationToken), name, out var model)) return model;
        if (!insist) return null;
        // Somebody who has just started a node should not be told that its model does not exist. At most ten such looks a second.
        return TryFind(await RefreshAsync(TimeSpan.FromMilliseconds(100), cancellationToken), name, out model) ? model : null;
    }

    public void Dispose() => _refreshing.Dispose();

    private static bool TryFind(HubDirectory directory, string name, [NotNullWhen(true)] out KnownModel? model)
    {
        model = directory.Models.FirstOrDefault(candidate => candidate.Name == name)
            ?? directory.Models.FirstOrDefault(candidate => candidate.Name.Length == name.Length + LatestTag.Length && candidate.Name.StartsWith(name, StringComparison.Ordinal) && candidate.Name.EndsWith(LatestTag, StringComparison.Ordinal));
        return model is not null;
    }

    private async Task<HubDirectory> RefreshAsync(TimeSpan maxAge, CancellationToken cancellationToken)
    {
        await _refreshing.WaitAsync(cancellationToken);
        try
        {
            // Whoever waited for another's refresh needs none of its own.
            if (_snapshot.IsYoungerThan(maxAge, time)) return _snapshot.Directory;
            var current = _snapshot.Directory;
            var newer = await FetchAsync(current);
            _snapshot = new Snapshot(newer ?? current, time.GetTimestamp());
            return _snapshot.Directory;
        }
        finally
        {
            _refreshing.Release();
        }
    }

    /// <summary>While the directory moves from a silo that died to another, what was known goes on being true.</summary>
    private async Task<HubDirectory?> FetchAsync(HubDirectory current)
    {
        try
        {
            return await grains.GetGrain<IHubGrain>(0).GetDirectory(current.Version);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException && current != Nothing)
        {
            LogStale(exception);
            return null;
        }
    }

    [LoggerMessage(1120, LogLevel.Warning, "The hub's directory does not answer; what this silo knows of it goes on counting")]
    private partial void LogStale(Exception exception);

    private sealed record Snapshot(HubDirectory Directory, long? FetchedAt)
    {
        public bool IsYoungerThan(TimeSpan age, TimeProvider time) => FetchedAt is { } at && time.GetElapsedTime(at) < age;
    }
}
