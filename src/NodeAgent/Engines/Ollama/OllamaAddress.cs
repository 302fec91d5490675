using System.Globalization;
using System.Net;

namespace Federation.NodeAgent.Engines.Ollama;

/// <summary>Where Ollama listens, by the same rules by which it reads <c>OLLAMA_HOST</c> itself.</summary>
public static class OllamaAddress
{
    /// <summary>Where Ollama listens when nobody says otherwise.</summary>
    public static Uri Default { get; } = new("http://127.0.0.1:11434");

    /// <summary>
    /// Reads the variable's value: a host, an address, a port, any two of them, with or without a scheme and a path. A server that listens
    /// on all addresses is reached on the loopback; a port that is none becomes the default one.
    /// </summary>
    /// <param name="host">Null or empty: <see cref="Default"/>.</param>
    /// <exception cref="FormatException">The value is no address.</exception>
    public static Uri Parse(string? host)
    {
        var value = (host ?? "").Trim().Trim('"', '\'').Trim();
        var (scheme, rest, defaultPort) = value switch
        {
            _ when value.StartsWith("http://", StringComparison.Ordinal) => ("http", value[7..], 80),
            _ when value.StartsWith("https://", StringComparison.Ordinal) => ("https", value[8..], 443),
            _ => ("http", value, 11434),
        };
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        var (authority, path) = slash < 0 ? (rest, "") : (rest[..slash], rest[slash..].TrimEnd('/'));
        var (name, port) = Split(authority, defaultPort);
        return Uri.TryCreate($"{scheme}://{Reachable(name)}:{port.ToString(CultureInfo.InvariantCulture)}{path}", UriKind.Absolute, out var address)
            ? address
            : throw new FormatException($"OLLAMA_HOST is \"{host}\", which is no address.");
    }

    private static (string Name, int Port) Split(string authority, int defaultPort)
    {
        // "::1" and "[::1]" are addresses without a port; "[::1]:80" has one.
        var colon = authority.LastIndexOf(':');
        var isBare = colon < 0
            || authority.EndsWith(']')
            || (authority.IndexOf(':', StringComparison.Ordinal) != colon && !authority.StartsWith('['));
        if (isBare)
        {
            return (authority.Trim('[', ']'), defaultPort);
        }

        var isPort = int.TryParse(authority[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port <= 65535;
        return (authority[..colon].Trim('[', ']'), isPort ? port : defaultPort);
    }

    private static string Reachable(string name)
    {
        if (name.Length == 0)
        {
            return "127.0.0.1";
        }

        if (!IPAddress.TryParse(name, out var address))
        {
            return name;
        }

        return address switch
        {
            _ when address.Equals(IPAddress.Any) => "127.0.0.1",
            _ when address.Equals(IPAddress.IPv6Any) => "[::1]",
            { AddressFamily: System.Net.Sockets.AddressFamily.InterNetworkV6 } => $"[{address}]",
            _ => address.ToString(),
        };
    }
}
