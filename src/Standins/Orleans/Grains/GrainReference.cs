// SPDX-License-Identifier: Apache-2.0
using System.ComponentModel;
using System.Reflection;
using Orleans.Activations;
using Orleans.Calls;

namespace Orleans.Runtime;

/// <summary>Stands for a grain or an observer; equal to every other reference to the same. Calls on it are requests to the grain.</summary>
public class GrainReference : DispatchProxy, IAddressable, IEquatable<GrainReference>
{
    private Silo? _silo;
    private GrainInterface? _interface;

    /// <summary>For the proxy generator alone.</summary>
    [EditorBrowsable(EditorBrowsableState.Never)]
    public GrainReference()
    {
    }

    /// <summary>The grain's id.</summary>
    public GrainId GrainId { get; private set; }

    /// <summary>The interface this reference speaks.</summary>
    public GrainInterfaceType InterfaceType => _interface?.InterfaceType ?? default;

    /// <summary>The interface's name.</summary>
    public virtual string InterfaceName => InterfaceType.ToString();

    internal Silo Silo => _silo ?? throw new InvalidOperationException("The reference was not made by a silo.");

    /// <summary>A reference to the same grain that speaks <typeparamref name="TGrainInterface"/>.</summary>
    public virtual TGrainInterface Cast<TGrainInterface>()
        where TGrainInterface : IAddressable => (TGrainInterface)Cast(typeof(TGrainInterface));

    /// <inheritdoc/>
    public bool Equals(GrainReference? other) => other is not null && GrainId.Equals(other.GrainId);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as GrainReference);

    /// <inheritdoc/>
    public override int GetHashCode() => GrainId.GetHashCode();

    /// <inheritdoc/>
    public sealed override string ToString() => $"GrainReference:{GrainId}{(_interface is null ? null : $":{InterfaceType}")}";

    /// <summary>Same grain.</summary>
    public static bool operator ==(GrainReference? reference1, GrainReference? reference2) =>
        reference1 is null ? reference2 is null : reference1.Equals(reference2);

    /// <summary>Different grains.</summary>
    public static bool operator !=(GrainReference? reference1, GrainReference? reference2) => !(reference1 == reference2);

    internal object Cast(Type interfaceType) =>
        interfaceType.IsInstanceOfType(this) ? this : Silo.References.Typed(interfaceType, GrainId);

    internal GrainReference With(Silo silo, GrainId id, GrainInterface? spoken)
    {
        var reference = (GrainReference)MemberwiseClone();
        reference._silo = silo;
        reference.GrainId = id;
        reference._interface = spoken;
        return reference;
    }

    /// <summary>Turns a call of an interface method into a request.</summary>
    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
        GrainMethod.Of(targetMethod!).Call(this, args ?? []);
}
