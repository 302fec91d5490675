using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway;

/// <summary>
/// The few things the hub must know of a request's body. The whole body is checked to be JSON; everything else in it is the
/// engine's to judge, so that parameters the hub has never heard of just work.
/// </summary>
internal sealed record RequestHead(string Model, bool Stream)
{
    private const int ModelNameMax = 256;
    private const int DepthMax = 64;

    // More is more than any engine gives; a bound all the same, since it is multiplied.
    private const int ChoicesMax = 1_024;

    /// <summary>The most tokens that one choice of the answer may have, by <c>max_completion_tokens</c> or <c>max_tokens</c>; <see langword="null"/> where neither says a number that makes sense.</summary>
    public long? MaxTokens { get; init; }

    /// <summary>How many choices are asked for, <c>n</c>; at least 1.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>It goes on with what another node said: a hub asks nodes so, and no client a hub.</summary>
    public bool GoesOn { get; init; }

    /// <summary>Reads a body; exactly one of the two results is set.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, JobKind kind, [NotNullWhen(true)] out RequestHead? head, [NotNullWhen(false)] out OpenAiError? error)
    {
        head = null;
        try
        {
            // The reader below looks into the few strings it gives out and takes the others as they are.
            if (!Utf8.IsValid(body)) throw new JsonException("Not UTF-8.");
            var fields = new Fields();
            error = ReadFields(body, ref fields) ?? fields.WhyIncomplete(InputOf(kind));
            if (error is not null) return false;
            head = new RequestHead(fields.Model!, fields.Stream) { MaxTokens = fields.MaxCompletionTokens ?? fields.MaxTokens, Choices = fields.Choices, GoesOn = fields.GoesOn };
            return true;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: an escaped half of a surrogate pair, which is no text.
            error = OpenAiError.BadRequest("We could not parse the JSON body of your request.");
            return false;
        }
    }

    private static string InputOf(JobKind kind) => kind switch
    {
        JobKind.Chat => "messages",
        JobKind.Completion => "prompt",
        JobKind.Embedding => "input",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };

    private static OpenAiError? ReadFields(ReadOnlySpan<byte> body, ref Fields fields)
    {
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = DepthMax });
        if (!reader.Read() || reader.TokenType is not JsonTokenType.StartObject) return OpenAiError.BadRequest("The request body must be a JSON object.");
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var name = reader.GetString()!;
            reader.Read();
            if (Parameters.WhyWrongType(name, reader.TokenType) is { } problem) return OpenAiError.BadRequest(problem, name, "invalid_type");
            if (!fields.TryName(name)) return OpenAiError.BadRequest($"Duplicate parameter: '{name}'.", name, "duplicate_parameter");
            switch (name)
            {
                case "model":
                    fields.Model = reader.GetString();
                    break;
                case "stream":
                    fields.Stream = reader.TokenType is JsonTokenType.True;
                    break;
                case "messages":
                    fields.EmptyMessages = IsEmptyArray(reader);
                    break;
                case "max_tokens":
                    fields.MaxTokens = Positive(reader);
                    break;
                case "max_completion_tokens":
                    fields.MaxCompletionTokens = Positive(reader);
                    break;
                case "n":
                    fields.Choices = (int)Math.Min(Positive(reader) ?? 1, ChoicesMax);
                    break;
                case Continuation.Field:
                    fields.GoesOn = true;
                    break;
                default:
                    break;
            }
            reader.Skip();
        }
        // Reading on past the object makes the reader check that nothing follows it.
        reader.Read();
        return null;
    }

    /// <summary>A whole number above 0; whatever else is there is the engine's to judge.</summary>
    private static long? Positive(Utf8JsonReader reader) => reader.TokenType is JsonTokenType.Number && reader.TryGetInt64(out var number) && number > 0 ? number : null;

    private static bool IsEmptyArray(Utf8JsonReader reader) => reader.TokenType is JsonTokenType.StartArray && reader.Read() && reader.TokenType is JsonTokenType.EndArray;

    private struct Fields()
    {
        private readonly HashSet<string> _named = new(StringComparer.Ordinal);

        public string? Model { get; set; }

        public bool Stream { get; set; }

        public bool EmptyMessages { get; set; }

        public bool GoesOn { get; set; }

        public long? MaxTokens { get; set; }

        public long? MaxCompletionTokens { get; set; }

        public int Choices { get; set; } = 1;

        /// <summary>
        /// Notes a parameter that the hub reads; <see langword="false"/> when it was there before. Of two, the hub might take one and
        /// the engine the other, and a job would not be what it was admitted as.
        /// </summary>
        public readonly bool TryName(string name) => name is not ("model" or "stream" or "messages" or "prompt" or "input") || _named.Add(name);

        public readonly OpenAiError? WhyIncomplete(string input)
        {
            if (string.IsNullOrEmpty(Model)) return OpenAiError.BadRequest("You must provide a model parameter.", "model", "missing_required_parameter");
            if (Model.Length > ModelNameMax || Model.Any(char.IsControl)) return OpenAiError.UnknownModel(Model[..Math.Min(Model.Length, 64)]);
            if (!_named.Contains(input)) return OpenAiError.BadRequest($"Missing required parameter: '{input}'.", input, "missing_required_parameter");
            return EmptyMessages ? OpenAiError.BadRequest("Invalid 'messages': expected an array with at least one message.", "messages", "empty_array") : null;
        }
    }

    /// <summary>The types of the parameters every engine agrees on; a parameter not listed may be anything.</summary>
    private static class Parameters
    {
        public static string? WhyWrongType(string name, JsonTokenType found)
        {
            var (right, expected) = name switch
            {
                "model" => (found is JsonTokenType.String, "a string"),
                "messages" => (found is JsonTokenType.StartArray, "an array of objects"),
                "prompt" or "input" => (found is JsonTokenType.String or JsonTokenType.StartArray, "a string or an array"),
                "stream" => (found is JsonTokenType.True or JsonTokenType.False or JsonTokenType.Null, "a boolean"),
                "temperature" or "top_p" or "presence_penalty" or "frequency_penalty" or "max_tokens" or "max_completion_tokens" or "n" or "seed" or "top_logprobs"
                    => (found is JsonTokenType.Number or JsonTokenType.Null, "a number"),
                "stop" => (found is JsonTokenType.String or JsonTokenType.StartArray or JsonTokenType.Null, "a string or an array of strings"),
                "tools" => (found is JsonTokenType.StartArray or JsonTokenType.Null, "an array of objects"),
                "stream_options" or "response_format" or "logit_bias" or "metadata" => (found is JsonTokenType.StartObject or JsonTokenType.Null, "an object"),
                _ => (true, string.Empty),
            };
            return right ? null : $"Invalid type for '{name}': expected {expected}, but got {NameOf(found)} instead.";
        }

        private static string NameOf(JsonTokenType token) => token switch
        {
            JsonTokenType.String => "a string",
            JsonTokenType.Number => "a number",
            JsonTokenType.True or JsonTokenType.False => "a boolean",
            JsonTokenType.Null => "null",
            JsonTokenType.StartArray => "an array",
            JsonTokenType.StartObject => "an object",
            _ => throw new ArgumentOutOfRangeException(nameof(token), token, "Not the start of a value."),
        };
    }
}
