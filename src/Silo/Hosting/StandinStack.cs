using Federation.Silo.Storage;
using Orleans.Configuration;

namespace Federation.Silo.Hosting;

/// <summary>The engine and the wire from our stand-ins: one process, never a cluster. Its sibling is OrleansStack.cs.</summary>
internal static class HubStack
{
    public const string Name = "Standin";

    /// <summary>Adds the one silo there can be.</summary>
    public static void AddGrainEngine(this WebApplicationBuilder builder, StorageOptions storage, ClusteringOptions clustering)
        => builder.UseOrleans(silo =>
        {
            silo.Configure<SiloMessagingOptions>(options => options.MaxEnqueuedRequestsHardLimit = clustering.MaxWaitingCalls);
            silo.UseLocalhostClustering();
        });

    /// <summary>The stand-in needs nothing in the database.</summary>
    public static Task PrepareAsync(StorageOptions storage, CancellationToken cancellationToken) => Task.CompletedTask;
}
