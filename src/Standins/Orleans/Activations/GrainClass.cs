// SPDX-License-Identifier: Apache-2.0
using System.Linq.Expressions;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Configuration;
using Orleans.Runtime;
using Orleans.Serialization.Invocation;
using Orleans.Storage;

namespace Orleans.Activations;

/// <summary>A grain class and what its attributes say.</summary>
internal sealed class GrainClass
{
    private readonly Lazy<Func<Activation, object>> _create;
    private TimeSpan? _collectionAge;

    public GrainClass(Type type)
    {
        Type = type;
        GrainType = GrainType.Create(NameOf(type));
        Interfaces = [.. type.GetInterfaces().Where(GrainInterface.IsGrainInterface)];
        StatelessWorker = type.GetCustomAttribute<StatelessWorkerAttribute>();
        Interleaving = InterleavingOf(type);
        _create = new(() => FactoryOf(type));
    }

    public Type Type { get; }

    public GrainType GrainType { get; }

    public IReadOnlyList<Type> Interfaces { get; }

    public StatelessWorkerAttribute? StatelessWorker { get; }

    /// <summary>Says whether a request may run beside others, on being asked about it or about the running one; null for never.</summary>
    public Func<object, IInvokable, bool>? Interleaving { get; }

    /// <summary>Makes the grain of an activation.</summary>
    /// <exception cref="InvalidOperationException">Its constructor, or what it is injected with, failed.</exception>
    public object Create(Activation activation)
    {
        try
        {
            return _create.Value(activation);
        }
        catch (Exception failure)
        {
            throw new InvalidOperationException($"Failed to create an instance of grain type '{Type.FullName}'. See InnerException for details.", failure);
        }
    }

    /// <summary>How long activations may be idle; <see cref="TimeSpan.MaxValue"/> for ever.</summary>
    public TimeSpan CollectionAge(GrainCollectionOptions options) => _collectionAge ??= CollectionAgeIn(options);

    private TimeSpan CollectionAgeIn(GrainCollectionOptions options)
    {
        if (Type.IsDefined(typeof(KeepAliveAttribute), inherit: true))
        {
            return TimeSpan.MaxValue;
        }

        if (Type.GetCustomAttribute<CollectionAgeLimitAttribute>() is { } limit)
        {
            return limit.AgeLimit;
        }

        return options.ClassSpecificCollectionAge.TryGetValue(Type.FullName!, out var age) ? age : options.CollectionAge;
    }

    private static string NameOf(Type type)
    {
        if (type.GetCustomAttribute<GrainTypeAttribute>() is { } named)
        {
            return named.GrainType;
        }

        const string suffix = "grain";
        var name = type.Name.ToLowerInvariant();
        return name.Length > suffix.Length && name.EndsWith(suffix, StringComparison.Ordinal) ? name[..^suffix.Length] : name;
    }

    private static Func<object, IInvokable, bool>? InterleavingOf(Type type)
    {
        if (type.IsDefined(typeof(ReentrantAttribute), inherit: true))
        {
            return static (_, _) => true;
        }

        if (type.GetCustomAttribute<MayInterleaveAttribute>() is not { } attribute)
        {
            return null;
        }

        var method = type.GetMethod(
            attribute.CallbackMethodName,
            BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.FlattenHierarchy,
            [typeof(IInvokable)]);
        if (method is null || method.ReturnType != typeof(bool))
        {
            throw new InvalidOperationException(
                $"Class {type.FullName} is marked [MayInterleave(\"{attribute.CallbackMethodName}\")] but has no such method from {nameof(IInvokable)} to bool.");
        }

        var grain = Expression.Parameter(typeof(object));
        var request = Expression.Parameter(typeof(IInvokable));
        var call = Expression.Call(method.IsStatic ? null : Expression.Convert(grain, type), method, request);
        return Expression.Lambda<Func<object, IInvokable, bool>>(call, grain, request).Compile();
    }

    private static Func<Activation, object> FactoryOf(Type type)
    {
        var constructor = ConstructorOf(type);
        var facets = new List<(Type Type, Func<IGrainContext, object> Make)>();
        foreach (var parameter in constructor.GetParameters())
        {
            if (parameter.GetCustomAttribute<PersistentStateAttribute>() is { } attribute)
            {
                facets.Add((parameter.ParameterType, StoredStates.FactoryFor(parameter, attribute)));
            }
        }

        var create = ActivatorUtilities.CreateFactory(type, [.. facets.Select(f => f.Type)]);
        return activation => create(activation.ActivationServices, [.. facets.Select(f => f.Make(activation))]);
    }

    private static ConstructorInfo ConstructorOf(Type type)
    {
        var constructors = type.GetConstructors();
        return constructors.FirstOrDefault(c => c.IsDefined(typeof(ActivatorUtilitiesConstructorAttribute), inherit: false))
            ?? constructors.MaxBy(c => c.GetParameters().Length)
            ?? throw new InvalidOperationException($"Grain class {type.FullName} has no public constructor.");
    }
}
