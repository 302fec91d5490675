using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Models;

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
        api.MapGet("/tags", async (HttpContext http, ModelList models) => Answers.Json(OllamaModels.Tags(await models.ListAsync(http.Caller(), http.RequestAborted))))
            .RequireScope(Scopes.Inference).WithName("ollama_tags").WithSummary("As Ollama's: the models that this key may ask now, those of clouds among them.");
        api.MapGet("/ps", async (HttpContext http, ModelList models) => Answers.Json(OllamaModels.Running(await models.ListAsync(http.Caller(), http.RequestAborted))))
            .RequireScope(Scopes.Inference).WithName("ollama_ps").WithSummary("As Ollama's: the models that a node has in memory.");
        api.MapPost("/show", ShowAsync).RequireScope(Scopes.Inference).WithName("ollama_show").WithSummary("As Ollama's: one model.");
        MapGeneration(api, "/chat", OllamaRequests.Chat, isChat: true);
        MapGeneration(api, "/generate", OllamaRequests.Generate, isChat: false);
        MapEmbedding(api, "/embed", OllamaRequests.Embed, isOne: false);
        MapEmbedding(api, "/embeddings", OllamaRequests.Embeddings, isOne: true);
    }

    private static void MapGeneration(RouteGroupBuilder group, string path, Func<RequestField, OllamaCall> translate, bool isChat)
        => group.MapPost(path, (HttpContext http, TranslatedApi translated, ModelList models, TimeProvider time) => translated.HandleAsync(http, async request =>
            {
                var call = translate(request);
                var showsThoughts = request.Find("think") is not { Json.ValueKind: System.Text.Json.JsonValueKind.False };
                var writer = new OllamaWriter(http.Response.BodyWriter, call.Model, isChat, showsThoughts, time);
                if (call.Residency is { } residency) await AnswerResidentAsync(http, models, call.Model, residency, writer);
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
    private static async Task AnswerResidentAsync(HttpContext http, ModelList models, string model, string residency, OllamaWriter writer)
    {
        if (await models.FindOnNodesAsync(http.Caller(), model, http.RequestAborted) is null && await models.FindInCloudsAsync(http.Caller(), model) is null) throw new RefusedException(OpenAiError.UnknownModel(ParameterErrors.Echo(model)));
        http.Response.ContentType = "application/json";
        writer.Resident(residency);
        await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
    }

    private static Task ShowAsync(HttpContext http, TranslatedApi translated, ModelList models, HubDirectoryView view) => translated.HandleAsync(http, async request =>
    {
        var name = (request.Find("model") ?? request.Find("name") ?? throw new RefusedException(ParameterErrors.Missing("model"))).Text();
        var shown = await models.FindOnNodesAsync(http.Caller(), name, http.RequestAborted) is { } model ? OllamaModels.Show(await view.GetAsync(http.RequestAborted), model)
            : await models.FindInCloudsAsync(http.Caller(), name) is { } cloud ? OllamaModels.Show(cloud)
            : throw new RefusedException(OpenAiError.UnknownModel(ParameterErrors.Echo(name)));
        await Answers.Json(shown).ExecuteAsync(http);
    });
}
