using Federation.Silo.Storage;

namespace Federation.Silo.Gateway;

/// <summary>The last stop of everything that goes wrong: a clear answer to the client, the cause to the log, nothing in between.</summary>
internal sealed partial class ErrorHandling(RequestDelegate next, ILogger<ErrorHandling> logger)
{
    public async Task InvokeAsync(HttpContext http)
    {
        // No name, id or date has one, and PostgreSQL takes none.
        if (http.Request.QueryString.Value?.Contains("%00", StringComparison.Ordinal) is true)
        {
            await TryAnswerAsync(http, OpenAiError.BadRequest("The query has a null character."));
            return;
        }
        try
        {
            await next(http);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // The client left; nobody is there to answer.
            return;
        }
        catch (BadHttpRequestException exception)
        {
            await TryAnswerAsync(http, new OpenAiError(exception.StatusCode, "invalid_request_error", null, exception.StatusCode switch
            {
                413 => "The request body is too large.",
                408 => "The request body came too slowly.",
                _ => "The request is malformed.",
            }));
            return;
        }
        catch (Exception exception) when (exception is StorageException { IsTransient: true } or OrleansException or TimeoutException)
        {
            LogUnavailable(http.Request.Method, http.Request.Path, exception);
            await TryAnswerAsync(http, OpenAiError.Busy("The hub cannot do this right now. Try again.", TimeSpan.FromSeconds(2)));
            return;
        }
        catch (Exception exception)
        {
            LogFailed(http.Request.Method, http.Request.Path, exception);
            await TryAnswerAsync(http, OpenAiError.Internal());
            return;
        }
        if (!http.Response.HasStarted && http.Response.ContentLength is null && http.Response.ContentType is null && WhyUnrouted(http) is { } error) await TryAnswerAsync(http, error);
    }

    /// <summary>What the router says with a bare status.</summary>
    private static OpenAiError? WhyUnrouted(HttpContext http) => http.Response.StatusCode switch
    {
        400 => OpenAiError.BadRequest("A value in the query is not of the right type.", code: "invalid_type"),
        404 => new OpenAiError(404, "invalid_request_error", "unknown_url", $"Invalid URL ({http.Request.Method} {http.Request.Path}){(OpenAiError.LacksVersion(http.Request.Path) ? ": the base URL must end in /v1" : string.Empty)}"),
        405 => new OpenAiError(405, "invalid_request_error", "method_not_supported", $"{http.Request.Path} does not take {http.Request.Method}{(http.Response.Headers.Allow.ToString() is { Length: > 0 } allowed ? $", but {allowed}" : string.Empty)}."),
        415 => new OpenAiError(415, "invalid_request_error", "unsupported_media_type", "Send the body as JSON, with 'Content-Type: application/json'."),
        _ => null,
    };

    private static async Task TryAnswerAsync(HttpContext http, OpenAiError error)
    {
        if (http.Response.HasStarted)
        {
            // Half an answer is out: only a broken connection can still say that it is not whole.
            http.Abort();
            return;
        }
        http.Response.Clear();
        http.Response.Headers["x-request-id"] = http.RequestId();
        await error.WriteAsync(http);
    }

    [LoggerMessage(4300, LogLevel.Warning, "{Method} {Path} was answered 503")]
    private partial void LogUnavailable(string method, PathString path, Exception exception);

    [LoggerMessage(4301, LogLevel.Error, "{Method} {Path} failed")]
    private partial void LogFailed(string method, PathString path, Exception exception);
}
