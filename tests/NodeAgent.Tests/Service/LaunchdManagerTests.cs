using System.Xml.Linq;
using Federation.NodeAgent.Service;
using Federation.NodeAgent.Tests.Configuration;
using Federation.NodeAgent.Tests.Hardware;

namespace Federation.NodeAgent.Tests.Service;

public sealed class LaunchdManagerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly ScriptedCommands _commands = new();

    private LaunchdManager Manager => new(_commands, new UnixDirectories(_directory.Path, _directory.File("home"), _directory.File("config")));

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void The_property_list_says_what_to_run_and_when()
    {
        XElement list = Read(Manager.Print(new ServiceDefinition("/Users/ada/bin/<node> & co", "/Users/ada/home", ServiceScope.User)));

        Assert.Equal("federation-node", Value(list, "Label").Value);
        Assert.Equal(["/Users/ada/bin/<node> & co", "run"], Value(list, "ProgramArguments").Elements().Select(element => element.Value));
        Assert.Equal("/Users/ada/home", Value(Value(list, "EnvironmentVariables"), "FEDERATION_NODE_HOME").Value);
        Assert.Equal("false", Value(Value(list, "KeepAlive"), "SuccessfulExit").Name.LocalName);
        Assert.Equal("true", Value(list, "RunAtLoad").Name.LocalName);
        Assert.Equal("120", Value(list, "ExitTimeOut").Value);
        Assert.Equal("/Users/ada/home/federation-node.log", Value(list, "StandardErrorPath").Value);
        Assert.DoesNotContain(list.Elements(), element => element.Value == "UserName");
    }

    [Fact]
    public void A_daemon_may_run_as_another_account() =>
        Assert.Equal("ada", Value(Read(Manager.Print(new ServiceDefinition("/bin/node", "/srv", ServiceScope.Machine, "ada"))), "UserName").Value);

    [Fact]
    public async Task Installing_replaces_what_is_there()
    {
        _commands.Prints("id", "501\n")
            .Prints("launchctl", "", exitCode: 3, when: arguments => arguments[0] == "bootout")
            .Prints("launchctl", "");
        var service = new ServiceDefinition("/bin/node", "/srv/node", ServiceScope.User);

        await Manager.InstallAsync(service, default);

        string file = _directory.File("home/Library/LaunchAgents/federation-node.plist");
        Assert.Equal(Manager.Print(service), File.ReadAllText(file));
        Assert.Equal(
            ["id -u", "launchctl bootout gui/501/federation-node", "launchctl enable gui/501/federation-node", $"launchctl bootstrap gui/501 {file}"],
            _commands.Calls);

        await Manager.UninstallAsync(ServiceScope.User, default);
        Assert.False(File.Exists(file));
    }

    [Fact]
    public async Task The_status_is_launchd_s()
    {
        _commands.Prints("launchctl", "system/federation-node = {\n\tactive count = 1\n\tpath = /Library/LaunchDaemons/federation-node.plist\n\tstate = running\n\n\tpid = 512\n\tsub = {\n\t\tstate = active\n\t}\n}\n");
        Assert.Equal(new ServiceStatus(true, true, "running"), await Manager.StatusAsync(ServiceScope.Machine, default));
    }

    [Fact]
    public async Task A_service_that_launchd_does_not_know_is_not_installed()
    {
        _commands.Prints("launchctl", "", exitCode: 113, errors: "Could not find service \"federation-node\" in domain for system\n");
        Assert.False((await Manager.StatusAsync(ServiceScope.Machine, default)).Installed);
    }

    private static XElement Read(string text)
    {
        XDocument document = XDocument.Parse(text);
        return document.Root!.Element("dict")!;
    }

    private static XElement Value(XElement dictionary, string key) =>
        (XElement)dictionary.Elements("key").Single(element => element.Value == key).NextNode!;
}
