using Federation.NodeAgent.Service;
using Federation.NodeAgent.Tests.Configuration;
using Federation.NodeAgent.Tests.Hardware;

namespace Federation.NodeAgent.Tests.Service;

public sealed class SystemdManagerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly ScriptedCommands _commands = new();

    private SystemdManager Manager => new(_commands, new UnixDirectories(_directory.Path, _directory.File("home"), _directory.File("config")));

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_user_s_unit() => Assert.Equal(
        """
        [Unit]
        Description=Federation node
        StartLimitIntervalSec=0

        [Service]
        Type=notify
        NotifyAccess=main
        ExecStart="/home/ada/bin/federation-node" run
        Environment="FEDERATION_NODE_HOME=/home/ada/.config/federation-node"
        Restart=always
        RestartSec=5
        RestartPreventExitStatus=78
        TimeoutStopSec=120
        KillMode=mixed
        UMask=0077
        NoNewPrivileges=yes
        RestrictSUIDSGID=yes
        LockPersonality=yes

        [Install]
        WantedBy=default.target

        """,
        Manager.Print(new ServiceDefinition("/home/ada/bin/federation-node", "/home/ada/.config/federation-node", ServiceScope.User)));

    [Fact]
    public void A_machine_s_unit() => Assert.Equal(
        """
        [Unit]
        Description=Federation node
        StartLimitIntervalSec=0
        Wants=network-online.target
        After=network-online.target

        [Service]
        Type=notify
        NotifyAccess=main
        ExecStart="/usr/local/bin/federation-node" run
        Environment="FEDERATION_NODE_HOME=/var/lib/federation-node"
        Restart=always
        RestartSec=5
        RestartPreventExitStatus=78
        TimeoutStopSec=120
        KillMode=mixed
        User=federation
        UMask=0077
        NoNewPrivileges=yes
        RestrictSUIDSGID=yes
        LockPersonality=yes
        PrivateTmp=yes
        ProtectSystem=strict
        ReadWritePaths="/var/lib/federation-node"
        ProtectKernelTunables=yes
        ProtectKernelModules=yes
        ProtectControlGroups=yes

        [Install]
        WantedBy=multi-user.target

        """,
        Manager.Print(new ServiceDefinition("/usr/local/bin/federation-node", "/var/lib/federation-node", ServiceScope.Machine, "federation")));

    [Fact]
    public void Paths_with_everything_in_them_are_quoted()
    {
        string unit = Manager.Print(new ServiceDefinition("/opt/my 100%\"\\node", "/home/a b/%h", ServiceScope.User));
        Assert.Contains("ExecStart=\"/opt/my 100%%\\\"\\\\node\" run\n", unit, StringComparison.Ordinal);
        Assert.Contains("Environment=\"FEDERATION_NODE_HOME=/home/a b/%%h\"\n", unit, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ServiceScope.User, "config/systemd/user/federation-node.service", "--user ")]
    [InlineData(ServiceScope.Machine, "etc/systemd/system/federation-node.service", "")]
    public async Task Installing_writes_the_unit_and_starts_it(ServiceScope scope, string file, string flag)
    {
        _commands.Prints("systemctl", "");
        var service = new ServiceDefinition("/bin/federation-node", "/srv/node", scope);

        string message = await Manager.InstallAsync(service, default);
        await Manager.InstallAsync(service, default);

        Assert.Equal(Manager.Print(service), File.ReadAllText(_directory.File(file)));
        Assert.Equal(
            [$"systemctl {flag}daemon-reload", $"systemctl {flag}enable federation-node.service", $"systemctl {flag}restart federation-node.service"],
            _commands.Calls[..3]);
        Assert.Contains("journalctl", message, StringComparison.Ordinal);
        Assert.Equal(scope == ServiceScope.User, message.Contains("enable-linger", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Where_no_manager_listens_nothing_is_left_behind()
    {
        _commands.Prints("systemctl", "", exitCode: 1, errors: "Failed to connect to bus: No medium found\n");
        var refusal = await Assert.ThrowsAsync<ServiceException>(
            () => Manager.InstallAsync(new ServiceDefinition("/bin/federation-node", "/srv/node", ServiceScope.User), default));
        Assert.Contains("No medium found", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("--machine", refusal.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(_directory.File("config/systemd/user/federation-node.service")));
    }

    [Fact]
    public async Task Uninstalling_stops_it_and_removes_the_unit()
    {
        _commands.Prints("systemctl", "LoadState=loaded\nActiveState=active\nSubState=running\n");
        await Manager.InstallAsync(new ServiceDefinition("/bin/federation-node", "/srv/node", ServiceScope.User), default);
        _commands.Calls.Clear();

        await Manager.UninstallAsync(ServiceScope.User, default);

        Assert.False(File.Exists(_directory.File("config/systemd/user/federation-node.service")));
        Assert.Equal(["systemctl --user disable --now federation-node.service", "systemctl --user daemon-reload"], _commands.Calls[1..]);
    }

    [Fact]
    public async Task Uninstalling_what_is_not_there_is_no_error()
    {
        _commands.Prints("systemctl", "LoadState=not-found\nActiveState=inactive\nSubState=dead\n");
        await Manager.UninstallAsync(ServiceScope.User, default);
        Assert.DoesNotContain(_commands.Calls, call => call.Contains("disable", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("LoadState=loaded\nActiveState=active\nSubState=running\n", true, true, "active (running)")]
    [InlineData("SubState=auto-restart\nActiveState=activating\nLoadState=loaded\n", true, false, "activating (auto-restart)")]
    [InlineData("LoadState=loaded\nActiveState=failed\nSubState=failed\n", true, false, "failed (failed)")]
    [InlineData("LoadState=not-found\nActiveState=inactive\nSubState=dead\n", false, false, "not installed")]
    [InlineData("", false, false, "not installed")]
    public async Task The_status_is_systemd_s(string printed, bool installed, bool running, string detail)
    {
        _commands.Prints("systemctl", printed);
        Assert.Equal(new ServiceStatus(installed, running, detail), await Manager.StatusAsync(ServiceScope.Machine, default));
    }

    [Theory]
    [InlineData(ServiceScope.User, true)]
    [InlineData(ServiceScope.Machine, false)]
    public async Task What_systemctl_complains_about_is_told_and_where_nobody_is_logged_in_what_to_do(ServiceScope scope, bool advised)
    {
        _commands.Prints("systemctl", "", exitCode: 1, errors: "Failed to connect to bus: No medium found\n");
        var status = await Assert.ThrowsAsync<ServiceException>(() => Manager.StatusAsync(scope, default));
        Assert.Contains("Failed to connect to bus: No medium found", status.Message, StringComparison.Ordinal);
        Assert.Equal(advised, status.Message.EndsWith("Where nobody is logged in: federation-node service status --machine.", StringComparison.Ordinal));
        var uninstall = await Assert.ThrowsAsync<ServiceException>(() => Manager.UninstallAsync(scope, default));
        Assert.Equal(advised, uninstall.Message.EndsWith("Where nobody is logged in: federation-node service uninstall --machine, as root.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_system_without_systemd_is_told()
    {
        var exception = await Assert.ThrowsAsync<ServiceException>(() => Manager.StatusAsync(ServiceScope.User, default));
        Assert.Contains("systemctl", exception.Message, StringComparison.Ordinal);
    }
}
