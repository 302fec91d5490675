using System.Data.Common;

namespace Federation.Silo.Storage;

/// <summary>
/// Everything in which the two databases differ. All other code writes one SQL: columns are text, bigint and bytea, times are
/// unix milliseconds, and truth is 0 or 1.
/// </summary>
public abstract class SqlDialect : IAsyncDisposable
{
    private protected SqlDialect()
    {
    }

    /// <summary>"sqlite" or "postgres", for logs and the console.</summary>
    public abstract string Name { get; }

    /// <summary>Ends a SELECT inside a write: keeps other silos from changing these rows before our commit.</summary>
    public abstract string ForUpdate { get; }

    /// <summary>The type of a column that numbers its rows 1, 2, 3… by itself; stands for <c>{identity}</c> in migrations.</summary>
    public abstract string Identity { get; }

    /// <summary>Whether the driver blocks the calling thread while the database works.</summary>
    internal abstract bool Blocks { get; }

    /// <summary>A condition on <paramref name="column"/>: its value is in the set bound to <paramref name="parameter"/> by <see cref="Set"/>.</summary>
    /// <param name="column">A column of type text.</param>
    /// <param name="parameter">The parameter's name, without the @.</param>
    public abstract string In(string column, string parameter);

    /// <summary>The set bound to <paramref name="parameter"/> by <see cref="Set"/> as the rows of a query.</summary>
    /// <param name="parameter">The parameter's name, without the @.</param>
    public abstract string Rows(string parameter);

    /// <summary>The value of a parameter that <see cref="In"/> uses, so that one SQL text serves sets of every size.</summary>
    public abstract object Set(IEnumerable<string> values);

    /// <summary>Opens a connection from the pool, ready to use.</summary>
    internal abstract ValueTask<DbConnection> OpenAsync(CancellationToken cancellationToken);

    /// <summary>Waits until this silo may write, on the turn's connection; dispose the turn when the write has ended, and its transaction.</summary>
    internal abstract ValueTask<WriteTurn> TakeTurnAsync(CancellationToken cancellationToken);

    /// <summary>Begins a transaction that reads the latest commit and will write.</summary>
    internal abstract ValueTask<DbTransaction> BeginWriteAsync(DbConnection connection, CancellationToken cancellationToken);

    /// <summary>Begins a transaction in which every read sees the same moment.</summary>
    internal abstract ValueTask<DbTransaction> BeginSnapshotAsync(DbConnection connection, CancellationToken cancellationToken);

    /// <summary>Something failed within this connection's transaction, which is undone next.</summary>
    internal virtual void PrepareUndo(DbConnection connection)
    {
    }

    /// <summary>Makes silos that start together migrate one after the other; held to the end of the transaction.</summary>
    internal abstract Task LockMigrationsAsync(DbConnection connection, DbTransaction transaction, CancellationToken cancellationToken);

    /// <summary>Runs the statements in their order, in as few round trips as the driver can. On a turn's connection.</summary>
    internal abstract Task ExecuteAsync(
        DbConnection connection, DbTransaction transaction, IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken);

    /// <summary>Whether the commit can travel with the last statements, so that nobody waits for them alone.</summary>
    internal abstract bool CommitsWithStatements { get; }

    /// <summary>Runs the statements in their order and commits: one round trip. Where <see cref="CommitsWithStatements"/> alone.</summary>
    internal abstract Task ExecuteAndCommitAsync(DbConnection connection, DbTransaction transaction, IReadOnlyList<SqlStatement> statements);

    /// <summary>What a failure before the commit means; null when it did not come from the database.</summary>
    internal abstract StorageFailure? Classify(Exception exception);

    /// <summary>Whether a commit that failed so has certainly not been done: the database itself says no.</summary>
    internal virtual bool IsRefusal(Exception exception) => Classify(exception) is StorageFailure.Rejected or StorageFailure.Conflict;

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();
}

/// <summary>The right to write, until it is disposed.</summary>
/// <param name="connection">The connection to write on.</param>
internal abstract class WriteTurn(DbConnection connection) : IAsyncDisposable
{
    /// <summary>The connection to write on; nobody else's until the turn has ended.</summary>
    public DbConnection Connection => connection;

    /// <summary>Ends the turn.</summary>
    public abstract ValueTask DisposeAsync();
}
