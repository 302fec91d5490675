using Federation.NodeAgent.Service;
using Federation.NodeAgent.Tests.Hardware;

namespace Federation.NodeAgent.Tests.Service;

public sealed class WindowsServiceManagerTests
{
    private const string Running = """

        SERVICE_NAME: federation-node
                TYPE               : 10  WIN32_OWN_PROCESS
                STATE              : 4  RUNNING
                                        (STOPPABLE, NOT_PAUSABLE, ACCEPTS_SHUTDOWN)
                WIN32_EXIT_CODE    : 0  (0x0)
                SERVICE_EXIT_CODE  : 0  (0x0)
        """;

    private static readonly ServiceDefinition _service = new("/Program Files/federation-node.exe", "/Users/ada/federation-node", ServiceScope.Machine);

    private readonly ScriptedCommands _commands = new();

    [Fact]
    public void The_service_has_an_account_of_its_own_that_may_use_the_home()
    {
        IReadOnlyList<(string Program, string[] Arguments)> steps = WindowsServiceManager.Steps(_service);

        Assert.Equal(
            [
                "create", "federation-node", "binPath=", "\"/Program Files/federation-node.exe\" run", "DisplayName=", "Federation node",
                "start=", "delayed-auto", "obj=", @"NT SERVICE\federation-node",
            ],
            steps[0].Arguments);
        Assert.Contains(steps, step => step.Program == "reg" && step.Arguments.Contains("FEDERATION_NODE_HOME=/Users/ada/federation-node"));
        Assert.Contains(steps, step => step.Program == "icacls" && step.Arguments.SequenceEqual(["/Users/ada/federation-node", "/grant", @"NT SERVICE\federation-node:(OI)(CI)M"]));
        Assert.Equal(["start", "federation-node"], steps[^1].Arguments);
    }

    [Fact]
    public void The_steps_can_be_read() =>
        Assert.StartsWith(
            "sc create federation-node binPath= \"\\\"/Program Files/federation-node.exe\\\" run\" DisplayName= \"Federation node\"",
            new WindowsServiceManager(_commands).Print(_service),
            StringComparison.Ordinal);

    [Fact]
    public async Task Installing_replaces_what_is_there()
    {
        _commands.Prints("sc", "").Prints("reg", "").Prints("icacls", "");

        await new WindowsServiceManager(_commands).InstallAsync(_service, default);

        Assert.Equal(
            ["sc stop", "sc delete", "sc create", "sc description", "sc failure", "sc failureflag", "reg add", "icacls /Users/ada/federation-node", "sc start"],
            _commands.Calls.Select(call => string.Join(' ', call.Split(' ')[..2])));
    }

    [Fact]
    public async Task Uninstalling_what_is_not_there_is_no_error()
    {
        _commands.Prints("sc", "[SC] ControlService FAILED 1060:", exitCode: 1060);
        await new WindowsServiceManager(_commands).UninstallAsync(ServiceScope.Machine, default);
        Assert.Equal(["sc stop federation-node"], _commands.Calls);
    }

    [Fact]
    public async Task Who_is_no_administrator_is_told()
    {
        _commands.Prints("sc", "[SC] OpenService FAILED 5:\r\n\r\nAccess is denied.\r\n", exitCode: 5);
        var exception = await Assert.ThrowsAsync<ServiceException>(() => new WindowsServiceManager(_commands).InstallAsync(_service, default));
        Assert.Contains("Access is denied", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_user_s_service_does_not_exist_there() =>
        Assert.Throws<ServiceException>(() => WindowsServiceManager.Steps(new ServiceDefinition("/bin/node", "/srv", ServiceScope.User)));

    [Fact]
    public async Task The_status_is_the_manager_s_in_any_language()
    {
        _commands.Prints("sc", Running);
        Assert.Equal(new ServiceStatus(true, true, "RUNNING"), await new WindowsServiceManager(_commands).StatusAsync(ServiceScope.Machine, default));

        ServiceStatus german = WindowsServiceManager.ParseStatus("\r\nSERVICE_NAME: federation-node\r\n        TYP                : 10  WIN32_OWN_PROCESS\r\n        STATUS             : 1  STOPPED\r\n");
        Assert.Equal(new ServiceStatus(true, false, "STOPPED"), german);
    }

    [Fact]
    public async Task A_service_that_Windows_does_not_know_is_not_installed()
    {
        _commands.Prints("sc", "[SC] EnumQueryServicesStatus:OpenService FAILED 1060:", exitCode: 1060);
        Assert.False((await new WindowsServiceManager(_commands).StatusAsync(ServiceScope.Machine, default)).Installed);
    }
}
