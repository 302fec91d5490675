using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Orleans.Storage;

namespace Federation.Silo.Storage;

/// <summary>Puts the hub's database into a host.</summary>
public static class StorageHosting
{
    /// <summary>Adds <see cref="HubDatabase"/>; its schema is brought up to date before any other service starts.</summary>
    public static IHostApplicationBuilder AddStorage(this IHostApplicationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddOptions<StorageOptions>().BindConfiguration(StorageOptions.SectionName).ValidateOnStart();
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<StorageOptions>, StorageOptionsValidator>());
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.TryAddSingleton<HubDatabase>();
        builder.Services.AddHostedService<SchemaUpdate>();
        return builder;
    }

    /// <summary>Lets grains keep state in the hub's database, under <see cref="SqlGrainStorage.Name"/>. Needs <see cref="AddStorage"/>.</summary>
    public static IServiceCollection AddSqlGrainStorage(this IServiceCollection services) =>
        services.AddKeyedSingleton<IGrainStorage>(
            SqlGrainStorage.Name, static (provider, _) => ActivatorUtilities.CreateInstance<SqlGrainStorage>(provider));

    private sealed class SchemaUpdate(HubDatabase database) : IHostedLifecycleService
    {
        public Task StartingAsync(CancellationToken cancellationToken) => database.MigrateAsync(cancellationToken);

        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
