// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Orleans.Providers;
using Orleans.Storage;

namespace Federation.Standins.Orleans.Tests;

[GenerateSerializer]
public sealed class Tally
{
    [Id(0)]
    public int Count { get; set; }

    [Id(1)]
    public List<string> Names { get; set; } = [];
}

public interface ITallyGrain : IGrainWithStringKey
{
    Task<int> Count();

    Task Add(int count);

    Task AddInMemory(int count);

    Task Read();

    Task Clear();

    Task<string> Standing();

    Task AddSwallowingConflict(int count);

    Task AddTwiceAtOnce();

    Task Leave();
}

public interface IMemoryTallyGrain : ITallyGrain;

public abstract class TallyGrainBase(IPersistentState<Tally> tally) : Grain, ITallyGrain
{
    public Task<int> Count() => Task.FromResult(tally.State.Count);

    public async Task Add(int count)
    {
        tally.State.Count += count;
        tally.State.Names.Add($"{count}");
        await tally.WriteStateAsync();
    }

    public Task AddInMemory(int count)
    {
        tally.State.Count += count;
        return Task.CompletedTask;
    }

    public Task Read() => tally.ReadStateAsync();

    public Task Clear() => tally.ClearStateAsync();

    public Task<string> Standing() => Task.FromResult($"{tally.RecordExists} {tally.Etag is null} {tally.State.Count} {tally.State.Names.Count}");

    public async Task AddSwallowingConflict(int count)
    {
        try
        {
            await Add(count);
        }
        catch (InconsistentStateException)
        {
            await tally.ReadStateAsync();
            await Add(count);
        }
    }

    public Task AddTwiceAtOnce() => Task.WhenAll(Add(1), Add(1));

    public Task Leave()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }
}

public sealed class TallyGrain([PersistentState("tally", "versioned")] IPersistentState<Tally> tally) : TallyGrainBase(tally);

public sealed class MemoryTallyGrain([PersistentState("tally", "memory")] IPersistentState<Tally> tally) : TallyGrainBase(tally), IMemoryTallyGrain;

public interface IHomelessGrain : IGrainWithStringKey
{
    Task Call();
}

public sealed class HomelessGrain([PersistentState("x", "no-such-storage")] IPersistentState<Tally> tally) : Grain, IHomelessGrain
{
    public Task Call() => tally.ReadStateAsync();
}

public interface IClassicGrain : IGrainWithStringKey
{
    Task<int> Add(int count);

    Task Leave();
}

[StorageProvider(ProviderName = "versioned")]
public sealed class ClassicGrain : Grain<Tally>, IClassicGrain
{
    public async Task<int> Add(int count)
    {
        State.Count += count;
        await WriteStateAsync();
        return State.Count;
    }

    public Task Leave()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }
}

