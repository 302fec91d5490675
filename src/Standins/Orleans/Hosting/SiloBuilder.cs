// SPDX-License-Identifier: Apache-2.0
using System.Net;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Providers;
using Orleans.Runtime;
using Orleans.Storage;

namespace Orleans.Hosting
{
    /// <summary>Sets a silo up.</summary>
    public interface ISiloBuilder
    {
        /// <summary>The process's services.</summary>
        IServiceCollection Services { get; }

        /// <summary>The process's configuration.</summary>
        IConfiguration Configuration { get; }
    }

    internal sealed class SiloBuilder(IServiceCollection services, IConfiguration configuration) : ISiloBuilder
    {
        public IServiceCollection Services => services;

        public IConfiguration Configuration => configuration;
    }

    /// <summary>The usual steps of setting a silo up.</summary>
    public static class SiloBuilderExtensions
    {
        /// <summary>Sets options.</summary>
        public static ISiloBuilder Configure<TOptions>(this ISiloBuilder builder, Action<TOptions> configureOptions)
            where TOptions : class
        {
            ArgumentNullException.ThrowIfNull(builder);
            builder.Services.Configure(configureOptions);
            return builder;
        }

        /// <summary>Binds options.</summary>
        public static ISiloBuilder Configure<TOptions>(this ISiloBuilder builder, IConfiguration configuration)
            where TOptions : class
        {
            ArgumentNullException.ThrowIfNull(builder);
            builder.Services.AddOptions<TOptions>().Bind(configuration);
            return builder;
        }

        /// <summary>Adds services.</summary>
        public static ISiloBuilder ConfigureServices(this ISiloBuilder builder, Action<IServiceCollection> configureDelegate)
        {
            ArgumentNullException.ThrowIfNull(builder);
            ArgumentNullException.ThrowIfNull(configureDelegate);
            configureDelegate(builder.Services);
            return builder;
        }

        /// <summary>Sets logging up.</summary>
        public static ISiloBuilder ConfigureLogging(this ISiloBuilder builder, Action<ILoggingBuilder> configureLogging)
        {
            ArgumentNullException.ThrowIfNull(builder);
            builder.Services.AddLogging(configureLogging);
            return builder;
        }
    }

    /// <summary>Clustering of one silo.</summary>
    public static class CoreHostingExtensions
    {
        /// <summary>One silo on this machine. The ports are taken note of and not opened.</summary>
        public static ISiloBuilder UseLocalhostClustering(
            this ISiloBuilder builder,
            int siloPort = 11111,
            int gatewayPort = 30000,
            IPEndPoint? primarySiloEndpoint = null,
            string serviceId = "dev",
            string clusterId = "dev") =>
            builder
                .Configure<EndpointOptions>(options =>
                {
                    options.AdvertisedIPAddress = IPAddress.Loopback;
                    options.SiloPort = siloPort;
                    options.GatewayPort = gatewayPort;
                })
                .Configure<ClusterOptions>(options =>
                {
                    options.ServiceId = serviceId;
                    options.ClusterId = clusterId;
                });
    }

    /// <summary>Tasks that run when the silo has started.</summary>
    public static class SiloBuilderStartupExtensions
    {
        /// <summary>Runs a task at a stage of the silo's start.</summary>
        public static ISiloBuilder AddStartupTask(this ISiloBuilder builder, Func<IServiceProvider, CancellationToken, Task> startupTask, int stage = ServiceLifecycleStage.Active)
        {
            ArgumentNullException.ThrowIfNull(builder);
            builder.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(services => new StartupTask(services, startupTask, stage));
            return builder;
        }

        /// <summary>Runs a task at a stage of the silo's start.</summary>
        public static ISiloBuilder AddStartupTask<TStartup>(this ISiloBuilder builder, int stage = ServiceLifecycleStage.Active)
            where TStartup : class, IStartupTask =>
            builder.AddStartupTask((services, token) => ActivatorUtilities.GetServiceOrCreateInstance<TStartup>(services).Execute(token), stage);

        private sealed class StartupTask(IServiceProvider services, Func<IServiceProvider, CancellationToken, Task> task, int stage)
            : ILifecycleParticipant<ISiloLifecycle>
        {
            public void Participate(ISiloLifecycle lifecycle) =>
                lifecycle.Subscribe<StartupTask>(stage, token => task(services, token));
        }
    }

