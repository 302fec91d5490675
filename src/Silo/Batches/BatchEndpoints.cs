using System.Text.Json;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Files;
using Federation.Silo.Gateway;
using Federation.Silo.Jobs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Batches;

/// <summary>OpenAI's <c>/v1/batches</c>.</summary>
internal static class BatchEndpoints
{
    private const string Window = "24h";

    public static void MapBatches(this IEndpointRouteBuilder app)
    {
        var batches = app.MapGroup("/v1/batches").WithTags("batches");
        batches.MapPost("", CreateAsync).RequireScope(Scopes.Inference)
            .WithName("create_batch").WithSummary("Has the lines of a file answered within a day, behind requests that clients wait for.").TakesJson<NewBatchJson>().Produces<BatchJson>();
        batches.MapGet("", ListAsync).RequireScope(Scopes.Inference)
            .WithName("list_batches").WithSummary("The account's batches, the newest first.").Produces<BatchPageJson>();
        batches.MapGet("/{id}", GetAsync).RequireScope(Scopes.Inference)
            .WithName("get_batch").WithSummary("One batch.").Produces<BatchJson>();
        batches.MapPost("/{id}/cancel", CancelAsync).RequireScope(Scopes.Inference)
            .WithName("cancel_batch").WithSummary("Cancels a batch; what was answered is in its output all the same.").Produces<BatchJson>();
    }

    private static async Task<IResult> CreateAsync(HttpContext http, BatchStore batches, FileStore files, BatchRunner runner, IOptions<BatchOptions> options)
    {
        var (body, unreadable) = await Answers.ReadAsync<NewBatchJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        if (KindOf(body.Endpoint) is not { } kind)
            return Answers.Error(OpenAiError.BadRequest($"'endpoint' must be one of: {string.Join(", ", JobKinds.ForClients.Select(known => known.Path()))}.", "endpoint", "invalid_value"));
        if (body.CompletionWindow != Window) return Answers.Error(OpenAiError.BadRequest($"'completion_window' must be '{Window}'.", "completion_window", "invalid_value"));
        if (body.InputFileId is not { Length: > 0 } fileId) return Answers.Error(OpenAiError.BadRequest("Missing required parameter: 'input_file_id'.", "input_file_id", "missing_required_parameter"));
        var (metadata, badMetadata) = Metadata.Of(body.Metadata);
        if (badMetadata is not null) return Answers.Error(badMetadata);
        if (AnswerTerms.TryRead(http.Request.Headers, out var terms) is { } unknown) return Answers.Error(unknown);
        var caller = http.Caller();
        if (await files.FindAsync(caller.AccountId, fileId, http.RequestAborted) is not { } file) return Answers.Error(OpenAiError.NotFound("There is no such input file.") with { Param = "input_file_id" });
        if (file.Purpose != FilePurposes.Batch) return Answers.Error(OpenAiError.BadRequest($"The file is for '{file.Purpose}', not for '{FilePurposes.Batch}'.", "input_file_id", "invalid_value"));
        // Its output is written whatever room there is then, so there must be some now.
        if (!await files.HasRoomAsync(caller.AccountId, http.RequestAborted))
            return Answers.Error(OpenAiError.BadRequest("The account's files are as many, or have as many bytes together, as they may; a batch's output is a file more. Delete some.", "input_file_id", "storage_full"));
        if (await batches.CreateAsync(caller.AccountId, caller.KeyId, kind.Word(), fileId, metadata, terms, http.RequestAborted) is not { } batch)
            return Answers.Error(new OpenAiError(429, "rate_limit_error", "too_many_batches", $"The account has {options.Value.MaxUnfinishedPerAccount} batches that have not ended.") { RetryAfterSeconds = 60 });
        runner.Wake();
        return Answers.Json(BatchJson.Of(batch));
    }

