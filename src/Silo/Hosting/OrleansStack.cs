using System.Net;
using Federation.Silo.Storage;
using Npgsql;
using Orleans.Configuration;

namespace Federation.Silo.Hosting;

/// <summary>The engine and the wire from the packages: Microsoft.Orleans.* and Grpc.AspNetCore.Server. Its sibling is StandinStack.cs.</summary>
internal static class HubStack
{
    public const string Name = "Orleans";

    private const string ClusterName = "federation";

    /// <summary>Adds a silo: one of a cluster on PostgreSQL, a lonely one on SQLite.</summary>
    public static void AddGrainEngine(this WebApplicationBuilder builder, StorageOptions storage, ClusteringOptions clustering)
        => builder.UseOrleans(silo =>
        {
            silo.Configure<SiloMessagingOptions>(options => options.MaxEnqueuedRequestsHardLimit = clustering.MaxWaitingCalls);
            silo.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (ClusterName, ClusterName));
            if (!storage.UsesPostgres)
            {
                // Nobody else is on this database, so nobody else can be in the cluster: any free port will do.
                silo.UseLocalhostClustering(FreePort(), gatewayPort: 0, primarySiloEndpoint: null, ClusterName, ClusterName);
                return;
            }
            silo.UseAdoNetClustering(options =>
            {
                options.Invariant = "Npgsql";
                options.ConnectionString = storage.Postgres!;
            });
            silo.ConfigureEndpoints(IPAddress.Parse(clustering.Address), clustering.SiloPort, gatewayPort: 0);
            silo.Configure<ClusterMembershipOptions>(options =>
            {
                options.ProbeTimeout = clustering.ProbePeriod;
                options.NumMissedProbesLimit = 3;
                options.NumVotesForDeathDeclaration = 1;
                options.TableRefreshTimeout = TimeSpan.FromSeconds(10);
            });
        });

    /// <summary>What the engine needs in the database before it starts.</summary>
    public static async Task PrepareAsync(StorageOptions storage, CancellationToken cancellationToken)
    {
        if (!storage.UsesPostgres) return;
        await using var script = typeof(HubStack).Assembly.GetManifestResourceStream("Federation.Silo.Hosting.OrleansClustering.sql")
            ?? throw new InvalidOperationException("The clustering script is not in the assembly.");
        using var reader = new StreamReader(script);
        await using var source = NpgsqlDataSource.Create(storage.Postgres!);
        await using var connection = await source.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        // Silos that start together take turns; "if not exists" alone lets two of them collide.
        await using (var turn = new NpgsqlCommand("SELECT pg_advisory_xact_lock(7306951)", connection, transaction)) await turn.ExecuteNonQueryAsync(cancellationToken);
        // The statements inside the script hold @parameters of Orleans, which are not ours to bind.
        await using (var command = new NpgsqlCommand(await reader.ReadToEndAsync(cancellationToken), connection, transaction)) await command.ExecuteNonQueryAsync(cancellationToken);
        await transaction.CommitAsync(cancellationToken);
    }

    private static int FreePort()
    {
        using var listener = new System.Net.Sockets.TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
