using Federation.Contracts.Hubs;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;

namespace Federation.Silo.Models;

/// <summary><c>GET /v1/models</c>, in OpenAI's shape with our fields beside it.</summary>
internal static class ModelEndpoints
{
    public static void MapModels(this IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/models", ListAsync).RequireScope(Scopes.Inference)
            .WithName("list_models").WithSummary("The models that this key may ask, and how many nodes serve each.").WithTags("models").Produces<ListJson<ModelJson>>();
        // A model's name may hold slashes: "mistralai/Mistral-7B".
        app.MapGet("/v1/models/{**name}", GetAsync).RequireScope(Scopes.Inference)
            .WithName("get_model").WithSummary("One model.").WithTags("models").Produces<ModelJson>();
    }

    private static async Task<IResult> ListAsync(HttpContext http, ModelList models, PriceList prices)
    {
        var listed = await models.ListAsync(http.Caller(), http.RequestAborted);
        return Answers.Json(new ListJson<ModelJson>(
            [.. listed.OfNodes.Select(model => ModelJson.Of(model, prices.OnNodes(model.Name))).Concat(listed.OfClouds.Select(ModelJson.Of)).OrderBy(model => model.Id, StringComparer.Ordinal)]));
    }

    private static async Task<IResult> GetAsync(HttpContext http, ModelList models, PriceList prices, string name)
    {
        if (await models.FindOnNodesAsync(http.Caller(), name, http.RequestAborted) is { } model) return Answers.Json(ModelJson.Of(model, prices.OnNodes(model.Name)));
        return await models.FindInCloudsAsync(http.Caller(), name) is { } cloud ? Answers.Json(ModelJson.Of(cloud)) : Answers.Error(OpenAiError.UnknownModel(name));
    }

    internal sealed record ModelJson(string Id, long Created, string OwnedBy, int Nodes, int Slots, string[] Digests, string[] Capabilities, int? ContextLength)
    {
        public string Object { get; } = "model";

        /// <summary>Where its answers come from, and what they cost.</summary>
        public required SourceJson Federation { get; init; }

        public static ModelJson Of(KnownModel model, Price price) => new(
            model.Name,
            model.FirstSeen.ToUnixTimeSeconds(),
            "federation",
            model.Nodes,
            model.Slots,
            [.. model.Digests],
            [.. model.Capabilities],
            model.ContextLength > 0 ? model.ContextLength : null)
        {
            Federation = new SourceJson(PriceRule.Nodes, null, Quotes.PriceJson.Of(price)),
        };

        public static ModelJson Of(ListedCloudModel model) => new(model.Name, 0, model.Routes[0].Provider.Name, 0, 0, [], [.. model.Capabilities], null)
        {
            Federation = new SourceJson("cloud", [.. model.Routes.Select(route => route.Provider.Name)], Quotes.PriceJson.Of(model.Routes[0].Price)),
        };
    }

    /// <summary>Where a model's answers come from: the federation's nodes or clouds, in the order in which those are asked, at the price of the first.</summary>
    internal sealed record SourceJson(string Source, string[]? Providers, Quotes.PriceJson Price);
}
