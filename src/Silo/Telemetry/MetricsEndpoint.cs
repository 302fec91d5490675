using System.Net;
using System.Text;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Telemetry;

/// <summary><c>GET /metrics</c>, for Prometheus: with a key of scope admin, or from this machine where the operator allows that.</summary>
internal static class MetricsEndpoint
{
    public static void MapMetrics(this IEndpointRouteBuilder app)
    {
        var options = app.ServiceProvider.GetRequiredService<IOptions<TelemetryOptions>>().Value;
        // From the first request on; the gauges' owner has to be made for that.
        app.ServiceProvider.GetRequiredService<PrometheusText>().Start();
        app.ServiceProvider.GetRequiredService<HubInstruments>();
        var open = app.MapGet("/metrics", (PrometheusText metrics) => Results.Text(metrics.Write(), "text/plain; version=0.0.4", Encoding.UTF8)).ExcludeFromDescription();
        if (options.MetricsOnLoopback)
        {
            open.AddEndpointFilter(async (context, next) => IsLocal(context.HttpContext)
                ? await next(context)
                : Answers.Error(OpenAiError.Forbidden("Metrics are for this machine alone.")));
        }
        else
        {
            open.RequireScope(Scopes.Admin);
        }
    }

    private static bool IsLocal(HttpContext http) => http.Connection.RemoteIpAddress is { } address && IPAddress.IsLoopback(address);
}
