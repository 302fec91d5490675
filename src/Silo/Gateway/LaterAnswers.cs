using Federation.Silo.Gateway.Routing;
using Federation.Silo.Pricing;

namespace Federation.Silo.Gateway;

/// <summary>What a request's headers ask of its answer holds where the answer is given at once. Where it is not, saying so is better than forgetting it: a client may send them with everything.</summary>
internal static class LaterAnswers
{
    /// <summary>Refuses requests that ask who may read them, or what they may cost.</summary>
    public static T RefuseTerms<T>(this T endpoint)
        where T : IEndpointConventionBuilder
        => endpoint.AddEndpointFilter(async (context, next) =>
        {
            var http = context.HttpContext;
            if (Refused(http.Request.Headers) is not { } name) return await next(context);
            await OpenAiError.BadRequest($"'{name}' is kept only for requests that are answered at once; leave it out here.", name, "unsupported_header").WriteAsync(http);
            return Results.Empty;
        });

    private static string? Refused(IHeaderDictionary headers)
        => headers[PrivacyHeader.Name].ToString() is not ("" or "any") ? PrivacyHeader.Name
            : headers[PaymentTerms.MaxCreditsHeader].Count > 0 ? PaymentTerms.MaxCreditsHeader
            : null;
}
