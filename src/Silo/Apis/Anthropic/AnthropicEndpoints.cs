using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis.Anthropic;

/// <summary>Anthropic's Messages API. Any <c>anthropic-version</c> is taken: there has been one since 2023.</summary>
internal static class AnthropicEndpoints
{
    public static void MapAnthropic(this IEndpointRouteBuilder app)
    {
        app.MapPost("/v1/messages", (HttpContext http, TranslatedApi translated) => translated.HandleAsync(http, request =>
            {
                var call = AnthropicRequests.Messages(request);
                // Where Anthropic's clients look for the id.
                http.Response.Headers["request-id"] = http.RequestId();
                var writer = new AnthropicWriter(http.Response.BodyWriter, http.RequestId(), call);
                return translated.RunAsync(http, JobKind.Chat, call.Body, new TranslatingSink(http, new ChatReader(TranslatedApi.CallPrefix(http)), writer, call.Stream, translated.MaxAnswerBytes));
            }))
            .RequireScope(Scopes.Inference).WithName("create_message").WithSummary("As Anthropic's endpoint of this name; a node's engine answers.").WithTags("anthropic");

        // Only the engine that would answer knows how its model cuts a text into tokens, and none is asked for a guess.
        app.MapPost("/v1/messages/count_tokens", () => Answers.Error(new OpenAiError(
                StatusCodes.Status404NotFound, "invalid_request_error", "not_supported", "This hub cannot count tokens before a model has read them; an answer's usage has the count.")))
            .RequireScope(Scopes.Inference).WithName("count_message_tokens").WithSummary("Not supported: tokens are counted by the engine that reads them.").WithTags("anthropic");
    }
}
