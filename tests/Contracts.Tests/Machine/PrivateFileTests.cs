using System.Runtime.Versioning;
using Federation.Protocol.Machine;

namespace Federation.Contracts.Tests.Machine;

[UnsupportedOSPlatform("windows")]
public sealed class PrivateFileTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("federation-test-").FullName;

    private string Secret => Path.Combine(_directory, "secret");

    [Fact]
    public void A_secret_is_written_whole_by_whoever_is_first()
    {
        Assert.Null(PrivateFile.TryReadSecret(Secret, 100));
        Assert.True(PrivateFile.TryCreate(Secret, "first"));
        Assert.False(PrivateFile.TryCreate(Secret, "second"));
        Assert.Equal("first", PrivateFile.TryReadSecret(Secret, 100));
        Assert.Single(Directory.GetFiles(_directory));
        Assert.Equal(PrivateFile.OwnerOnly, File.GetUnixFileMode(Secret));
    }

    [Fact]
    public void Of_many_that_make_a_secret_at_once_one_does_and_all_read_that_one()
    {
        for (var round = 0; round < 50; round++)
        {
            var path = Path.Combine(_directory, $"secret{round}");
            var (winners, read) = (new int[8], new string?[8]);
            using var together = new Barrier(winners.Length);
            var threads = Enumerable.Range(0, winners.Length).Select(i => new Thread(() =>
            {
                together.SignalAndWait();
                winners[i] = PrivateFile.TryCreate(path, $"made by {i}") ? 1 : 0;
                read[i] = PrivateFile.TryReadSecret(path, 100);
            })).ToArray();
            foreach (var thread in threads) thread.Start();
            foreach (var thread in threads) thread.Join();
            Assert.Equal(1, winners.Sum());
            Assert.Equal($"made by {Array.IndexOf(winners, 1)}", Assert.Single(read.Distinct()));
        }
        Assert.Equal(50, Directory.GetFiles(_directory).Length);
    }

    [Theory]
    [InlineData(UnixFileMode.GroupRead)]
    [InlineData(UnixFileMode.GroupWrite)]
    [InlineData(UnixFileMode.OtherRead)]
    [InlineData(UnixFileMode.OtherExecute)]
    public void A_secret_that_others_may_touch_is_refused_with_the_remedy(UnixFileMode others)
    {
        PrivateFile.TryCreate(Secret, "known to many");
        File.SetUnixFileMode(Secret, PrivateFile.OwnerOnly | others);
        Assert.Contains($"chmod 600 {Secret}", Assert.Throws<UnauthorizedAccessException>(() => PrivateFile.TryReadSecret(Secret, 100)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_above_its_bound_is_not_read()
    {
        PrivateFile.TryCreate(Secret, new string('a', 101));
        Assert.Throws<InvalidDataException>(() => PrivateFile.TryReadSecret(Secret, 100));
    }

    [Fact]
    public void What_replaces_a_file_is_the_owners_alone_and_leaves_nothing_beside_it()
    {
        File.WriteAllText(Secret, "old");
        PrivateFile.Replace(Secret, "new"u8);
        Assert.Equal("new", PrivateFile.TryReadSecret(Secret, 100));
        Assert.Single(Directory.GetFiles(_directory));
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
