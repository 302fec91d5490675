using System.Collections.Immutable;
using System.Globalization;
using Dapper;
using Federation.Silo.Storage;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Jobs;

/// <summary>A row that a process has.</summary>
/// <param name="Id">The row.</param>
/// <param name="Attempt">How often it was claimed: the fence.</param>
/// <param name="State">In the table's own words; others may have changed it meanwhile.</param>
internal sealed record Claim(string Id, long Attempt, string State);

/// <summary>Which process works on which rows of a table. It has the columns id, attempt, state, owner and lease_until; a row that nobody works on has no owner.</summary>
internal sealed class Claims(HubDatabase database, string table, TimeProvider time)
{
    /// <summary>Says that a process still works on these rows; those it really has, by id: one that is not among them was taken from it.</summary>
    /// <param name="owner">The process.</param>
    /// <param name="running">What it works on. A claim that it has and does not work on, for it was lost on the way or its end could not be written down, is left to its lease.</param>
    /// <param name="lease">How long they are its alone from now; null where their leases go on as they are.</param>
    /// <param name="cancellationToken">Ends the wait for the database.</param>
    public async Task<ImmutableDictionary<string, Claim>> HoldAsync(string owner, IEnumerable<(string Id, long Attempt)> running, TimeSpan? lease, CancellationToken cancellationToken)
    {
        if (lease is { } duration)
        {
            var until = Ms(time.GetUtcNow() + duration);
            var claims = database.Dialect.Set(running.Select(run => string.Create(CultureInfo.InvariantCulture, $"{run.Id}/{run.Attempt}")));
            await database.WriteAsync(
                (connection, transaction) => connection.ExecuteAsync(
                    $"UPDATE {table} SET lease_until = @until WHERE owner = @owner AND {database.Dialect.In("(id || '/' || attempt)", "claims")}", new { owner, until, claims }, transaction),
                cancellationToken);
        }
        return await database.ReadAsync(
            async connection => (await connection.QueryAsync<(string Id, long Attempt, string State)>($"SELECT id, attempt, state FROM {table} WHERE owner = @owner", new { owner }))
                .ToImmutableDictionary(row => row.Id, row => new Claim(row.Id, row.Attempt, row.State), StringComparer.Ordinal),
            cancellationToken);
    }
}
