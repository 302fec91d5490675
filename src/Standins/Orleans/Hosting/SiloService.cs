// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Activations;
using Orleans.Contracts;
using Orleans.Runtime;
using Orleans.Timers;

namespace Orleans.Hosting;

/// <summary>Starts the silo with the host, collects idle activations while it runs, and deactivates all when it stops.</summary>
internal sealed partial class SiloService(Silo silo, IEnumerable<ILifecycleParticipant<ISiloLifecycle>> participants) : IHostedService
{
    private const int GrainDeactivationStage = ServiceLifecycleStage.Active - 2;

    private readonly SiloStages _stages = new();
    private ITimer? _collector;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (silo.Collection.CollectionAge <= silo.Collection.CollectionQuantum)
        {
            throw new OrleansConfigurationException(
                $"GrainCollectionOptions.CollectionAge is {silo.Collection.CollectionAge}. It must be more than CollectionQuantum, which is {silo.Collection.CollectionQuantum}.");
        }

        ContractCheck.Run(silo.Classes.All.SelectMany(grainClass => grainClass.Interfaces));
        _stages.Subscribe("Grains", GrainDeactivationStage, OpenAsync, CloseAsync);
        foreach (var participant in participants)
        {
            participant.Participate(_stages);
        }

        await _stages.StartAsync(cancellationToken);
        LogStarted(silo.Log, silo.Name, silo.Classes.All.Count());
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stages.StopAsync(failure => LogStopFailed(silo.Log, failure), cancellationToken);
        LogStopped(silo.Log, silo.Name);
    }

    private Task OpenAsync(CancellationToken token)
    {
        silo.Phase = SiloPhase.Running;
        var quantum = silo.Collection.CollectionQuantum;
        _collector = CleanFlow.Run(() => silo.Time.CreateTimer(static service => ((SiloService)service!).CollectIdle(), this, quantum, quantum));
        return Task.CompletedTask;
    }

    private async Task CloseAsync(CancellationToken token)
    {
        if (_collector is not null)
        {
            await _collector.DisposeAsync();
        }

        silo.Phase = SiloPhase.Stopping;
        var reason = new DeactivationReason(DeactivationReasonCode.ShuttingDown, "This process is terminating.");
        while (silo.Catalog.Activations.ToList() is { Count: > 0 } activations)
        {
            foreach (var activation in activations)
            {
                activation.Deactivate(reason, token);
            }

            await Task.WhenAll(activations.Select(activation => activation.Deactivated)).WaitAsync(token);
        }
    }

    private void CollectIdle()
    {
        foreach (var activation in silo.Catalog.Activations)
        {
            activation.CollectIfIdle();
        }
    }

    [LoggerMessage(141, LogLevel.Information, "Silo {Name} has started with {Classes} grain classes. It is a stand-in for one process, not a cluster.")]
    private static partial void LogStarted(ILogger logger, string name, int classes);

    [LoggerMessage(142, LogLevel.Information, "Silo {Name} has stopped.")]
    private static partial void LogStopped(ILogger logger, string name);

    [LoggerMessage(143, LogLevel.Error, "A stage of the silo could not be stopped cleanly. The others are stopped all the same.")]
    private static partial void LogStopFailed(ILogger logger, Exception failure);
}

/// <summary>The silo's services.</summary>
internal static class SiloServices
{
    public static void AddSiloServices(this IServiceCollection services)
    {
        services.AddOptions();
        services.AddLogging();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<ITurnExecutor, ThreadPoolExecutor>();
        services.TryAddSingleton<Silo>();
        services.TryAddSingleton<IClusterClient>(provider => provider.GetRequiredService<Silo>().References);
        services.TryAddSingleton<IGrainFactory>(provider => provider.GetRequiredService<Silo>().References);
        services.TryAddSingleton<IGrainRuntime>(provider => provider.GetRequiredService<Silo>());
        services.TryAddSingleton<ILocalSiloDetails>(provider => provider.GetRequiredService<Silo>());
        services.TryAddSingleton<IGrainContextAccessor>(provider => provider.GetRequiredService<Silo>());
        services.TryAddTransient(provider => provider.GetRequiredService<IGrainContextAccessor>().GrainContext);
        services.TryAddSingleton<ITimerRegistry, TimerRegistry>();
        services.AddHostedService<SiloService>();
    }
}
