using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Where and how a hub lets itself be reached.</summary>
public sealed class ListenTests(ITestOutputHelper output) : EndToEndTest(output)
{
    [Theory]
    [InlineData("--listen", "0.0.0.0:0")]
    [InlineData("--listen", "[::]:0")]
    [InlineData("--listen-nodes", "0.0.0.0:0")]
    public async Task Without_TLS_it_refuses_to_be_reached_from_other_machines(string option, string endpoint)
    {
        var (code, said) = await HubProcess.RunAsync(option, endpoint);
        Assert.Equal(2, code);
        Assert.Contains("can be reached from other machines", said, StringComparison.Ordinal);
        Assert.Contains("--tls-cert", said, StringComparison.Ordinal);
        Assert.Contains("--insecure", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Told_that_it_is_insecure_it_listens_everywhere()
    {
        var hub = await StartHubAsync(arguments: ["--insecure"], listen: "0.0.0.0:0");
        using var client = new HubClient(new Uri($"http://127.0.0.1:{hub.Api.Port}"), hub.AdminKey);
        (await client.GetAsync("/v1/models")).Expect(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("127.0.0.1:99999")]
    [InlineData("8080")]
    [InlineData("::1")]
    public async Task An_address_that_is_none_is_refused_in_words(string listen)
    {
        var (code, said) = await HubProcess.RunAsync("--listen", listen);
        Assert.Equal(2, code);
        Assert.Contains("is not an address and port", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_certificate_without_its_key_is_refused_in_words()
    {
        var (code, said) = await HubProcess.RunAsync("--tls-cert", "/nowhere/chain.pem");
        Assert.Equal(2, code);
        Assert.Contains("--tls-cert and --tls-key go together", said, StringComparison.Ordinal);
        Assert.Contains("There is no file /nowhere/chain.pem", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_that_is_taken_is_an_error_in_words()
    {
        var hub = await StartHubAsync();
        var (code, said) = await HubProcess.RunAsync("--listen", $"127.0.0.1:{hub.Api.Port}");
        Assert.NotEqual(0, code);
        Assert.Contains("in use. Choose another with --listen", said, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", said, StringComparison.Ordinal);
        Assert.DoesNotContain("Unhandled exception", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_data_directory_that_cannot_be_made_is_named()
    {
        using var files = new TemporaryDirectory();
        var file = Path.Combine(files.Path, "file");
        await File.WriteAllTextAsync(file, "no directory");
        await using var process = ChildProcess.StartDotnet("the hub", Places.Hub, ["run", "--data", Path.Combine(file, "data"), "--listen", "127.0.0.1:0"]);
        Assert.Equal(2, await process.ExitAsync());
        Assert.Contains(process.Lines, line => line.Contains($"The data directory {Path.Combine(file, "data")} cannot be made", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_wrong_setting_stops_the_start_and_is_named()
    {
        using var data = new TemporaryDirectory();
        await using var process = ChildProcess.StartDotnet(
            "the hub", Places.Hub, ["run", "--data", data.Path, "--listen", "127.0.0.1:0"], new Dictionary<string, string> { ["Gateway__MaxNodes"] = "0", ["Standing__ShadowMod"] = "false" });
        Assert.Equal(2, await process.ExitAsync());
        Assert.Contains(process.Lines, line => line.Contains("MaxNodes", StringComparison.Ordinal));
        Assert.Contains(process.Lines, line => line.Contains("Standing:ShadowMod is not a setting", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_section_of_the_file_of_settings_that_nobody_reads_stops_the_start_and_what_is_in_the_environment_does_not()
    {
        using var data = new TemporaryDirectory();
        var file = Path.Combine(data.Path, "settings.json");
        await File.WriteAllTextAsync(file, """{ "Hubb": { "Name": "Ours" }, "Logging": { "LogLevel": { "Default": "Warning" } } }""");
        var (code, said) = await HubProcess.RunAsync("--listen", "127.0.0.1:0", "--config", file);
        Assert.Equal(2, code);
        Assert.StartsWith("federation-hub: Hubb is not a section of settings; there are: ", said, StringComparison.Ordinal);
        Assert.DoesNotContain("Logging is", said, StringComparison.Ordinal);

        await File.WriteAllTextAsync(file, """{ "Hub": { "Name": "Ours" } }""");
        var hub = await StartHubAsync(new Dictionary<string, string> { ["Hubb__Name"] = "Theirs" }, ["--config", file]);
        using var anybody = hub.Client();
        Assert.Equal("Ours", (await anybody.GetAsync("/v1/hub")).Expect(HttpStatusCode.OK).Json["name"]!.ToString());
    }

    [Fact]
    public async Task With_TLS_clients_and_nodes_share_one_port()
    {
        using var files = new TemporaryDirectory();
        using var own = SelfSigned();
        var hub = await StartHubAsync(arguments: await TlsArgumentsAsync(own, files));
        Assert.Equal("https", hub.Api.Scheme);
        Assert.Equal(hub.Api, hub.Nodes);

        using var client = new HubClient(hub.Api, hub.AdminKey, Trusting(own));
        var node = Keep(FakeNode.Dial(hub.Nodes, handler: Trusting(own)));
        await node.EnrolAsync(await client.JoinTokenAsync());
        var line = Keep(await node.OpenAsync());
        await line.SendAsync(new Protocol.V1.NodeMessage { Hello = line.Hello("over-tls") });
        await line.WelcomeAsync();
        line.Serve("sealed");
        await Patience.UntilAsync(() => client.HasModelAsync("over-tls"), "the hub to offer the model");
        Assert.Equal("sealed", (await client.ChatAsync("over-tls")).Content);
        using var stream = await client.StreamChatAsync("over-tls");
        Assert.Equal("sealed", await stream.TextAsync());

        // A client that does not know the certificate does not get as far as saying anything.
        using var stranger = new HubClient(hub.Api, hub.AdminKey);
        await Assert.ThrowsAsync<HttpRequestException>(() => stranger.GetAsync("/v1/models"));
    }

    [Fact]
    public async Task With_TLS_it_sends_the_whole_chain()
    {
        using var files = new TemporaryDirectory();
        using var root = Issue("CN=root", certificateAuthority: true, issuer: null);
        using var between = Issue("CN=between", certificateAuthority: true, root);
        using var own = Issue("CN=hub", certificateAuthority: false, between);
        var arguments = await TlsArgumentsAsync(own, files);
        await File.AppendAllTextAsync(arguments[1], "\n" + between.ExportCertificatePem());
        var hub = await StartHubAsync(arguments: arguments);

        // As clients do: they trust the root and have never seen what lies between.
        using var client = new HubClient(hub.Api, hub.AdminKey, new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, CustomTrustStore = { root }, RevocationMode = X509RevocationMode.NoCheck },
            },
        });
        (await client.GetAsync("/v1/models")).Expect(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_certificate_that_is_none_is_refused_in_words()
    {
        using var files = new TemporaryDirectory();
        var file = Path.Combine(files.Path, "none.pem");
        await File.WriteAllTextAsync(file, "nonsense");
        var (code, said) = await HubProcess.RunAsync("--tls-cert", file, "--tls-key", file);
        Assert.Equal(2, code);
        Assert.Contains("are not a certificate chain and its key", said, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_hub_on_the_same_data_is_refused()
    {
        var hub = await StartHubAsync();
        await using var second = ChildProcess.StartDotnet("the second hub", Places.Hub, ["run", "--data", hub.Data, "--listen", "127.0.0.1:0"]);
        Assert.Equal(2, await second.ExitAsync());
        Assert.Contains(second.Lines, line => line.Contains("Another hub runs on", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_real_agent_joins_and_works_over_TLS()
    {
        using var files = new TemporaryDirectory();
        using var own = SelfSigned();
        var hub = await StartHubAsync(arguments: await TlsArgumentsAsync(own, files));
        // What OpenSSL, and so .NET, trusts on Linux.
        await StartAgentAsync(hub, AgentEngines.Demo(), environment: new Dictionary<string, string> { ["SSL_CERT_FILE"] = Path.Combine(files.Path, "chain.pem") }, handler: Trusting(own));
        using var client = new HubClient(hub.Api, hub.AdminKey, Trusting(own));
        Assert.Equal("42", (await client.ChatAsync(AgentProcess.Model)).Content);
    }

    private static X509Certificate2 SelfSigned() => Issue("CN=hub", certificateAuthority: true, issuer: null);

    /// <summary>A certificate for loopback, with its key; signed by itself without an issuer.</summary>
    private static X509Certificate2 Issue(string name, bool certificateAuthority, X509Certificate2? issuer)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority, hasPathLengthConstraint: false, 0, critical: true));
        var (from, to) = (DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        if (issuer is null) return request.CreateSelfSigned(from, to);
        using var signed = request.Create(issuer, issuer.NotBefore, issuer.NotAfter, RandomNumberGenerator.GetBytes(8));
        return signed.CopyWithPrivateKey(key);
    }

    private static async Task<string[]> TlsArgumentsAsync(X509Certificate2 certificate, TemporaryDirectory files)
    {
        var (chain, key) = (Path.Combine(files.Path, "chain.pem"), Path.Combine(files.Path, "key.pem"));
        await File.WriteAllTextAsync(chain, certificate.ExportCertificatePem());
        await File.WriteAllTextAsync(key, certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        return ["--tls-cert", chain, "--tls-key", key];
    }

    private static SocketsHttpHandler Trusting(X509Certificate2 certificate) => new()
    {
        SslOptions = new SslClientAuthenticationOptions
        {
            RemoteCertificateValidationCallback = (_, shown, _, _) => shown?.GetCertHashString(HashAlgorithmName.SHA256) == certificate.GetCertHashString(HashAlgorithmName.SHA256),
        },
    };
}
