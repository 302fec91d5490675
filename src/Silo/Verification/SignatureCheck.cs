using Federation.Protocol.Identity;

namespace Federation.Silo.Verification;

/// <summary>What a signature turned out to be.</summary>
internal enum SignatureFinding
{
    /// <summary>The key's.</summary>
    Right,

    /// <summary>Not the key's: twice, and a signature that is right was found right in between.</summary>
    Wrong,

    /// <summary>Nobody can say: this machine did not find a right signature right.</summary>
    Unknown,
}

/// <summary>
/// Looks again at a signature whose being wrong bans a node. OpenSSL fails for want of memory, too, and its failures are not told apart from wrong signatures.
/// </summary>
internal static class SignatureCheck
{
    private static readonly (byte[] PublicKey, byte[] Data, byte[] Signature) Known = MakeKnown();

    /// <summary>Whether a signature is right.</summary>
    /// <param name="isRight">Checks it, importing its key anew each time, as <see cref="PublicKeys.Verify"/> does.</param>
    public static SignatureFinding Of(Func<bool> isRight) => Of(isRight, static () => PublicKeys.Verify(Known.PublicKey, Known.Data, Known.Signature));

    /// <summary>The same, with what stands for a signature that is right.</summary>
    internal static SignatureFinding Of(Func<bool> isRight, Func<bool> isKnownRight)
    {
        if (isRight()) return SignatureFinding.Right;
        var works = isKnownRight();
        if (isRight()) return SignatureFinding.Right;
        return works ? SignatureFinding.Wrong : SignatureFinding.Unknown;
    }

    private static (byte[] PublicKey, byte[] Data, byte[] Signature) MakeKnown()
    {
        using var key = SigningKey.Create();
        var data = "cf1/signature-check\0"u8.ToArray();
        return (key.PublicKey.ToArray(), data, key.Sign(data));
    }
}
