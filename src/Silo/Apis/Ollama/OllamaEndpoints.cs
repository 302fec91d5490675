using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;

namespace Federation.Silo.Apis.Ollama;

/// <summary>Ollama's API: what its clients need to use models. Fetching, making and deleting them is the nodes' owners' affair and not here.</summary>
internal static class OllamaEndpoints
{
    /// <summary>The version of Ollama whose API this is; clients look at it for what they may ask.</summary>
    private const string Dialect = "0.12.6";

    public static void MapOllama(this IEndpointRouteBuilder app)
    {
        var api = app.MapGroup("/api").WithTags("ollama");
        api.MapGet("/version", () => Answers.Json(new OllamaVersionJson(Dialect))).WithName("ollama_version").WithSummary("The version of Ollama whose API this is.");
        api.MapGet("/tags", async (HttpContext http, HubDirectoryView directory) => Answers.Json(OllamaModels.Tags(await directory.GetAsync(http.RequestAborted))))
            .RequireScope(Scopes.Inference).WithName("ollama_tags").WithSummary("As Ollama's: the models that can be asked now.");
        api.MapGet("/ps", async (HttpContext http, HubDirectoryView directory) => Answers.Json(OllamaModels.Running(await directory.GetAsync(http.RequestAborted))))
            .RequireScope(Scopes.Inference).WithName("ollama_ps").WithSummary("As Ollama's: the models that a node has in memory.");
        api.MapPost("/show", ShowAsync).RequireScope(Scopes.Inference).WithName("ollama_show").WithSummary("As Ollama's: one model.");
        MapGeneration(api, "/chat", OllamaRequests.Chat, isChat: true);
        MapGeneration(api, "/generate", OllamaRequests.Generate, isChat: false);
        MapEmbedding(api, "/embed", OllamaRequests.Embed, isOne: false);
        MapEmbedding(api, "/embeddings", OllamaRequests.Embeddings, isOne: true);
    }

    private static void MapGeneration(RouteGroupBuilder group, string path, Func<RequestField, OllamaCall> translate, bool isChat)
        => group.MapPost(path, (HttpContext http, TranslatedApi translated, HubDirectoryView directory, TimeProvider time) => translated.HandleAsync(http, async request =>
            {
                var call = translate(request);
                var showsThoughts = request.Find("think") is not { Json.ValueKind: System.Text.Json.JsonValueKind.False };
                var writer = new OllamaWriter(http.Response.BodyWriter, call.Model, isChat, showsThoughts, time);
                if (call.Residency is { } residency) await AnswerResidentAsync(http, directory, call.Model, residency, writer);
                else await translated.RunAsync(http, call.Kind, call.Body, new TranslatingSink(http, new ChatReader(TranslatedApi.CallPrefix(http)), writer, call.Stream, translated.MaxAnswerBytes));
            }))
            .RequireScope(Scopes.Inference).WithName($"ollama{path.Replace('/', '_')}").WithSummary("As Ollama's endpoint of this name; a node's engine answers.");

    private static void MapEmbedding(RouteGroupBuilder group, string path, Func<RequestField, OllamaCall> translate, bool isOne)
        => group.MapPost(path, (HttpContext http, TranslatedApi translated, TimeProvider time) => translated.HandleAsync(http, async request =>
            {
                var call = translate(request);
                await translated.RunAsync(http, JobKind.Embedding, call.Body, new OllamaEmbeddingSink(http, call.Model, isOne, time));
            }))
            .RequireScope(Scopes.Inference).WithName($"ollama{path.Replace('/', '_')}").WithSummary("As Ollama's endpoint of this name; a node's engine answers.");

    /// <summary>Where a model is in memory is its nodes' affair; that it is known is all that a client can be told.</summary>
    private static async Task AnswerResidentAsync(HttpContext http, HubDirectoryView directory, string model, string residency, OllamaWriter writer)
    {
        if (await directory.FindModelAsync(model, http.RequestAborted) is null) throw new RefusedException(OpenAiError.UnknownModel(ParameterErrors.Echo(model)));
        http.Response.ContentType = "application/json";
        writer.Resident(residency);
        await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
    }

    private static Task ShowAsync(HttpContext http, TranslatedApi translated, HubDirectoryView view) => translated.HandleAsync(http, async request =>
    {
        var name = (request.Find("model") ?? request.Find("name") ?? throw new RefusedException(ParameterErrors.Missing("model"))).Text();
        if (await view.FindModelAsync(name, http.RequestAborted) is not { } model) throw new RefusedException(OpenAiError.UnknownModel(ParameterErrors.Echo(name)));
        await Answers.Json(OllamaModels.Show(await view.GetAsync(http.RequestAborted), model)).ExecuteAsync(http);
    });
}
