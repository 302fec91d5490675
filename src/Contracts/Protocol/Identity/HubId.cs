namespace Federation.Protocol.Identity;

/// <summary>The id of one operator's deployment: <c>hb_</c> and the first 16 bytes of the SHA-256 of its public key, in hexadecimal.</summary>
public readonly record struct HubId
{
    private const string Prefix = "hb_";
    private readonly string? _text;

    private HubId(string text) => _text = text;

    /// <summary>The id of the holder of this public key.</summary>
    /// <param name="subjectPublicKeyInfo">The public key as DER SubjectPublicKeyInfo.</param>
    public static HubId FromPublicKey(ReadOnlySpan<byte> subjectPublicKeyInfo)
        => new(KeyDerivedId.FromPublicKey(Prefix, subjectPublicKeyInfo));

    /// <summary>Reads an id; <see langword="false"/> when <paramref name="text"/> is not one.</summary>
    public static bool TryParse(string? text, out HubId id)
    {
        var wellFormed = KeyDerivedId.IsWellFormed(Prefix, text);
        id = wellFormed ? new HubId(text!) : default;
        return wellFormed;
    }

    /// <summary>Reads an id.</summary>
    /// <exception cref="FormatException"><paramref name="text"/> is not one.</exception>
    public static HubId Parse(string text)
        => TryParse(text, out var id) ? id : throw new FormatException($"'{text}' is not a hub id.");

    /// <inheritdoc />
    public override string ToString() => _text ?? string.Empty;
}
