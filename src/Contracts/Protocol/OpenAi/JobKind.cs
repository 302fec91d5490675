using System.Collections.Immutable;

namespace Federation.Protocol.OpenAi;

/// <summary>What an OpenAI request asks for. Each kind has one endpoint and one word on the wire.</summary>
public enum JobKind
{
    /// <summary><c>POST /v1/chat/completions</c>, <c>"chat"</c>.</summary>
    Chat,

    /// <summary><c>POST /v1/completions</c>, <c>"completion"</c>.</summary>
    Completion,

    /// <summary><c>POST /v1/embeddings</c>, <c>"embedding"</c>.</summary>
    Embedding,

    /// <summary>How likely a model finds an answer that another node gave, <c>"score"</c>. The hub's own; no endpoint.</summary>
    Score,
}

/// <summary>The words and paths of <see cref="JobKind"/>.</summary>
public static class JobKinds
{
    /// <summary>Those a client may ask for.</summary>
    public static ImmutableArray<JobKind> ForClients { get; } = [JobKind.Chat, JobKind.Completion, JobKind.Embedding];

    /// <summary>The word used in <c>Assign.kind</c> and in a model's capabilities.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="kind"/> is not a member of the enum.</exception>
    public static string Word(this JobKind kind) => kind switch
    {
        JobKind.Chat => "chat",
        JobKind.Completion => "completion",
        JobKind.Embedding => "embedding",
        JobKind.Score => "score",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };

    /// <summary>The OpenAI endpoint, with its leading slash and version.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="kind"/> is not one of <see cref="ForClients"/>.</exception>
    public static string Path(this JobKind kind) => kind switch
    {
        JobKind.Chat => "/v1/chat/completions",
        JobKind.Completion => "/v1/completions",
        JobKind.Embedding => "/v1/embeddings",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };

    /// <summary>Reads the word; false for a word this version does not know.</summary>
    public static bool TryParse(string? word, out JobKind kind)
    {
        (var known, kind) = word switch
        {
            "chat" => (true, JobKind.Chat),
            "completion" => (true, JobKind.Completion),
            "embedding" => (true, JobKind.Embedding),
            "score" => (true, JobKind.Score),
            _ => (false, default),
        };
        return known;
    }
}
