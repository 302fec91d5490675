using Federation.Silo.Accounts;
using Federation.Silo.Gateway;

namespace Federation.Silo.Files;

/// <summary>OpenAI's <c>/v1/files</c>, for batches.</summary>
internal static class FileEndpoints
{
    public static void MapFiles(this IEndpointRouteBuilder app)
    {
        var files = app.MapGroup("/v1/files").WithTags("files");
        files.MapPost("", CreateAsync).RequireScope(Scopes.Inference)
            .WithName("create_file").WithSummary("Uploads a file of lines for a batch.").Produces<FileJson>();
        files.MapGet("", ListAsync).RequireScope(Scopes.Inference)
            .WithName("list_files").WithSummary("The account's files.").Produces<FilePageJson>();
        files.MapGet("/{id}", GetAsync).RequireScope(Scopes.Inference)
            .WithName("get_file").WithSummary("One file, without its content.").Produces<FileJson>();
        files.MapGet("/{id}/content", GetContentAsync).RequireScope(Scopes.Inference)
            .WithName("get_file_content").WithSummary("A file's bytes.").Produces(200, contentType: "application/octet-stream");
        files.MapDelete("/{id}", DeleteAsync).RequireScope(Scopes.Inference)
            .WithName("delete_file").WithSummary("Deletes a file that no batch still reads.").Produces<DeletedJson>();
    }

    private static async Task<IResult> CreateAsync(HttpContext http, FileUpload upload)
    {
        var (file, problem) = await upload.TakeAsync(http);
        return file is not null ? Answers.Json(FileJson.Of(file)) : Answers.Error(problem!);
    }

    private static async Task<IResult> ListAsync(HttpContext http, FileStore files, string? purpose, string? after, int? limit, string? order)
    {
        if (limit is < 1 or > FileStore.ListMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {FileStore.ListMax}.", "limit"));
        if (order is not (null or "asc" or "desc")) return Answers.Error(OpenAiError.BadRequest("'order' must be 'asc' or 'desc'.", "order"));
        var wanted = limit ?? FileStore.ListMax;
        var rows = await files.ListAsync(http.Caller().AccountId, purpose, after, order == "asc", wanted + 1, http.RequestAborted);
        var page = rows.Take(wanted).Select(FileJson.Of).ToList();
        return Answers.Json(new FilePageJson(page, page.FirstOrDefault()?.Id, page.LastOrDefault()?.Id, rows.Length > wanted));
    }

    private static async Task<IResult> GetAsync(HttpContext http, FileStore files, string id)
        => await files.FindAsync(http.Caller().AccountId, id, http.RequestAborted) is { } file ? Answers.Json(FileJson.Of(file)) : Unknown(id);

    private static async Task<IResult> GetContentAsync(HttpContext http, FileStore files, string id)
    {
        if (await files.FindAsync(http.Caller().AccountId, id, http.RequestAborted) is not { } file) return Unknown(id);
        http.Response.ContentType = "application/octet-stream";
        http.Response.ContentLength = file.Bytes;
        await foreach (var piece in files.ReadAsync(id, http.RequestAborted)) await http.Response.Body.WriteAsync(piece, http.RequestAborted);
        return Results.Empty;
    }

    private static async Task<IResult> DeleteAsync(HttpContext http, FileStore files, string id) => await files.DeleteAsync(http.Caller().AccountId, id, http.RequestAborted) switch
    {
        FileDeletion.Deleted => Answers.Json(new DeletedJson(id)),
        FileDeletion.InUse => Answers.Error(new OpenAiError(409, "invalid_request_error", "file_in_use", $"A batch still reads the file '{id}'.")),
        FileDeletion.Unknown => Unknown(id),
        var other => throw new InvalidOperationException($"Deletion {other} is not handled."),
    };

    private static IResult Unknown(string id) => Answers.Error(OpenAiError.NotFound($"No such File object: {(id.Length <= 64 ? id : id[..64])}") with { Param = "id" });

    /// <summary>OpenAI's file object. Times are unix seconds.</summary>
    internal sealed record FileJson(string Id, long Bytes, long CreatedAt, long? ExpiresAt, string Filename, string Purpose)
    {
        public string Object { get; } = "file";

        public string Status { get; } = "processed";

        public static FileJson Of(ClientFile file) => new(file.Id, file.Bytes, file.CreatedAt / 1000, file.ExpiresAt / 1000, file.Filename, file.Purpose);
    }

    internal sealed record FilePageJson(IReadOnlyList<FileJson> Data, string? FirstId, string? LastId, bool HasMore)
    {
        public string Object { get; } = "list";
    }

    internal sealed record DeletedJson(string Id)
    {
        public string Object { get; } = "file";

        public bool Deleted { get; } = true;
    }
}
