using System.Reflection;
using Federation.Silo.Gateway;
using Federation.Silo.Hosting;
using Federation.Silo.Storage;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Hubs;

/// <summary>What a hub says of itself to anybody who asks.</summary>
internal static class HubEndpoints
{
    public static void MapHub(this IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/hub", GetAsync)
            .WithName("get_hub").WithSummary("Who this hub is, where nodes dial it, and what it can do now.").WithTags("hub").Produces<HubJson>();
        app.MapGet("/healthz", () => Results.Text("ok\n")).ExcludeFromDescription();
        app.MapGet("/readyz", IsReadyAsync).ExcludeFromDescription();
    }

    private static async Task<IResult> GetAsync(HttpContext http, HubIdentity identity, IOptions<HubOptions> options, HubDirectoryView directory, HubAddress address)
    {
        var known = await directory.GetAsync(http.RequestAborted);
        return Answers.Json(new HubJson(
            identity.Id.ToString(),
            options.Value.Name,
            Convert.ToBase64String(identity.PublicKey.Span),
            Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown",
            address.NodeLinkFor(http),
            options.Value.Urls.Count > 0 ? [.. options.Value.Urls] : null,
            known.Nodes.Length,
            known.Models.Length));
    }

    /// <summary>Ready: takes work. The database answers, and the hub is not stopping.</summary>
    private static async Task<IResult> IsReadyAsync(HttpContext http, HubDrain drain, HubDatabase database)
    {
        if (drain.IsDraining) return Results.Text("draining\n", statusCode: StatusCodes.Status503ServiceUnavailable);
        try
        {
            await using var connection = await database.OpenAsync(http.RequestAborted);
            return Results.Text("ready\n");
        }
        catch (StorageException)
        {
            return Results.Text("the database is away\n", statusCode: StatusCodes.Status503ServiceUnavailable);
        }
    }

    internal sealed record HubJson(string Id, string Name, string PublicKey, string Version, string NodeLinkUrl, string[]? Urls, int NodesConnected, int Models);
}

/// <summary>Where this hub is reached.</summary>
internal sealed class HubAddress(IOptions<HubOptions> options, ListenSettings listen, IServer server)
{
    /// <summary>The configured public URL, else what the caller used.</summary>
    public string For(HttpContext http) => options.Value.PublicUrl.Length > 0 ? options.Value.PublicUrl : $"{http.Request.Scheme}://{http.Request.Host}";

    /// <summary>Where nodes dial. With TLS that is where API clients call; without, HTTP/2 has a port of its own.</summary>
    public string NodeLinkFor(HttpContext http)
    {
        if (options.Value.NodeLinkUrl.Length > 0) return options.Value.NodeLinkUrl;
        if (listen.NodeLink is null) return For(http);
        // Kestrel lists its addresses in the order they were asked for: first the API's, then the nodes'.
        var port = new Uri(server.Features.Get<IServerAddressesFeature>()!.Addresses.ElementAt(1)).Port;
        return $"{http.Request.Scheme}://{new HostString(http.Request.Host.Host, port)}";
    }
}
