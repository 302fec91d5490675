using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Federation.Protocol;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Pricing;

/// <summary>
/// What a request may come to in tokens, told from its body alone. Which tokenizer a model has nobody here knows, so a prompt is counted in bytes: all of the body but what its images and files are made of.
/// </summary>
/// <param name="Bytes">Of the body, without what its images, sounds and files are made of.</param>
/// <param name="Images">Images, by URL or within.</param>
/// <param name="FileBytes">Base64 characters of sounds and files.</param>
/// <param name="Choices">Answers that are asked for, 1 or more: each of them is paid.</param>
/// <param name="CompletionLimit">Tokens of each answer at most; <see langword="null"/> where the client names no limit.</param>
internal sealed record RequestTokens(long Bytes, long Images, long FileBytes, int Choices, long? CompletionLimit)
{
    private const int ChoicesMax = 1_024;

    private static readonly string[] Unpriced = ["service_tier", "web_search_options", "plugins", "models", "route", "provider", "preset", "n_predict", "modalities", "audio"];

    // Members of a message's parts by which engines and providers know what lies elsewhere, beside all that end in _url.
    private static readonly string[] References = ["file_id", "file_data", "data", "url", "uri", "file_uri", "file_url", "video_url", "audio_url", "document_url"];

    private const int DepthMax = 64;

    // A file of text has about three quarters of its base64 in bytes, and a few of those to a token; a picture or a sound in it has fewer tokens.
    private const int FileCharactersPerToken = 4;

    /// <summary>A request of so many tokens, none of them a guess.</summary>
    /// <param name="promptTokens">0 to <see cref="Price.TokensMax"/>.</param>
    /// <param name="completionLimit">0 to <see cref="Price.TokensMax"/>; <see langword="null"/> where there is no limit.</param>
    public static RequestTokens Exactly(long promptTokens, long? completionLimit) => new(0, 0, 0, 1, completionLimit) { KnownPromptTokens = promptTokens };

    /// <summary>Tokens of the prompt where somebody counted them; <see langword="null"/> otherwise.</summary>
    public long? KnownPromptTokens { get; private init; }

    /// <summary>The prompt as it is likely to be counted.</summary>
    public long EstimatedPrompt(PricingOptions options) => KnownPromptTokens ?? Tokens(options.BytesPerToken, options);

    /// <summary>The prompt as it is held for, and never charged beyond.</summary>
    public long MaxPrompt(PricingOptions options) => KnownPromptTokens ?? Tokens(Math.Min(options.HeldBytesPerToken, options.BytesPerToken), options);

    /// <summary>All answers together, as they are held for and never charged beyond.</summary>
    public long MaxCompletion(PricingOptions options) => Math.Min(Price.TokensMax, Choices * (CompletionLimit ?? options.DefaultCompletionTokens));

    /// <summary>All answers together, as long as answers usually are.</summary>
    public long EstimatedCompletion(PricingOptions options) => Math.Min(MaxCompletion(options), Choices * (long)options.UsualCompletionTokens);

    /// <summary>Reads a body; exactly one of the two results is set.</summary>
    /// <param name="body">OpenAI's JSON.</param>
    /// <param name="kind">What it asks for; vectors have no tokens.</param>
    /// <param name="tokens">What it comes to.</param>
    /// <param name="error">No JSON, or nested too deep; a number that is none, or is beyond what can be priced; a name that is no text.</param>
    public static bool TryRead(ReadOnlySpan<byte> body, JobKind kind, [NotNullWhen(true)] out RequestTokens? tokens, [NotNullWhen(false)] out OpenAiError? error)
    {
        var scan = new Scan();
        try
        {
            error = scan.Read(body, kind);
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            // Of an escaped half of a surrogate pair, too, nobody knows what it costs: it is no text, and engines read it each in their own way.
            error = OpenAiError.BadRequest("We could not parse the JSON body of your request.");
        }
        tokens = error is null ? scan.Result(body.Length, kind) : null;
        return error is null;
    }

    private long Tokens(int bytesPerToken, PricingOptions options)
        => Math.Min(Price.TokensMax, ((Bytes + bytesPerToken - 1) / bytesPerToken) + (Images * options.ImageTokens) + ((FileBytes + FileCharactersPerToken - 1) / FileCharactersPerToken));

