using Federation.Silo.Accounts;

namespace Federation.Silo.Gateway;

/// <summary>Who calls, and whether they may.</summary>
internal static class Authentication
{
    private static readonly object CallerKey = new();
    private static readonly object RequestIdKey = new();

    /// <summary>Gives every request its id and turns whatever goes wrong into the one error shape of <c>/v1</c>.</summary>
    public static void UseRequestIds(this IApplicationBuilder app) => app.Use(async (http, next) =>
    {
        var id = $"job_{Guid.CreateVersion7():N}";
        http.Items[RequestIdKey] = id;
        http.Response.Headers["x-request-id"] = id;
        await next(http);
    });

    /// <summary>The id of this request, which is also its job's.</summary>
    public static string RequestId(this HttpContext http) => http.Items[RequestIdKey] as string ?? string.Empty;

    /// <summary>Who calls; only where <see cref="RequireScope{T}"/> has let them in.</summary>
    public static ApiCaller Caller(this HttpContext http) => (ApiCaller)http.Items[CallerKey]!;

    /// <summary>Lets in whoever sends a key with this scope, or an admin's.</summary>
    public static T RequireScope<T>(this T endpoint, string scope)
        where T : IEndpointConventionBuilder
        => endpoint.AddEndpointFilter(async (context, next) =>
        {
            var http = context.HttpContext;
            if (await WhyRefusedAsync(http, scope) is not { } error) return await next(context);
            await error.WriteAsync(http);
            return Results.Empty;
        });

    /// <summary>Why whoever asks is not let in; <see langword="null"/> when they are.</summary>
    internal static async ValueTask<OpenAiError?> WhyRefusedAsync(HttpContext http, string scope)
    {
        var header = http.Request.Headers.Authorization.ToString();
        // Anthropic's clients have a header of their own for it.
        if (header.Length == 0 && http.Request.Headers["x-api-key"].ToString() is { Length: > 0 } bare) header = $"Bearer {bare}";
        if (header.Length == 0) return OpenAiError.MissingKey();
        if (!header.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)) return OpenAiError.InvalidKey();
        var keys = http.RequestServices.GetRequiredService<ApiKeys>();
        var from = http.Connection.RemoteIpAddress;
        if (await keys.AuthenticateAsync(header["Bearer ".Length..].Trim(), http.RequestAborted, from) is not { } caller) return keys.Wrong.Note(from) is { } wait ? LimitErrors.TooManyWrongKeys(wait) : OpenAiError.InvalidKey();
        if (!caller.IsAdmin && !caller.Scopes.Contains(scope)) return OpenAiError.Forbidden($"The API key lacks the scope '{scope}'.");
        http.Items[CallerKey] = caller;
        return null;
    }
}
