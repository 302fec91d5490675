using Federation.Silo.Accounts.Ledger;
using Microsoft.Extensions.Options;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Federation.Silo.Telemetry;

/// <summary>Sends metrics and traces by OTLP while the hub runs, where an endpoint is set.</summary>
internal sealed class OtlpExport(IOptions<TelemetryOptions> options) : IHostedService, IDisposable
{
    private MeterProvider? _metrics;
    private TracerProvider? _traces;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Value.OtlpEndpoint is not { Length: > 0 } endpoint) return Task.CompletedTask;
        var resource = ResourceBuilder.CreateDefault().AddService("federation-hub");
        _metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource)
            .AddMeter(GatewayInstruments.MeterName, HubInstruments.MeterName, LedgerInstruments.MeterName)
            .AddOtlpExporter(exporter => Configure(exporter, $"{endpoint.TrimEnd('/')}/v1/metrics"))
            .Build();
        _traces = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource)
            // The server's own span reads the client's trace context; unheard, it would count as one that is not sampled, and ours below it with it.
            .AddSource(GatewayInstruments.SourceName, "Microsoft.AspNetCore")
            .AddOtlpExporter(exporter => Configure(exporter, $"{endpoint.TrimEnd('/')}/v1/traces"))
            .Build();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        // What was measured last is sent, if that is quick.
        _metrics?.ForceFlush(1_000);
        _traces?.ForceFlush(1_000);
        return Task.CompletedTask;
    }

    public void Dispose()
    {
        _metrics?.Dispose();
        _traces?.Dispose();
    }

    private static void Configure(OtlpExporterOptions exporter, string endpoint)
    {
        exporter.Protocol = OtlpExportProtocol.HttpProtobuf;
        exporter.Endpoint = new Uri(endpoint);
    }
}
