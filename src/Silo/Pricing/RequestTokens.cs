using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
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

    private static readonly string[] Unpriced = ["service_tier", "web_search_options", "plugins", "models", "route", "provider", "preset", "n_predict"];
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

    /// <summary>Reads a body that is known to be JSON; exactly one of the two results is set.</summary>
    /// <param name="body">OpenAI's JSON.</param>
    /// <param name="kind">What it asks for; vectors have no tokens.</param>
    /// <param name="tokens">What it comes to.</param>
    /// <param name="error">A number that is none, or is beyond what can be priced.</param>
    public static bool TryRead(ReadOnlySpan<byte> body, JobKind kind, [NotNullWhen(true)] out RequestTokens? tokens, [NotNullWhen(false)] out OpenAiError? error)
    {
        var scan = new Scan();
        error = scan.Read(body);
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
            kind is JobKind.Embedding ? 1 : (int)Math.Min(ChoicesMax, Math.Max(_choices, _bestOf) * (kind is JobKind.Completion ? _prompts : 1)),
            // Engines do not know the newer name of the limit in a completion.
            kind is JobKind.Embedding ? 0 : (kind is JobKind.Chat ? Math.Max(_limit, _chatLimit) : _limit) is >= 0 and var limit ? limit : null);

        public OpenAiError? Read(ReadOnlySpan<byte> body)
        {
            var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = DepthMax });
            reader.Read();
            while (reader.Read())
            {
                if (reader.TokenType is not JsonTokenType.PropertyName) continue;
                var isTop = reader.CurrentDepth == 1;
                if (isTop && WhyUnpriced(ref reader) is { } unpriced) return unpriced;
                if (isTop && reader.ValueTextEquals("prompt"u8))
                {
                    reader.Read();
                    _prompts = Math.Max(1, PromptsAt(reader));
                    continue;
                }
                if (isTop && Limited(ref reader) is { } name)
                {
                    if (Take(ref reader, name) is { } error) return error;
                    continue;
                }
                var isImage = reader.ValueTextEquals("url"u8);
                var isFile = !isImage && (reader.ValueTextEquals("data"u8) || reader.ValueTextEquals("file_data"u8));
                if (!isImage && !isFile) continue;
                reader.Read();
                if (reader.TokenType is not JsonTokenType.String) continue;
                if (isFile) _fileBytes += reader.ValueSpan.Length;
                else _images++;
                // What an image is made of is no text; what is only called one is.
                if (isImage && reader.ValueSpan.StartsWith("data:image/"u8)) _imageBytes += reader.ValueSpan.Length;
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
            reader.Read();
            if (reader.TokenType is JsonTokenType.Null) return null;
            var isLimit = name.StartsWith("max_", StringComparison.Ordinal);
            var max = isLimit ? Price.TokensMax : ChoicesMax;
            if (reader.TokenType is not JsonTokenType.Number || !reader.TryGetInt64(out var value) || value < 1 || value > max)
                return OpenAiError.BadRequest($"Invalid '{name}': expected a whole number from 1 to {max}.", name, "invalid_value");
            // Of two limits nobody knows which one counts.
            if (name == "max_tokens") _limit = Math.Max(_limit, value);
            else if (isLimit) _chatLimit = Math.Max(_chatLimit, value);
            else if (name == "n") _choices = Math.Max(_choices, value);
            else _bestOf = Math.Max(_bestOf, value);
            return null;
        }

        /// <summary>A completion's prompt may be several: texts, or lists of tokens. One list of tokens is one.</summary>
        private static long PromptsAt(Utf8JsonReader reader)
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
    }
}
