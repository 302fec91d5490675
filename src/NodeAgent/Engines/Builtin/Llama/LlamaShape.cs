using Federation.NodeAgent.Engines.Builtin.Gguf;

namespace Federation.NodeAgent.Engines.Builtin.Llama;

/// <summary>The hyperparameters of a llama model, checked for sense.</summary>
/// <param name="Vocabulary">Tokens.</param>
/// <param name="Context">Tokens the model was made for.</param>
/// <param name="Width">Length of a token's vector.</param>
/// <param name="Layers">Blocks.</param>
/// <param name="FeedForward">Width inside a block's feed-forward part.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyHeads">Key and value heads; <paramref name="Heads"/> is a multiple of it.</param>
/// <param name="HeadSize">Length of one head's vectors.</param>
/// <param name="RotatedSize">How many of a head's numbers carry the position; even.</param>
/// <param name="RotationBase">Base of the rotation's frequencies.</param>
/// <param name="Epsilon">Added to the mean square when normalising.</param>
internal sealed record LlamaShape(
    int Vocabulary,
    int Context,
    int Width,
    int Layers,
    int FeedForward,
    int Heads,
    int KeyHeads,
    int HeadSize,
    int RotatedSize,
    float RotationBase,
    float Epsilon)
{
    public int QueryWidth => Heads * HeadSize;

    public int KeyWidth => KeyHeads * HeadSize;

    /// <exception cref="GgufFormatException">Another architecture, or numbers that contradict one another.</exception>
    public static LlamaShape Of(GgufMetadata metadata)
    {
        var architecture = metadata.Text("general.architecture");
        if (architecture != "llama")
        {
            throw new GgufFormatException($"the architecture is {architecture}; this engine runs llama");
        }

        if (metadata.TextOrNull("llama.rope.scaling.type") is { } scaling and not "none")
        {
            throw new GgufFormatException($"llama.rope.scaling.type is {scaling}; this engine does not scale positions");
        }

        var width = metadata.Count("llama.embedding_length", 1, 1 << 16);
        var heads = metadata.Count("llama.attention.head_count", 1, 1 << 10);
        var keyHeads = metadata.CountOrNull("llama.attention.head_count_kv", 1, 1 << 10) ?? heads;
        var headSize = metadata.CountOrNull("llama.attention.key_length", 2, 1 << 12) ?? Divide(width, heads, "llama.embedding_length");
        Divide(heads, keyHeads, "llama.attention.head_count");
        if (metadata.CountOrNull("llama.attention.value_length", 2, 1 << 12) is { } valueSize && valueSize != headSize)
        {
            throw new GgufFormatException($"keys of {headSize} and values of {valueSize} numbers; this engine takes equal ones");
        }

        var rotated = metadata.CountOrNull("llama.rope.dimension_count", 2, 1 << 12) ?? headSize;
        if (rotated > headSize || rotated % 2 != 0)
        {
            throw new GgufFormatException($"llama.rope.dimension_count is {rotated} with heads of {headSize}; it must be even and no more");
        }

        return new LlamaShape(
            metadata.Count("llama.vocab_size", 1, 1 << 20),
            metadata.Count("llama.context_length", 2, 1 << 24),
            width,
            metadata.Count("llama.block_count", 1, 1 << 10),
            metadata.Count("llama.feed_forward_length", 1, 1 << 20),
            heads,
            keyHeads,
            headSize,
            rotated,
            metadata.Positive("llama.rope.freq_base", otherwise: 10_000),
            metadata.Positive("llama.attention.layer_norm_rms_epsilon"));
    }

    private static int Divide(int whole, int parts, string what) =>
        whole % parts == 0 ? whole / parts : throw new GgufFormatException($"{what} is {whole}, which {parts} heads do not divide");
}
