using System.Security.Cryptography;
using System.Text;
using Federation.NodeAgent.Configuration;

namespace Federation.NodeAgent.Tests.Configuration;

public sealed class NodeKeyTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private string KeyFile => _directory.File("node.key");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_key_is_made_once_and_then_stays()
    {
        using NodeKey made = NodeKey.LoadOrCreate(KeyFile);
        using NodeKey found = NodeKey.LoadOrCreate(KeyFile);
        using NodeKey loaded = NodeKey.Load(KeyFile);

        Assert.Equal(made.NodeId, found.NodeId);
        Assert.Equal(made.PublicKey.ToArray(), loaded.PublicKey.ToArray());
    }

    [Fact]
    public void The_directory_is_made_too()
    {
        using NodeKey key = NodeKey.LoadOrCreate(Path.Combine(_directory.Path, "new", "node.key"));
        Assert.StartsWith("nd_", key.NodeId, StringComparison.Ordinal);
    }

    [Fact]
    public void The_file_is_a_PKCS8_PEM_of_its_owner_alone_and_nothing_lies_beside_it()
    {
        NodeKey.LoadOrCreate(KeyFile).Dispose();

        Assert.StartsWith("-----BEGIN PRIVATE KEY-----", File.ReadAllText(KeyFile), StringComparison.Ordinal);
        Assert.Equal([KeyFile], Directory.GetFileSystemEntries(_directory.Path));
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(KeyFile));
        }
    }

    [Fact]
    public void A_signature_is_64_bytes_that_the_public_key_verifies()
    {
        using NodeKey key = NodeKey.LoadOrCreate(KeyFile);
        byte[] data = Encoding.UTF8.GetBytes("proof");

        byte[] signature = key.Sign(data);

        Assert.Equal(64, signature.Length);
        using ECDsa hub = ECDsa.Create();
        hub.ImportSubjectPublicKeyInfo(key.PublicKey.Span, out int read);
        Assert.Equal(key.PublicKey.Length, read);
        Assert.True(hub.VerifyData(data, signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation));
        data[0] ^= 1;
        Assert.False(hub.VerifyData(data, signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation));
    }

    [Fact]
    public void The_node_id_is_the_beginning_of_the_public_key_s_hash()
    {
        using NodeKey key = NodeKey.LoadOrCreate(KeyFile);
        string hash = Convert.ToHexStringLower(SHA256.HashData(key.PublicKey.Span));
        Assert.Equal("nd_" + hash[..32], key.NodeId);
    }

    [Fact]
    public async Task Many_that_make_it_at_once_get_the_same_key()
    {
        string[] ids = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() =>
        {
            using NodeKey key = NodeKey.LoadOrCreate(KeyFile);
            return key.NodeId;
        })));

        Assert.Single(ids.Distinct());
        Assert.Equal([KeyFile], Directory.GetFileSystemEntries(_directory.Path));
    }

    [Fact]
    public async Task Several_threads_may_sign()
    {
        using NodeKey key = NodeKey.LoadOrCreate(KeyFile);
        using ECDsa hub = ECDsa.Create();
        hub.ImportSubjectPublicKeyInfo(key.PublicKey.Span, out _);

        (byte[] Data, byte[] Signature)[] signed = await Task.WhenAll(Enumerable.Range(0, 64).Select(i => Task.Run(() =>
        {
            byte[] data = BitConverter.GetBytes(i);
            return (data, key.Sign(data));
        })));

        Assert.All(signed, pair => Assert.True(
            hub.VerifyData(pair.Data, pair.Signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation)));
    }

    [Theory]
    [InlineData(UnixFileMode.GroupRead)]
    [InlineData(UnixFileMode.OtherRead)]
    [InlineData(UnixFileMode.OtherWrite)]
    public void A_key_that_others_may_use_is_refused_with_the_remedy(UnixFileMode others)
    {
        if (OperatingSystem.IsWindows())
        {
            return; // no modes there
        }

        NodeKey.LoadOrCreate(KeyFile).Dispose();
        File.SetUnixFileMode(KeyFile, UnixFileMode.UserRead | UnixFileMode.UserWrite | others);

        var exception = Assert.Throws<NodeKeyException>(() => NodeKey.LoadOrCreate(KeyFile));

        Assert.Contains($"chmod 600 {KeyFile}", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_key_is_named_and_not_made_by_loading()
    {
        var exception = Assert.Throws<NodeKeyException>(() => NodeKey.Load(KeyFile));
        Assert.Contains("federation-node join", exception.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(KeyFile));
    }

    public static TheoryData<string> FilesThatAreNoKey()
    {
        using ECDsa p256 = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using ECDsa p384 = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        using RSA rsa = RSA.Create(2048);
        return new TheoryData<string>(
            "",
            "garbage",
            p256.ExportSubjectPublicKeyInfoPem(),
            p384.ExportPkcs8PrivateKeyPem(),
            rsa.ExportPkcs8PrivateKeyPem(),
            p256.ExportEncryptedPkcs8PrivateKeyPem("secret", new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000)),
            p256.ExportPkcs8PrivateKeyPem()[..80],
            new string('x', 64 * 1024));
    }

    [Theory]
    [MemberData(nameof(FilesThatAreNoKey))]
    public void What_is_no_private_P256_key_is_refused_and_left_alone(string content)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        using (var writer = new StreamWriter(KeyFile, options))
        {
            writer.Write(content);
        }

        Assert.Throws<NodeKeyException>(() => NodeKey.LoadOrCreate(KeyFile));

        Assert.Equal(content, File.ReadAllText(KeyFile));
    }
}
