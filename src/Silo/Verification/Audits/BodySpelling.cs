using System.Text.Encodings.Web;
using System.Text.Json;

namespace Federation.Silo.Verification.Audits;

/// <summary>How a client writes JSON: what a canary that looks like its requests must do alike.</summary>
/// <param name="Comma">Between fields.</param>
/// <param name="Colon">Behind a name.</param>
internal readonly record struct BodySpelling(string Comma, string Colon)
{
    /// <summary>With a space behind colons and commas, or without.</summary>
    public static BodySpelling Of(bool isSpaced) => isSpaced ? new BodySpelling(", ", ": ") : new BodySpelling(",", ":");

    /// <summary>Whether a space follows the first colon of a body.</summary>
    public static bool IsSpaced(ReadOnlySpan<byte> body) => body.IndexOf(": "u8) is >= 0 and var spaced && spaced == body.IndexOf((byte)':');

    /// <summary>A string, escaped as clients escape: no more than JSON asks for.</summary>
    public static string Quote(string text) => $"\"{JsonEncodedText.Encode(text, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"";
}
