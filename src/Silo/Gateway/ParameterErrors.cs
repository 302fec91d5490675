using System.Globalization;
using System.Text.Json;

namespace Federation.Silo.Gateway;

/// <summary>What can be wrong with one parameter of a request, in OpenAI's words and codes.</summary>
internal static class ParameterErrors
{
    /// <summary>Longest part of a client's own words that is sent back to it, characters.</summary>
    private const int EchoMax = 64;

    public static OpenAiError WrongType(string param, string expected, JsonValueKind found)
        => OpenAiError.BadRequest($"Invalid type for '{param}': expected {expected}, but got {NameOf(found)} instead.", param, "invalid_type");

    public static OpenAiError Missing(string param) => OpenAiError.BadRequest($"Missing required parameter: '{param}'.", param, "missing_required_parameter");

    public static OpenAiError Duplicate(string param) => OpenAiError.BadRequest($"Duplicate parameter: '{param}'.", param, "duplicate_parameter");

    public static OpenAiError Empty(string param, string expected) => OpenAiError.BadRequest($"Invalid '{param}': expected {expected}.", param, "empty_array");

    /// <summary>A number that is too small or too large.</summary>
    /// <param name="param">Its name.</param>
    /// <param name="isWhole">Whether only whole numbers are allowed.</param>
    /// <param name="isBelow">Too small; else too large.</param>
    /// <param name="bound">The nearest that is allowed.</param>
    /// <param name="got">As the client wrote it.</param>
    public static OpenAiError OutOfRange(string param, bool isWhole, bool isBelow, double bound, string got) => OpenAiError.BadRequest(
        string.Create(
            CultureInfo.InvariantCulture,
            $"Invalid '{param}': {(isWhole ? "integer" : "decimal")} {(isBelow ? "below minimum" : "above maximum")} value. Expected a value {(isBelow ? ">=" : "<=")} {bound}, but got {Echo(got)} instead."),
        param,
        $"{(isWhole ? "integer" : "decimal")}_{(isBelow ? "below_min" : "above_max")}_value");

    public static OpenAiError NotAmong(string param, string? got, params ReadOnlySpan<string> allowed) => OpenAiError.BadRequest(
        $"Invalid value: '{Echo(got ?? "null")}'. Supported values are: {string.Join(", ", allowed.ToArray().Select(value => $"'{value}'"))}.", param, "invalid_value");

    public static OpenAiError TooMany(string param, int max, int got) => OpenAiError.BadRequest(
        $"Invalid '{param}': array too long. Expected an array with maximum length {max}, but got an array with length {got} instead.", param, "array_above_max_length");

    /// <summary>The parameter is known, and cannot be honoured here.</summary>
    public static OpenAiError Unsupported(string param, string why) => OpenAiError.BadRequest($"Unsupported parameter: '{param}'. {why}", param, "unsupported_parameter");

    /// <summary>The model's engines, as far as they told, cannot do this.</summary>
    public static OpenAiError UnsupportedByModel(string param, string model)
        => OpenAiError.BadRequest($"Unsupported parameter: '{param}' is not supported with the model '{Echo(model)}'.", param, "unsupported_parameter");

    public static OpenAiError NotJson() => OpenAiError.BadRequest("We could not parse the JSON body of your request.");

    /// <summary>The beginning of a text, without half a character at its end.</summary>
    public static string Echo(string text)
    {
        if (text.Length <= EchoMax) return text;
        return string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[EchoMax - 1]) ? EchoMax - 1 : EchoMax), "…");
    }

    private static string NameOf(JsonValueKind kind) => kind switch
    {
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "a boolean",
        JsonValueKind.Null or JsonValueKind.Undefined => "null",
        JsonValueKind.Array => "an array",
        JsonValueKind.Object => "an object",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };
}
