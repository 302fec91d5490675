using Federation.Silo.Accounts;

namespace Federation.Silo.Gateway;

/// <summary>Who calls, and whether they may.</summary>
internal static class Authentication
{
    /// <summary>Gives every request its id.</summary>
    public static void UseRequestIds(this IApplicationBuilder app) => app.Use((http, next) =>
    {
        var id = $"job_{Guid.CreateVersion7():N}";
        http.Features.Set(new Numbered(id));
        http.Response.Headers["x-request-id"] = id;
        return next(http);
    });

    /// <summary>Holds every request against the scope that its endpoint requires.</summary>
    public static void UseScopes(this IApplicationBuilder app) => app.UseMiddleware<ScopeCheck>();

    /// <summary>The id of this request, which is also its job's.</summary>
    public static string RequestId(this HttpContext http) => http.Features.Get<Numbered>()?.Id ?? string.Empty;

    /// <summary>Who calls; only where <see cref="RequireScope{T}"/> has let them in.</summary>
    public static ApiCaller Caller(this HttpContext http) => http.Features.Get<ApiCaller>()!;

    /// <summary>Lets in whoever sends a key with this scope, or an admin's.</summary>
    public static T RequireScope<T>(this T endpoint, string scope)
        where T : IEndpointConventionBuilder
        => endpoint.WithMetadata(new RequiredScope(scope));

    /// <summary>Why whoever asks is not let in; <see langword="null"/> when they are.</summary>
    internal static async ValueTask<OpenAiError?> WhyRefusedAsync(HttpContext http, ApiKeys keys, string scope)
    {
        var header = http.Request.Headers.Authorization.ToString();
        // Anthropic's clients have a header of their own for it.
        if (header.Length == 0 && http.Request.Headers["x-api-key"].ToString() is { Length: > 0 } bare) header = $"Bearer {bare}";
        if (header.Length == 0) return OpenAiError.MissingKey();
        if (!header.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)) return OpenAiError.InvalidKey();
        var from = http.Connection.RemoteIpAddress;
        if (await keys.AuthenticateAsync(header["Bearer ".Length..].Trim(), http.RequestAborted, from) is not { } caller) return keys.Wrong.Note(from) is { } wait ? LimitErrors.TooManyWrongKeys(wait) : OpenAiError.InvalidKey();
        if (!caller.IsAdmin && !caller.Scopes.Contains(scope)) return OpenAiError.Forbidden($"The API key lacks the scope '{scope}'.");
        http.Features.Set(caller);
        return null;
    }

    private sealed record Numbered(string Id);

    private sealed record RequiredScope(string Scope);

    /// <summary>As middleware: a filter of each endpoint would cost all of them the machinery of filters.</summary>
    private sealed class ScopeCheck(RequestDelegate next, ApiKeys keys)
    {
        public Task InvokeAsync(HttpContext http) => http.GetEndpoint()?.Metadata.GetMetadata<RequiredScope>() is { } required ? CheckAsync(http, required.Scope) : next(http);

        private async Task CheckAsync(HttpContext http, string scope)
        {
            if (await WhyRefusedAsync(http, keys, scope) is { } error) await error.WriteAsync(http);
            else await next(http);
        }
    }
}
