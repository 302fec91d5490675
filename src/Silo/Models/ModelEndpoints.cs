using Federation.Contracts.Hubs;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;

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

    private static async Task<IResult> ListAsync(HttpContext http, HubDirectoryView directory, CloudRoutes clouds, PriceList prices)
    {
        var nodes = (await directory.GetAsync(http.RequestAborted)).Models;
        // A model that nodes have is theirs: clouds help out at most.
        var cloud = clouds.Listed.Where(listed => nodes.All(model => model.Name != listed.Name)).Select(ModelJson.Of);
        return Answers.Json(new ListJson<ModelJson>([.. nodes.Select(model => ModelJson.Of(model, prices.OnNodes(model.Name))).Concat(cloud).OrderBy(model => model.Id, StringComparer.Ordinal)]));
    }

    private static async Task<IResult> GetAsync(HttpContext http, HubDirectoryView directory, CloudRoutes clouds, PriceList prices, string name)
    {
        var routes = clouds.Find(name, null);
        if (await directory.FindModelAsync(name, http.RequestAborted, insist: routes.IsEmpty) is { } model) return Answers.Json(ModelJson.Of(model, prices.OnNodes(model.Name)));
        return routes.IsEmpty ? Answers.Error(OpenAiError.UnknownModel(name)) : Answers.Json(ModelJson.Of(clouds.Listed.FirstOrDefault(listed => listed.Name == name) ?? new ListedCloudModel(name, routes, [])));
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
