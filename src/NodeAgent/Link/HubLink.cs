using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Service;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>Keeps the node connected: dials, and dials again with a jittered, growing pause for as long as it takes.</summary>
internal sealed partial class HubLink(AgentConfig config, AgentParts agent, IServiceNotifier notifier, Random random, ILogger<HubLink> logger)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan HopelessPause = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan DrainTimeout = TimeSpan.FromSeconds(30);

    /// <summary>Runs until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var urls = new HubUrls(new Uri(config.HubUrl!));
        // Looking at the hardware and dialling take their time side by side.
        var hardware = DescribeAsync(stop);
        var pause = FirstPause;
        while (!stop.IsCancellationRequested)
        {
            var session = new HubSession(agent, hardware, agent.Loggers.CreateLogger<HubSession>());
            try
            {
                var hub = await HubAddress.DiscoverAsync(urls.Next(), stop).ConfigureAwait(false);
                if (config.HubId is { } pinned && pinned != hub.Id.ToString()) throw new HubUnreachableException($"This is not the hub the node joined ({pinned}) but {hub.Id}. If the hub was set up anew, join it again.");
                urls.Learn(hub.Urls);
                notifier.Ready();
                await session.RunAsync(hub.NodeLink, hub.Id, DrainTimeout, stop).ConfigureAwait(false);
                if (!stop.IsCancellationRequested) LogEnded();
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                break;
            }
            catch (Exception exception) when (exception is HubUnreachableException or RpcException or HttpRequestException or IOException)
            {
                LogLost(exception is RpcException { Status.Detail: { Length: > 0 } detail } ? detail : exception.Message);
                if (exception is RpcException { StatusCode: StatusCode.PermissionDenied or StatusCode.Unauthenticated }) pause = HopelessPause;
            }
            catch (Exception exception)
            {
                // Whatever a hub can bring about in here, it cannot stop the agent: that dials again, and its log says what to mend.
                LogBroken(exception);
            }
            if (stop.IsCancellationRequested) break;
            // A session that was up begins anew at the short pause, all of them a little apart after a hub's restart.
            if (session.IsWelcome) urls.StartOver();
            if (session.IsWelcome || urls.HasUntried) pause = FirstPause;
            agent.Status.Write(new AgentStatus(config.HubId, agent.Key.NodeId, Connected: false, RunningLeases: 0, "not connected", agent.Receipts.CreditedMicrocredits) { Engines = EngineStatus.Of(agent.Engines.Current, agent.Contribution.Models) });
            var jittered = pause * (0.5 + random.NextDouble());
            LogRedial(jittered);
            await Task.Delay(jittered, agent.Time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, Math.Max(LongestPause.Ticks, pause.Ticks)));
        }
        notifier.Stopping();
    }

    private async Task<Protocol.V1.Hardware> DescribeAsync(CancellationToken stop) => (await agent.Hardware.DetectAsync(stop).ConfigureAwait(false)).ToMessage();

    [LoggerMessage(5400, LogLevel.Information, "The hub ended the connection")]
    private partial void LogEnded();

    [LoggerMessage(5401, LogLevel.Warning, "No connection to the hub: {Why}")]
    private partial void LogLost(string why);

    [LoggerMessage(5403, LogLevel.Error, "The session broke")]
    private partial void LogBroken(Exception exception);

    [LoggerMessage(5402, LogLevel.Information, "Dialling again in {Pause}")]
    private partial void LogRedial(TimeSpan pause);
}
