using System.Data.Common;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Federation.Silo.Storage;

/// <summary>SQLite in the data directory: nothing to set up, one process.</summary>
internal sealed class SqliteDialect : SqlDialect
{
    private readonly string _connectionString;
    private readonly string _pragmas;
    private readonly string _writerPragmas;

    // What connections of the pool were told, the pragmas: told anew each time, they cost more than most queries.
    private readonly ConditionalWeakTable<sqlite3, string> _told = [];

    // SQLite has one writer at a time. Our own writers queue here, in order, instead of spinning on SQLITE_BUSY.
    private readonly SemaphoreSlim _turn = new(1, 1);

    // All of them write on one connection: what it keeps of the database stays true, since nobody else changes it, where a connection that hears of another's commit forgets every page it has read.
    private Writer? _writer;
    private bool _isDisposed;

    public SqliteDialect(StorageOptions options)
    {
        var directory = Directory.CreateDirectory(options.DataDirectory);
        _connectionString = new SqliteConnectionStringBuilder
        {
            DataSource = Path.Combine(directory.FullName, "hub.db"),
            Mode = SqliteOpenMode.ReadWriteCreate,
            Pooling = true,
            DefaultTimeout = (int)options.CommandTimeout.TotalSeconds,
        }.ToString();

        // FULL: the write-ahead log is synced before a commit returns, so what was acknowledged survives a power cut.
        _pragmas = $"PRAGMA foreign_keys = ON; PRAGMA busy_timeout = {(long)options.CommandTimeout.TotalMilliseconds}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
        // Below zero it is KiB.
        _writerPragmas = string.Create(CultureInfo.InvariantCulture, $"{_pragmas} PRAGMA cache_size = -{options.WriteCacheBytes / 1024};");
        SQLitePCL.Batteries_V2.Init();
    }

    public override string Name => "sqlite";

    // The writer holds the whole database already.
    public override string ForUpdate => "";

    public override string Identity => "integer PRIMARY KEY AUTOINCREMENT";

    internal override bool Blocks => true;

    public override string In(string column, string parameter) => $"{column} IN (SELECT value FROM json_each(@{parameter}))";

    public override string Rows(string parameter) => $"SELECT value FROM json_each(@{parameter})";

    public override object Set(IEnumerable<string> values) => JsonSerializer.Serialize(values);

    internal override async ValueTask<DbConnection> OpenAsync(CancellationToken cancellationToken)
    {
        SqliteConnection connection = new(_connectionString);
        try
        {
            await connection.OpenAsync(cancellationToken);
            if (!_told.TryGetValue(connection.Handle!, out _))
            {
                await TellAsync(connection, _pragmas, cancellationToken);
                _told.AddOrUpdate(connection.Handle!, _pragmas);
            }
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    internal override async ValueTask<WriteTurn> TakeTurnAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            return new Turn(this, _writer ??= await OpenWriterAsync(cancellationToken));
        }
        catch
        {
            _turn.Release();
            throw;
        }
    }

    private async Task<Writer> OpenWriterAsync(CancellationToken cancellationToken)
    {
        SqliteConnection connection = new(new SqliteConnectionStringBuilder(_connectionString) { Pooling = false }.ToString());
        try
        {
            await connection.OpenAsync(cancellationToken);
            await TellAsync(connection, _writerPragmas, cancellationToken);
            return new Writer(connection);
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    private static async Task TellAsync(SqliteConnection connection, string pragmas, CancellationToken cancellationToken)
    {
        using var command = connection.CreateCommand();
        command.CommandText = pragmas;
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    internal override ValueTask<DbTransaction> BeginWriteAsync(DbConnection connection, CancellationToken cancellationToken) =>
        new(((SqliteConnection)connection).BeginTransaction(deferred: false));

    internal override ValueTask<DbTransaction> BeginSnapshotAsync(DbConnection connection, CancellationToken cancellationToken) =>
        new(((SqliteConnection)connection).BeginTransaction(deferred: true));

    internal override void PrepareUndo(DbConnection connection)
    {
        // On a full disk SQLite undoes the transaction by itself. The driver does not know, undoes it once more, and what it then complains of would take the place of what went wrong. An empty
        // transaction gives it something to undo.
        if (((SqliteConnection)connection).Handle is { } handle && raw.sqlite3_get_autocommit(handle) != 0) _ = raw.sqlite3_exec(handle, "BEGIN");
    }

    // A write transaction is the lock.
    internal override Task LockMigrationsAsync(DbConnection connection, DbTransaction transaction, CancellationToken cancellationToken) =>
        Task.CompletedTask;

    internal override Task ExecuteAsync(
        DbConnection connection, DbTransaction transaction, IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken)
    {
        // The driver's own commands would be prepared anew for each commit, and look up each parameter by its name for each row.
        if (_writer is not { } writer || writer.Connection != connection) throw new InvalidOperationException("Statements run on a turn's connection.");
        foreach (var statement in statements)
        {
            cancellationToken.ThrowIfCancellationRequested();
            writer.Writes.Execute(statement);
        }
        return Task.CompletedTask;
    }

    // There is no way to go that could be saved.
    internal override bool CommitsWithStatements => false;

    internal override Task ExecuteAndCommitAsync(DbConnection connection, DbTransaction transaction, IReadOnlyList<SqlStatement> statements) =>
        throw new NotSupportedException("SQLite commits by itself.");

    internal override StorageFailure? Classify(Exception exception) => exception switch
    {
        SqliteException { SqliteErrorCode: Busy or Locked } => StorageFailure.Conflict,
        SqliteException { SqliteErrorCode: IoError or Full or CannotOpen or ReadOnly } => StorageFailure.Unavailable,
        SqliteException => StorageFailure.Rejected,
        _ => null,
    };

    public override async ValueTask DisposeAsync()
    {
        // What is being written ends first.
        await _turn.WaitAsync();
        try
        {
            _isDisposed = true;
            _writer?.Dispose();
            _writer = null;
            using SqliteConnection pool = new(_connectionString);
            SqliteConnection.ClearPool(pool);
        }
        finally
        {
            _turn.Release();
        }
    }

    // https://www.sqlite.org/rescode.html
    private const int Busy = 5;
    private const int Locked = 6;
    private const int ReadOnly = 8;
    private const int IoError = 10;
    private const int Full = 13;
    private const int CannotOpen = 14;

    /// <summary>The one connection that writes, and what is prepared on it.</summary>
    private sealed class Writer(SqliteConnection connection) : IDisposable
    {
        public SqliteConnection Connection => connection;

        public SqliteWrites Writes { get; } = new(connection.Handle!);

        public void Dispose()
        {
            // A connection is closed when nothing is prepared on it any more.
            Writes.Dispose();
            connection.Dispose();
        }
    }

    private sealed class Turn(SqliteDialect dialect, Writer writer) : WriteTurn(writer.Connection)
    {
        public override ValueTask DisposeAsync()
        {
            try
            {
                // A transaction that could not be undone would be the next writer's; and so would a connection that was closed.
                if (writer.Connection.Handle is not { } handle || raw.sqlite3_get_autocommit(handle) == 0)
                {
                    dialect._writer = null;
                    writer.Dispose();
                }
            }
            finally
            {
                dialect._turn.Release();
            }
            return ValueTask.CompletedTask;
        }
    }
}