    /// <summary>Storage in memory, gone with the process.</summary>
    public static class MemoryGrainStorageSiloBuilderExtensions
    {
        /// <summary>Adds a storage of this name.</summary>
        public static ISiloBuilder AddMemoryGrainStorage(this ISiloBuilder builder, string name)
        {
            ArgumentNullException.ThrowIfNull(builder);
            Orleans.Runtime.Hosting.StorageProviderExtensions.AddGrainStorage(builder.Services, name, static (_, _) => new MemoryGrainStorage());
            return builder;
        }

        /// <summary>Adds the default storage.</summary>
        public static ISiloBuilder AddMemoryGrainStorageAsDefault(this ISiloBuilder builder) =>
            builder.AddMemoryGrainStorage(ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME);
    }
}

namespace Orleans.Runtime
{
    /// <summary>Something to do when the silo has started.</summary>
    public interface IStartupTask
    {
        /// <summary>Does it. A failure stops the silo.</summary>
        Task Execute(CancellationToken cancellationToken);
    }
}

namespace Orleans.Runtime.Hosting
{
    /// <summary>Registers storages.</summary>
    public static class StorageProviderExtensions
    {
        /// <summary>Adds a storage of this name. If it is a lifecycle participant, it takes part in the silo's.</summary>
        public static IServiceCollection AddGrainStorage<T>(this IServiceCollection collection, string name, Func<IServiceProvider, string, T> implementationFactory)
            where T : IGrainStorage
        {
            ArgumentNullException.ThrowIfNull(implementationFactory);
            collection.AddKeyedSingleton<IGrainStorage>(name, (services, key) => implementationFactory(services, (string)key));
            if (name == ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME)
            {
                collection.TryAddSingleton(services => services.GetRequiredKeyedService<IGrainStorage>(name));
            }

            if (typeof(ILifecycleParticipant<ISiloLifecycle>).IsAssignableFrom(typeof(T)))
            {
                collection.AddSingleton(services => (ILifecycleParticipant<ISiloLifecycle>)services.GetRequiredKeyedService<IGrainStorage>(name));
            }

            return collection;
        }
    }
}

namespace Microsoft.Extensions.Hosting
{
    /// <summary>Adds a silo to a host.</summary>
    public static class OrleansSiloGenericHostExtensions
    {
        /// <summary>Adds a silo.</summary>
        public static IHostApplicationBuilder UseOrleans(this IHostApplicationBuilder hostAppBuilder, Action<ISiloBuilder> configureDelegate)
        {
            ArgumentNullException.ThrowIfNull(hostAppBuilder);
            AddSilo(hostAppBuilder.Services, hostAppBuilder.Configuration, configureDelegate);
            return hostAppBuilder;
        }

        /// <summary>Adds a silo.</summary>
        public static IHostApplicationBuilder UseOrleans(this IHostApplicationBuilder hostAppBuilder) => hostAppBuilder.UseOrleans(static _ => { });

        /// <summary>Adds a silo.</summary>
        public static HostApplicationBuilder UseOrleans(this HostApplicationBuilder hostAppBuilder, Action<ISiloBuilder> configureDelegate)
        {
            ArgumentNullException.ThrowIfNull(hostAppBuilder);
            AddSilo(hostAppBuilder.Services, hostAppBuilder.Configuration, configureDelegate);
            return hostAppBuilder;
        }

        /// <summary>Adds a silo.</summary>
        public static HostApplicationBuilder UseOrleans(this HostApplicationBuilder hostAppBuilder) => hostAppBuilder.UseOrleans(static _ => { });

        /// <summary>Adds a silo.</summary>
        public static IHostBuilder UseOrleans(this IHostBuilder hostBuilder, Action<ISiloBuilder> configureDelegate) =>
            hostBuilder.UseOrleans((_, silo) => configureDelegate(silo));

        /// <summary>Adds a silo.</summary>
        public static IHostBuilder UseOrleans(this IHostBuilder hostBuilder, Action<HostBuilderContext, ISiloBuilder> configureDelegate)
        {
            ArgumentNullException.ThrowIfNull(hostBuilder);
            return hostBuilder.ConfigureServices((context, services) =>
                AddSilo(services, context.Configuration, silo => configureDelegate(context, silo)));
        }

        /// <summary>Adds a silo.</summary>
        public static IServiceCollection AddOrleans(this IServiceCollection services, Action<ISiloBuilder> configureDelegate)
        {
            AddSilo(services, new ConfigurationBuilder().Build(), configureDelegate);
            return services;
        }

        private static void AddSilo(IServiceCollection services, IConfiguration configuration, Action<ISiloBuilder> configure)
        {
            ArgumentNullException.ThrowIfNull(configure);
            services.AddSiloServices();
            configure(new SiloBuilder(services, configuration));
        }
    }
}
