// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Runtime;

/// <summary>Which grain class an id belongs to, for example <c>account</c> for <c>AccountGrain</c>.</summary>
[Immutable]
[GenerateSerializer]
public readonly struct GrainType : IEquatable<GrainType>, IComparable<GrainType>
{
    /// <summary>Wraps an id.</summary>
    public GrainType(IdSpan id) => Value = id;

    /// <summary>Wraps UTF-8 bytes.</summary>
    public GrainType(byte[] value) => Value = new IdSpan(value);

    /// <summary>The type's name as bytes.</summary>
    public IdSpan Value { get; }

    /// <summary>True for a value that names nothing.</summary>
    public bool IsDefault => Value.IsDefault;

    /// <summary>A type of the given name.</summary>
    public static GrainType Create(string value) => new(IdSpan.Create(value));

    /// <summary>The name as UTF-8 bytes.</summary>
    public ReadOnlySpan<byte> AsSpan() => Value.AsSpan();

    /// <inheritdoc/>
    public bool Equals(GrainType obj) => Value.Equals(obj.Value);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is GrainType other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Value.GetHashCode();

    /// <inheritdoc/>
    public int CompareTo(GrainType other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString();

    /// <summary>Same type.</summary>
    public static bool operator ==(GrainType left, GrainType right) => left.Equals(right);

    /// <summary>Different types.</summary>
    public static bool operator !=(GrainType left, GrainType right) => !left.Equals(right);
}
