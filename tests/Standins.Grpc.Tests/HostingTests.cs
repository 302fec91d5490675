using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Federation.Standins.Grpc.Tests.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;

namespace Federation.Standins.Grpc.Tests;

public sealed class HostingTests
{
    [Fact]
    public async Task A_service_and_its_scope_live_for_one_call()
    {
        await using var server = await ProbeServer.StartAsync(new Script(), services: services =>
        {
            services.AddScoped<Scoped>();
            services.AddSingleton<Ledger>();
        }, map: app => app.MapGrpcService<CountingProbe>());
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        var first = await client.UnaryAsync(new Ask()).ResponseAsync.Soon();
        var second = await client.UnaryAsync(new Ask()).ResponseAsync.Soon();

        Assert.Equal("1 1", first.Text);
        Assert.Equal("2 2", second.Text);
        await server.Services.GetRequiredService<Ledger>().BothServicesDisposed.Happened;
    }

    [Fact]
    public async Task A_service_may_be_registered_to_be_shared()
    {
        await using var server = await ProbeServer.StartAsync(new Script(), services: services =>
        {
            services.AddScoped<Scoped>();
            services.AddSingleton<Ledger>();
            services.AddSingleton(new CountingProbe(new Scoped(new Ledger()), new Ledger()));
        }, map: app => app.MapGrpcService<CountingProbe>());
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        await client.UnaryAsync(new Ask()).ResponseAsync.Soon();

        Assert.Equal("1 1", (await client.UnaryAsync(new Ask()).ResponseAsync.Soon()).Text);
    }

    [Fact]
    public async Task Options_of_one_service_stand_on_those_of_all()
    {
        await using var server = await ProbeServer.StartAsync(
            new Script
            {
                Unary = (ask, _) => ask.Text.Length == 0 ? throw new InvalidOperationException("told") : Task.FromResult(new Answer()),
            },
            options => options.EnableDetailedErrors = true,
            services: services => services.AddGrpc().AddServiceOptions<ScriptedProbe>(options => options.MaxReceiveMessageSize = 10));
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        var tooLong = await client.UnaryAsync(new Ask { Text = "more than ten bytes" }).ResponseAsync.RefusalAsync();
        var detailed = await client.UnaryAsync(new Ask()).ResponseAsync.RefusalAsync();

        Assert.Equal(StatusCode.ResourceExhausted, tooLong.StatusCode);
        Assert.Contains("told", detailed.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unknown_services_may_be_left_to_the_application()
    {
        await using var server = await ProbeServer.StartAsync(new Script(), options => options.IgnoreUnknownServices = true);
        using var raw = new RawClient(server.Address);

        var answer = await raw.SendAsync(HttpMethod.Post, "/some.Service/Method", [], "application/grpc", HttpVersion.Version20).Soon();

        Assert.Equal(HttpStatusCode.NotFound, answer.HttpStatus);
    }

    [Fact]
    public void Mapping_without_AddGrpc_says_what_is_missing()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore();
        builder.Services.AddRouting();
        using var app = (IDisposable)builder.Build();

        var thrown = Assert.Throws<InvalidOperationException>(() => ((WebApplication)app).MapGrpcService<ScriptedProbe>());

        Assert.Contains("AddGrpc", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calls_run_over_TLS()
    {
        using var certificate = SelfSigned();
        await using var server = await ProbeServer.StartAsync(
            new Script
            {
                Chat = CallKindTests.EchoAsync,
                Unary = (_, context) => Task.FromResult(new Answer { Text = context.GetHttpContext().Request.Scheme }),
            },
            listen: endpoint => endpoint.UseHttps(certificate));
        Assert.StartsWith("https:", server.Address, StringComparison.Ordinal);
        var handler = new SocketsHttpHandler();
        handler.SslOptions.RemoteCertificateValidationCallback = (_, presented, _, _) =>
            presented?.GetCertHashString() == certificate.GetCertHashString();
        using var channel = server.Channel(options =>
        {
            options.HttpHandler = handler;
            options.DisposeHttpClient = true;
            options.Credentials = ChannelCredentials.SecureSsl;
        });
        var client = new Probe.ProbeClient(channel);

        Assert.Equal("https", (await client.UnaryAsync(new Ask()).ResponseAsync.Soon()).Text);
        using var call = client.Chat();
        await call.RequestStream.WriteAsync(new Ask { Text = "sealed" }).Soon();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
        Assert.Equal("sealed", call.ResponseStream.Current.Text);
    }

    [Fact]
    public async Task A_certificate_nobody_trusts_is_UNAVAILABLE_or_INTERNAL_and_never_served()
    {
        var calls = 0;
        using var certificate = SelfSigned();
        await using var server = await ProbeServer.StartAsync(
            new Script
            {
                Unary = (_, _) =>
                {
                    Interlocked.Increment(ref calls);
                    return Task.FromResult(new Answer());
                },
            },
            listen: endpoint => endpoint.UseHttps(certificate));
        using var channel = server.Channel();

        var failed = await channel.RefusalOfUnaryAsync();

        Assert.Contains(failed.StatusCode, new[] { StatusCode.Unavailable, StatusCode.Internal });
        Assert.Equal(0, calls);
    }

    [Fact]
    public async Task A_channel_disposes_the_handler_only_when_asked()
    {
        await using var server = await ProbeServer.StartAsync(new Script { Unary = (_, _) => Task.FromResult(new Answer()) });
        using var shared = new SocketsHttpHandler();

        using (var first = server.Channel(options => options.HttpHandler = shared))
            await new Probe.ProbeClient(first).UnaryAsync(new Ask()).ResponseAsync.Soon();
        using (var second = server.Channel(options => (options.HttpHandler, options.DisposeHttpClient) = (shared, true)))
            await new Probe.ProbeClient(second).UnaryAsync(new Ask()).ResponseAsync.Soon();
        using var third = server.Channel(options => options.HttpHandler = shared);

        await new Probe.ProbeClient(third).UnaryAsync(new Ask()).ResponseAsync.RefusalAsync();
    }

    [Fact]
    public async Task Calls_run_through_a_given_HttpClient()
    {
        await using var server = await ProbeServer.StartAsync(new Script { Chat = CallKindTests.EchoAsync });
        using var http = new HttpClient();
        using var channel = server.Channel(options => options.HttpClient = http);

        using var call = new Probe.ProbeClient(channel).Chat();
        await call.RequestStream.WriteAsync(new Ask { Number = 1 }).Soon();
        Assert.True(await call.ResponseStream.MoveNext().Soon());
    }

    private static X509Certificate2 SelfSigned()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=probe", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        return X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pkcs12), password: null);
    }

    public sealed class Ledger
    {
        private int _services;
        private int _scopes;
        private int _disposed;

        internal Signal BothServicesDisposed { get; } = new();

        public int NextService() => Interlocked.Increment(ref _services);

        public int NextScope() => Interlocked.Increment(ref _scopes);

        public void ServiceDisposed()
        {
            if (Interlocked.Increment(ref _disposed) == 2)
                BothServicesDisposed.Set();
        }
    }

    public sealed class Scoped(Ledger ledger)
    {
        public int Number { get; } = ledger.NextScope();
    }

    public sealed class CountingProbe(Scoped scoped, Ledger ledger) : Probe.ProbeBase, IDisposable
    {
        private readonly int _number = ledger.NextService();

        public override Task<Answer> Unary(Ask request, ServerCallContext context) =>
            Task.FromResult(new Answer { Text = $"{_number} {scoped.Number}" });

        public void Dispose() => ledger.ServiceDisposed();
    }
}
