// SPDX-License-Identifier: Apache-2.0
namespace Orleans;

/// <summary>Why an activation ends.</summary>
public readonly struct DeactivationReason
{
    /// <summary>A reason.</summary>
    public DeactivationReason(DeactivationReasonCode code, string text)
        : this(code, null, text)
    {
    }

    /// <summary>A reason with the failure behind it.</summary>
    public DeactivationReason(DeactivationReasonCode code, Exception? exception, string text)
    {
        ReasonCode = code;
        Exception = exception;
        Description = text;
    }

    /// <summary>The kind of reason.</summary>
    public DeactivationReasonCode ReasonCode { get; }

    /// <summary>The reason in words.</summary>
    public string Description { get; }

    /// <summary>The failure behind it, if any.</summary>
    public Exception? Exception { get; }

    /// <inheritdoc/>
    public override string ToString() =>
        $"{ReasonCode}{(Description is { Length: > 0 } ? $": {Description}" : null)}{(Exception is null ? null : $". Exception: {Exception}")}";
}

/// <summary>The kinds of <see cref="DeactivationReason"/>.</summary>
[GenerateSerializer]
public enum DeactivationReasonCode : byte
{
    /// <summary>None given.</summary>
    None,

    /// <summary>The process stops.</summary>
    ShuttingDown,

    /// <summary>The grain could not be activated.</summary>
    ActivationFailed,

    /// <summary>The directory of grains failed. Never with one silo.</summary>
    DirectoryFailure,

    /// <summary>The grain was idle.</summary>
    ActivationIdle,

    /// <summary>The grain did not react.</summary>
    ActivationUnresponsive,

    /// <summary>Another activation won. Never with one silo.</summary>
    DuplicateActivation,

    /// <summary>A request of another version came. Never with one silo.</summary>
    IncompatibleRequest,

    /// <summary>The grain failed in a way that makes its state doubtful.</summary>
    ApplicationError,

    /// <summary>The grain asked for it.</summary>
    ApplicationRequested,

    /// <summary>The grain moves to another silo. Never with one silo.</summary>
    Migrating,

    /// <summary>The silo asked for it.</summary>
    RuntimeRequested,

    /// <summary>The silo ran short of memory.</summary>
    HighMemoryPressure,
}
