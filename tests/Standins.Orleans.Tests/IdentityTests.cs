// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;

namespace Federation.Standins.Orleans.Tests;

public interface INamedGrain : IGrainWithStringKey
{
    Task<string> Key();

    Task<string> Id();

    Task<INamedGrain> Self();
}

public interface IOtherFaceOfNamedGrain : IGrainWithStringKey
{
    Task<string> OtherKey();
}

public interface INumberedGrain : IGrainWithIntegerKey
{
    Task<long> Key();
}

public interface IGuidGrain : IGrainWithGuidKey
{
    Task<Guid> Key();
}

public interface ICompoundGrain : IGrainWithIntegerCompoundKey
{
    Task<string> Key();
}

public sealed class NamedGrain : Grain, INamedGrain, IOtherFaceOfNamedGrain
{
    public Task<string> Key() => Task.FromResult(this.GetPrimaryKeyString());

    public Task<string> OtherKey() => Key();

    public Task<string> Id() => Task.FromResult(this.GetGrainId().ToString());

    public Task<INamedGrain> Self() => Task.FromResult(this.AsReference<INamedGrain>());
}

public sealed class NumberedGrain : Grain, INumberedGrain
{
    public Task<long> Key() => Task.FromResult(this.GetPrimaryKeyLong());
}

public sealed class GuidGrain : Grain, IGuidGrain
{
    public Task<Guid> Key() => Task.FromResult(this.GetPrimaryKey());
}

public sealed class CompoundGrain : Grain, ICompoundGrain
{
    public Task<string> Key()
    {
        var number = this.GetPrimaryKeyLong(out var extension);
        return Task.FromResult($"{number}+{extension}");
    }
}

public sealed class IdentityTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private IGrainFactory Grains => fixture.Silo.Grains;

    [Fact]
    public async Task A_grain_knows_its_string_key() => Assert.Equal("a/b c", await Grains.GetGrain<INamedGrain>("a/b c").Key());

    [Theory]
    [InlineData(0)]
    [InlineData(42)]
    [InlineData(-1)]
    [InlineData(long.MinValue)]
    public async Task A_grain_knows_its_integer_key(long key)
    {
        var grain = Grains.GetGrain<INumberedGrain>(key);
        Assert.Equal(key, await grain.Key());
        Assert.Equal(key, grain.GetPrimaryKeyLong());
    }

    [Fact]
    public async Task A_grain_knows_its_guid_key()
    {
        var key = Guid.Parse("0f8fad5b-d9cb-469f-a165-70867728950e");
        Assert.Equal(key, await Grains.GetGrain<IGuidGrain>(key).Key());
    }

    [Fact]
    public async Task A_grain_knows_its_compound_key() => Assert.Equal("7+seven", await Grains.GetGrain<ICompoundGrain>(7, "seven").Key());

    [Fact]
    public async Task An_id_is_the_class_name_without_grain_and_the_key()
    {
        var grain = Grains.GetGrain<INamedGrain>("k");
        Assert.Equal("named/k", grain.GetGrainId().ToString());
        Assert.Equal("named/k", await grain.Id());
        Assert.Equal("numbered/2A", Grains.GetGrain<INumberedGrain>(42).GetGrainId().ToString());
    }

    [Fact]
    public void References_to_the_same_grain_are_equal()
    {
        var (a, b, c) = (Grains.GetGrain<INamedGrain>("a"), Grains.GetGrain<INamedGrain>("a"), Grains.GetGrain<INamedGrain>("c"));
        Assert.Equal(a, b);
        Assert.Equal(a.GetHashCode(), b.GetHashCode());
        Assert.NotEqual(a, c);
        Assert.NotEqual<object>(Grains.GetGrain<INumberedGrain>(1), Grains.GetGrain<INumberedGrain>(2));
    }

    [Fact]
    public void References_to_the_same_grain_by_another_interface_are_equal() =>
        Assert.True(Grains.GetGrain<INamedGrain>("a").Equals(Grains.GetGrain<IOtherFaceOfNamedGrain>("a")));

    [Fact]
    public void References_are_keys_of_a_dictionary()
    {
        var ages = new Dictionary<INamedGrain, int> { [Grains.GetGrain<INamedGrain>("a")] = 1 };
        ages[Grains.GetGrain<INamedGrain>("a")] = 2;
        Assert.Equal(2, Assert.Single(ages).Value);
    }

    [Fact]
    public async Task A_reference_that_a_grain_gives_out_is_equal_to_one_from_the_factory()
    {
        var grain = Grains.GetGrain<INamedGrain>("self");
        Assert.Equal(grain, await grain.Self());
        Assert.Equal("self", await (await grain.Self()).Key());
    }

    [Fact]
    public async Task A_reference_can_be_cast_to_another_interface_of_the_grain()
    {
        var face = Grains.GetGrain<INamedGrain>("two-faced").AsReference<IOtherFaceOfNamedGrain>();
        Assert.Equal("two-faced", await face.OtherKey());
    }

    [Fact]
    public async Task A_reference_can_be_made_from_an_id()
    {
        var grain = Grains.GetGrain<INamedGrain>(GrainId.Create("named", "by-id"));
        Assert.Equal("by-id", await grain.Key());
    }

    [Fact]
    public void An_interface_without_a_class_is_refused() =>
        Assert.Throws<ArgumentException>(() => Grains.GetGrain<INobodysGrain>("x"));

    [Fact]
    public void Ids_are_read_from_their_text()
    {
        var id = GrainId.Parse("named/a/b");
        Assert.Equal(("named", "a/b"), (id.Type.ToString(), id.Key.ToString()));
        Assert.Equal(GrainId.Create("named", "a/b"), id);
        Assert.False(GrainId.TryParse("no-slash", out _));
    }
}

public interface INobodysGrain : IGrainWithStringKey
{
    Task Call();
}
