namespace Federation.Protocol.Identity;

/// <summary>The id of a contributor's machine: <c>nd_</c> and the first 16 bytes of the SHA-256 of its public key, in hexadecimal.</summary>
public readonly record struct NodeId
{
    private const string Prefix = "nd_";
    private readonly string? _text;

    private NodeId(string text) => _text = text;

    /// <summary>The id of the holder of this public key.</summary>
    /// <param name="subjectPublicKeyInfo">The public key as DER SubjectPublicKeyInfo.</param>
    public static NodeId FromPublicKey(ReadOnlySpan<byte> subjectPublicKeyInfo)
        => new(KeyDerivedId.FromPublicKey(Prefix, subjectPublicKeyInfo));

    /// <summary>Reads an id; <see langword="false"/> when <paramref name="text"/> is not one.</summary>
    public static bool TryParse(string? text, out NodeId id)
    {
        var wellFormed = KeyDerivedId.IsWellFormed(Prefix, text);
        id = wellFormed ? new NodeId(text!) : default;
        return wellFormed;
    }

    /// <summary>Reads an id.</summary>
    /// <exception cref="FormatException"><paramref name="text"/> is not one.</exception>
    public static NodeId Parse(string text)
        => TryParse(text, out var id) ? id : throw new FormatException($"'{text}' is not a node id.");

    /// <inheritdoc />
    public override string ToString() => _text ?? string.Empty;
}
