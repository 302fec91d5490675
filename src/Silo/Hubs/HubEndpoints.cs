using System.Reflection;
using Federation.Silo.Gateway;
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
        app.MapGet("/v1/hub", GetAsync).WithName("get_hub").WithTags("hub").Produces<HubJson>();
        app.MapGet("/healthz", () => Results.Text("ok\n")).ExcludeFromDescription();
        app.MapGet("/readyz", IsReadyAsync).ExcludeFromDescription();
    }

    private static async Task<IResult> GetAsync(HttpContext http, HubIdentity identity, IOptions<HubOptions> options, HubDirectoryView directory)
    {
        var known = await directory.GetAsync(http.RequestAborted);
        return Answers.Json(new HubJson(
            identity.Id.ToString(),
            options.Value.Name,
            Convert.ToBase64String(identity.PublicKey.Span),
            Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown",
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

    internal sealed record HubJson(string Id, string Name, string PublicKey, string Version, int NodesConnected, int Models);
}

/// <summary>Where this hub is reached.</summary>
internal sealed class HubAddress(IOptions<HubOptions> options, IServer server)
{
    /// <summary>The configured public URL, else what the caller used.</summary>
    public string For(HttpContext http) => options.Value.PublicUrl.Length > 0 ? options.Value.PublicUrl : $"{http.Request.Scheme}://{http.Request.Host}";

    /// <summary>The configured public URL, else the first address it listens on.</summary>
    public string First => options.Value.PublicUrl.Length > 0
        ? options.Value.PublicUrl
        : server.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "http://localhost";
}
