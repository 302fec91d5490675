using System.CommandLine;
using System.Net;
using Federation.Protocol.Machine;
using Federation.Silo.Accounts;
using Federation.Silo.Hosting;
using Federation.Silo.Hubs;
using Federation.Silo.Storage;
using Federation.Silo.Telemetry;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub run</c>: the hub itself.</summary>
internal static class RunCommand
{
    private const string DefaultListen = "127.0.0.1:8080";

    // Settings are read once. Left to itself, the host watches the working directory and all below it for settings that change: with the database in it, it would hear of each write.
    private const string WatchNothing = "--hostBuilder:reloadConfigOnChange=false";

    public static Command Create()
    {
        var data = new Option<string>("--data") { Description = "Where the hub keeps its key and, unless Storage:Postgres is set, its database.", DefaultValueFactory = _ => "data" };
        var listen = new Option<string>("--listen") { Description = "Address and port for API clients, and for nodes when TLS is on.", DefaultValueFactory = _ => DefaultListen };
        var listenNodes = new Option<string?>("--listen-nodes") { Description = "Address and port for nodes, without TLS. Default: the next port after --listen." };
        var certificate = new Option<string?>("--tls-cert") { Description = "PEM file with the certificate chain." };
        var certificateKey = new Option<string?>("--tls-key") { Description = "PEM file with the certificate's key." };
        var insecure = new Option<bool>("--insecure") { Description = "Listen beyond loopback without TLS." };
        var config = new Option<string?>("--config") { Description = "JSON file with settings; environment variables (Storage__Postgres=…) overrule it." };
        var command = new Command("run", "Runs the hub until it is stopped.") { data, listen, listenNodes, certificate, certificateKey, insecure, config };
        command.SetAction((parsed, cancellationToken) =>
        {
            if (!TryParse(parsed.GetValue(listen)!, out var api)) return Task.FromResult(Fail([$"'{parsed.GetValue(listen)}' is not an address and port; for example {DefaultListen}."]));
            var hasTls = parsed.GetValue(certificate) is not null;
            IPEndPoint? nodes = null;
            if (parsed.GetValue(listenNodes) is { } text && !TryParse(text, out nodes)) return Task.FromResult(Fail([$"'{text}' is not an address and port."]));
            if (nodes is null && !hasTls) nodes = new IPEndPoint(api.Address, api.Port == 0 ? 0 : api.Port + 1);
            var settings = new ListenSettings(api, nodes, parsed.GetValue(certificate), parsed.GetValue(certificateKey), parsed.GetValue(insecure));
            return RunAsync(settings, parsed.GetValue(data)!, parsed.GetValue(config), cancellationToken);
        });
        return command;
    }

