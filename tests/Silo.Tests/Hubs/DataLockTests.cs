using Federation.Silo.Hubs;

namespace Federation.Silo.Tests.Hubs;

public sealed class DataLockTests : IDisposable
{
    private readonly string _data = Directory.CreateTempSubdirectory("federation-lock-").FullName;

    [Fact]
    public void One_hub_at_a_time_has_a_data_directory()
    {
        using (DataLock.Take(_data))
        {
            var refusal = Assert.Throws<IOException>(() => DataLock.Take(_data));
            Assert.Contains($"Another hub runs on {_data}.", refusal.Message, StringComparison.Ordinal);
        }
        DataLock.Take(_data).Dispose();
    }

    [Fact]
    public void A_directory_that_is_not_there_is_another_error()
        => Assert.Throws<DirectoryNotFoundException>(() => DataLock.Take(Path.Combine(_data, "nowhere")));

    public void Dispose() => Directory.Delete(_data, recursive: true);
}
