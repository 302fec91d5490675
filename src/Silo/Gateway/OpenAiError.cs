using Federation.Silo.Gateway.Routing;

namespace Federation.Silo.Gateway;

/// <summary>An error in the shape OpenAI's clients parse, with its HTTP status.</summary>
internal sealed record OpenAiError(int Status, string Type, string? Code, string Message, string? Param = null)
{
    private static readonly PathString[] OpenAiPaths = ["/chat", "/completions", "/embeddings", "/models", "/responses", "/audio", "/images", "/files", "/moderations"];

    // Beyond this, OpenAI's clients do not believe a Retry-After and ask again at a pace of their own.
    private const int ClientPatienceSeconds = 60;

    /// <summary>Seconds for Retry-After; <see langword="null"/> where a retry cannot help.</summary>
    public int? RetryAfterSeconds { get; init; }

    public static OpenAiError BadRequest(string message, string? param = null, string? code = null) => new(400, "invalid_request_error", code, message, param);

    public static OpenAiError InvalidKey() => new(
        401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided. Send a valid one as 'Authorization: Bearer fk_…'.");

    public static OpenAiError MissingKey() => new(
        401, "invalid_request_error", "missing_api_key", "You didn't provide an API key. Send it as 'Authorization: Bearer fk_…'.");

    public static OpenAiError Forbidden(string message) => new(403, "invalid_request_error", "insufficient_permissions", message);

    public static OpenAiError UnknownModel(string model) => new(
        404, "invalid_request_error", "model_not_found", $"The model '{model}' does not exist on this hub.", "model");

    public static OpenAiError NotFound(string what) => new(404, "invalid_request_error", "not_found", what);

    public static OpenAiError BodyTooLarge(long maxBytes) => new(
        413, "invalid_request_error", "request_too_large", $"The request body is larger than {maxBytes} bytes.");

    public static OpenAiError Busy(string message, TimeSpan retryAfter) => new(503, "server_error", "overloaded", message)
    {
        RetryAfterSeconds = Math.Max(1, (int)Math.Ceiling(retryAfter.TotalSeconds)),
    };

    public static OpenAiError NoAnswer() => new(502, "server_error", "no_node_answered", "No node that has the model could answer. Try again.")
    {
        RetryAfterSeconds = 1,
    };

    /// <summary>The request's privacy leaves no node that has the model: it goes to no other.</summary>
    public static OpenAiError NotPrivate(string model, string privacy) => new(
        503, "server_error", "privacy_unavailable", $"No node that '{PrivacyHeader.Name}: {privacy}' allows serves the model '{model}' now. The request was sent to no other.", PrivacyHeader.Name)
    {
        RetryAfterSeconds = 30,
    };

    /// <summary>The last event of a stream that broke off and that nobody else could go on with.</summary>
    /// <param name="who">Answered: a node or a provider.</param>
    public static OpenAiError Interrupted(string who) => new(502, "server_error", "stream_interrupted", $"The {who} that was answering broke off. What came so far is all there is, and all that is paid.");

    /// <summary>Everything unforeseen: no word of the cause leaves the hub.</summary>
    public static OpenAiError Internal() => new(500, "server_error", "internal_error", "The hub failed to handle the request.");

    public byte[] ToJson() => ErrorShape.OpenAi.Write(this, string.Empty);

    /// <summary>Whether a client of OpenAI's API asks, whose base URL lacks the <c>/v1</c> at its end.</summary>
    public static bool LacksVersion(PathString path) => Array.Exists(OpenAiPaths, known => path.StartsWithSegments(known, StringComparison.Ordinal));

    /// <summary>Answers with the error, in the shape that whoever asks can parse.</summary>
    public async Task WriteAsync(HttpContext http)
    {
        var shape = ErrorShapes.Of(http.Request.Path);
        var body = shape.Write(this, http.RequestId());
        http.Response.StatusCode = Status;
        http.Response.ContentType = shape.ContentType();
        http.Response.ContentLength = body.Length;
        // Where Anthropic's clients look for the id.
        if (shape is ErrorShape.Anthropic) http.Response.Headers["request-id"] = http.RequestId();
        if (RetryAfterSeconds is { } seconds) http.Response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        // OpenAI's clients wait and ask again by themselves, which is of no use where the wait is longer than theirs.
        if (Status == 429 && RetryAfterSeconds is null or > ClientPatienceSeconds) http.Response.Headers["x-should-retry"] = "false";
        if (Status == 401) http.Response.Headers.WWWAuthenticate = "Bearer";
        // Credits do not come by asking again; OpenAI's clients would, twice.
        if (Code is "insufficient_quota") http.Response.Headers["x-should-retry"] = "false";
        await http.Response.Body.WriteAsync(body, http.RequestAborted);
    }
}
