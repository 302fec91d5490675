using System.Collections.Immutable;
using System.Data.Common;
using System.Runtime.CompilerServices;
using Dapper;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Files;

/// <summary>Clients' files in the hub's database (ADR 26): written and read in pieces, never whole in memory.</summary>
internal sealed class FileStore(HubDatabase database, IOptions<ClientFileOptions> options, TimeProvider time)
{
    public const int ListMax = 10_000;

    /// <summary>Bytes of a piece: large enough that a commit to disk does not rule the speed, small enough to be held by many at once.</summary>
    public const int PieceBytes = 1024 * 1024;

    private const int SweepMax = 20;

    private ClientFileOptions Limits => options.Value;

    /// <summary>Begins a file; null when its account has as many as it may.</summary>
    /// <param name="accountId">Whose.</param>
    /// <param name="isBounded">False for what the hub writes itself: an answer is not lost for want of room.</param>
    /// <param name="cancellationToken">Ends the wait for the database.</param>
    public Task<FileWriter?> BeginAsync(string accountId, bool isBounded, CancellationToken cancellationToken) => database.WriteAsync<FileWriter?>(
        async (connection, transaction) =>
        {
            if (isBounded && await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM files WHERE account_id = @accountId", new { accountId }, transaction) >= Limits.MaxAccountFiles) return null;
            var id = $"file-{Guid.CreateVersion7():N}";
            await connection.ExecuteAsync(
                "INSERT INTO files (id, account_id, purpose, filename, bytes, state, created_at) VALUES (@id, @accountId, '', '', 0, 'writing', @now)", new { id, accountId, now = Ms(time.GetUtcNow()) }, transaction);
            return new FileWriter(this, id, accountId, isBounded);
        },
        cancellationToken);

    /// <summary>Whether an account may have another file; those being written count.</summary>
    public Task<bool> HasRoomAsync(string accountId, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var (count, bytes) = await connection.QuerySingleAsync<(long Count, long Bytes)>("SELECT count(*), CAST(COALESCE(sum(bytes), 0) AS bigint) FROM files WHERE account_id = @accountId", new { accountId });
            return count < Limits.MaxAccountFiles && bytes < Limits.MaxAccountBytes;
        },
        cancellationToken);

    /// <summary>A file of this account that is whole; null when there is none.</summary>
    public Task<ClientFile?> FindAsync(string accountId, string id, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.QuerySingleOrDefaultAsync<ClientFile?>($"SELECT {ClientFile.Columns} FROM files WHERE id = @id AND account_id = @accountId AND state = 'ready'", new { id, accountId }), cancellationToken);