    private static async Task<IResult> ListAsync(HttpContext http, BatchStore batches, string? after, int? limit)
    {
        if (limit is < 1 or > BatchStore.ListMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {BatchStore.ListMax}.", "limit"));
        var wanted = limit ?? 20;
        var rows = await batches.ListAsync(http.Caller().AccountId, after, wanted + 1, http.RequestAborted);
        var page = rows.Take(wanted).Select(BatchJson.Of).ToList();
        return Answers.Json(new BatchPageJson(page, page.FirstOrDefault()?.Id, page.LastOrDefault()?.Id, rows.Length > wanted));
    }

    private static async Task<IResult> GetAsync(HttpContext http, BatchStore batches, string id)
        => await batches.FindAsync(http.Caller().AccountId, id, http.RequestAborted) is { } batch ? Answers.Json(BatchJson.Of(batch)) : Unknown(id);

    private static async Task<IResult> CancelAsync(HttpContext http, BatchStore batches, BatchRunner runner, string id)
    {
        var accountId = http.Caller().AccountId;
        await batches.CancelAsync(accountId, id, http.RequestAborted);
        runner.Wake();
        return await batches.FindAsync(accountId, id, http.RequestAborted) switch
        {
            null => Unknown(id),
            { State: BatchStates.Cancelling or BatchStates.Cancelled } batch => Answers.Json(BatchJson.Of(batch)),
            var other => Answers.Error(new OpenAiError(409, "invalid_request_error", "batch_not_cancellable", $"Cannot cancel a batch with status '{other.State}'.")),
        };
    }

    private static JobKind? KindOf(string? path)
    {
        foreach (var kind in JobKinds.ForClients)
        {
            if (kind.Path() == path) return kind;
        }
        return null;
    }

    private static IResult Unknown(string id) => Answers.Error(OpenAiError.NotFound($"No batch found with id '{(id.Length <= 64 ? id : id[..64])}'."));

    internal sealed record NewBatchJson(string? InputFileId, string? Endpoint, string? CompletionWindow, JsonElement? Metadata);

    internal sealed record BatchPageJson(IReadOnlyList<BatchJson> Data, string? FirstId, string? LastId, bool HasMore)
    {
        public string Object { get; } = "list";
    }

    internal sealed record CountsJson(long Total, long Completed, long Failed);

    internal sealed record ErrorsJson(JsonElement Data)
    {
        public string Object { get; } = "list";
    }

    /// <summary>OpenAI's batch object. Times are unix seconds.</summary>
    internal sealed record BatchJson(string Id, string Endpoint, string InputFileId, string Status, long CreatedAt, long ExpiresAt, CountsJson RequestCounts)
    {
        public string Object { get; } = "batch";

        public string CompletionWindow { get; } = Window;

        public ErrorsJson? Errors { get; init; }

        public string? OutputFileId { get; init; }

        public string? ErrorFileId { get; init; }

        public long? InProgressAt { get; init; }

        public long? FinalizingAt { get; init; }

        public long? CompletedAt { get; init; }

        public long? FailedAt { get; init; }

        public long? ExpiredAt { get; init; }

        public long? CancellingAt { get; init; }

        public long? CancelledAt { get; init; }

        public JsonElement? Metadata { get; init; }

        public static BatchJson Of(Batch batch)
        {
            var finishedAt = batch.FinishedAt / 1000;
            return new BatchJson(batch.Id, batch.Kind.Path(), batch.InputFileId, batch.State, batch.CreatedAt / 1000, batch.ExpiresAt / 1000, new CountsJson(batch.Total, batch.Completed, batch.Failed))
            {
                Errors = batch.Errors is { } errors ? new ErrorsJson(JsonElement.Parse(errors)) : null,
                OutputFileId = batch.OutputFileId,
                ErrorFileId = batch.ErrorFileId,
                InProgressAt = batch.InProgressAt / 1000,
                FinalizingAt = batch.FinalizingAt / 1000,
                CompletedAt = batch.State == BatchStates.Completed ? finishedAt : null,
                FailedAt = batch.State == BatchStates.Failed ? finishedAt : null,
                ExpiredAt = batch.State == BatchStates.Expired ? finishedAt : null,
                CancellingAt = batch.CancellingAt / 1000,
                CancelledAt = batch.State == BatchStates.Cancelled ? finishedAt : null,
                Metadata = batch.Metadata is { } metadata ? JsonElement.Parse(metadata) : null,
            };
        }
    }
}
