// SPDX-License-Identifier: Apache-2.0
using System.Collections.Immutable;

namespace Orleans.Runtime;

/// <summary>Values that travel with the flow of a request, from caller to called and on, never back.</summary>
public static class RequestContext
{
    private const string ReentrancyKey = "#CCR";

    private static readonly AsyncLocal<ImmutableDictionary<string, object>?> Flow = new();

    /// <summary>The keys that are set.</summary>
    public static IEnumerable<string> Keys => Values?.Keys ?? [];

    /// <summary>What is set.</summary>
    public static IEnumerable<KeyValuePair<string, object>> Entries => Values ?? Enumerable.Empty<KeyValuePair<string, object>>();

    /// <summary>The call chain that may re-enter the grains which allowed it; empty for none.</summary>
    public static Guid ReentrancyId
    {
        get => ReentrancyIdOf(Values);
        set
        {
            if (value == Guid.Empty)
            {
                Remove(ReentrancyKey);
            }
            else
            {
                Set(ReentrancyKey, value);
            }
        }
    }

    internal static ImmutableDictionary<string, object>? Values
    {
        get => Flow.Value;
        set => Flow.Value = value;
    }

    /// <summary>The value of <paramref name="key"/>; null when it is not set.</summary>
    public static object? Get(string key) => Values is { } values && values.TryGetValue(key, out var value) ? value : null;

    /// <summary>Sets a value for the calls that this flow makes from now on. The value must be immutable.</summary>
    public static void Set(string key, object value) =>
        Values = (Values ?? ImmutableDictionary<string, object>.Empty).SetItem(key, value);

    /// <summary>Forgets a value.</summary>
    /// <returns>Whether it was set.</returns>
    public static bool Remove(string key)
    {
        if (Values is not { } values || !values.ContainsKey(key))
        {
            return false;
        }

        Values = values.Count == 1 ? null : values.Remove(key);
        return true;
    }

    /// <summary>Forgets all values.</summary>
    public static void Clear()
    {
        if (Values is not null)
        {
            Values = null;
        }
    }

    /// <summary>Until disposed, calls that come back to this grain along the chain of calls begun here are let in.</summary>
    public static ReentrancySection AllowCallChainReentrancy()
    {
        var original = ReentrancyId;
        return new ReentrancySection(original, original == Guid.Empty ? Guid.NewGuid() : original);
    }

    /// <summary>Until disposed, calls begun here are not let in where they come back.</summary>
    public static ReentrancySection SuppressCallChainReentrancy() => new(ReentrancyId, Guid.Empty);

    internal static Guid ReentrancyIdOf(ImmutableDictionary<string, object>? values) =>
        values is not null && values.TryGetValue(ReentrancyKey, out var value) && value is Guid id ? id : Guid.Empty;

    /// <summary>A span of code with its own rule for calls that come back.</summary>
    public readonly struct ReentrancySection : IDisposable
    {
        private readonly Guid _original;
        private readonly Guid _current;

        /// <summary>Enters a section.</summary>
        /// <param name="originalReentrancyId">What holds again afterwards.</param>
        /// <param name="newReentrancyId">What holds inside; empty lets nothing in.</param>
        public ReentrancySection(Guid originalReentrancyId, Guid newReentrancyId)
        {
            _original = originalReentrancyId;
            _current = newReentrancyId;
            if (_current != _original)
            {
                ReentrancyId = _current;
            }

            if (_current != Guid.Empty)
            {
                (RuntimeContext.Current as ICallChainReentrant)?.EnterSection(_current);
            }
        }

        /// <summary>Leaves the section.</summary>
        public void Dispose()
        {
            if (_current != Guid.Empty)
            {
                (RuntimeContext.Current as ICallChainReentrant)?.LeaveSection(_current);
            }

            if (_current != _original)
            {
                ReentrancyId = _original;
            }
        }
    }
}

/// <summary>An activation that lets calls of a chain in while it waits on that chain.</summary>
internal interface ICallChainReentrant
{
    void EnterSection(Guid reentrancyId);

    void LeaveSection(Guid reentrancyId);
}
