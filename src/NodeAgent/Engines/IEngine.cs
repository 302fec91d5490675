using System.Collections.Immutable;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines;

/// <summary>What runs models on this node. Takes an OpenAI request as the client wrote it, answers with OpenAI bytes.</summary>
/// <remarks>Safe for concurrent use. An engine that is not there now stays in the list: it may be started later.</remarks>
public interface IEngine : IAsyncDisposable
{
    /// <summary>Unique on the node: "builtin", "ollama", or the name given in the configuration.</summary>
    string Name { get; }

    /// <summary>"builtin", "ollama" or "openai".</summary>
    string Kind { get; }

    /// <summary>Requests the engine serves at once, at least 1. The caller keeps to it; more are queued or refused by the engine.</summary>
    int Slots { get; }

    /// <summary>Jobs whose answers it can go on with where another node's broke off (<see cref="Continuation"/>), as far as is known by the last <see cref="GetInventoryAsync"/>.</summary>
    ImmutableArray<JobKind> Continues { get; }

    /// <summary>Asks the engine what it has. Null: the engine is not there now (not started, died, does not speak its protocol).</summary>
    Task<EngineInventory?> GetInventoryAsync(CancellationToken cancellationToken);

    /// <summary>Sends one request and returns once the answer's head is known; the answer's bytes follow in <see cref="EngineResponse.Body"/>.</summary>
    /// <remarks>
    /// An error of the engine (unknown model, bad request) is an answer with its status, not an exception. Cancelling the token,
    /// also after this returned, or disposing the response stops the engine's work at once.
    /// </remarks>
    /// <exception cref="EngineUnavailableException">No answer began: refused, reset or closed before a status.</exception>
    Task<EngineResponse> SendAsync(EngineRequest request, CancellationToken cancellationToken);

    /// <summary>Makes the engine fetch a model. Completes when the model is there.</summary>
    /// <exception cref="NotSupportedException">The engine cannot fetch models.</exception>
    /// <exception cref="EngineUnavailableException">The engine is not there.</exception>
    /// <exception cref="PullFailedException">The engine says that it could not; its words are the message.</exception>
    IAsyncEnumerable<PullStep> PullAsync(string model, CancellationToken cancellationToken);
}

/// <summary>One request for an engine.</summary>
/// <param name="Kind">Which OpenAI endpoint.</param>
/// <param name="Model">The model the body names.</param>
/// <param name="Body">The OpenAI JSON, untouched.</param>
/// <param name="Stream">The body asks for a stream of events.</param>
public sealed record EngineRequest(JobKind Kind, string Model, ReadOnlyMemory<byte> Body, bool Stream);

/// <summary>An engine's answer. Dispose it to let go of the engine, whether or not the body was read.</summary>
public abstract class EngineResponse : IAsyncDisposable
{
    /// <summary>HTTP status, 200 to 599.</summary>
    public abstract int Status { get; }

    /// <summary>"application/json", "text/event-stream"…, as the engine said it.</summary>
    public abstract string ContentType { get; }

    /// <summary>
    /// The answer's bytes, as the engine writes them. Reading throws <see cref="IOException"/> when the engine dies in mid-answer and
    /// <see cref="OperationCanceledException"/> when the request was cancelled; an end of stream is always a whole answer.
    /// </summary>
    public abstract Stream Body { get; }

    /// <summary>Known once <see cref="Body"/> was read to its end; null where the engine did not say.</summary>
    public abstract TokenUsage? Usage { get; }

    /// <summary>"stop", "length", "tool_calls"…; known and null as <see cref="Usage"/>. The last one where there are several choices.</summary>
    public abstract string? FinishReason { get; }

    /// <summary>
    /// The answer's tokens with their log-probabilities, in order; known once <see cref="Body"/> was read to its end. Empty where the engine does not say, and for several answers at once.
    /// </summary>
    public virtual IReadOnlyList<CommittedToken> Tokens => [];

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();
}

/// <summary>What an engine has at one moment.</summary>
/// <param name="Version">The engine's version in its own words; empty where it does not say.</param>
/// <param name="Models">Ordered by name, names unique.</param>
public sealed record EngineInventory(string Version, ImmutableArray<EngineModel> Models)
{
    /// <inheritdoc/>
    public bool Equals(EngineInventory? other) =>
        other is not null && Version == other.Version && Models.AsSpan().SequenceEqual(other.Models.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Version, Models.Length);
}

/// <summary>One model of an engine.</summary>
/// <param name="Name">What a client asks for.</param>
/// <param name="Digest">"sha256:…" of the weights; null where the engine does not tell.</param>
/// <param name="SizeBytes">Of the weights; null where the engine does not tell.</param>
/// <param name="Loaded">In memory now, so that the first token comes without a load.</param>
/// <param name="ContextLength">Tokens; null where the engine does not tell.</param>
/// <param name="Capabilities">
/// "chat", "completion", "embedding"; "tools", "vision", "thinking" where the engine tells; "no_tools", "no_vision", "no_audio", "no_json", "no_logprobs", "no_choices" where it is known to lack them. Of what
/// is not named nobody knows.
/// </param>
/// <param name="Quantization">"Q4_K_M", "F16"…; null where the engine does not tell.</param>
public sealed record EngineModel(
    string Name,
    string? Digest,
    long? SizeBytes,
    bool Loaded,
    int? ContextLength,
    ImmutableArray<string> Capabilities,
    string? Quantization)
{
    /// <inheritdoc/>
    public bool Equals(EngineModel? other) =>
        other is not null
        && (Name, Digest, SizeBytes, Loaded, ContextLength, Quantization)
            == (other.Name, other.Digest, other.SizeBytes, other.Loaded, other.ContextLength, other.Quantization)
        && Capabilities.AsSpan().SequenceEqual(other.Capabilities.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Digest, SizeBytes, Loaded, ContextLength, Quantization);
}

/// <summary>How far the fetching of a model is.</summary>
/// <param name="Status">The engine's own words ("pulling manifest", "verifying sha256 digest").</param>
/// <param name="CompletedBytes">Of the layer being fetched; null between layers.</param>
/// <param name="TotalBytes">Of the layer being fetched; null between layers.</param>
public sealed record PullStep(string Status, long? CompletedBytes, long? TotalBytes);
