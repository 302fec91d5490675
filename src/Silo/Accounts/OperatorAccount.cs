using Dapper;
using Federation.Contracts.Accounts;
using Federation.Protocol.Machine;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Accounts;

/// <summary>The first account of a hub and its admin key, made on the first start.</summary>
internal sealed class OperatorAccount(HubDatabase database, ApiKeys keys, IOptions<StorageOptions> storage, TimeProvider time)
{
    public const string AccountId = "acct_operator";

    /// <summary>The file that holds the admin key, in the data directory, mode 0600.</summary>
    public string KeyFile => Path.Combine(storage.Value.DataDirectory, "admin.key");

    /// <summary>Makes the account and its key unless they exist; the key when it was made now.</summary>
    public async Task<string?> EnsureAsync(CancellationToken cancellationToken)
    {
        // Of two silos that start together on an empty database, one inserts the row, and that one makes the key.
        var created = await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                "INSERT INTO accounts (id, name, tier, created_at) VALUES (@AccountId, 'operator', @Tier, @Now) ON CONFLICT (id) DO NOTHING",
                new { AccountId, Tier = TierNames.Of(Tier.Enterprise), Now = Ms(time.GetUtcNow()) },
                transaction),
            cancellationToken);
        if (created == 0) return null;
        var (_, key) = await keys.CreateAsync(AccountId, "admin", Scopes.All, lifetime: null, cancellationToken);
        // An old file belongs to an old database; its key opens nothing any more.
        File.Delete(KeyFile);
        PrivateFile.TryCreate(KeyFile, key);
        return key;
    }
}
