using System.Runtime.Versioning;
using System.Security.Cryptography;
using Federation.Protocol.Identity;
using Federation.Protocol.Machine;
using Federation.Silo.Hubs;
using Federation.Silo.Tests.Storage;

namespace Federation.Silo.Tests.Hubs;

[UnsupportedOSPlatform("windows")]
public sealed class HubIdentityTests : IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly string _directory = Directory.CreateTempSubdirectory("federation-test-").FullName;

    private string KeyFile => Path.Combine(_directory, "hub.key");

    [Fact]
    public void The_first_start_makes_a_key_and_every_other_start_finds_it()
    {
        using var made = HubIdentity.LoadOrCreate(_directory);
        using var found = HubIdentity.LoadOrCreate(_directory);
        Assert.Equal(made.Id, found.Id);
        Assert.Equal(HubId.FromPublicKey(made.PublicKey.Span), made.Id);
        Assert.True(PublicKeys.Verify(made.PublicKey.Span, "words"u8, found.Sign("words"u8)));
    }

    [Fact]
    public async Task A_database_is_the_hubs_that_came_first_and_no_others()
    {
        var database = new SqliteTestDatabase();
        await database.InitializeAsync();
        using var first = HubIdentity.LoadOrCreate(_directory);
        await first.ClaimAsync(database.Database, CancellationToken.None);
        await first.ClaimAsync(database.Database, CancellationToken.None);
        File.Delete(KeyFile);
        using var second = HubIdentity.LoadOrCreate(_directory);
        var refused = await Assert.ThrowsAsync<InvalidDataException>(() => second.ClaimAsync(database.Database, CancellationToken.None));
        Assert.Contains(first.Id.ToString(), refused.Message, StringComparison.Ordinal);
        await database.DisposeAsync();
    }

    [Fact]
    public void The_key_is_readable_by_its_owner_alone()
    {
        HubIdentity.LoadOrCreate(_directory).Dispose();
        Assert.Equal(OwnerOnly, File.GetUnixFileMode(KeyFile));
        Assert.Equal("hub.key", Path.GetFileName(Assert.Single(Directory.GetFiles(_directory))));
    }

    [Theory]
    [InlineData(UnixFileMode.GroupRead)]
    [InlineData(UnixFileMode.OtherRead)]
    [InlineData(UnixFileMode.OtherWrite)]
    public void A_key_that_others_can_read_is_refused_with_the_remedy(UnixFileMode others)
    {
        HubIdentity.LoadOrCreate(_directory).Dispose();
        File.SetUnixFileMode(KeyFile, OwnerOnly | others);
        var refusal = Assert.Throws<UnauthorizedAccessException>(() => HubIdentity.LoadOrCreate(_directory));
        Assert.Contains($"chmod 600 {KeyFile}", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_broken_key_is_refused_and_not_replaced()
    {
        Assert.True(PrivateFile.TryCreate(KeyFile, "not a key"));
        Assert.ThrowsAny<CryptographicException>(() => HubIdentity.LoadOrCreate(_directory));
        Assert.Equal("not a key", File.ReadAllText(KeyFile));
    }

    [Fact]
    public void A_public_key_is_no_hubs_key()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Assert.True(PrivateFile.TryCreate(KeyFile, key.ExportSubjectPublicKeyInfoPem()));
        Assert.ThrowsAny<CryptographicException>(() => HubIdentity.LoadOrCreate(_directory));
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
