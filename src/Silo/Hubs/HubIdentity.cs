using Dapper;
using Federation.Protocol.Identity;
using Federation.Protocol.Machine;
using Federation.Silo.Storage;
using Federation.Silo.Webhooks;

namespace Federation.Silo.Hubs;

/// <summary>
/// The hub's key pair. Every silo of a hub needs the same <c>hub.key</c>: it is what receipts are counter-signed with and
/// what nodes know the hub by.
/// </summary>
internal sealed class HubIdentity : IDisposable
{
    // A P-256 key in PEM has 241.
    private const int KeyBytesMax = 16 * 1024;

    private readonly SigningKey _key;
    private readonly byte[] _webhookSecret;

    public HubIdentity(SigningKey key)
    {
        _key = key;
        _webhookSecret = key.DeriveSecret("federation/webhooks"u8);
        Id = HubId.FromPublicKey(key.PublicKey.Span);
    }

    public HubId Id { get; }

    /// <summary>DER SubjectPublicKeyInfo.</summary>
    public ReadOnlyMemory<byte> PublicKey => _key.PublicKey;

    public byte[] Sign(ReadOnlySpan<byte> data) => _key.Sign(data);

    /// <summary>What deliveries to a webhook are signed with: the same on every silo, and nowhere on disk.</summary>
    public string WebhookSecret(string webhookId, long version) => WebhookSignature.Secret(_webhookSecret, webhookId, version);

    /// <summary>Reads the key of this data directory, or makes one on the first start.</summary>
    public static HubIdentity LoadOrCreate(string dataDirectory)
    {
        var path = Path.Combine(dataDirectory, "hub.key");
        if (PrivateFile.TryReadSecret(path, KeyBytesMax) is not { } pem)
        {
            using var created = SigningKey.Create();
            // Another silo on the same directory may be first; then its key counts.
            PrivateFile.TryCreate(path, created.ToPem());
            pem = PrivateFile.TryReadSecret(path, KeyBytesMax) ?? throw new IOException($"The hub's key {path} vanished while it was made.");
        }
        return new HubIdentity(SigningKey.FromPem(pem));
    }

    /// <summary>Makes a new database this hub's, and makes sure that a used one is.</summary>
    /// <exception cref="InvalidDataException">It belongs to a hub with another key.</exception>
    public async Task ClaimAsync(HubDatabase database, CancellationToken cancellationToken)
    {
        var owner = await database.WriteAsync(
            async (connection, transaction) =>
            {
                await connection.ExecuteAsync("INSERT INTO hub (one, id) VALUES (1, @id) ON CONFLICT DO NOTHING", new { id = Id.ToString() }, transaction);
                return await connection.QuerySingleAsync<string>("SELECT id FROM hub", transaction: transaction);
            },
            cancellationToken);
        if (owner != Id.ToString())
            throw new InvalidDataException($"The database belongs to the hub {owner}, but hub.key in the data directory is {Id}'s. Every silo of a hub needs the same hub.key: copy it from a silo that runs, or give this hub a database of its own.");
    }

    public void Dispose() => _key.Dispose();
}
