using System.Collections.Concurrent;
using System.Net;
using Federation.Standins.Grpc.Tests.V1;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Federation.Standins.Grpc.Tests;

/// <summary>What the probe service does, written by each test; a method that is not written is unimplemented.</summary>
public sealed class Script
{
    public Func<Ask, ServerCallContext, Task<Answer>>? Unary { get; init; }

    public Func<IAsyncStreamReader<Ask>, ServerCallContext, Task<Answer>>? Collect { get; init; }

    public Func<Ask, IServerStreamWriter<Answer>, ServerCallContext, Task>? Spread { get; init; }

    public Func<IAsyncStreamReader<Ask>, IServerStreamWriter<Answer>, ServerCallContext, Task>? Chat { get; init; }
}

public sealed class ScriptedProbe(Script script) : Probe.ProbeBase
{
    public override Task<Answer> Unary(Ask request, ServerCallContext context) =>
        script.Unary?.Invoke(request, context) ?? base.Unary(request, context);

    public override Task<Answer> Collect(IAsyncStreamReader<Ask> requestStream, ServerCallContext context) =>
        script.Collect?.Invoke(requestStream, context) ?? base.Collect(requestStream, context);

    public override Task Spread(Ask request, IServerStreamWriter<Answer> responseStream, ServerCallContext context) =>
        script.Spread?.Invoke(request, responseStream, context) ?? base.Spread(request, responseStream, context);

    public override Task Chat(
        IAsyncStreamReader<Ask> requestStream,
        IServerStreamWriter<Answer> responseStream,
        ServerCallContext context) =>
        script.Chat?.Invoke(requestStream, responseStream, context) ?? base.Chat(requestStream, responseStream, context);
}

/// <summary>A real server on a loopback port, HTTP/2 without TLS unless told otherwise.</summary>
public sealed class ProbeServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ErrorLog _errors;

    private ProbeServer(WebApplication app, ErrorLog errors)
    {
        _app = app;
        _errors = errors;
        Address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
    }

    public string Address { get; }

    public IServiceProvider Services => _app.Services;

    /// <summary>Errors that the server logged: bugs, unless the test made them.</summary>
    public IReadOnlyCollection<string> Errors => _errors.Messages;

    public static async Task<ProbeServer> StartAsync(
        Script script,
        Action<GrpcServiceOptions>? configure = null,
        Action<KestrelServerOptions>? kestrel = null,
        Action<ListenOptions>? listen = null,
        Action<IServiceCollection>? services = null,
        Action<WebApplication>? map = null,
        Action<WebApplication>? inFront = null)
    {
        var errors = new ErrorLog();
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.AddProvider(errors);
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(options =>
        {
            kestrel?.Invoke(options);
            options.Listen(IPAddress.Loopback, 0, endpoint =>
            {
                endpoint.Protocols = HttpProtocols.Http2;
                listen?.Invoke(endpoint);
            });
        });
        builder.Services.AddRouting();
        builder.Services.AddSingleton(script);
        builder.Services.AddGrpc(options => configure?.Invoke(options));
        services?.Invoke(builder.Services);
        var app = builder.Build();
        inFront?.Invoke(app);
        app.UseRouting();
        if (map is null)
            app.MapGrpcService<ScriptedProbe>();
        else
            map(app);
        app.UseEndpoints(_ => { });
        await app.StartAsync();
        return new ProbeServer(app, errors);
    }

    public GrpcChannel Channel(Action<GrpcChannelOptions>? configure = null)
    {
        var options = new GrpcChannelOptions();
        configure?.Invoke(options);
        return GrpcChannel.ForAddress(Address, options);
    }

    /// <summary>Stops without waiting for calls that run.</summary>
    public Task StopNowAsync() => _app.StopAsync(new CancellationToken(canceled: true));

    public async ValueTask DisposeAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        await _app.StopAsync(patience.Token);
        await _app.DisposeAsync();
    }

    private sealed class ErrorLog : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Messages { get; } = new();

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Error;

        public void Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
                Messages.Enqueue($"{formatter(state, exception)} {exception}");
        }

        public void Dispose()
        {
        }
    }
}
