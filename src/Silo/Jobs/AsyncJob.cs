using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Jobs;

/// <summary>Where an asynchronous job stands. The names in lower case are the words in tables and JSON.</summary>
internal enum AsyncJobState
{
    /// <summary>Waits for its turn.</summary>
    Queued,

    /// <summary>A silo has claimed it.</summary>
    Running,

    /// <summary>Has its answer.</summary>
    Completed,

    /// <summary>Has an error in the place of an answer.</summary>
    Failed,

    /// <summary>Its account did not want it any more.</summary>
    Cancelled,

    /// <summary>Its time was up before it had an answer.</summary>
    Expired,
}

/// <summary>An asynchronous job's row. Times are unix milliseconds.</summary>
internal sealed record AsyncJob
{
    /// <summary>The columns of a row without the request and the result, which are large.</summary>
    public const string Columns =
        """
        id AS Id, account_id AS AccountId, key_id AS KeyId, kind AS KindWord, model AS Model, metadata AS Metadata, webhook_id AS WebhookId, privacy AS PrivacyWord, max_cost AS MaxCost, state AS StateWord, attempt AS Attempt,
        failures AS Failures, request_id AS RequestId, node_id AS NodeId, status_code AS StatusCode, created_at AS CreatedAt, started_at AS StartedAt, finished_at AS FinishedAt, expires_at AS ExpiresAt
        """;

    /// <summary><c>ajob_…</c>; later jobs have greater ids.</summary>
    public required string Id { get; init; }

    public required string AccountId { get; init; }

    public required string KeyId { get; init; }

    public required string KindWord { get; init; }

    public required string Model { get; init; }

    /// <summary>A JSON object of texts.</summary>
    public string? Metadata { get; init; }

    public string? WebhookId { get; init; }

    /// <summary>Of <see cref="Terms"/>.</summary>
    public string? PrivacyWord { get; init; }

    /// <summary>Of <see cref="Terms"/>, microcredits.</summary>
    public long? MaxCost { get; init; }

    public required string StateWord { get; init; }

    /// <summary>The fence: only the latest attempt may end the job.</summary>
    public long Attempt { get; init; }

    public long Failures { get; init; }

    /// <summary>Of the attempt that ended it.</summary>
    public string? RequestId { get; init; }

    public string? NodeId { get; init; }

    public long? StatusCode { get; init; }

    public long CreatedAt { get; init; }

    public long? StartedAt { get; init; }

    public long? FinishedAt { get; init; }

    public long ExpiresAt { get; init; }

    /// <summary>The request's body; null once the job has ended, and where it was not asked for.</summary>
    public byte[]? Request { get; init; }

    /// <summary>The answer's body; null before the job has ended, and where it was not asked for.</summary>
    public byte[]? Result { get; init; }

    public JobKind Kind => JobKinds.TryParse(KindWord, out var kind) ? kind : throw new InvalidOperationException($"Job {Id} is of no known kind: {KindWord}.");

    public AnswerTerms Terms => AnswerTerms.Of(PrivacyWord, MaxCost);

    public AsyncJobState State => Enum.Parse<AsyncJobState>(StateWord, ignoreCase: true);

    public bool HasEnded => State is not (AsyncJobState.Queued or AsyncJobState.Running);
}

/// <summary>Something that happened to a job.</summary>
/// <param name="Seq">1, 2, 3… of the job.</param>
/// <param name="Type">The state it is in since then, or <c>waiting</c> when an attempt came to nothing and another will follow.</param>
/// <param name="At">Unix milliseconds.</param>
/// <param name="Detail">Why, in words.</param>
internal sealed record AsyncJobEvent(long Seq, string Type, long At, string? Detail);

/// <summary>How one attempt of a job ended.</summary>
/// <param name="State">Completed or Failed.</param>
/// <param name="RequestId">Of the attempt.</param>
/// <param name="NodeId">Who answered; null when nobody did.</param>
/// <param name="StatusCode">The answer's HTTP status.</param>
/// <param name="Body">The answer, or the error in OpenAI's shape.</param>
internal sealed record AsyncJobEnd(AsyncJobState State, string RequestId, string? NodeId, int StatusCode, ReadOnlyMemory<byte> Body);
