using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Dapper;
using Orleans.Storage;

namespace Federation.Silo.Storage;

/// <summary>Keeps the states of grains in the hub's database, as JSON, each with a version that only its last reader may follow.</summary>
public sealed class SqlGrainStorage : IGrainStorage
{
    /// <summary>The name under which grains ask for it: <c>[PersistentState("quota", SqlGrainStorage.Name)]</c>.</summary>
    public const string Name = "hub";

    private const string Key = "state_name = @StateName AND grain_id = @GrainId";

    private readonly HubDatabase _database;
    private readonly TimeProvider _time;

    /// <summary>Creates the storage on a database whose schema is up to date.</summary>
    public SqlGrainStorage(HubDatabase database, TimeProvider time)
    {
        _database = database;
        _time = time;
    }

    /// <inheritdoc/>
    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        var row = await _database.ReadAsync(
            connection => connection.QuerySingleOrDefaultAsync<Record>(
                $"SELECT payload AS {nameof(Record.Payload)}, version AS {nameof(Record.Version)} FROM grain_state WHERE {Key}",
                KeyOf(stateName, grainId)),
            CancellationToken.None);
        if (row is null)
        {
            Reset(grainState);
            return;
        }

        grainState.State = JsonSerializer.Deserialize<T>(row.Payload)!;
        grainState.ETag = Etag(row.Version);
        grainState.RecordExists = true;
    }

    /// <inheritdoc/>
    /// <exception cref="InconsistentStateException">Somebody else has written the state since it was read.</exception>
    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        var key = KeyOf(stateName, grainId);
        key.Add("Payload", JsonSerializer.SerializeToUtf8Bytes(grainState.State));
        key.Add("UpdatedAt", _time.GetUtcNow().ToUnixTimeMilliseconds());

        var read = Version(grainState.ETag);
        var written = read is { } version ? version + 1 : FirstVersion();
        key.Add("Read", read);
        key.Add("Written", written);
        var write = read is null
            ? """
              INSERT INTO grain_state (state_name, grain_id, payload, version, updated_at)
              VALUES (@StateName, @GrainId, @Payload, @Written, @UpdatedAt) ON CONFLICT (state_name, grain_id) DO NOTHING
              """
            : $"UPDATE grain_state SET payload = @Payload, version = @Written, updated_at = @UpdatedAt WHERE {Key} AND version = @Read";
        await WriteAsync(write, key, grainState.ETag, $"{stateName} of {grainId}");
        grainState.ETag = Etag(written);
        grainState.RecordExists = true;
    }

    /// <inheritdoc/>
    /// <exception cref="InconsistentStateException">Somebody else has written the state since it was read.</exception>
    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        if (Version(grainState.ETag) is { } read)
        {
            var key = KeyOf(stateName, grainId);
            key.Add("Read", read);
            await WriteAsync($"DELETE FROM grain_state WHERE {Key} AND version = @Read", key, grainState.ETag, $"{stateName} of {grainId}");
        }

        Reset(grainState);
    }

    // Exactly one row must change; none means that another activation was here.
    private Task WriteAsync(string sql, DynamicParameters parameters, string? etag, string what) => _database.WriteAsync(
        async (connection, transaction) =>
        {
            if (await connection.ExecuteAsync(sql, parameters, transaction) == 1)
                return;

            var stored = await connection.ExecuteScalarAsync<long?>($"SELECT version FROM grain_state WHERE {Key}", parameters, transaction);
            throw new InconsistentStateException(
                $"State {what} was written by somebody else since it was read.", stored is { } version ? Etag(version) : null, etag);
        },
        CancellationToken.None);

    private static void Reset<T>(IGrainState<T> grainState)
    {
        grainState.State = Activator.CreateInstance<T>();
        grainState.ETag = null;
        grainState.RecordExists = false;
    }

    private static DynamicParameters KeyOf(string stateName, GrainId grainId)
    {
        DynamicParameters key = new();
        key.Add("StateName", stateName);
        key.Add("GrainId", grainId.ToString());
        return key;
    }

    // A random beginning: who slept while the state was cleared and made anew must not be taken for its last reader.
    private static long FirstVersion() => BitConverter.ToInt64(RandomNumberGenerator.GetBytes(sizeof(long))) & (long.MaxValue >> 1);

    private static string Etag(long version) => version.ToString(CultureInfo.InvariantCulture);

    private static long? Version(string? etag) => etag is null ? null : long.Parse(etag, CultureInfo.InvariantCulture);

    private sealed class Record
    {
        public byte[] Payload { get; init; } = [];

        public long Version { get; init; }
    }
}
