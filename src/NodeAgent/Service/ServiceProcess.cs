namespace Federation.NodeAgent.Service;

/// <summary>Runs the agent as whoever started it expects: as a Windows service, under systemd, or in a terminal.</summary>
public static class ServiceProcess
{
    /// <summary>Runs <paramref name="agent"/> to its end.</summary>
    /// <param name="agent">
    /// The agent. It reports itself ready, ends when its token is cancelled, and returns the process's exit code.
    /// </param>
    /// <param name="cancellationToken">Signals and Ctrl-C; a Windows service is also stopped by its manager.</param>
    public static Task<int> RunAsync(Func<IServiceNotifier, CancellationToken, Task<int>> agent, CancellationToken cancellationToken) =>
        OperatingSystem.IsWindows()
            ? RunAsync(new WindowsServiceControl(), agent, cancellationToken)
            : agent(ServiceNotifier.FromEnvironment(), cancellationToken);

    internal static async Task<int> RunAsync(
        IWindowsServiceControl control, Func<IServiceNotifier, CancellationToken, Task<int>> agent, CancellationToken cancellationToken)
    {
        // The manager takes a thread for itself until the service has ended.
        int? exitCode = await Task.Factory.StartNew(
            () => WindowsService.TryRun(control, agent, cancellationToken),
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default).ConfigureAwait(false);
        return exitCode ?? await agent(ServiceNotifier.FromEnvironment(), cancellationToken).ConfigureAwait(false);
    }
}