public sealed class PersistenceTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private VersionedStorage Storage => fixture.Silo.Storage;

    private ITallyGrain Tally(string key) => fixture.Silo.Grains.GetGrain<ITallyGrain>(key, typeof(TallyGrain).FullName);

    [Fact]
    public async Task State_that_was_never_stored_is_fresh() => Assert.Equal("False True 0 0", await Tally("fresh").Standing());

    [Fact]
    public async Task State_that_was_written_is_there_for_the_next_activation()
    {
        var grain = Tally("written");
        await grain.Add(2);
        await grain.Add(3);
        await grain.Leave();
        Assert.Equal("True False 5 2", await grain.Standing());
    }

    [Fact]
    public async Task State_that_was_not_written_is_lost_with_the_activation()
    {
        var grain = Tally("unwritten");
        await grain.Add(2);
        await grain.AddInMemory(40);
        Assert.Equal(42, await grain.Count());
        await grain.Leave();
        Assert.Equal(2, await grain.Count());
    }

    [Fact]
    public async Task State_is_read_before_the_first_call()
    {
        var grain = Tally("prepared");
        Storage.WriteBehindItsBack("tally", grain.GetGrainId(), new Tally { Count = 9 });
        Assert.Equal(9, await grain.Count());
    }

    [Fact]
    public async Task Reading_again_takes_what_is_stored()
    {
        var grain = Tally("reread");
        await grain.Add(1);
        await grain.AddInMemory(5);
        await grain.Read();
        Assert.Equal(1, await grain.Count());
    }

    [Fact]
    public async Task Clearing_resets_state_and_version()
    {
        var grain = Tally("cleared");
        await grain.Add(1);
        await grain.Clear();
        Assert.Equal("False True 0 0", await grain.Standing());
        await grain.Add(4);
        Assert.Equal("True False 4 1", await grain.Standing());
    }

    [Fact]
    public async Task A_conflict_reaches_the_caller_and_the_next_call_sees_fresh_state()
    {
        var grain = Tally("conflict");
        await grain.Add(1);
        Storage.WriteBehindItsBack("tally", grain.GetGrainId(), new Tally { Count = 100 });
        await Assert.ThrowsAsync<InconsistentStateException>(() => grain.Add(1));
        Assert.Equal(100, await grain.Count());
        await grain.Add(1);
        Assert.Equal(101, await grain.Count());
    }

    [Fact]
    public async Task A_conflict_that_a_grain_handles_itself_does_not_end_its_activation()
    {
        var grain = Tally("handled");
        await grain.Add(1);
        Storage.WriteBehindItsBack("tally", grain.GetGrainId(), new Tally { Count = 100 });
        await grain.AddSwallowingConflict(1);
        Assert.Equal(101, await grain.Count());
    }

    [Fact]
    public async Task Writes_at_the_same_time_do_not_conflict_with_each_other()
    {
        var grain = Tally("twice");
        await grain.AddTwiceAtOnce();
        await grain.Leave();
        Assert.Equal(2, await grain.Count());
    }

    [Fact]
    public async Task A_storage_that_fails_is_an_Orleans_exception_with_the_cause()
    {
        await using var silo = await TestSilo.StartAsync();
        var grain = silo.Grains.GetGrain<ITallyGrain>("failing", typeof(TallyGrain).FullName);
        await grain.Add(1);
        silo.Storage.Failure = new IOException("disk on fire");
        var failure = await Assert.ThrowsAsync<OrleansException>(() => grain.Add(1));
        Assert.Equal("disk on fire", Assert.IsType<IOException>(failure.InnerException).Message);
    }

    [Fact]
    public async Task A_state_that_cannot_be_read_fails_the_activation()
    {
        await using var silo = await TestSilo.StartAsync();
        var grain = silo.Grains.GetGrain<ITallyGrain>("unreadable", typeof(TallyGrain).FullName);
        silo.Storage.Failure = new IOException("disk on fire");
        await Assert.ThrowsAnyAsync<OrleansException>(grain.Count);
        silo.Storage.Failure = null;
        Assert.Equal(0, await grain.Count());
    }

    [Fact]
    public async Task A_storage_that_is_not_registered_fails_the_activation()
    {
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(fixture.Silo.Grains.GetGrain<IHomelessGrain>("x").Call);
        Assert.IsType<BadProviderConfigException>(failure.GetBaseException());
        Assert.Contains("no-such-storage", failure.GetBaseException().Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Storage_in_memory_keeps_what_was_written_and_only_that()
    {
        var grain = fixture.Silo.Grains.GetGrain<IMemoryTallyGrain>("in-memory");
        await grain.Add(2);
        await grain.AddInMemory(40);
        await grain.Leave();
        Assert.Equal("True False 2 1", await grain.Standing());
        await grain.Clear();
        Assert.Equal("False True 0 0", await grain.Standing());
    }

    [Fact]
    public async Task The_state_of_a_grain_with_one_state_is_read_and_written()
    {
        var grain = fixture.Silo.Grains.GetGrain<IClassicGrain>("classic");
        Assert.Equal(2, await grain.Add(2));
        await grain.Leave();
        Assert.Equal(5, await grain.Add(3));
    }
}
