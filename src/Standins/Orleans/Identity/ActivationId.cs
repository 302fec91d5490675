// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Runtime;

/// <summary>Which life of a grain: a new one each time the grain is activated.</summary>
[Immutable]
[GenerateSerializer]
public readonly record struct ActivationId
{
    private readonly Guid _key;

    /// <summary>Wraps a GUID.</summary>
    public ActivationId(Guid key) => _key = key;

    /// <summary>True for a value that names nothing.</summary>
    public bool IsDefault => _key == Guid.Empty;

    /// <summary>A fresh id.</summary>
    public static ActivationId NewId() => new(Guid.NewGuid());

    /// <inheritdoc/>
    public override string ToString() => $"@{_key:N}";
}
