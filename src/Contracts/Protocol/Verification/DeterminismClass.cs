using System.Text;
using Federation.Protocol.OpenAi;

namespace Federation.Protocol.Verification;

/// <summary>
/// What must be equal for two answers to be compared token by token (verification.md §2.4): the same weights run by the same build on the
/// same kind of machine. Numbers of one class say nothing about another, unless the pair was calibrated.
/// </summary>
/// <param name="ModelDigest">"sha256:…" of the weights, or "name:…" where the engine does not tell: then a name is all there is to compare by.</param>
/// <param name="Engine">"builtin", "ollama", "openai".</param>
/// <param name="Build">The engine's version in its own words; empty where it does not say.</param>
/// <param name="Backend">What calculates: "cpu", "cuda", "metal", "rocm", "vulkan".</param>
/// <param name="Architecture">Of that: "x64", "arm64", "sm_89".</param>
/// <param name="Parallel">Answers the engine makes at once: a batch changes the order of sums. 1 or more.</param>
public sealed record DeterminismClass(string ModelDigest, string Engine, string Build, string Backend, string Architecture, int Parallel)
{
    private const int FieldLengthMax = 160;

    /// <summary>The one spelling of the class, as in receipts: six fields between slashes, everything but letters, digits and <c>._:+-</c> escaped.</summary>
    public string ToCanonical()
    {
        var text = new StringBuilder();
        foreach (var field in (ReadOnlySpan<string>)[ModelDigest, Engine, Build, Backend, Architecture])
        {
            Escape(text, field);
            text.Append('/');
        }

        return text.Append("np").Append(Parallel).ToString();
    }

    /// <summary>
    /// The weights in a class's text, as they are spelled there: its first field, and the whole of a text that is no class's. What is remembered of a node is remembered by them, since the rest is its own
    /// word and can change from one job to the next.
    /// </summary>
    public static string WeightsOf(string canonical) => canonical.IndexOf('/', StringComparison.Ordinal) is >= 0 and var end ? canonical[..end] : canonical;

    /// <summary>
    /// The class of a node's answers of a kind. Vectors say nothing about text, nor text about vectors: evidence of the one must not pay the other, so that the weights of embeddings are spelled apart.
    /// </summary>
    /// <param name="canonical">Of the model, as the node reports it.</param>
    /// <param name="kind">What was asked.</param>
    public static string ForKind(string canonical, JobKind kind)
        => kind is JobKind.Embedding && canonical.Length > 0 ? $"{WeightsOf(canonical)}+embedding{canonical.AsSpan(WeightsOf(canonical).Length)}" : canonical;

    /// <summary>How one field is spelled.</summary>
    public static string Spell(string field)
    {
        var text = new StringBuilder();
        Escape(text, field);
        return text.ToString();
    }

    /// <summary>The canonical spelling.</summary>
    public override string ToString() => ToCanonical();

    /// <summary>Reads <see cref="ToCanonical"/>; null for any other spelling of the same class too, so that equal classes have equal text.</summary>
    public static DeterminismClass? TryParse(string? canonical)
    {
        if (canonical is null || canonical.Length > 6 * 3 * FieldLengthMax)
        {
            return null;
        }

        var fields = canonical.Split('/');
        if (fields.Length != 6 || !fields[5].StartsWith("np", StringComparison.Ordinal)
            || !int.TryParse(fields[5].AsSpan(2), System.Globalization.NumberStyles.None, null, out var parallel))
        {
            return null;
        }

        var read = new DeterminismClass(Unescape(fields[0]), Unescape(fields[1]), Unescape(fields[2]), Unescape(fields[3]), Unescape(fields[4]), parallel);
        return parallel >= 1 && read.ToCanonical() == canonical ? read : null;
    }

    private static void Escape(StringBuilder text, string field)
    {
        var kept = field.Length <= FieldLengthMax ? field : field[..FieldLengthMax];
        foreach (var value in Encoding.UTF8.GetBytes(kept))
        {
            if (char.IsAsciiLetterOrDigit((char)value) || value is (byte)'.' or (byte)'_' or (byte)':' or (byte)'+' or (byte)'-')
            {
                text.Append((char)value);
            }
            else
            {
                text.Append('%').Append(value.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
            }
        }
    }

    private static string Unescape(string field) => Uri.UnescapeDataString(field);
}