    private static async Task<int> RunAsync(ListenSettings listen, string dataDirectory, string? config, CancellationToken cancellationToken)
    {
        if (listen.Problems().ToList() is { Count: > 0 } problems) return Fail(problems);
        if (config is not null && !File.Exists(config)) return Fail([$"There is no file {config}."]);
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = [WatchNothing], ApplicationName = typeof(RunCommand).Assembly.GetName().Name });
        IConfigurationRoot? file = null;
        try
        {
            if (config is not null) file = new ConfigurationBuilder().AddJsonFile(Path.GetFullPath(config), optional: false).Build();
        }
        catch (InvalidDataException exception)
        {
            return Fail([$"{config} is not JSON: {exception.GetBaseException().Message}"]);
        }
        if (file is not null) builder.Configuration.AddConfiguration(file);
        builder.Configuration.AddEnvironmentVariables();
        builder.Configuration.AddInMemoryCollection([new("Storage:DataDirectory", dataDirectory)]);
        builder.Logging.ClearProviders().AddProvider(new GatheredConsole(Console.OpenStandardOutput(), TimeProvider.System));
        builder.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning).AddFilter("Grpc", LogLevel.Warning).AddFilter("ModelContextProtocol", LogLevel.Warning).AddFilter("Orleans", LogLevel.Warning).AddFilter("Microsoft.Orleans", LogLevel.Warning).AddFilter("Microsoft.Hosting", LogLevel.Warning);
        // Its lines of each request are below that level; where it may speak at all, it makes an activity for each request.
        builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        // A start that fails is told below, in words; the host would tell it first, with every frame of its stack.
        var hasStarted = false;
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", level => hasStarted && level >= LogLevel.Information);
        try
        {
            MakeDirectory(dataDirectory);
            await using var app = HubHost.Build(builder, listen, file);
            using var started = app.Lifetime.ApplicationStarted.Register(() => hasStarted = true);
            var storage = app.Services.GetRequiredService<IOptions<StorageOptions>>().Value;
            using var alone = storage.UsesPostgres ? null : DataLock.Take(dataDirectory);
            return await RunAsync(app, listen, cancellationToken);
        }
        catch (OptionsValidationException exception)
        {
            return Fail(exception.Failures);
        }
        catch (StorageException exception) when (exception.Failure is StorageFailure.Unavailable)
        {
            return Fail([$"{exception.Message} (Is the database up, and Storage:Postgres or --data right?)"]);
        }
        catch (IOException exception) when (exception.InnerException is AddressInUseException)
        {
            return Fail([$"{exception.Message} Choose another with --listen, and with --listen-nodes for nodes."]);
        }
        catch (Exception exception) when (exception is StorageException or IOException or InvalidDataException or UnauthorizedAccessException)
        {
            return Fail([exception.Message]);
        }
    }

    /// <summary>What the hub knows of its contributors is nobody else's business, so a new directory is its owner's alone.</summary>
    private static void MakeDirectory(string path)
    {
        try
        {
            PrivateFile.EnsureDirectory(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"The data directory {Path.GetFullPath(path)} cannot be made: {exception.Message} Name one of yours with --data.", exception);
        }
    }

    private static async Task<int> RunAsync(WebApplication app, ListenSettings listen, CancellationToken cancellationToken)
    {
        var database = app.Services.GetRequiredService<HubDatabase>();
        await database.MigrateAsync(cancellationToken);
        await app.Services.GetRequiredService<HubIdentity>().ClaimAsync(database, cancellationToken);
        await HubStack.PrepareAsync(app.Services.GetRequiredService<IOptions<StorageOptions>>().Value, cancellationToken);
        var operatorAccount = app.Services.GetRequiredService<OperatorAccount>();
        var newKey = await operatorAccount.EnsureAsync(cancellationToken);
        try
        {
            await app.StartAsync(cancellationToken);
        }
        catch (IOException)
        {
            // A port is taken: what runs beside the server has begun, and would fail loudly on services that are gone.
            await app.StopAsync(CancellationToken.None);
            throw;
        }

        var addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.ToArray();
        Console.WriteLine($"Hub       {app.Services.GetRequiredService<HubIdentity>().Id} ({HubStack.Name} stack)");
        Console.WriteLine($"API       {addresses[0]}");
        Console.WriteLine($"Nodes     {(listen.HasTls ? addresses[0] : addresses[1])}");
        if (newKey is not null) Console.WriteLine($"Admin key {newKey} (shown once; also in {operatorAccount.KeyFile})");
        Console.WriteLine("Ready. Stop with Ctrl-C.");
        await app.WaitForShutdownAsync(cancellationToken);
        return 0;
    }

    /// <remarks>The port is asked for: a lone number would otherwise be read as an address.</remarks>
    private static bool TryParse(string text, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IPEndPoint? endpoint)
    {
        endpoint = null;
        return (text.StartsWith('[') ? text.Contains("]:", StringComparison.Ordinal) : text.Count(character => character == ':') == 1)
            && IPEndPoint.TryParse(text.Replace("localhost", "127.0.0.1", StringComparison.Ordinal), out endpoint);
    }

    private static int Fail(IEnumerable<string> problems)
    {
        foreach (var problem in problems) Console.Error.WriteLine($"federation-hub: {problem}");
        return 2;
    }
}
