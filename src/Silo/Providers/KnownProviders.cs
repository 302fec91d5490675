using System.Collections.Frozen;

namespace Federation.Silo.Providers;

/// <summary>What is known of a provider without being told.</summary>
/// <param name="BaseUrl">Where it speaks OpenAI's protocol.</param>
/// <param name="AsksForUsage">Whether it takes <c>stream_options.include_usage</c>. One that does not says it anyway.</param>
/// <param name="LimitName">The name of a chat's limit of tokens.</param>
/// <param name="Models">Name or pattern, and credits for a thousand tokens of prompt and answer alike.</param>
internal sealed record KnownProvider(string BaseUrl, bool AsksForUsage, string LimitName, params (string Name, decimal Credits, string Capability)[] Models);

/// <summary>Providers that need a key and nothing else. The prices are the design's table; those of models that are not in it are marked.</summary>
internal static class KnownProviders
{
    private const string Chat = "chat";
    private const string Embedding = "embedding";

    // What such names have in them is billed by more than tokens, or by other ones: searches, sounds, pictures, and the variants of OpenRouter behind a colon.
    private static readonly string[] BilledOtherwise = ["search", "audio", "image", "tts", "realtime", "transcribe", "live", ":"];

    // What the table has: Groq and Cerebras 1; Mistral Small, Gemini Flash 2; Mistral Large, Gemini Pro 5; Claude Sonnet, GPT-4o 10; GPT-4 Turbo 15; Claude Opus 25. All else below is [uncalibrated].
    private static readonly FrozenDictionary<string, KnownProvider> All = new Dictionary<string, KnownProvider>
    {
        ["openai"] = new(
            "https://api.openai.com/v1", true, "max_completion_tokens",
            ("gpt-4o", 10, Chat), ("gpt-4o-mini", 2, Chat), ("gpt-4-turbo", 15, Chat), ("gpt-4o-mini-*", 2, Chat), ("gpt-4o-*", 10, Chat), ("gpt-4-turbo-*", 15, Chat),
            ("text-embedding-3-small", 1, Embedding), ("text-embedding-3-large", 1, Embedding)),
        ["anthropic"] = new(
            "https://api.anthropic.com/v1", true, "max_tokens",
            ("claude-opus-4-1", 25, Chat), ("claude-sonnet-4-5", 10, Chat), ("claude-opus-*", 25, Chat), ("claude-*-opus-*", 25, Chat), ("claude-sonnet-*", 10, Chat), ("claude-*-sonnet-*", 10, Chat)),
        ["gemini"] = new(
            "https://generativelanguage.googleapis.com/v1beta/openai", true, "max_tokens",
            ("gemini-2.5-flash", 2, Chat), ("gemini-2.5-pro", 5, Chat), ("gemini-*-flash*", 2, Chat), ("gemini-*-pro*", 5, Chat)),
        ["mistral"] = new(
            // Refuses fields that it does not know, and says the usage of a stream without being asked.
            "https://api.mistral.ai/v1", false, "max_tokens",
            ("mistral-small-latest", 2, Chat), ("mistral-large-latest", 5, Chat), ("mistral-small-*", 2, Chat), ("mistral-large-*", 5, Chat), ("mistral-embed", 1, Embedding)),
        ["groq"] = new(
            "https://api.groq.com/openai/v1", true, "max_tokens",
            ("llama-3.1-8b-instant", 1, Chat), ("llama-3.3-70b-versatile", 1, Chat), ("llama-*-instant", 1, Chat), ("llama-*-versatile", 1, Chat)),
        ["cerebras"] = new(
            "https://api.cerebras.ai/v1", true, "max_tokens",
            ("llama3.1-8b", 1, Chat), ("llama-3.3-70b", 1, Chat)),
        ["openrouter"] = new(
            "https://openrouter.ai/api/v1", true, "max_tokens",
            ("openai/gpt-4o-mini*", 2, Chat), ("openai/gpt-4o*", 10, Chat), ("openai/gpt-4-turbo*", 15, Chat), ("anthropic/claude*opus*", 25, Chat), ("anthropic/claude*sonnet*", 10, Chat),
            ("google/gemini*flash*", 2, Chat), ("google/gemini*pro*", 5, Chat), ("mistralai/mistral-small*", 2, Chat), ("mistralai/mistral-large*", 5, Chat)),
        ["together"] = new(
            "https://api.together.xyz/v1", true, "max_tokens",
            ("meta-llama/Llama-3.3-70B-Instruct-Turbo", 1, Chat), ("meta-llama/*", 1, Chat), ("Qwen/*", 2, Chat)),
        ["deepseek"] = new(
            "https://api.deepseek.com/v1", true, "max_tokens",
            ("deepseek-chat", 2, Chat), ("deepseek-reasoner", 2, Chat)),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>Whether a model that only a pattern of the table fits is billed by more than its tokens. An operator who names it says what it costs.</summary>
    public static bool IsBilledOtherwise(string model) => BilledOtherwise.Any(word => model.Contains(word, StringComparison.OrdinalIgnoreCase));

    /// <summary>Their names.</summary>
    public static IEnumerable<string> Names => All.Keys.Order(StringComparer.Ordinal);

    /// <summary>The known provider of this name; <see langword="null"/> when none is.</summary>
    public static KnownProvider? Find(string name) => All.GetValueOrDefault(name);
}
