// SPDX-License-Identifier: Apache-2.0
using System.Net;

namespace Orleans.Runtime;

/// <summary>Where a silo listens and which of its lives this is. The stand-in has one silo and listens nowhere.</summary>
[Immutable]
[GenerateSerializer]
public sealed class SiloAddress : IEquatable<SiloAddress>
{
    private SiloAddress(IPEndPoint endpoint, int generation)
    {
        Endpoint = endpoint;
        Generation = generation;
    }

    /// <summary>The address that names no silo.</summary>
    public static SiloAddress Zero { get; } = new(new IPEndPoint(IPAddress.None, 0), 0);

    /// <summary>The endpoint.</summary>
    public IPEndPoint Endpoint { get; }

    /// <summary>Which life of the silo at this endpoint.</summary>
    public int Generation { get; }

    /// <summary>An address.</summary>
    public static SiloAddress New(IPEndPoint ep, int gen) => new(ep, gen);

    /// <summary>An address.</summary>
    public static SiloAddress New(IPAddress address, int port, int generation) => new(new IPEndPoint(address, port), generation);

    /// <summary>The form <c>ip:port@generation</c>.</summary>
    public string ToParsableString() => $"{Endpoint.Address}:{Endpoint.Port}@{Generation}";

    /// <inheritdoc/>
    public bool Equals(SiloAddress? other) => other is not null && Generation == other.Generation && Endpoint.Equals(other.Endpoint);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SiloAddress);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Endpoint, Generation);

    /// <inheritdoc/>
    public override string ToString() => $"S{Endpoint.Address}:{Endpoint.Port}:{Generation}";
}
