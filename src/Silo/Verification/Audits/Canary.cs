using Federation.Protocol.OpenAi;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// A request of the hub's own that looks like a client's: it has the shape of one that was asked lately, goes the same way, and its answer is scored. Its words are its own, so that no cache has
/// its beginning and no node has seen it before.
/// </summary>
/// <param name="Kind">Chat or embedding.</param>
/// <param name="Body">The OpenAI body.</param>
internal sealed record Canary(JobKind Kind, ReadOnlyMemory<byte> Body)
{
    /// <summary>Draws a canary.</summary>
    /// <param name="model">The name its nodes know it by.</param>
    /// <param name="shape">How it looks; <see langword="null"/>: as SDKs' requests do.</param>
    /// <param name="prompts">The operator's templates, of which some canaries have theirs; may be empty.</param>
    /// <param name="options">Lengths and shares.</param>
    /// <param name="random">Unpredictable to nodes.</param>
    public static Canary Draw(string model, RequestShape? shape, IReadOnlyList<string> prompts, CanaryOptions options, Random random)
    {
        var template = prompts.Count > 0 && random.NextDouble() < options.PromptsShare ? prompts[random.Next(prompts.Count)] : null;
        return new Canary(JobKind.Chat, (shape ?? RequestShape.Usual(options, random)).Write(model, template, random));
    }

    /// <summary>Draws one whose answer is a vector for each text.</summary>
    /// <param name="model">The name its nodes know it by.</param>
    /// <param name="shape">How it looks; <see langword="null"/>: as SDKs' requests do.</param>
    /// <param name="random">Unpredictable to nodes.</param>
    public static Canary DrawEmbedding(string model, EmbeddingShape? shape, Random random) => new(JobKind.Embedding, (shape ?? EmbeddingShape.Usual(random)).Write(model, random));
}
