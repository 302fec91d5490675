using System.Collections.Immutable;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>An OpenAI-compatible server that a node offers: llama-server, vLLM, LM Studio, MLX…</summary>
public sealed record OpenAiOptions
{
    /// <summary>Unique on the node.</summary>
    public required string Name { get; init; }

    /// <summary>Absolute, http or https: what stands before <c>/chat/completions</c>. Without a path, <c>/v1</c> is meant.</summary>
    public required Uri Url { get; init; }

    /// <summary>Bearer token; null sends none. Never logged, and left out when the options are printed.</summary>
    public string? ApiKey { get; init; }

    /// <summary>Requests the server takes at once (llama-server's <c>--parallel</c>). Default 4, 1 or more.</summary>
    public int Slots { get; init; } = 4;

    /// <summary>
    /// What the server's models can do, as the protocol has no word for it. Empty, the default: "chat" and "completion", or "embedding" for a
    /// model whose name says "embed".
    /// </summary>
    public ImmutableArray<string> Capabilities { get; init; } = [];

    /// <summary>
    /// Whether the server goes on with a chat whose last message is the assistant's, and with a prompt that ends in the answer's beginning. Null, the default: llama-server, vLLM and SGLang do, and no other is
    /// believed to.
    /// </summary>
    public bool? Continues { get; init; }

    /// <summary>How long the server may take to say what it has. Default 5 s.</summary>
    public TimeSpan InventoryTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <inheritdoc/>
    public override string ToString() => $"{nameof(OpenAiOptions)} {{ Name = {Name}, Url = {Url}, Slots = {Slots} }}";
}
