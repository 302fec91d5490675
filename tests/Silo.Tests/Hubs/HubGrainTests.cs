using Federation.Contracts.Hubs;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;

namespace Federation.Silo.Tests.Hubs;

public abstract class HubGrainTests(TestDatabase database)
{
    [Fact]
    public async Task A_model_is_remembered_from_its_first_report_on_whatever_becomes_of_the_silo()
    {
        await using var silo = await TestHub.StartAsync(database);
        var node = await silo.EnrolAsync();
        await node.ConnectAsync();
        // It has had no time for a sweep, and does not end: another takes its place.
        await using var other = await TestHub.StartAsync(database);
        var directory = await other.Grains.GetGrain<IHubGrain>(0).GetDirectory(0);
        var model = Assert.Single(directory!.Models, model => model.Name == ScriptedSession.Model);
        Assert.Equal(0, model.Nodes);
        Assert.Empty(directory.Nodes);
    }
}

public sealed class HubGrainOnSqliteTests(SqliteTestDatabase database) : HubGrainTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class HubGrainOnPostgresTests(PostgresTestDatabase database) : HubGrainTests(database), IClassFixture<PostgresTestDatabase>;
