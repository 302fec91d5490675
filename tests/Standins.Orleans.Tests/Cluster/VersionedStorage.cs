// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using Orleans.Storage;

namespace Federation.Standins.Orleans.Tests.Cluster;

/// <summary>A custom storage: JSON with a version per record, which a test can change behind a grain's back.</summary>
public sealed class VersionedStorage : IGrainStorage
{
    private readonly ConcurrentDictionary<string, (string Json, int Version)> _records = new();

    /// <summary>Fails operations while set.</summary>
    public Exception? Failure { get; set; }

    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ThrowIfFailing();
        if (_records.TryGetValue(Key(stateName, grainId), out var record))
        {
            grainState.State = JsonSerializer.Deserialize<T>(record.Json)!;
            grainState.ETag = Text(record.Version);
            grainState.RecordExists = true;
        }
        else
        {
            Reset(grainState);
        }

        return Task.CompletedTask;
    }

    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ThrowIfFailing();
        var key = Key(stateName, grainId);
        EnsureCurrent(key, grainState.ETag);
        var version = Version(key) + 1;
        _records[key] = (JsonSerializer.Serialize(grainState.State), version);
        grainState.ETag = Text(version);
        grainState.RecordExists = true;
        return Task.CompletedTask;
    }

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ThrowIfFailing();
        var key = Key(stateName, grainId);
        EnsureCurrent(key, grainState.ETag);
        _records.TryRemove(key, out _);
        Reset(grainState);
        return Task.CompletedTask;
    }

    /// <summary>Writes as another process would.</summary>
    public void WriteBehindItsBack<T>(string stateName, GrainId grainId, T state)
    {
        var key = Key(stateName, grainId);
        _records[key] = (JsonSerializer.Serialize(state), Version(key) + 1);
    }

    public string? JsonOf(string stateName, GrainId grainId) => _records.TryGetValue(Key(stateName, grainId), out var record) ? record.Json : null;

    private static void Reset<T>(IGrainState<T> grainState)
    {
        grainState.State = Activator.CreateInstance<T>();
        grainState.ETag = null;
        grainState.RecordExists = false;
    }

    private static string Key(string stateName, GrainId grainId) => $"{stateName}|{grainId}";

    private static string Text(int version) => version.ToString(CultureInfo.InvariantCulture);

    private int Version(string key) => _records.TryGetValue(key, out var record) ? record.Version : 0;

    private void EnsureCurrent(string key, string? etag)
    {
        var stored = _records.TryGetValue(key, out var record) ? Text(record.Version) : null;
        if (stored != etag)
        {
            throw new InconsistentStateException($"{key} is at version {stored}, not {etag}.", stored, etag);
        }
    }

    private void ThrowIfFailing()
    {
        if (Failure is { } failure)
        {
            throw failure;
        }
    }
}
