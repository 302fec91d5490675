using Federation.NodeAgent.Configuration;

namespace Federation.NodeAgent.Tests.Configuration;

public sealed class AgentPathsTests
{
    [Fact]
    public void The_variable_overrules_every_default() =>
        Assert.Equal("/srv/node", Resolve(AgentPaths.Platform.Linux, ("FEDERATION_NODE_HOME", "/srv/node"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/home/ada")));

    [Fact]
    public void Linux_takes_the_XDG_directory() =>
        Assert.Equal("/x/federation-node", Resolve(AgentPaths.Platform.Linux, ("XDG_CONFIG_HOME", "/x"), ("HOME", "/home/ada")));

    [Fact]
    public void Linux_ignores_a_relative_XDG_directory() =>
        Assert.Equal("/home/ada/.config/federation-node", Resolve(AgentPaths.Platform.Linux, ("XDG_CONFIG_HOME", "x"), ("HOME", "/home/ada")));

    [Fact]
    public void MacOS_takes_application_support() =>
        Assert.Equal(
            "/Users/ada/Library/Application Support/federation-node",
            Resolve(AgentPaths.Platform.MacOS, ("HOME", "/Users/ada"), ("XDG_CONFIG_HOME", "/x")));

    [Fact]
    public void Windows_takes_the_roaming_profile() =>
        Assert.Equal("/profile/federation-node", Resolve(AgentPaths.Platform.Windows, ("APPDATA", "/profile")));

    [Theory]
    [InlineData(" ")]
    [InlineData(null)]
    public void Without_a_home_the_message_names_the_variable_to_set(string? home)
    {
        var exception = Assert.Throws<InvalidOperationException>(() => Resolve(AgentPaths.Platform.Linux, ("HOME", home)));
        Assert.Contains("FEDERATION_NODE_HOME", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_relative_variable_counts_from_the_working_directory() =>
        Assert.Equal(Path.GetFullPath("here"), Resolve(AgentPaths.Platform.Linux, ("FEDERATION_NODE_HOME", "here")));

    [Fact]
    public void The_home_is_made_for_its_owner_only()
    {
        using var directory = new TemporaryDirectory();
        var paths = new AgentPaths(directory.File("home"));

        paths.EnsureHome();
        paths.EnsureHome();

        Assert.True(Directory.Exists(paths.Home));
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(paths.Home));
        }
    }

    private static string Resolve(AgentPaths.Platform platform, params (string Name, string? Value)[] variables) =>
        AgentPaths.Resolve(platform, name => variables.FirstOrDefault(variable => variable.Name == name).Value).Home;
}
