using System.Net;

namespace Federation.Silo.Hosting;

/// <summary>Where the hub listens, and how.</summary>
/// <param name="Api">For API clients. With TLS, nodes use it as well.</param>
/// <param name="NodeLink">
/// For nodes, where there is no TLS: HTTP/2 without TLS cannot share a port with HTTP/1.1. <see langword="null"/> with TLS.
/// </param>
/// <param name="Certificate">PEM file of the certificate chain; <see langword="null"/> without TLS.</param>
/// <param name="CertificateKey">PEM file of its key.</param>
/// <param name="Insecure">Allows plain text beyond loopback.</param>
internal sealed record ListenSettings(IPEndPoint Api, IPEndPoint? NodeLink, string? Certificate, string? CertificateKey, bool Insecure)
{
    public bool HasTls => Certificate is not null;

    /// <summary>Everything that is wrong with the settings, in words that say what to do.</summary>
    public IEnumerable<string> Problems()
    {
        if ((Certificate is null) != (CertificateKey is null)) yield return "--tls-cert and --tls-key go together.";
        foreach (var file in new[] { Certificate, CertificateKey })
        {
            if (file is not null && !File.Exists(file)) yield return $"There is no file {file}.";
        }
        if (HasTls && NodeLink is not null) yield return "With TLS, nodes use the address of --listen; leave --listen-nodes out.";
        if (HasTls || Insecure) yield break;
        foreach (var endpoint in new[] { Api, NodeLink })
        {
            if (endpoint is not null && !IPAddress.IsLoopback(endpoint.Address))
                yield return $"{endpoint} can be reached from other machines, and without TLS anyone on the way reads keys and prompts. Give --tls-cert and --tls-key, or --insecure if a proxy in front of it does TLS.";
        }
    }
}
