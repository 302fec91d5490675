using System.Reflection;
using Federation.Contracts.Accounts;
using Federation.Contracts.Hubs;
using Federation.Silo.Accounts;
using Federation.Silo.Apis.Ollama;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Hubs;
using Federation.Silo.Models;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Models;

public sealed class ModelListTests : IDisposable
{
    private readonly TestClock _clock = new();
    private readonly List<IDisposable> _used = [];

    public void Dispose() => _used.ForEach(one => one.Dispose());

    [Fact]
    public async Task Whoever_may_everything_sees_nodes_models_and_those_that_clouds_alone_have()
        => Assert.Equal("llama3.2:latest qwen3 | claude gpt-4o", await SeenAsync(List()));

    [Fact]
    public async Task What_a_key_may_not_ask_it_does_not_see()
    {
        var list = List();
        var caller = Caller() with { Models = ["llama3.2", "gpt-*"] };
        Assert.Equal("llama3.2:latest | gpt-4o", await SeenAsync(list, caller));
        Assert.NotNull(await list.FindOnNodesAsync(caller, "llama3.2", CancellationToken.None));
        Assert.Null(await list.FindOnNodesAsync(caller, "qwen3", CancellationToken.None));
        Assert.NotNull(await list.FindInCloudsAsync(caller, "gpt-4o"));
        Assert.Null(await list.FindInCloudsAsync(caller, "claude"));
    }

    [Fact]
    public async Task What_a_tier_does_not_have_its_accounts_do_not_see()
    {
        var list = List(tiers => tiers.Models[Tier.Pro] = ["qwen*", "claude"]);
        Assert.Equal("qwen3 | claude", await SeenAsync(list));
        Assert.Null(await list.FindOnNodesAsync(Caller(), "llama3.2", CancellationToken.None));
        Assert.Null(await list.FindInCloudsAsync(Caller(), "gpt-4o"));
    }

    [Fact]
    public async Task What_no_way_leads_to_is_not_listed()
    {
        Assert.Equal("qwen3 | ", await SeenAsync(List(routing: routing => (routing.Sources, routing.Models["llama*"]) = ("nodes", "cloud"))));
        Assert.Equal(" | claude gpt-4o qwen3", await SeenAsync(List(routing: routing => routing.Sources = "cloud")));
    }

    [Fact]
    public async Task Ollama_s_clients_see_clouds_models_by_name_and_provider()
    {
        var tags = OllamaModels.Tags(await List().ListAsync(Caller(), CancellationToken.None)).Models;
        // No node has qwen3 now.
        Assert.Equal(["llama3.2:latest", "claude", "gpt-4o"], tags.Select(model => model.Name));
        Assert.Equal(("test", "claude-9"), (tags[1].RemoteHost, tags[1].RemoteModel));
    }

    private static async Task<string> SeenAsync(ModelList list, ApiCaller? caller = null)
    {
        var seen = await list.ListAsync(caller ?? Caller(), CancellationToken.None);
        return $"{string.Join(' ', seen.OfNodes.Select(model => model.Name))} | {string.Join(' ', seen.OfClouds.Select(model => model.Name))}";
    }

    private static ApiCaller Caller() => new("acct_1", "key_1", []);

    private ModelList List(Action<TierOptions>? tiers = null, Action<RoutingOptions>? routing = null)
    {
        var (tierOptions, routingOptions) = (new TierOptions(), new RoutingOptions());
        tiers?.Invoke(tierOptions);
        routing?.Invoke(routingOptions);
        var grains = new FakeGrains
        {
            Hub = new FakeHub(new HubDirectory(1, [], [new KnownModel("llama3.2:latest", 1, 1, [], [], 0, _clock.GetUtcNow()), new KnownModel("qwen3", 0, 0, [], [], 0, _clock.GetUtcNow())])),
            Account = DispatchProxy.Create<IAccountGrain, ProAccount>(),
        };
        var directory = new HubDirectoryView(grains.Grains, Create(new HubOptions()), _clock, NullLogger<HubDirectoryView>.Instance);
        var cloud = new ProviderOptions { BaseUrl = "https://test.example/v1", Keyless = true, Models = [new() { Name = "gpt-4o" }, new() { Name = "claude", Theirs = "claude-9" }, new() { Name = "qwen3" }] };
        var clouds = new CloudRoutes(Create(new CloudOptions { Providers = { ["test"] = cloud } }), new PriceList(Create(new PricingOptions())), _clock, NullLogger<CloudRoutes>.Instance);
        _used.AddRange([directory, clouds]);
        return new ModelList(directory, clouds, new SourceOrders(Create(routingOptions)), Create(tierOptions), grains.Grains);
    }

    /// <summary>An account of the tier pro. A proxy, since it is asked for one thing alone.</summary>
    public class ProAccount : DispatchProxy
    {
        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
            => targetMethod!.Name == nameof(IAccountGrain.GetTerms) ? Task.FromResult(new AccountTerms(true, Tier.Pro, 4, 1)) : throw new NotSupportedException($"{targetMethod.Name} is not faked.");
    }
}
