// SPDX-License-Identifier: Apache-2.0
using System.Linq.Expressions;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Providers;
using Orleans.Runtime;

namespace Orleans.Storage;

/// <summary>
/// A grain's state over an <see cref="IGrainStorage"/>. Operations of one state run one after the other, in the order they were asked for,
/// so that two writes of an interleaving grain never race for the same version.
/// </summary>
internal sealed class StoredState<TState>(string stateName, IGrainContext grain, IGrainStorage storage) : IPersistentState<TState>
{
    private static readonly Func<TState> NewState = Factory();

    private readonly GrainState<TState> _state = new(NewState());
    private Task _previous = Task.CompletedTask;

    public TState State
    {
        get => _state.State!;
        set => _state.State = value;
    }

    public string? Etag => _state.ETag;

    public bool RecordExists => _state.RecordExists;

    public Task ReadStateAsync() => ReadStateAsync(CancellationToken.None);

    public Task WriteStateAsync() => WriteStateAsync(CancellationToken.None);

    public Task ClearStateAsync() => ClearStateAsync(CancellationToken.None);

    public Task ReadStateAsync(CancellationToken cancellationToken) =>
        Next(nameof(ReadStateAsync), token => storage.ReadStateAsync(stateName, grain.GrainId, _state, token), cancellationToken);

    public Task WriteStateAsync(CancellationToken cancellationToken) =>
        Next(nameof(WriteStateAsync), token => storage.WriteStateAsync(stateName, grain.GrainId, _state, token), cancellationToken);

    public Task ClearStateAsync(CancellationToken cancellationToken) =>
        Next(nameof(ClearStateAsync), token => storage.ClearStateAsync(stateName, grain.GrainId, _state, token), cancellationToken);

    private Task Next(string name, Func<CancellationToken, Task> operation, CancellationToken token)
    {
        if (RuntimeContext.Current is null)
        {
            throw new InvalidOperationException($"{name} of {grain.GrainId} was called outside of the grain's turns. Was ConfigureAwait(false) or Task.Run used?");
        }

        return _previous = RunAsync(_previous, name, operation, token);
    }

    private async Task RunAsync(Task previous, string name, Func<CancellationToken, Task> operation, CancellationToken token)
    {
        if (!previous.IsCompleted)
        {
            await previous.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }

        try
        {
            await operation(token);
            _state.State ??= NewState();
        }
        catch (Exception failure) when (failure is not OrleansException && !(failure is OperationCanceledException && token.IsCancellationRequested))
        {
            throw new OrleansException(
                $"Error from storage {storage.GetType().Name} during {name} of state {stateName} for grain {grain.GrainId}: {failure.Message}", failure);
        }
    }

    private static Func<TState> Factory() =>
        typeof(TState).IsValueType || typeof(TState).GetConstructor(Type.EmptyTypes) is not null
            ? Expression.Lambda<Func<TState>>(Expression.New(typeof(TState))).Compile()
            : static () => default!;
}

/// <summary>Makes stored states for grains and has them read before activation.</summary>
internal static class StoredStates
{
    private static readonly MethodInfo CreateMethod = typeof(StoredStates).GetMethod(nameof(Create), BindingFlags.Static | BindingFlags.NonPublic)!;

    /// <summary>Makes the value of a constructor parameter marked with <see cref="PersistentStateAttribute"/>.</summary>
    public static Func<IGrainContext, object> FactoryFor(ParameterInfo parameter, PersistentStateAttribute attribute)
    {
        var type = parameter.ParameterType;
        if (!type.IsGenericType || type.GetGenericTypeDefinition() != typeof(IPersistentState<>))
        {
            throw new ArgumentException(
                $"Parameter {parameter.Name} of {parameter.Member.DeclaringType} is marked as persistent state but is a {type.Name}, not an IPersistentState<T>.");
        }

        var create = CreateMethod.MakeGenericMethod(type.GetGenericArguments()).CreateDelegate<Func<IGrainContext, string, string?, object>>();
        var name = string.IsNullOrEmpty(attribute.StateName) ? parameter.Name! : attribute.StateName;
        return grain => create(grain, name, attribute.StorageName);
    }

    /// <summary>The storage of <see cref="Grain{TGrainState}"/>, which reads by itself.</summary>
    public static StoredState<TState> ForGrainClass<TState>(IGrainContext grain)
    {
        var type = grain.GrainInstance?.GetType() ?? ((Activations.Activation)grain).Class.Type;
        var storageName = type.GetCustomAttribute<StorageProviderAttribute>()?.ProviderName;
        return new StoredState<TState>(type.FullName!, grain, Named(grain, storageName));
    }

    private static StoredState<TState> Create<TState>(IGrainContext grain, string stateName, string? storageName)
    {
        var state = new StoredState<TState>(stateName, grain, Named(grain, storageName));
        grain.ObservableLifecycle.Subscribe(stateName, GrainLifecycleStage.SetupState, state.ReadStateAsync);
        return state;
    }

    private static IGrainStorage Named(IGrainContext grain, string? storageName)
    {
        var storage = string.IsNullOrEmpty(storageName)
            ? grain.ActivationServices.GetService<IGrainStorage>() ?? grain.ActivationServices.GetKeyedService<IGrainStorage>(ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME)
            : grain.ActivationServices.GetKeyedService<IGrainStorage>(storageName);
        return storage ?? throw new BadProviderConfigException(
            string.IsNullOrEmpty(storageName)
                ? $"No default storage provider found loading grain type {((Activations.Activation)grain).Class.Type.FullName}."
                : $"No storage provider named \"{storageName}\" found loading grain type {((Activations.Activation)grain).Class.Type.FullName}.");
    }
}

/// <summary>A storage that a grain asks for is not registered.</summary>
[GenerateSerializer]
public sealed class BadProviderConfigException : OrleansException
{
    /// <summary>A missing storage.</summary>
    public BadProviderConfigException(string msg)
        : base(msg)
    {
    }
}
