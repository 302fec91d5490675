// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Orleans.Runtime;

namespace Orleans.Storage;

/// <summary>States in memory. They are copied on the way in and out, so that a grain which forgets to write loses its changes.</summary>
internal sealed class MemoryGrainStorage : IGrainStorage
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(string State, GrainId Grain), (object? State, long Version)> _records = [];
    private long _lastVersion;

    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        lock (_gate)
        {
            if (_records.TryGetValue((stateName, grainId), out var record))
            {
                grainState.State = (T?)DeepCopy.Of(record.State);
                grainState.ETag = Text(record.Version);
                grainState.RecordExists = true;
            }
            else
            {
                Reset(grainState);
            }
        }

        return Task.CompletedTask;
    }

    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        lock (_gate)
        {
            EnsureCurrent(stateName, grainId, grainState.ETag);
            var version = ++_lastVersion;
            _records[(stateName, grainId)] = (DeepCopy.Of(grainState.State), version);
            grainState.ETag = Text(version);
            grainState.RecordExists = true;
        }

        return Task.CompletedTask;
    }

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        lock (_gate)
        {
            EnsureCurrent(stateName, grainId, grainState.ETag);
            _records.Remove((stateName, grainId));
            Reset(grainState);
        }

        return Task.CompletedTask;
    }

    private static void Reset<T>(IGrainState<T> grainState)
    {
        // The state's owner puts a fresh state in place of none.
        grainState.State = default;
        grainState.ETag = null;
        grainState.RecordExists = false;
    }

    private static string Text(long version) => version.ToString(CultureInfo.InvariantCulture);

    private void EnsureCurrent(string stateName, GrainId grainId, string? etag)
    {
        var stored = _records.TryGetValue((stateName, grainId), out var record) ? Text(record.Version) : null;
        if (stored != etag)
        {
            throw new InconsistentStateException($"State {stateName} of {grainId} was changed by someone else.", stored, etag);
        }
    }
}
