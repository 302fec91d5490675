using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
using Federation.Protocol;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway;

/// <summary>
/// The few things the hub must know of a request's body. The whole body is checked to be JSON, and what OpenAI's API defines to be as it defines it; everything else in it is the
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

    /// <summary>How many answers that makes, each of <see cref="MaxTokens"/> at most: choices, or the best of how many, for each prompt of a completion; at least 1.</summary>
    public long Answers { get; init; } = 1;

    /// <summary>It goes on with what another node said: a hub asks nodes so, and no client a hub.</summary>
    public bool GoesOn { get; init; }

    /// <summary>What the engine must be able to do.</summary>
    public RequestNeeds Needs { get; init; }

    /// <summary>Reads a body; exactly one of the two results is set.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, JobKind kind, [NotNullWhen(true)] out RequestHead? head, [NotNullWhen(false)] out OpenAiError? error)
    {
        head = null;
        try
        {
            // The reader below looks into the few strings it gives out and takes the others as they are.
            if (!Utf8.IsValid(body)) throw new JsonException("Not UTF-8.");
            var fields = new Fields();
            error = ReadFields(body, kind, ref fields) ?? fields.WhyIncomplete(kind);
            if (error is not null) return false;
            head = new RequestHead(fields.Model!, fields.Stream) { MaxTokens = (kind is JobKind.Chat ? fields.MaxCompletionTokens : null) ?? fields.MaxTokens, Choices = fields.Choices, Answers = Math.Max(fields.Choices, fields.BestOf) * (kind is JobKind.Completion ? fields.Prompts : 1), GoesOn = fields.GoesOn, Needs = fields.Needs };
            return true;
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
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

    private static OpenAiError? ReadFields(ReadOnlySpan<byte> body, JobKind kind, ref Fields fields)
    {
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = DepthMax });
        if (!reader.Read() || reader.TokenType is not JsonTokenType.StartObject) return OpenAiError.BadRequest("The request body must be a JSON object.");
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var name = reader.GetString()!;
            reader.Read();
            if (!fields.TryName(name)) return ParameterErrors.Duplicate(name);
            switch (name)
            {
                case "model" when reader.TokenType is JsonTokenType.String:
                    fields.Model = reader.GetString();
                    break;
                case "stream":
                    fields.Stream = reader.TokenType is JsonTokenType.True;
                    break;
                case "stream_options":
                    fields.HasStreamOptions = reader.TokenType is not JsonTokenType.Null;
                    break;
                case "logprobs":
                    fields.HasLogprobs = reader.TokenType is JsonTokenType.True;
                    break;
                case "top_logprobs":
                    fields.TopLogprobs = Positive(reader);
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
                case "best_of":
                    fields.BestOf = (int)Math.Min(Positive(reader) ?? 1, ChoicesMax);
                    break;
                case "prompt":
                    fields.Prompts = Math.Max(1, PromptsAt(reader));
                    break;
                case Continuation.Field:
                    fields.GoesOn = true;
                    break;
                default:
                    break;
            }
            var needs = fields.Needs;
            if (RequestParameters.Check(name, ref reader, kind, ref needs) is { } problem) return problem;
            fields.Needs = needs;
        }
        // Reading on past the object makes the reader check that nothing follows it.
        reader.Read();
        return null;
    }

    /// <summary>A whole number above 0; whatever else is there is the engine's to judge.</summary>
    private static long? Positive(Utf8JsonReader reader) => reader.TokenType is JsonTokenType.Number && RequestParameters.TryWhole(ref reader, out var number) && number > 0 ? number : null;

    /// <summary>A completion's prompt may be several: texts, or lists of tokens. One list of tokens is one.</summary>
    internal static long PromptsAt(Utf8JsonReader reader)
    {
        if (reader.TokenType is not JsonTokenType.StartArray) return 1;
        var count = 0L;
        while (reader.Read() && reader.TokenType is not JsonTokenType.EndArray)
        {
            if (reader.TokenType is JsonTokenType.Number) return 1;
            count++;
            reader.Skip();
        }
        return count;
    }

    private struct Fields()
    {
        private readonly HashSet<string> _named = new(StringComparer.Ordinal);

        public string? Model { get; set; }

        public bool Stream { get; set; }

        public bool HasStreamOptions { get; set; }

        public bool HasLogprobs { get; set; }

        public long? TopLogprobs { get; set; }

        public RequestNeeds Needs { get; set; }

        public bool GoesOn { get; set; }

        public long? MaxTokens { get; set; }

        public long? MaxCompletionTokens { get; set; }

        public int Choices { get; set; } = 1;

        public int BestOf { get; set; } = 1;

        public long Prompts { get; set; } = 1;

        /// <summary>
        /// Notes a parameter; <see langword="false"/> when it was there before. Of two, the hub might take one and
        /// the engine the other, and a job would not be what it was admitted as.
        /// </summary>
        public readonly bool TryName(string name) => _named.Add(name);

        public readonly OpenAiError? WhyIncomplete(JobKind kind)
        {
            var input = InputOf(kind);
            if (string.IsNullOrEmpty(Model)) return OpenAiError.BadRequest("You must provide a model parameter.", "model", "missing_required_parameter");
            if (Model.Length > ModelNameMax || Model.Any(char.IsControl)) return OpenAiError.UnknownModel(Model[..Math.Min(Model.Length, 64)]);
            if (!_named.Contains(input)) return ParameterErrors.Missing(input);
            if (HasStreamOptions && !Stream) return OpenAiError.BadRequest("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options");
            return kind is JobKind.Chat && TopLogprobs is not null && !HasLogprobs ? OpenAiError.BadRequest("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs") : null;
        }
    }
}