    private struct Scan()
    {
        private long _images;
        private long _imageBytes;
        private long _fileBytes;
        private long _limit = -1;
        private long _chatLimit = -1;
        private long _choices = 1;
        private long _bestOf = 1;
        private long _prompts = 1;

        public readonly RequestTokens Result(long bodyBytes, JobKind kind) => new(
            bodyBytes - _imageBytes - _fileBytes,
            _images,
            _fileBytes,
            kind is JobKind.Embedding ? 1 : (int)Answers(kind),
            // Engines do not know the newer name of the limit in a completion.
            kind is JobKind.Embedding ? 0 : (kind is JobKind.Chat ? Math.Max(_limit, _chatLimit) : _limit) is >= 0 and var limit ? limit : null);

        public OpenAiError? Read(ReadOnlySpan<byte> body, JobKind kind)
        {
            var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = DepthMax });
            reader.Read();
            while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
            {
                if (WhyUnpriced(ref reader) is { } unpriced) return unpriced;
                var limited = Limited(ref reader);
                var isPrompt = reader.ValueTextEquals("prompt"u8);
                var isMessages = reader.ValueTextEquals("messages"u8);
                var isTools = reader.ValueTextEquals("tools"u8);
                reader.Read();
                if (isPrompt) _prompts = Math.Max(1, RequestHead.PromptsAt(reader));
                var error = limited is not null ? Take(ref reader, limited) : isMessages ? Messages(ref reader) : isTools ? Tools(ref reader) : null;
                if (error is not null) return error;
                reader.Skip();
            }
            return kind is not JobKind.Embedding && Answers(kind) > ChoicesMax ? OpenAiError.BadRequest($"Too many answers to one request: expected at most {ChoicesMax} of all prompts together.", _prompts > 1 ? "prompt" : "n", "invalid_value") : null;
        }

        private readonly long Answers(JobKind kind) => Math.Max(_choices, _bestOf) * (kind is JobKind.Completion ? _prompts : 1);

        private OpenAiError? Messages(ref Utf8JsonReader reader)
        {
            if (reader.TokenType is not JsonTokenType.StartArray) return null;
            for (var message = 0; reader.Read() && reader.TokenType is not JsonTokenType.EndArray; message++)
            {
                if (reader.TokenType is not JsonTokenType.StartObject)
                {
                    reader.Skip();
                    continue;
                }
                while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
                {
                    var isContent = reader.ValueTextEquals("content"u8);
                    reader.Read();
                    if (isContent && reader.TokenType is JsonTokenType.StartArray)
                    {
                        for (var part = 0; reader.Read() && reader.TokenType is not JsonTokenType.EndArray; part++)
                        {
                            if (reader.TokenType is not JsonTokenType.StartObject) reader.Skip();
                            else if (Part(ref reader) is { } unseen) return Unseen($"messages[{message}].content[{part}].{unseen}");
                        }
                    }
                    else reader.Skip();
                }
            }
            return null;
        }

        /// <summary>Counts what one part of a message brings that is no text. Only where engines look for it: what is called an image anywhere else is read as text, and paid as text.</summary>
        /// <returns>The name of what it does not bring but only names; <see langword="null"/> for none. What an image costs does not depend on what is in it.</returns>
        private string? Part(ref Utf8JsonReader reader)
        {
            var depth = reader.CurrentDepth;
            var (isImage, isSound, isFile) = (false, false, false);
            while (reader.Read() && reader.CurrentDepth > depth)
            {
                if (reader.TokenType is not JsonTokenType.PropertyName) continue;
                var level = reader.CurrentDepth - depth;
                if (level == 1) (isImage, isSound, isFile) = (reader.ValueTextEquals("image_url"u8), reader.ValueTextEquals("input_audio"u8), reader.ValueTextEquals("file"u8));
                var isPicture = isImage && (level == 1 || (level == 2 && reader.ValueTextEquals("url"u8)));
                var isContent = level == 2 && ((isSound && reader.ValueTextEquals("data"u8)) || (isFile && reader.ValueTextEquals("file_data"u8)));
                var name = isPicture ? null : Named(ref reader);
                if (!isPicture && name is null) continue;
                reader.Read();
                if (reader.TokenType is not JsonTokenType.String) continue;
                var value = reader.ValueSpan;
                if (isPicture)
                {
                    _images++;
                    if (value.StartsWith("data:image"u8)) _imageBytes += value.Length;
                }
                else if (!IsBrought(value, name!)) return name;
                else if (isContent) _fileBytes += value.Length;
            }
            return null;
        }

        /// <summary>The name of a member that may stand for something elsewhere; <see langword="null"/> for any other.</summary>
        private static string? Named(ref Utf8JsonReader reader)
        {
            foreach (var name in References)
            {
                if (reader.ValueTextEquals(name)) return name;
            }
            return reader.ValueSpan.EndsWith("_url"u8) ? "url" : null;
        }

        private static bool IsBrought(ReadOnlySpan<byte> value, string name) => value.StartsWith("data:"u8) || name switch
        {
            // In base64 there is neither a colon nor, in any JSON we know, an escape that could be one.
            "data" or "file_data" => !value.Contains((byte)':') && value.IndexOf("\\u"u8) < 0,
            _ => false,
        };

        private static OpenAiError Unseen(string path)
            => OpenAiError.BadRequest($"'{path}' names what the request does not bring, so nobody can say what it costs. Send it with the request, as a data: URL.", path, "unsupported_parameter");

        /// <summary>Tools that the provider runs itself, such as searches, it bills itself.</summary>
        private static OpenAiError? Tools(ref Utf8JsonReader reader)
        {
            if (reader.TokenType is not JsonTokenType.StartArray) return null;
            for (var tool = 0; reader.Read() && reader.TokenType is not JsonTokenType.EndArray; tool++)
            {
                var depth = reader.CurrentDepth;
                if (reader.TokenType is not JsonTokenType.StartObject) continue;
                while (reader.Read() && reader.CurrentDepth > depth)
                {
                    if (reader.TokenType is not JsonTokenType.PropertyName || reader.CurrentDepth != depth + 1 || !reader.ValueTextEquals("type"u8)) continue;
                    reader.Read();
                    if (reader.TokenType is not JsonTokenType.String || !reader.ValueTextEquals("function"u8))
                        return OpenAiError.BadRequest($"Invalid 'tools[{tool}].type': only 'function' can be used with a model that has a price; others may cost more than that.", $"tools[{tool}].type", "unsupported_parameter");
                }
            }
            return null;
        }

        /// <summary>
        /// What some providers bill beside tokens, or at another model's price: a faster tier (OpenAI), searches of the web (OpenAI, OpenRouter), other models to fall back to (OpenRouter). The price of a request does not cover it.
        /// </summary>
        private static OpenAiError? WhyUnpriced(ref Utf8JsonReader reader)
        {
            foreach (var name in Unpriced)
            {
                if (!reader.ValueTextEquals(name)) continue;
                var value = reader;
                value.Read();
                if (value.TokenType is JsonTokenType.Null) return null;
                if (name == "service_tier" && value.TokenType is JsonTokenType.String && (value.ValueTextEquals("auto"u8) || value.ValueTextEquals("default"u8) || value.ValueTextEquals("flex"u8))) return null;
                return OpenAiError.BadRequest($"'{name}' cannot be used with a model that has a price: it may cost more than that.", name, "unsupported_parameter");
            }
            return null;
        }

        private static string? Limited(ref Utf8JsonReader reader)
            => reader.ValueTextEquals("max_tokens"u8) ? "max_tokens"
                : reader.ValueTextEquals("max_completion_tokens"u8) ? "max_completion_tokens"
                : reader.ValueTextEquals("n"u8) ? "n"
                : reader.ValueTextEquals("best_of"u8) ? "best_of"
                : null;

        private OpenAiError? Take(ref Utf8JsonReader reader, string name)
        {
            if (reader.TokenType is JsonTokenType.Null) return null;
            var isLimit = name.StartsWith("max_", StringComparison.Ordinal);
            var max = isLimit ? Price.TokensMax : ChoicesMax;
            if (reader.TokenType is not JsonTokenType.Number || !RequestParameters.TryWhole(ref reader, out var value) || value < 1 || value > max)
                return OpenAiError.BadRequest($"Invalid '{name}': expected a whole number from 1 to {max}.", name, "invalid_value");
            // Of two limits nobody knows which one counts.
            if (name == "max_tokens") _limit = Math.Max(_limit, value);
            else if (isLimit) _chatLimit = Math.Max(_chatLimit, value);
            else if (name == "n") _choices = Math.Max(_choices, value);
            else _bestOf = Math.Max(_bestOf, value);
            return null;
        }
    }
}
