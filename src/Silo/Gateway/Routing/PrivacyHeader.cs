using Federation.Contracts.Models;

namespace Federation.Silo.Gateway.Routing;

/// <summary><c>x-federation-privacy</c>: whose machines may read a request. Where none of them serves the model, the request is refused and never goes to others.</summary>
internal static class PrivacyHeader
{
    public const string Name = "x-federation-privacy";

    /// <summary>Reads the header; what is wrong with it, or <see langword="null"/>.</summary>
    public static OpenAiError? TryRead(string header, out Privacy privacy)
    {
        (privacy, var isKnown) = header switch
        {
            "" or "any" => (Privacy.Any, true),
            "trusted" => (Privacy.Trusted, true),
            "own" => (Privacy.Own, true),
            _ => (Privacy.Own, false),
        };
        return isKnown ? null : OpenAiError.BadRequest($"'{Name}' must be 'own', 'trusted' or 'any'.", Name, "invalid_value");
    }

    public static string Word(this Privacy privacy) => privacy switch
    {
        Privacy.Any => "any",
        Privacy.Trusted => "trusted",
        Privacy.Own => "own",
        _ => throw new ArgumentOutOfRangeException(nameof(privacy), privacy, null),
    };
}
