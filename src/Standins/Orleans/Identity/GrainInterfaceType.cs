// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Runtime;

/// <summary>Which grain interface a reference speaks: the interface's full name.</summary>
[Immutable]
[GenerateSerializer]
public readonly struct GrainInterfaceType : IEquatable<GrainInterfaceType>
{
    /// <summary>Wraps an id.</summary>
    public GrainInterfaceType(IdSpan value) => Value = value;

    /// <summary>Wraps a name.</summary>
    public GrainInterfaceType(string value) => Value = IdSpan.Create(value);

    /// <summary>The interface's name as bytes.</summary>
    public IdSpan Value { get; }

    /// <summary>True for a value that names nothing.</summary>
    public bool IsDefault => Value.IsDefault;

    /// <summary>An interface type of the given name.</summary>
    public static GrainInterfaceType Create(string value) => new(value);

    /// <inheritdoc/>
    public bool Equals(GrainInterfaceType other) => Value.Equals(other.Value);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is GrainInterfaceType other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Value.GetHashCode();

    /// <inheritdoc/>
    public override string ToString() => Value.ToString();

    /// <summary>Same interface.</summary>
    public static bool operator ==(GrainInterfaceType left, GrainInterfaceType right) => left.Equals(right);

    /// <summary>Different interfaces.</summary>
    public static bool operator !=(GrainInterfaceType left, GrainInterfaceType right) => !left.Equals(right);
}
