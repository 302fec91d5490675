// SPDX-License-Identifier: Apache-2.0
namespace Orleans;

// The stand-in writes nothing to a wire. These attributes are what its start-up check reads, so that contracts which the
// engine would refuse are refused here too.

/// <summary>Which members get ids without being marked.</summary>
public enum GenerateFieldIds
{
    /// <summary>None; each is marked with <see cref="IdAttribute"/>.</summary>
    None = 0,

    /// <summary>The public properties.</summary>
    PublicProperties = 1,
}

/// <summary>The type may travel in grain calls.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Enum)]
public sealed class GenerateSerializerAttribute : Attribute
{
    /// <summary>Whether primary-constructor parameters are members too.</summary>
    public bool IncludePrimaryConstructorParameters { get; init; } = true;

    /// <summary>Which members get ids without being marked.</summary>
    public GenerateFieldIds GenerateFieldIds { get; init; }
}

/// <summary>The member's number on the wire; never renumbered.</summary>
/// <param name="id">The number, unique in its type.</param>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property | AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Enum | AttributeTargets.Method | AttributeTargets.Parameter)]
public sealed class IdAttribute(uint id) : Attribute
{
    /// <summary>The number.</summary>
    public uint Id { get; } = id;
}

/// <summary>The name of a type or method on the wire, so that it can be renamed in code.</summary>
/// <param name="alias">The name, unique among all types.</param>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Enum | AttributeTargets.Method | AttributeTargets.Interface, AllowMultiple = true)]
public sealed class AliasAttribute(string alias) : Attribute
{
    /// <summary>The name.</summary>
    public string Alias { get; } = alias;
}

/// <summary>The value never changes once made, so calls share it instead of copying it.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Property | AttributeTargets.Field | AttributeTargets.Parameter | AttributeTargets.ReturnValue, Inherited = false)]
public sealed class ImmutableAttribute : Attribute;

/// <summary>How long a caller of this method waits for the answer, instead of the silo's response timeout.</summary>
/// <param name="timeout">A <see cref="TimeSpan"/> in its invariant text form, for example <c>00:00:10</c>.</param>
[AttributeUsage(AttributeTargets.Method)]
public sealed class ResponseTimeoutAttribute(string timeout) : Attribute
{
    /// <summary>The span.</summary>
    public TimeSpan? Timeout { get; init; } = TimeSpan.Parse(timeout, System.Globalization.CultureInfo.InvariantCulture);
}
