using System.Globalization;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// A request of the hub's own that looks like a client's: it goes the same way, and its answer is scored. Each begins with words of its
/// own, so that no cache has its beginning and no node has seen it before.
/// </summary>
/// <param name="Kind">Chat or completion.</param>
/// <param name="Body">The OpenAI body.</param>
internal sealed record Canary(JobKind Kind, ReadOnlyMemory<byte> Body)
{
    /// <summary>What a prompt's template has in place of a fresh number.</summary>
    public const string NumberSlot = "{number}";

    /// <summary>What a prompt's template has in place of a fresh word.</summary>
    public const string WordSlot = "{word}";

    private const int WordLettersMin = 4;
    private const int WordLettersMax = 9;

    /// <summary>Draws a canary.</summary>
    /// <param name="model">The name its nodes know it by.</param>
    /// <param name="options">Templates, lengths and the share of greedy requests.</param>
    /// <param name="random">Unpredictable to nodes.</param>
    public static Canary Draw(string model, CanaryOptions options, Random random)
    {
        var prompt = Fill(options.Prompts[random.Next(options.Prompts.Count)], random);
        var tokens = random.Next(options.MinTokens, options.MaxTokens + 1);
        // Clients differ in what they leave to the engine; greedy answers carry the most evidence.
        var isGreedy = random.NextDouble() < options.GreedyShare;
        return new Canary(JobKind.Chat, ChatBody.Write(model, prompt, tokens, isGreedy, isStream: random.Next(2) == 0, withUsage: false));
    }

    private static string Fill(string template, Random random)
    {
        var prompt = template;
        while (prompt.Contains(NumberSlot, StringComparison.Ordinal)) prompt = ReplaceFirst(prompt, NumberSlot, random.Next(2, 1_000).ToString(CultureInfo.InvariantCulture));
        while (prompt.Contains(WordSlot, StringComparison.Ordinal)) prompt = ReplaceFirst(prompt, WordSlot, Word(random));
        return prompt;
    }

    private static string ReplaceFirst(string text, string slot, string value)
    {
        var at = text.IndexOf(slot, StringComparison.Ordinal);
        return string.Concat(text.AsSpan(0, at), value, text.AsSpan(at + slot.Length));
    }

    private static string Word(Random random) => string.Create(random.Next(WordLettersMin, WordLettersMax + 1), random, static (letters, random) =>
    {
        for (var i = 0; i < letters.Length; i++) letters[i] = i % 2 == 0 ? "bcdfghklmnprstvz"[random.Next(16)] : "aeiou"[random.Next(5)];
    });
}
