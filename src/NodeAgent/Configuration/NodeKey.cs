using System.Security.Cryptography;
using System.Text;
using Federation.Protocol.Identity;
using Federation.Protocol.Machine;

namespace Federation.NodeAgent.Configuration;

/// <summary>
/// The key pair that a node is: ECDSA P-256, made on this machine at first use, never leaving it. Whoever has the file is the node
/// and can take what it earns, hence the checks on its mode. Safe for use by several threads.
/// </summary>
public sealed class NodeKey : IDisposable
{
    private const int MaxBytes = 16 * 1024;

    private readonly SigningKey _key;

    private NodeKey(SigningKey key)
    {
        _key = key;
        NodeId = Protocol.Identity.NodeId.FromPublicKey(key.PublicKey.Span).ToString();
    }

    /// <summary>SubjectPublicKeyInfo, DER.</summary>
    public ReadOnlyMemory<byte> PublicKey => _key.PublicKey;

    /// <summary>The text of the <see cref="Protocol.Identity.NodeId"/> that follows from the public key.</summary>
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
        using var key = SigningKey.Create();
        byte[] pem = Encoding.ASCII.GetBytes(key.ToPem() + "\n");
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
    public byte[] Sign(ReadOnlySpan<byte> data) => _key.Sign(data);

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
        if (!PrivateFile.IsOpenToOthers(file)) return;
        throw new NodeKeyException(
            $"Other users of this machine may use the node key {path}. Take that away with `chmod 600 {path}`; if someone may have copied it, delete it and join anew.");
    }

    private static NodeKey Parse(byte[] pem, string path)
    {
        try
        {
            return new NodeKey(SigningKey.FromPem(Encoding.ASCII.GetString(pem)));
        }
        catch (Exception exception) when (exception is CryptographicException or FormatException)
        {
            throw NoKey(path, exception);
        }
    }

    private static NodeKeyException NoKey(string path, Exception? cause) =>
        new($"{path} is not a private P-256 key in PEM form. Restore it from a backup, or delete it and join anew as a new node.", cause);
}

/// <summary>The node's key cannot be used. The message can be shown as it is.</summary>
public sealed class NodeKeyException(string message, Exception? cause = null) : Exception(message, cause);
