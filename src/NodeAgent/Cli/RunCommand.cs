using System.CommandLine;
using System.Reflection;
using Federation.NodeAgent.Compute;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Link;
using Federation.NodeAgent.Service;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Cli;

/// <summary><c>federation-node run</c>: the agent itself.</summary>
internal static class RunCommand
{
    private const int RememberedLeases = 4_096;

    // Log-probabilities of answers that may be audited: some hundred bytes a token, so about half a million tokens.
    private const long CommittedBytesMax = 64L << 20;

    // Main memory that a challenge may take for its few seconds: two matrices of the largest size, or a buffer beyond every cache; of a small machine a part.
    private const long ChallengeMemoryMax = 1L << 30;
    private const int ChallengeMemoryShare = 2;

    // The hub's epoch is an hour, and it gives an audit two.
    private static readonly TimeSpan CommittedFor = TimeSpan.FromHours(3);

    public static Command Create()
    {
        var verbose = new Option<bool>("--verbose") { Description = "Log more." };
        var command = new Command("run", "Runs the agent until it is stopped; running answers finish first.") { verbose };
        command.SetAction((parsed, cancellationToken) => CommandGuard.RunAsync(
            () => ServiceProcess.RunAsync((notifier, stop) => RunAsync(parsed.GetValue(verbose), notifier, stop), cancellationToken)));
        return command;
    }

    private static async Task<int> RunAsync(bool verbose, IServiceNotifier notifier, CancellationToken stop)
    {
        var paths = AgentPaths.Resolve();
        var config = AgentConfigFile.Load(paths.ConfigFile);
        if (!config.IsEnrolled) throw new AgentConfigException(paths.ConfigFile, [new ConfigProblem("", "this machine has not joined a hub; run: federation-node join <hub-url> --token <token>")]);
        using var loggers = AgentLogging.Create(verbose);
        using var key = NodeKey.Load(paths.KeyFile);
        using var alone = AgentLock.Take(paths);
        var time = TimeProvider.System;
        // The one place where chance enters; everything below is handed its own.
        var random = new Random();
        var engines = EngineFactory.Create(config.Engines, paths, time, random, loggers);
        var status = new AgentStatusFile(paths, time, loggers.CreateLogger<AgentStatusFile>());
        try
        {
            var watch = new EngineWatch(engines, new EngineWatchOptions(), time, loggers.CreateLogger<EngineWatch>());
            var work = new WorkLog(RememberedLeases);
            using var worked = new WorkedToday(paths, time, loggers.CreateLogger<WorkedToday>());
            var parts = new AgentParts(
                key,
                watch,
                HardwareDetector.ForThisMachine(paths.Home, time, loggers.CreateLogger<HardwareDetector>()),
                new Contribution(paths, config, worked, time, loggers.CreateLogger<Contribution>()),
                worked,
                work,
                new RevealLog(CommittedBytesMax, CommittedFor, time),
                new ReceiptSigner(key, work, loggers.CreateLogger<ReceiptSigner>()),
                new ChallengeDevices(Math.Min(ChallengeMemoryMax, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / ChallengeMemoryShare), config.Policy.VramLimitGib is { } gib ? (long)(gib * (1L << 30)) : long.MaxValue),
                status,
                Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown",
                time,
                loggers);
            using var watching = new CancellationTokenSource();
            var watched = watch.RunAsync(watching.Token);
            await new HubLink(config, parts, notifier, random, loggers.CreateLogger<HubLink>()).RunAsync(stop).ConfigureAwait(false);
            await watching.CancelAsync().ConfigureAwait(false);
            await watched.ConfigureAwait(false);
            return 0;
        }
        finally
        {
            status.Delete();
            foreach (var engine in engines) await engine.DisposeAsync().ConfigureAwait(false);
        }
    }
}
