using Federation.NodeAgent.Configuration;

namespace Federation.NodeAgent.Tests.Configuration;

public sealed class AgentLockTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private AgentPaths Paths => new(_directory.Path);

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void One_agent_at_a_time_runs_with_one_home()
    {
        using (AgentLock.Take(Paths))
        {
            var refusal = Assert.Throws<InvalidOperationException>(() => AgentLock.Take(Paths));
            Assert.Contains(_directory.Path, refusal.Message, StringComparison.Ordinal);
        }

        AgentLock.Take(Paths).Dispose();
    }

    [Fact]
    public void Its_file_is_the_owner_s_alone()
    {
        if (OperatingSystem.IsWindows()) return;
        using var held = AgentLock.Take(Paths);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Paths.LockFile));
    }
}
