using Federation.Silo.Storage;

namespace Federation.Silo.Tests.Storage;

public sealed class StorageOptionsTests
{
    [Fact]
    public void Defaults_are_valid() => Assert.True(new StorageOptionsValidator().Validate(null, new StorageOptions()).Succeeded);

    [Fact]
    public void Every_problem_is_told_at_once_and_without_the_password()
    {
        var result = new StorageOptionsValidator().Validate(null, new StorageOptions
        {
            Postgres = "Host=db;Password=s3cret;Nonsense=1",
            CommandTimeout = TimeSpan.Zero,
            ConnectTimeout = TimeSpan.FromHours(1),
            ConnectionsMax = 1,
            WriteCacheBytes = 1,
        });

        Assert.Equal(5, result.Failures!.Count());
        Assert.DoesNotContain("s3cret", result.FailureMessage, StringComparison.Ordinal);
    }

    [Fact]
    public void Connection_string_without_a_host_is_refused() =>
        Assert.True(new StorageOptionsValidator().Validate(null, new StorageOptions { Postgres = "Database=hub" }).Failed);

    [Fact]
    public void Without_postgres_a_data_directory_is_needed() =>
        Assert.True(new StorageOptionsValidator().Validate(null, new StorageOptions { DataDirectory = " " }).Failed);
}
