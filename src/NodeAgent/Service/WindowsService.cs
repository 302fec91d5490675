namespace Federation.NodeAgent.Service;

/// <summary>States of a Windows service, with the numbers that Windows gives them.</summary>
internal enum WindowsServiceState
{
    Stopped = 1,
    Starting = 2,
    Stopping = 3,
    Running = 4,
}

/// <summary>The connection to Windows' service control manager.</summary>
internal interface IWindowsServiceControl
{
    /// <summary>
    /// Hands this thread to the manager, which calls <paramref name="serviceMain"/> on another one. Returns when the service is
    /// stopped; false at once if no manager started this process.
    /// </summary>
    bool TryDispatch(string name, Action serviceMain);

    /// <summary>To be called first in the service's main function.</summary>
    /// <param name="name">The service.</param>
    /// <param name="stop">Called when the manager wants it to stop; must return soon.</param>
    void Register(string name, Action stop);

    /// <param name="state">The state now.</param>
    /// <param name="exitCode">For <see cref="WindowsServiceState.Stopped"/>: zero, or what <c>sc query</c> shows as the service's own code.</param>
    /// <param name="patience">How long the manager should wait for the next report.</param>
    void Report(WindowsServiceState state, int exitCode, TimeSpan patience);
}

/// <summary>The life of the agent as a Windows service.</summary>
internal sealed class WindowsService : IServiceNotifier
{
    private static readonly TimeSpan _startTimeout = TimeSpan.FromSeconds(30);

    private readonly IWindowsServiceControl _control;
    private readonly Lock _lock = new();
    private WindowsServiceState _state = WindowsServiceState.Starting;
    private int _exitCode = 1;

    private WindowsService(IWindowsServiceControl control)
    {
        _control = control;
    }

    /// <summary>Null if no service manager started this process; else the agent has run and this is its exit code.</summary>
    public static int? TryRun(
        IWindowsServiceControl control, Func<IServiceNotifier, CancellationToken, Task<int>> agent, CancellationToken cancellationToken)
    {
        var service = new WindowsService(control);
        return control.TryDispatch(ServiceDefinition.Name, () => service.Run(agent, cancellationToken)) ? service._exitCode : null;
    }

    public void Ready() => MoveTo(WindowsServiceState.Running);

    public void Status(string line)
    {
        // Windows has no place for it.
    }

    public void Stopping() => MoveTo(WindowsServiceState.Stopping);

    private void Run(Func<IServiceNotifier, CancellationToken, Task<int>> agent, CancellationToken cancellationToken)
    {
        // Not disposed: the manager may ask for a stop in the moment in which the agent ends by itself.
        var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _control.Register(ServiceDefinition.Name, () =>
        {
            Stopping();
            stop.CancelAsync(); // on another thread: the manager's must return soon
        });
        _control.Report(WindowsServiceState.Starting, exitCode: 0, _startTimeout);
        try
        {
            _exitCode = agent(this, stop.Token).GetAwaiter().GetResult();
        }
        finally
        {
            // The last thing: the manager's thread goes on, and the process ends, as soon as this is reported.
            ReportStopped();
        }
    }

    private void ReportStopped()
    {
        lock (_lock)
        {
            _state = WindowsServiceState.Stopped;
            // Windows starts again whatever ended with an error; wrong settings are not mended by that.
            int reported = _exitCode == ServiceDefinition.ConfigurationErrorExitCode ? 0 : _exitCode;
            _control.Report(WindowsServiceState.Stopped, reported, TimeSpan.Zero);
        }
    }

    /// <summary>Only forward: an agent that gets ready while it is being stopped does not run again.</summary>
    private void MoveTo(WindowsServiceState state)
    {
        lock (_lock)
        {
            bool forward = (_state, state) is
                (WindowsServiceState.Starting, WindowsServiceState.Running)
                or (WindowsServiceState.Starting or WindowsServiceState.Running, WindowsServiceState.Stopping);
            if (forward)
            {
                _state = state;
                _control.Report(state, exitCode: 0, state == WindowsServiceState.Stopping ? ServiceDefinition.StopTimeout : TimeSpan.Zero);
            }
        }
    }
}
