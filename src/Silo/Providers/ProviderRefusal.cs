using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;
using Federation.Protocol;
using Federation.Silo.Nodes;

namespace Federation.Silo.Providers;

/// <summary>Whom a provider's refusal of a request concerns.</summary>
internal enum RefusalOf
{
    /// <summary>The client's own request: it reads what is wrong with it.</summary>
    Request,

    /// <summary>Nobody can say: the client hears that it was refused, and no more.</summary>
    Unknown,

    /// <summary>By its words the operator's account; words may be a client's own that are repeated, so the provider is not shunned for them. Another one is asked.</summary>
    PerhapsOperator,

    /// <summary>By its type or code the operator's account: its key, its bill, its quota.</summary>
    Operator,
}

/// <summary>
/// A provider's error about a request, as far as it is the client's. Providers refuse with 400 what is wrong with a request and what is wrong with the operator's account alike ("Your credit balance is too low", "Your organization
/// must be verified"); a client reads the first and never the second.
/// </summary>
/// <param name="Of">Whom it concerns.</param>
/// <param name="Body">OpenAI's error for the client: type, parameter, code and message, and nothing else that the provider said; empty where it does not concern its request.</param>
/// <param name="Words">What the operator reads in the log: without anything that could be a key or an id.</param>
internal sealed partial record ProviderRefusal(RefusalOf Of, ReadOnlyMemory<byte> Body, string Words)
{
    private const int WordsMax = 500;
    private const int NameMax = 128;

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // Of OpenAI and those that copy it; with these there may be no parameter.
    private static readonly string[] RequestCodes = ["context_length_exceeded", "string_above_max_length", "content_policy_violation", "content_filter", "invalid_image", "invalid_image_format", "invalid_image_url", "image_parse_error", "json_validate_failed", "tool_use_failed"];

    private static readonly string[] OperatorCodes = ["billing", "quota", "api_key", "authentication", "permission", "organization", "account", "payment", "insufficient_funds", "credit"];

    /// <summary>Reads a refusal.</summary>
    /// <param name="body">Of a response with status 400, 413 or 422.</param>
    public static ProviderRefusal Read(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            if (json.RootElement is { ValueKind: JsonValueKind.Object } root && root.TryGetProperty("error", out var error) && error.ValueKind is JsonValueKind.Object) return OfError(error);
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            // No JSON, or text that is none: said below.
        }
        return new ProviderRefusal(RefusalOf.Unknown, default, "It says why in a shape of its own.");
    }

    private static ProviderRefusal OfError(JsonElement error)
    {
        var (message, type, param, code) = (Text(error, "message") ?? string.Empty, Text(error, "type") ?? string.Empty, Text(error, "param"), Text(error, "code"));
        var of = Whose(message, type, param, code);
        var words = $"{Printable.Of(type, NameMax)}, {Printable.Of(code ?? "no code", NameMax)}: {Redacted(message)}";
        return new ProviderRefusal(of, of is RefusalOf.Request ? Written(Redacted(message), type, param, code) : default, words);
    }

    private static RefusalOf Whose(string message, string type, string? param, string? code)
    {
        if (OperatorCodes.Any(word => type.Contains(word, StringComparison.OrdinalIgnoreCase) || code?.Contains(word, StringComparison.OrdinalIgnoreCase) is true)) return RefusalOf.Operator;
        // What stands in quotes is the client's own.
        if (OperatorsWords().IsMatch(Quoted().Replace(message, string.Empty))) return RefusalOf.PerhapsOperator;
        return type.Contains("invalid_request", StringComparison.OrdinalIgnoreCase) && (param is { Length: > 0 and <= NameMax } || RequestCodes.Contains(code, StringComparer.Ordinal)) ? RefusalOf.Request : RefusalOf.Unknown;
    }

    private static ReadOnlyMemory<byte> Written(string message, string type, string? param, string? code)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(bytes, Relaxed))
        {
            writer.WriteStartObject();
            writer.WriteStartObject("error");
            writer.WriteString("message", message);
            writer.WriteString("type", Printable.Of(type, NameMax));
            Write(writer, "param", param);
            Write(writer, "code", code);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }
        return bytes.WrittenMemory;
    }

    private static void Write(Utf8JsonWriter writer, string name, string? text)
    {
        if (text is null) writer.WriteNull(name);
        else writer.WriteString(name, Printable.Of(text, NameMax));
    }

    private static string? Text(JsonElement error, string name) => error.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.String ? value.GetString() : null;

    /// <summary>Without what could be a key, an id, or an address of somebody; cut short.</summary>
    private static string Redacted(string message) => Printable.Of(Secrets().Replace(message, "…"), WordsMax);

    [GeneratedRegex("""(?<!\w)(?:'[^']*'|"[^"]*"|`[^`]*`)(?!\w)""", RegexOptions.CultureInvariant)]
    private static partial Regex Quoted();

    [GeneratedRegex(@"\b(billing|quota|credits?|payment|subscription|api[ -]?key|organi[sz]ations?|accounts?|workspaces?|projects?|deactivated|not have (access|permission)|upgrade|plans?)\b", RegexOptions.CultureInvariant | RegexOptions.IgnoreCase)]
    private static partial Regex OperatorsWords();

    // Keys and ids by their prefixes (sk-…, org-…), mail addresses, and long runs with digits in them, which ids have and neither words nor names of models do.
    [GeneratedRegex(@"\b(sk|pk|rk|gsk|csk|xai)[-_][\w*-]+|\b(org|proj|user|acct|key|req)[-_](?=[A-Za-z_*-]*[0-9*])[\w*-]{4,}|[\w.+-]+@[\w-]+(\.[\w-]+)+|\b(?=[A-Za-z_*-]*[0-9])[A-Za-z0-9_*-]{32,}", RegexOptions.CultureInvariant)]
    private static partial Regex Secrets();
}
