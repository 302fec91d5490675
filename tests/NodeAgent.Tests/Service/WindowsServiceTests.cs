using Federation.NodeAgent.Service;

namespace Federation.NodeAgent.Tests.Service;

public sealed class WindowsServiceTests
{
    private readonly FakeControl _control = new();

    [Fact]
    public async Task A_service_starts_runs_and_stops_when_it_is_told()
    {
        int exitCode = await ServiceProcess.RunAsync(_control, RunUntilCancelled, default);

        Assert.Equal(0, exitCode);
        Assert.Equal(
            [(WindowsServiceState.Starting, 0), (WindowsServiceState.Running, 0), (WindowsServiceState.Stopping, 0), (WindowsServiceState.Stopped, 0)],
            _control.Reports);

        async Task<int> RunUntilCancelled(IServiceNotifier notifier, CancellationToken cancellationToken)
        {
            notifier.Ready();
            notifier.Status("idle");
            _control.Stop!();
            await Task.Delay(Timeout.Infinite, cancellationToken).ContinueWith(_ => { }, TaskScheduler.Default);
            notifier.Stopping(); // said already
            notifier.Ready(); // too late
            return 0;
        }
    }

    [Theory]
    [InlineData(3, 3)]
    [InlineData(ServiceDefinition.ConfigurationErrorExitCode, 0)] // not to be started again
    public async Task An_agent_that_ends_by_itself_stops_the_service(int exitCode, int reported)
    {
        Assert.Equal(exitCode, await ServiceProcess.RunAsync(_control, (_, _) => Task.FromResult(exitCode), default));
        Assert.Equal([(WindowsServiceState.Starting, 0), (WindowsServiceState.Stopped, reported)], _control.Reports);
        _control.Stop!(); // in the last moment
        Assert.Equal(2, _control.Reports.Count);
    }

    [Fact]
    public async Task An_agent_that_throws_stops_the_service_with_an_error()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => ServiceProcess.RunAsync(_control, (_, _) => throw new InvalidOperationException(), default));
        Assert.Equal((WindowsServiceState.Stopped, 1), _control.Reports[^1]);
    }

    [Fact]
    public async Task In_a_terminal_the_agent_runs_without_the_manager()
    {
        _control.StartedByManager = false;
        Assert.Equal(7, await ServiceProcess.RunAsync(_control, (_, _) => Task.FromResult(7), default));
        Assert.Empty(_control.Reports);
    }

    private sealed class FakeControl : IWindowsServiceControl
    {
        public bool StartedByManager { get; set; } = true;

        public List<(WindowsServiceState State, int ExitCode)> Reports { get; } = [];

        public Action? Stop { get; private set; }

        public bool TryDispatch(string name, Action serviceMain)
        {
            Assert.Equal("federation-node", name);
            if (StartedByManager)
            {
                serviceMain();
            }

            return StartedByManager;
        }

        public void Register(string name, Action stop) => Stop = stop;

        public void Report(WindowsServiceState state, int exitCode, TimeSpan patience)
        {
            Assert.True(state is WindowsServiceState.Running or WindowsServiceState.Stopped || patience > TimeSpan.Zero);
            Reports.Add((state, exitCode));
        }
    }
}
