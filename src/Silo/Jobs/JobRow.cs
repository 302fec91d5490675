using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Storage;

namespace Federation.Silo.Jobs;

/// <summary>The record of a finished job.</summary>
internal static class JobRow
{
    /// <summary>The row, as part of a larger write; writing it again changes nothing.</summary>
    public static SqlStatement Insert(JobOutcome outcome) => Insert(outcome, "DO NOTHING");

    /// <summary>The row beside the movement that pays the job; of one that stood there as unpaid the price is what is paid now.</summary>
    public static SqlStatement InsertPaid(JobOutcome outcome) => Insert(outcome, "DO UPDATE SET price = excluded.price");

    private static SqlStatement Insert(JobOutcome outcome, string ifThere) => new(
        $"""
        INSERT INTO jobs (id, account_id, key_id, kind, model, model_digest, node_id, attempt, prompt_tokens, completion_tokens,
                          price, status, finish_reason, created_at, dispatched_at, first_output_at, finished_at, provider, is_background)
        VALUES (@Id, @AccountId, @KeyId, @Kind, @Model, @ModelDigest, @NodeId, @Attempt, @PromptTokens, @CompletionTokens,
                @Price, @Status, @FinishReason, @CreatedAt, @DispatchedAt, @FirstOutputAt, @FinishedAt, @Provider, @IsBackground)
        ON CONFLICT (id) {ifThere}
        """,
        new
        {
            Id = outcome.JobId,
            outcome.AccountId,
            outcome.KeyId,
            Kind = outcome.Kind.Word(),
            outcome.Model,
            ModelDigest = NullIfEmpty(outcome.ModelDigest),
            NodeId = NullIfEmpty(outcome.NodeId),
            outcome.Attempt,
            PromptTokens = Math.Max(0, outcome.PromptTokens - outcome.CarriedTokens),
            outcome.CompletionTokens,
            outcome.Price,
            Status = WordOf(outcome.Status),
            FinishReason = NullIfEmpty(outcome.FinishReason),
            CreatedAt = outcome.QueuedMs,
            DispatchedAt = outcome.DispatchMs,
            FirstOutputAt = outcome.FirstMs,
            FinishedAt = outcome.LastMs,
            Provider = NullIfEmpty(outcome.Provider),
            IsBackground = outcome.IsBackground ? 1L : 0L,
        });

    private static string WordOf(JobStatus status) => status switch
    {
        JobStatus.Succeeded => "completed",
        JobStatus.Cancelled => "cancelled",
        JobStatus.Failed => "failed",
        _ => throw new ArgumentOutOfRangeException(nameof(status), status, null),
    };

    private static string? NullIfEmpty(string text) => text.Length > 0 ? text : null;
}
