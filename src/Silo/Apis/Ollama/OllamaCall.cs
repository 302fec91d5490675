using Federation.Protocol.OpenAi;

namespace Federation.Silo.Apis.Ollama;

/// <summary>A request of Ollama's API in OpenAI's words.</summary>
/// <param name="Model">What is asked.</param>
/// <param name="Kind">Which of OpenAI's endpoints the body is for.</param>
/// <param name="Stream">Whether lines are to come as the answer does.</param>
/// <param name="Body">OpenAI's JSON.</param>
internal sealed record OllamaCall(string Model, JobKind Kind, bool Stream, ReadOnlyMemory<byte> Body)
{
    /// <summary>Nothing is asked: "load" or "unload" the model, which is its node's own affair. Null for a question.</summary>
    public string? Residency { get; init; }
}
