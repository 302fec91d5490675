using System.Text;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Apis.Responses;

/// <summary>OpenAI's Responses API.</summary>
internal static class ResponsesEndpoints
{
    private const int ListMax = 100;

    public static void MapResponses(this IEndpointRouteBuilder app)
    {
        app.MapPost("/v1/responses", CreateAsync).RequireScope(Scopes.Inference)
            .WithName("create_response").WithSummary("As OpenAI's endpoint of this name; a node's engine answers. Kept for later requests unless store is false.").WithTags("responses");
        app.MapGet("/v1/responses/{id}", GetAsync).RequireScope(Scopes.Inference).WithName("get_response").WithSummary("An answer that was kept.").WithTags("responses");
        app.MapGet("/v1/responses/{id}/input_items", ListInputItemsAsync).RequireScope(Scopes.Inference)
            .WithName("list_input_items").WithSummary("What an answer that was kept answers, the newest first: messages, calls and their results, of the responses before it too.").WithTags("responses");
        app.MapDelete("/v1/responses/{id}", DeleteAsync).RequireScope(Scopes.Inference).WithName("delete_response").WithSummary("Forgets an answer that was kept.").WithTags("responses");
    }

    private static Task CreateAsync(
        HttpContext http, TranslatedApi translated, ResponseStore store, IOptions<ResponsesOptions> options, IOptions<GatewayOptions> gateway, TimeProvider time, ILogger<ResponsesSink> logger)
        => translated.HandleAsync(http, async request =>
        {
            var before = ResponsesRequests.PreviousOf(request) is { } previous ? await ConversationAsync(http, store, previous) : null;
            var call = ResponsesRequests.Translate(request, before, options.Value.Store);
            if (call.Body.Length > gateway.Value.MaxBodyBytes)
                throw new RefusedException(OpenAiError.BadRequest($"The conversation is larger than {gateway.Value.MaxBodyBytes} bytes.", "previous_response_id", "request_too_large"));
            var id = $"resp_{http.RequestId()["job_".Length..]}";
            var writer = new ResponsesWriter(http.Response.BodyWriter, id, call, time.GetUtcNow(), translated.MaxAnswerBytes);
            await translated.RunAsync(http, JobKind.Chat, call.Body, new ResponsesSink(http, writer, call, id, store, translated.MaxAnswerBytes, logger));
        });

    private static async Task<string> ConversationAsync(HttpContext http, ResponseStore store, string id)
        // PostgreSQL would not even look for a null character.
        => (id.Contains('\0', StringComparison.Ordinal) ? null : await store.FindAsync(id, http.Caller().AccountId, http.RequestAborted))?.Conversation
            ?? throw new RefusedException(OpenAiError.BadRequest($"Previous response with id '{ParameterErrors.Echo(id)}' not found.", "previous_response_id", "previous_response_not_found"));

    private static async Task<IResult> GetAsync(HttpContext http, ResponseStore store, string id)
    {
        if (http.Request.Query["stream"] == "true") return Answers.Error(ParameterErrors.Unsupported("stream", "An answer that is kept is whole."));
        return await store.FindAsync(id, http.Caller().AccountId, http.RequestAborted) is { } kept ? Results.Text(kept.Response, "application/json", Encoding.UTF8) : Answers.Error(NotFound(id));
    }

    private static async Task<IResult> ListInputItemsAsync(HttpContext http, ResponseStore store, string id, string? after, int? limit, string? order)
    {
        if (limit is < 1 or > ListMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {ListMax}.", "limit"));
        if (order is not (null or "asc" or "desc")) return Answers.Error(OpenAiError.BadRequest("'order' must be 'asc' or 'desc'.", "order"));
        if (await store.FindAsync(id, http.Caller().AccountId, http.RequestAborted) is not { } kept) return Answers.Error(NotFound(id));
        return ResponseInputItems.Page(ResponseInputItems.Of(id, kept.Conversation), after ?? string.Empty, order == "asc", limit ?? 20) is { } page
            ? Results.Text(page.ToJsonString(Answers.Options), "application/json", Encoding.UTF8)
            : Answers.Error(OpenAiError.BadRequest("'after' must be the id of an item of this response.", "after"));
    }

    private static async Task<IResult> DeleteAsync(HttpContext http, ResponseStore store, string id)
        => await store.DeleteAsync(id, http.Caller().AccountId, http.RequestAborted) ? Answers.Json(new DeletedJson(id, true)) : Answers.Error(NotFound(id));

    private static OpenAiError NotFound(string id) => new(StatusCodes.Status404NotFound, "invalid_request_error", null, $"Response with id '{ParameterErrors.Echo(id)}' not found.");

    private sealed record DeletedJson(string Id, bool Deleted)
    {
        public string Object { get; } = "response";
    }
}
