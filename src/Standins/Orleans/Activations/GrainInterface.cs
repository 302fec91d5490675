// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Reflection;
using Orleans.Runtime;

namespace Orleans.Activations;

/// <summary>A grain or observer interface and the proxy that speaks it.</summary>
internal sealed class GrainInterface
{
    private static readonly ConcurrentDictionary<Type, GrainInterface> Known = new();

    private readonly GrainReference _prototype;

    private GrainInterface(Type type)
    {
        Type = type;
        InterfaceType = GrainInterfaceType.Create(type.FullName ?? type.Name);
        _prototype = (GrainReference)DispatchProxy.Create(type, typeof(GrainReference));
    }

    public Type Type { get; }

    public GrainInterfaceType InterfaceType { get; }

    public static GrainInterface Of(Type type) => Known.GetOrAdd(type, static type => IsGrainInterface(type)
        ? new GrainInterface(type)
        : throw new ArgumentException($"{type.FullName} is not a grain interface: it does not derive from {nameof(IGrain)} or {nameof(IGrainObserver)}."));

    /// <summary>Whether calls can be made through the type.</summary>
    public static bool IsGrainInterface(Type type) =>
        type.IsInterface && typeof(IAddressable).IsAssignableFrom(type) && !EngineInterfaces.Contains(type);

    public GrainReference NewReference(Silo silo, GrainId id) => _prototype.With(silo, id, this);

    private static readonly HashSet<Type> EngineInterfaces =
    [
        typeof(IGrain), typeof(IGrainWithStringKey), typeof(IGrainWithGuidKey), typeof(IGrainWithIntegerKey),
        typeof(IGrainWithGuidCompoundKey), typeof(IGrainWithIntegerCompoundKey), typeof(IGrainObserver),
    ];
}
