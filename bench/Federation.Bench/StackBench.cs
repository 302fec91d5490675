using System.Diagnostics;
using System.Net;
using Federation.Bench.Wire;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Federation.Bench;

/// <summary>What a call costs on the stack this was built for. Build it for the other one too, and lay the tables side by side.</summary>
internal static class StackBench
{
    private const int Rounds = 5;
    private static readonly TimeSpan RoundLength = TimeSpan.FromSeconds(2);

    public static async Task<Table> RunAsync()
    {
        var table = new Table("path", "per second");
        var builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleans(silo => silo.UseLocalhostClustering(Ports.Free(), Ports.Free()));
        builder.Services.AddGrpc();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http2));
        await using var app = builder.Build();
        app.MapGrpcService<EchoService>();
        await app.StartAsync();

        var grains = app.Services.GetRequiredService<IGrainFactory>();
        foreach (var callers in new[] { 1, 100 })
        {
            var targets = Enumerable.Range(0, callers).Select(i => grains.GetGrain<IPongGrain>(i)).ToArray();
            table.Add($"local grain call, {callers} callers", await MeasureAsync(callers, caller => targets[caller].Ping(caller)));
        }
        var fresh = 1_000_000L;
        table.Add("new activations", await MeasureAsync(16, _ => grains.GetGrain<IPongGrain>(Interlocked.Increment(ref fresh)).Ping(0)));

        var address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        using var channel = GrpcChannel.ForAddress(address);
        var echo = new Echo.EchoClient(channel);
        var ball = new Ball { Data = ByteString.CopyFrom(new byte[32]) };
        foreach (var callers in new[] { 1, 32 }) table.Add($"gRPC unary, {callers} callers", await MeasureAsync(callers, async _ => await echo.OnceAsync(ball)));
        table.Add("gRPC pipelined duplex messages", Numbers.Rate(Numbers.Median(await RalliesAsync(echo, ball))));
        await app.StopAsync();
        return table;
    }

    private static async Task<string> MeasureAsync(int callers, Func<int, Task> call)
    {
        var rates = new List<double>();
        for (var round = 0; round < Rounds; round++)
        {
            var clock = Stopwatch.StartNew();
            var counts = await Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
            {
                var count = 0L;
                // The clock is looked at now and then: it costs about as much as a call.
                while (clock.Elapsed < RoundLength)
                {
                    for (var i = 0; i < 16; i++, count++) await call(caller);
                }
                return count;
            })));
            rates.Add(counts.Sum() / clock.Elapsed.TotalSeconds);
        }
        return Numbers.Rate(Numbers.Median(rates));
    }

    private static async Task<List<double>> RalliesAsync(Echo.EchoClient echo, Ball ball)
    {
        var rates = new List<double>();
        for (var round = 0; round < Rounds; round++)
        {
            using var rally = echo.Rally();
            var clock = Stopwatch.StartNew();
            var sending = Task.Run(async () =>
            {
                while (clock.Elapsed < RoundLength) await rally.RequestStream.WriteAsync(ball);
                await rally.RequestStream.CompleteAsync();
            });
            var count = 0L;
            while (await rally.ResponseStream.MoveNext(CancellationToken.None)) count++;
            await sending;
            rates.Add(count / clock.Elapsed.TotalSeconds);
        }
        return rates;
    }

    private sealed class EchoService : Echo.EchoBase
    {
        public override Task<Ball> Once(Ball request, ServerCallContext context) => Task.FromResult(request);

        public override async Task Rally(IAsyncStreamReader<Ball> requestStream, IServerStreamWriter<Ball> responseStream, ServerCallContext context)
        {
            while (await requestStream.MoveNext(context.CancellationToken)) await responseStream.WriteAsync(requestStream.Current);
        }
    }
}

/// <summary>A grain that answers.</summary>
public interface IPongGrain : IGrainWithIntegerKey
{
    /// <summary>Gives back what it got.</summary>
    Task<int> Ping(int value);
}

/// <inheritdoc cref="IPongGrain"/>
public sealed class PongGrain : Grain, IPongGrain
{
    /// <inheritdoc/>
    public Task<int> Ping(int value) => Task.FromResult(value);
}