    /// <summary>An account's files, the newest first or the oldest.</summary>
    public Task<ImmutableArray<ClientFile>> ListAsync(string accountId, string? purpose, string? after, bool oldestFirst, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<ClientFile>(
            $"""
            SELECT {ClientFile.Columns} FROM files
            WHERE account_id = @accountId AND state = 'ready' AND (@purpose = '' OR purpose = @purpose) AND (@after = '' OR id {(oldestFirst ? ">" : "<")} @after)
            ORDER BY id {(oldestFirst ? "ASC" : "DESC")} LIMIT @limit
            """,
            new { accountId, purpose = purpose ?? string.Empty, after = after ?? string.Empty, limit = (long)limit })).ToImmutableArray(),
        cancellationToken);

    /// <summary>A file's bytes, piece by piece. A file that is deleted meanwhile ends early.</summary>
    public async IAsyncEnumerable<byte[]> ReadAsync(string id, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        for (var seq = 0L; ; seq++)
        {
            var at = seq;
            var piece = await database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<byte[]?>("SELECT content FROM file_pieces WHERE file_id = @id AND seq = @at", new { id, at }), cancellationToken);
            if (piece is null) yield break;
            yield return piece;
        }
    }

    /// <summary>Deletes a file.</summary>
    public Task<FileDeletion> DeleteAsync(string accountId, string id, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            if (await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM files WHERE id = @id AND account_id = @accountId AND state = 'ready'", new { id, accountId }, transaction) == 0) return FileDeletion.Unknown;
            if (await IsReadAsync(connection, transaction, id)) return FileDeletion.InUse;
            await DeleteAsync(connection, transaction, id);
            return FileDeletion.Deleted;
        },
        cancellationToken);

    /// <summary>Deletes files whose time is up, and what was left half written; how many, a round at most.</summary>
    public async Task<int> SweepAsync(CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        // An upload that still goes on has ended by its own time-out long before.
        var left = now - (2 * Limits.UploadTimeout);
        var old = await database.ReadAsync(
            async connection => (await connection.QueryAsync<string>(
                // Without those that are still read: they would fill every round until their batches end.
                $"""
                SELECT id FROM files
                WHERE (expires_at < @now OR (state = 'writing' AND created_at < @left)) AND NOT EXISTS (SELECT 1 FROM batches WHERE input_file_id = files.id AND finished_at IS NULL) LIMIT {SweepMax}
                """, new { now = Ms(now), left = Ms(left) })).ToImmutableArray(),
            cancellationToken);
        var deleted = 0;
        foreach (var id in old)
        {
            deleted += await database.WriteAsync(
                async (connection, transaction) =>
                {
                    if (await IsReadAsync(connection, transaction, id)) return 0;
                    await DeleteAsync(connection, transaction, id);
                    return 1;
                },
                cancellationToken);
        }
        return deleted;
    }

    /// <summary>Makes a written file a whole one, as part of a larger write.</summary>
    public async Task FinishAsync(DbConnection connection, DbTransaction transaction, string id, string purpose, string filename, TimeSpan? lifetime)
    {
        var now = time.GetUtcNow();
        var finished = await connection.ExecuteAsync(
            "UPDATE files SET state = 'ready', purpose = @purpose, filename = @filename, created_at = @now, expires_at = @expires WHERE id = @id AND state = 'writing'",
            new { id, purpose, filename, now = Ms(now), expires = Ms(now + (lifetime ?? Limits.Retention)) },
            transaction);
        if (finished != 1) throw new StorageException(StorageFailure.Rejected, $"File {id} was swept away while it was written.");
    }

    internal Task<ClientFile> FinishAsync(string id, string purpose, string filename, TimeSpan? lifetime, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            await FinishAsync(connection, transaction, id, purpose, filename, lifetime);
            return await connection.QuerySingleAsync<ClientFile>($"SELECT {ClientFile.Columns} FROM files WHERE id = @id", new { id }, transaction);
        },
        cancellationToken);

    /// <summary>Adds a piece; false when the account has no room for it.</summary>
    internal Task<bool> AppendAsync(FileWriter file, long seq, ReadOnlyMemory<byte> piece, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            if (file.IsBounded)
            {
                var has = await connection.ExecuteScalarAsync<long>("SELECT COALESCE(sum(bytes), 0) FROM files WHERE account_id = @AccountId", new { file.AccountId }, transaction);
                if (has + piece.Length > Limits.MaxAccountBytes) return false;
            }
            await connection.ExecuteAsync("INSERT INTO file_pieces (file_id, seq, content) VALUES (@Id, @seq, @content)", new { file.Id, seq, content = piece.ToArray() }, transaction);
            await connection.ExecuteAsync("UPDATE files SET bytes = bytes + @length WHERE id = @Id", new { file.Id, length = (long)piece.Length }, transaction);
            return true;
        },
        cancellationToken);

    internal Task DropAsync(string id) => database.WriteAsync((connection, transaction) => DeleteAsync(connection, transaction, id), CancellationToken.None);

    private static Task<int> DeleteAsync(DbConnection connection, DbTransaction transaction, string id)
        => connection.ExecuteAsync("DELETE FROM file_pieces WHERE file_id = @id; DELETE FROM files WHERE id = @id", new { id }, transaction);

    /// <summary>Whether a batch still reads the file.</summary>
    private static async Task<bool> IsReadAsync(DbConnection connection, DbTransaction transaction, string id)
        => await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM batches WHERE input_file_id = @id AND finished_at IS NULL", new { id }, transaction) > 0;
}

/// <summary>What became of a wish to delete a file.</summary>
internal enum FileDeletion
{
    /// <summary>Gone.</summary>
    Deleted,

    /// <summary>The account has no such file.</summary>
    Unknown,

    /// <summary>A batch still reads it.</summary>
    InUse,
}

/// <summary>A file that is being written. Used by one thread at a time; what was begun and not finished is dropped with it.</summary>
internal sealed class FileWriter(FileStore store, string id, string accountId, bool isBounded) : IAsyncDisposable
{
    private readonly byte[] _piece = new byte[FileStore.PieceBytes];
    private int _filled;
    private long _seq;
    private bool _finished;

    public string Id => id;

    public string AccountId => accountId;

    /// <summary>Whether the account's room is its bound.</summary>
    public bool IsBounded => isBounded;

    /// <summary>What was written so far, bytes.</summary>
    public long Length { get; private set; }

    /// <summary>Adds bytes; false when there is no room for them.</summary>
    public async ValueTask<bool> WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        while (!bytes.IsEmpty)
        {
            var taken = Math.Min(bytes.Length, _piece.Length - _filled);
            bytes[..taken].CopyTo(_piece.AsMemory(_filled));
            (_filled, Length, bytes) = (_filled + taken, Length + taken, bytes[taken..]);
            if (_filled == _piece.Length && !await FlushAsync(cancellationToken)) return false;
        }
        return true;
    }

    /// <summary>Writes what is still held; false when there is no room for it.</summary>
    public async ValueTask<bool> FlushAsync(CancellationToken cancellationToken)
    {
        if (_filled > 0 && !await store.AppendAsync(this, _seq, _piece.AsMemory(0, _filled), cancellationToken)) return false;
        if (_filled > 0) _seq++;
        _filled = 0;
        return true;
    }

    /// <summary>The file is whole, and on disk. Everything was flushed before.</summary>
    public async Task<ClientFile> FinishAsync(string purpose, string filename, TimeSpan? lifetime, CancellationToken cancellationToken)
    {
        var file = await store.FinishAsync(id, purpose, filename, lifetime, cancellationToken);
        _finished = true;
        return file;
    }

    /// <summary>Somebody else's write has made it whole.</summary>
    public void Keep() => _finished = true;

    public async ValueTask DisposeAsync()
    {
        if (_finished) return;
        try
        {
            await store.DropAsync(id);
        }
        catch (Storage.StorageException exception) when (exception.IsTransient)
        {
            // The sweep finds it.
        }
    }
}
