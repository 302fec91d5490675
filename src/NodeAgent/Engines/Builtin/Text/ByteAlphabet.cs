namespace Federation.NodeAgent.Engines.Builtin.Text;

/// <summary>
/// The printable characters in which byte-level vocabularies are written: GPT-2 gave each of the 256 bytes one, itself where it is visible,
/// else one from U+0100 upwards.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = MakeCharacters();
    private static readonly Dictionary<char, byte> Bytes = Enumerable.Range(0, 256).ToDictionary(b => Characters[b], b => (byte)b);

    /// <summary>The character that stands for a byte.</summary>
    public static char Character(byte value) => Characters[value];

    /// <summary>The bytes a written token stands for; null when a character stands for none.</summary>
    public static byte[]? BytesOf(string written)
    {
        var bytes = new byte[written.Length];
        for (var i = 0; i < bytes.Length; i++)
        {
            if (!Bytes.TryGetValue(written[i], out bytes[i]))
            {
                return null;
            }
        }

        return bytes;
    }

    private static char[] MakeCharacters()
    {
        var characters = new char[256];
        var invisible = 0;
        for (var b = 0; b < 256; b++)
        {
            characters[b] = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF) ? (char)b : (char)(256 + invisible++);
        }

        return characters;
    }
}
