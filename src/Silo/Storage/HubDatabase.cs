using System.Data.Common;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Storage;

/// <summary>
/// The hub's one database: SQLite in the data directory, or PostgreSQL when <see cref="StorageOptions.Postgres"/> is set.
/// Safe to use from any thread. Every failure of the database surfaces as a <see cref="StorageException"/>.
/// </summary>
public sealed class HubDatabase : IAsyncDisposable
{
    private readonly TimeProvider _time;
    private readonly ILogger<HubDatabase> _logger;

    /// <summary>Creates the database's client; connects to nothing yet.</summary>
    public HubDatabase(IOptions<StorageOptions> options, TimeProvider time, ILogger<HubDatabase> logger)
    {
        ArgumentNullException.ThrowIfNull(options);
        Dialect = options.Value.UsesPostgres ? new PostgresDialect(options.Value) : new SqliteDialect(options.Value);
        _time = time;
        _logger = logger;
    }

    /// <summary>What SQL may be written in two ways.</summary>
    public SqlDialect Dialect { get; }

    /// <summary>
    /// Opens a connection for the caller to dispose. <see cref="ReadAsync"/>, <see cref="ReadSnapshotAsync"/> and
    /// <see cref="WriteAsync{T}"/> are better where they fit: they also translate failures.
    /// </summary>
    public ValueTask<DbConnection> OpenAsync(CancellationToken cancellationToken) =>
        new(GuardAsync(async () => await Dialect.OpenAsync(cancellationToken)));

    /// <summary>Runs queries, each of which sees the latest commit.</summary>
    public Task<T> ReadAsync<T>(Func<DbConnection, Task<T>> read, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(read);
        return GuardAsync(async () =>
        {
            await using var connection = await Dialect.OpenAsync(cancellationToken);
            return await read(connection);
        });
    }

    /// <summary>Runs queries that all see the same moment, whatever is committed meanwhile.</summary>
    public Task<T> ReadSnapshotAsync<T>(Func<DbConnection, DbTransaction, Task<T>> read, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(read);
        return GuardAsync(async () =>
        {
            await using var connection = await Dialect.OpenAsync(cancellationToken);
            await using var transaction = await Dialect.BeginSnapshotAsync(connection, cancellationToken);
            return await UndoingAsync(connection, () => read(connection, transaction));
        });
    }

    /// <summary>
    /// Runs <paramref name="write"/> in one transaction and commits it; when the task has completed it is on disk. Nothing is
    /// written if it throws.
    /// </summary>
    /// <exception cref="StorageException">
    /// The database failed. Only with <see cref="StorageFailure.OutcomeUnknown"/> may the work have been written all the same.
    /// </exception>
    public Task<T> WriteAsync<T>(Func<DbConnection, DbTransaction, Task<T>> write, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(write);
        return WriteLastAsync<T>(async (connection, transaction) => (await write(connection, transaction), []), cancellationToken);
    }

    /// <summary>
    /// Runs <paramref name="prepare"/> in one transaction, then the statements that it gives, and commits: with those in one round trip where the database allows it. Nothing is written if it throws.
    /// </summary>
    /// <inheritdoc cref="WriteAsync{T}" path="/exception"/>
    public Task<T> WriteLastAsync<T>(Func<DbConnection, DbTransaction, Task<(T Result, IReadOnlyList<SqlStatement> Last)>> prepare, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(prepare);
        return GuardAsync(async () =>
        {
            await using var turn = await Dialect.TakeTurnAsync(cancellationToken);
            var connection = turn.Connection;
            await using var transaction = await Dialect.BeginWriteAsync(connection, cancellationToken);
            return await UndoingAsync(connection, async () =>
            {
                var (result, last) = await prepare(connection, transaction);
                if (Dialect.CommitsWithStatements && last.Count > 0) await CommitAsync(() => Dialect.ExecuteAndCommitAsync(connection, transaction, last));
                else
                {
                    await Dialect.ExecuteAsync(connection, transaction, last, cancellationToken);
                    await CommitAsync(transaction);
                }
                return result;
            });
        });
    }

    /// <inheritdoc cref="WriteAsync{T}"/>
    public Task WriteAsync(Func<DbConnection, DbTransaction, Task> write, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(write);
        return WriteAsync(
            async (connection, transaction) =>
            {
                await write(connection, transaction);
                return true;
            },
            cancellationToken);
    }

    /// <summary>Brings the schema up to date. Silos that start together take turns.</summary>
    /// <exception cref="StorageException">The database failed.</exception>
    /// <exception cref="InvalidOperationException">
    /// The database was made by a newer hub, or a migration it has applied is not the one this hub knows by that number.
    /// </exception>
    public Task MigrateAsync(CancellationToken cancellationToken) =>
        new SchemaMigrator(this, _time, _logger).MigrateAsync(cancellationToken);

    /// <summary>Closes the pool.</summary>
    public ValueTask DisposeAsync() => Dialect.DisposeAsync();

    /// <summary>Does what a transaction is for; where it fails, the transaction can be undone.</summary>
    private async Task<T> UndoingAsync<T>(DbConnection connection, Func<Task<T>> work)
    {
        try
        {
            return await work();
        }
        catch
        {
            Dialect.PrepareUndo(connection);
            throw;
        }
    }

    // Not cancellable: half-way through a commit there is no way back, only a way not to know.
    private Task CommitAsync(DbTransaction transaction) => CommitAsync(() => transaction.CommitAsync(CancellationToken.None));

    private async Task CommitAsync(Func<Task> commit)
    {
        try
        {
            await commit();
        }
        catch (Exception e) when (Dialect.Classify(e) is { } failure)
        {
            // What the database says, it knows; a lost connection says nothing.
            throw new StorageException(Dialect.IsRefusal(e) ? failure : StorageFailure.OutcomeUnknown, $"The commit failed: {e.Message}", e);
        }
    }

    private async Task<T> GuardAsync<T>(Func<Task<T>> work)
    {
        try
        {
            // A blocking driver must not hold the thread of a grain's scheduler while the disk turns.
            return Dialect.Blocks ? await Task.Run(work) : await work();
        }
        catch (Exception e) when (Dialect.Classify(e) is { } failure)
        {
            throw new StorageException(failure, $"The {Dialect.Name} database failed ({failure}): {e.Message}", e);
        }
    }
}
