using System.Security.Cryptography;
using System.Text;

namespace Federation.NodeAgent.Configuration;

/// <summary>
/// The key pair that a node is: ECDSA P-256, made on this machine at first use, never leaving it. Whoever has the file is the node
/// and can take what it earns, hence the checks on its mode. Safe for use by several threads.
/// </summary>
public sealed class NodeKey : IDisposable
{
    private const int MaxBytes = 16 * 1024;

    private readonly ECDsa _key;
    private readonly Lock _signing = new();

    private NodeKey(ECDsa key)
    {
        _key = key;
        PublicKey = key.ExportSubjectPublicKeyInfo();
        NodeId = $"nd_{Convert.ToHexStringLower(SHA256.HashData(PublicKey.Span).AsSpan(0, 16))}";
    }

    /// <summary>SubjectPublicKeyInfo, DER.</summary>
    public ReadOnlyMemory<byte> PublicKey { get; }

    /// <summary>The id that follows from the public key: <c>nd_</c> and the first 32 hexadecimal digits of its SHA-256.</summary>
    public string NodeId { get; }

    /// <summary>Opens the key in <paramref name="path"/>, or makes one there. Of several processes that make one at once, all get the same.</summary>
    /// <exception cref="NodeKeyException">The file is no such key, or others may read it.</exception>
    /// <exception cref="IOException">The file could not be read or written.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not read or write there.</exception>
    public static NodeKey LoadOrCreate(string path)
    {
        if (TryLoad(path) is { } existing)
        {
            return existing;
        }

        PrivateFile.EnsureDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        byte[] pem = Encoding.ASCII.GetBytes(key.ExportPkcs8PrivateKeyPem() + "\n");
        try
        {
            PrivateFile.TryCreate(path, pem);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(pem);
        }

        // Read back even when it is ours: what counts is what the next start will find.
        return Load(path);
    }

    /// <summary>Opens the key in <paramref name="path"/>.</summary>
    /// <exception cref="NodeKeyException">There is none, the file is no such key, or others may read it.</exception>
    /// <exception cref="IOException">The file could not be read.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not read it.</exception>
    public static NodeKey Load(string path) =>
        TryLoad(path) ?? throw new NodeKeyException($"There is no node key at {path}. Run `federation-node join` to make this machine a node.");

    /// <summary>ECDSA over the SHA-256 of <paramref name="data"/>: r and s, 32 bytes each.</summary>
    public byte[] Sign(ReadOnlySpan<byte> data)
    {
        lock (_signing)
        {
            return _key.SignData(data, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _key.Dispose();

    private static NodeKey? TryLoad(string path)
    {
        byte[] pem;
        try
        {
            using FileStream file = File.OpenRead(path);
            RefuseIfShared(file, path);
            pem = PrivateFile.Read(file, MaxBytes);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (InvalidDataException exception)
        {
            throw NoKey(path, exception);
        }

        try
        {
            return Parse(pem, path);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(pem);
        }
    }

    private static void RefuseIfShared(FileStream file, string path)
    {
        // Asked of the open file, so that it cannot be exchanged between the question and the reading.
        if (!OperatingSystem.IsWindows() && File.GetUnixFileMode(file.SafeFileHandle) is var mode && (mode & PrivateFile.Others) != 0)
        {
            throw new NodeKeyException(
                $"Other users of this machine may use the node key {path} (mode {Convert.ToString((int)mode, 8)}). Take that away with "
                + $"`chmod 600 {path}`; if someone may have copied it, delete it and join anew.");
        }
    }

    private static NodeKey Parse(byte[] pem, string path)
    {
        ECDsa key = ECDsa.Create();
        Exception? cause = null;
        try
        {
            key.ImportFromPem(Encoding.ASCII.GetString(pem));
            // Exporting the private part proves that there is one: a public key imports just as well.
            ECParameters parameters = key.ExportParameters(includePrivateParameters: true);
            CryptographicOperations.ZeroMemory(parameters.D);
            if (parameters.Curve.Oid.Value == ECCurve.NamedCurves.nistP256.Oid.Value)
            {
                return new NodeKey(key);
            }
        }
        catch (Exception exception) when (exception is ArgumentException or CryptographicException)
        {
            cause = exception;
        }

        key.Dispose();
        throw NoKey(path, cause);
    }

    private static NodeKeyException NoKey(string path, Exception? cause) =>
        new($"{path} is not a private P-256 key in PEM form. Restore it from a backup, or delete it and join anew as a new node.", cause);
}

/// <summary>The node's key cannot be used. The message can be shown as it is.</summary>
public sealed class NodeKeyException(string message, Exception? cause = null) : Exception(message, cause);
