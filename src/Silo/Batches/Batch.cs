using System.Text.Json;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Batches;

/// <summary>A batch's row. Times are unix milliseconds.</summary>
internal sealed record Batch
{
    public const string Columns =
        """
        id AS Id, account_id AS AccountId, key_id AS KeyId, kind AS KindWord, input_file_id AS InputFileId, output_file_id AS OutputFileId, error_file_id AS ErrorFileId, metadata AS Metadata, privacy AS PrivacyWord, max_cost AS MaxCost,
        state AS State, errors AS Errors, models AS Models, lines_total AS Total, lines_completed AS Completed, lines_failed AS Failed, attempt AS Attempt, created_at AS CreatedAt,
        in_progress_at AS InProgressAt, finalizing_at AS FinalizingAt, cancelling_at AS CancellingAt, finished_at AS FinishedAt, expires_at AS ExpiresAt
        """;

    /// <summary><c>batch_…</c>; later batches have greater ids.</summary>
    public required string Id { get; init; }

    public required string AccountId { get; init; }

    public required string KeyId { get; init; }

    public required string KindWord { get; init; }

    public required string InputFileId { get; init; }

    public string? OutputFileId { get; init; }

    public string? ErrorFileId { get; init; }

    /// <summary>A JSON object of texts.</summary>
    public string? Metadata { get; init; }

    /// <summary>Of <see cref="Terms"/>.</summary>
    public string? PrivacyWord { get; init; }

    /// <summary>Of <see cref="Terms"/>, microcredits.</summary>
    public long? MaxCost { get; init; }

    /// <summary>One of <see cref="BatchStates"/>.</summary>
    public required string State { get; init; }

    /// <summary>What is wrong with its lines, a JSON array.</summary>
    public string? Errors { get; init; }

    /// <summary>Models that the hub knew when the lines were read, a JSON array.</summary>
    public string? Models { get; init; }

    public long Total { get; init; }

    public long Completed { get; init; }

    public long Failed { get; init; }

    /// <summary>The fence: only who claimed it last may write its answers and its end.</summary>
    public long Attempt { get; init; }

    public long CreatedAt { get; init; }

    public long? InProgressAt { get; init; }

    public long? FinalizingAt { get; init; }

    public long? CancellingAt { get; init; }

    public long? FinishedAt { get; init; }

    public long ExpiresAt { get; init; }

    public JobKind Kind => JobKinds.TryParse(KindWord, out var kind) ? kind : throw new InvalidOperationException($"Batch {Id} is of no known kind: {KindWord}.");

    /// <summary>What was demanded of each line's answer.</summary>
    public AnswerTerms Terms => AnswerTerms.Of(PrivacyWord, MaxCost);

    public IReadOnlyList<string> KnownModels => Models is { } json ? JsonSerializer.Deserialize<string[]>(json)! : [];
}

/// <summary>OpenAI's words for where a batch stands.</summary>
internal static class BatchStates
{
    public const string Validating = "validating";
    public const string InProgress = "in_progress";
    public const string Cancelling = "cancelling";
    public const string Finalizing = "finalizing";
    public const string Completed = "completed";
    public const string Failed = "failed";
    public const string Cancelled = "cancelled";
    public const string Expired = "expired";
}

/// <summary>What is wrong with a line of a batch's input; null for the line where it is the file as a whole.</summary>
internal sealed record BatchError(string Code, string Message, string? Param, long? Line);

/// <summary>The answer to one line, on its way to the disk.</summary>
/// <param name="BatchId">The batch.</param>
/// <param name="Attempt">The claim under which it was asked.</param>
/// <param name="Line">From 1.</param>
/// <param name="IsError">Whether it belongs into the file of errors.</param>
/// <param name="Content">The line of the output, without its line break.</param>
internal sealed record BatchAnswer(string BatchId, long Attempt, long Line, bool IsError, byte[] Content);
