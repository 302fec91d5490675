using Federation.Contracts.Hubs;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;

namespace Federation.Silo.Models;

/// <summary><c>GET /v1/models</c>, in OpenAI's shape with our fields beside it.</summary>
internal static class ModelEndpoints
{
    public static void MapModels(this IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/models", ListAsync).RequireScope(Scopes.Inference)
            .WithName("list_models").WithSummary("The models that can be asked now, and how many nodes serve each.").WithTags("models").Produces<ListJson<ModelJson>>();
        // A model's name may hold slashes: "mistralai/Mistral-7B".
        app.MapGet("/v1/models/{**name}", GetAsync).RequireScope(Scopes.Inference)
            .WithName("get_model").WithSummary("One model.").WithTags("models").Produces<ModelJson>();
    }

    private static async Task<IResult> ListAsync(HttpContext http, HubDirectoryView directory)
        => Answers.Json(new ListJson<ModelJson>([.. (await directory.GetAsync(http.RequestAborted)).Models.Select(ModelJson.Of)]));

    private static async Task<IResult> GetAsync(HttpContext http, HubDirectoryView directory, string name)
        => await directory.FindModelAsync(name, http.RequestAborted) is { } model ? Answers.Json(ModelJson.Of(model)) : Answers.Error(OpenAiError.UnknownModel(name));

    internal sealed record ModelJson(string Id, long Created, string OwnedBy, int Nodes, int Slots, string[] Digests, string[] Capabilities, int? ContextLength)
    {
        public string Object { get; } = "model";

        public static ModelJson Of(KnownModel model) => new(
            model.Name,
            model.FirstSeen.ToUnixTimeSeconds(),
            "federation",
            model.Nodes,
            model.Slots,
            [.. model.Digests],
            [.. model.Capabilities],
            model.ContextLength > 0 ? model.ContextLength : null);
    }
}
