// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Standins;
using Orleans.Storage;

namespace Federation.Standins.Orleans.Tests.StandinOnly;

/// <summary>A silo on a deterministic scheduler.</summary>
public sealed class SimulatedSilo : IDisposable
{
    private readonly IHost _host;

    public SimulatedSilo(int seed, Action<ISiloBuilder>? configure = null)
    {
        Scheduler = new DeterministicScheduler(seed) { KeepsTrace = true };
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<Journal>();
        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering();
            silo.UseDeterministicScheduler(Scheduler);
            silo.Services.AddKeyedSingleton<IGrainStorage>("versioned", (_, _) => new VersionedStorage());
            silo.AddMemoryGrainStorage("memory");
            configure?.Invoke(silo);
        });
        _host = builder.Build();
        Scheduler.Start(_host);
    }

    public DeterministicScheduler Scheduler { get; }

    public VirtualTimeProvider Time => Scheduler.Time;

    public IGrainFactory Grains => _host.Services.GetRequiredService<IGrainFactory>();

    public Journal Journal => _host.Services.GetRequiredService<Journal>();

    public int Counter => _host.Services.GetRequiredService<CallCounter>().Count;

    public void Dispose()
    {
        Scheduler.Stop(_host);
        _host.Dispose();
    }
}
