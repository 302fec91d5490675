using Federation.Silo.Storage;
using Orleans.Storage;

namespace Federation.Silo.Tests.Storage;

public abstract class SqlGrainStorageTests(TestDatabase home)
{
    private readonly GrainId _grain = GrainId.Create("test", Guid.NewGuid().ToString("N"));

    private SqlGrainStorage Storage => new(home.Database, TimeProvider.System);

    [Fact]
    public async Task State_that_was_never_written_is_fresh()
    {
        GrainState<Quota> state = new(new Quota { Used = 5 }, "7") { RecordExists = true };

        await Storage.ReadStateAsync("quota", _grain, state);

        Assert.False(state.RecordExists);
        Assert.Null(state.ETag);
        Assert.Equal(0, state.State!.Used);
    }

    [Fact]
    public async Task Written_state_is_read_back()
    {
        GrainState<Quota> written = new(new Quota { Used = 5, Models = ["é", "b"] });
        await Storage.WriteStateAsync("quota", _grain, written);
        written.State!.Used = 6;
        await Storage.WriteStateAsync("quota", _grain, written);

        var read = await ReadAsync();

        Assert.True(read.RecordExists);
        Assert.Equal(written.ETag, read.ETag);
        Assert.Equal(6, read.State!.Used);
        Assert.Equal(["é", "b"], read.State.Models);
    }

    [Fact]
    public async Task States_are_told_apart_by_name_and_by_grain()
    {
        await Storage.WriteStateAsync("quota", _grain, new GrainState<Quota>(new Quota { Used = 1 }));
        await Storage.WriteStateAsync("other", _grain, new GrainState<Quota>(new Quota { Used = 2 }));
        await Storage.WriteStateAsync("quota", GrainId.Create("test2", _grain.Key.ToString()!), new GrainState<Quota>(new Quota { Used = 3 }));

        Assert.Equal(1, (await ReadAsync()).State!.Used);
    }

    [Fact]
    public async Task Who_read_before_somebody_else_wrote_may_not_write()
    {
        await Storage.WriteStateAsync("quota", _grain, new GrainState<Quota>(new Quota()));
        var (one, two) = (await ReadAsync(), await ReadAsync());
        one.State!.Used = 1;
        await Storage.WriteStateAsync("quota", _grain, one);

        var conflict = await Assert.ThrowsAsync<InconsistentStateException>(() => Storage.WriteStateAsync("quota", _grain, two));

        Assert.Equal(one.ETag, conflict.StoredEtag);
        Assert.Equal(two.ETag, conflict.CurrentEtag);
        Assert.Equal(1, (await ReadAsync()).State!.Used);
    }

    [Fact]
    public async Task Two_that_both_write_first_do_not_both_win()
    {
        await Storage.WriteStateAsync("quota", _grain, new GrainState<Quota>(new Quota { Used = 1 }));

        await Assert.ThrowsAsync<InconsistentStateException>(
            () => Storage.WriteStateAsync("quota", _grain, new GrainState<Quota>(new Quota { Used = 2 })));

        Assert.Equal(1, (await ReadAsync()).State!.Used);
    }

    [Fact]
    public async Task Cleared_state_is_gone_and_can_be_made_anew()
    {
        GrainState<Quota> state = new(new Quota { Used = 5 });
        await Storage.WriteStateAsync("quota", _grain, state);
        await Storage.ClearStateAsync("quota", _grain, state);

        Assert.False(state.RecordExists);
        Assert.Equal(0, state.State!.Used);
        Assert.False((await ReadAsync()).RecordExists);
        await Storage.WriteStateAsync("quota", _grain, state);
        Assert.True((await ReadAsync()).RecordExists);
    }

    [Fact]
    public async Task Who_slept_through_clearing_and_making_anew_may_not_write_or_clear()
    {
        GrainState<Quota> state = new(new Quota { Used = 1 });
        await Storage.WriteStateAsync("quota", _grain, state);
        var sleeper = await ReadAsync();
        await Storage.ClearStateAsync("quota", _grain, state);
        await Storage.WriteStateAsync("quota", _grain, state);

        await Assert.ThrowsAsync<InconsistentStateException>(() => Storage.WriteStateAsync("quota", _grain, sleeper));
        await Assert.ThrowsAsync<InconsistentStateException>(() => Storage.ClearStateAsync("quota", _grain, sleeper));
    }

    [Fact]
    public async Task Clearing_what_was_never_written_is_fine()
    {
        GrainState<Quota> state = new(new Quota { Used = 1 });

        await Storage.ClearStateAsync("quota", _grain, state);

        Assert.Equal(0, state.State!.Used);
    }

    private async Task<GrainState<Quota>> ReadAsync()
    {
        GrainState<Quota> state = new();
        await Storage.ReadStateAsync("quota", _grain, state);
        return state;
    }

    private sealed class Quota
    {
        public long Used { get; set; }

        public List<string> Models { get; set; } = [];
    }
}

public sealed class SqliteGrainStorageTests(SqliteTestDatabase home) : SqlGrainStorageTests(home), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresGrainStorageTests(PostgresTestDatabase home) : SqlGrainStorageTests(home), IClassFixture<PostgresTestDatabase>;
