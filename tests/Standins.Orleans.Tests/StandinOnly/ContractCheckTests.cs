// SPDX-License-Identifier: Apache-2.0
using System.Collections.Immutable;
using System.Text.Json;
using Orleans.Concurrency;
using Orleans.Contracts;

namespace Federation.Standins.Orleans.Tests.StandinOnly;

/// <summary>No class implements these interfaces, so that silos of other tests start.</summary>
public sealed class ContractCheckTests
{
    [Fact]
    public void Values_ids_immutable_types_and_references_pass() => ContractCheck.Run([typeof(IGood)]);

    [Theory]
    [InlineData(typeof(IWithUnmarked), "Unmarked has no serializer", "IWithUnmarked.Call")]
    [InlineData(typeof(IWithMutable), "MutableMarked is not marked [Immutable]", "IWithMutable.Call")]
    [InlineData(typeof(IWithList), "can change after it was passed", "IWithList.Call")]
    [InlineData(typeof(IWithArray), "can change after it was passed", "IWithArray.Call")]
    [InlineData(typeof(IWithJson), "JsonElement has no serializer", "IWithJson.Call")]
    [InlineData(typeof(IWithFunction), "has no serializer", "IWithFunction.Call")]
    [InlineData(typeof(IWithObject), "Object has no serializer", "IWithObject.Call")]
    [InlineData(typeof(IWithBadElement), "Unmarked has no serializer", "IWithBadElement.Call")]
    [InlineData(typeof(IWithBadMember), "has a member Inner that cannot travel", "IWithBadMember.Call")]
    [InlineData(typeof(IWithBadSequence), "Unmarked has no serializer", "IWithBadSequence.Call")]
    [InlineData(typeof(IWithBadObserver), "Unmarked has no serializer", "IBadObserver.Heard")]
    public void What_cannot_travel_or_be_shared_is_refused_by_type_and_method(Type grainInterface, string complaint, string method)
    {
        var failure = Assert.Throws<OrleansConfigurationException>(() => ContractCheck.Run([grainInterface]));
        Assert.Contains(complaint, failure.Message, StringComparison.Ordinal);
        Assert.Contains(method.Replace("IWith", $"{typeof(ContractCheckTests).FullName}+IWith", StringComparison.Ordinal)
            .Replace("IBadO", $"{typeof(ContractCheckTests).FullName}+IBadO", StringComparison.Ordinal), failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_offences_are_named_at_once()
    {
        var failure = Assert.Throws<OrleansConfigurationException>(() => ContractCheck.Run([typeof(IWithUnmarked), typeof(IWithList)]));
        Assert.Contains("IWithUnmarked", failure.Message, StringComparison.Ordinal);
        Assert.Contains("IWithList", failure.Message, StringComparison.Ordinal);
    }

    private interface IGood : IGrainWithStringKey
    {
        Task<Good?> Call(string a, int? b, Guid c, TimeSpan d, GrainId e, IGood f, IGoodObserver g, CancellationToken token);

        ValueTask<(int, string)> Pair(ImmutableArray<byte> bytes, ImmutableDictionary<string, Good> goods);

        IAsyncEnumerable<Good> Sequence(Immutable<byte[]> bytes, [Immutable] byte[] promised);

        Task<T> Generic<T>(T value);

        Task<DayOfWeek> Day();
    }

    private interface IGoodObserver : IGrainObserver
    {
        void Heard(Good good);
    }

    private interface IWithUnmarked : IGrainWithStringKey
    {
        Task Call(Unmarked value);
    }

    private interface IWithMutable : IGrainWithStringKey
    {
        Task<MutableMarked> Call();
    }

    private interface IWithList : IGrainWithStringKey
    {
        Task Call(List<int> value);
    }

    private interface IWithArray : IGrainWithStringKey
    {
        Task<byte[]> Call();
    }

    private interface IWithJson : IGrainWithStringKey
    {
        Task Call(JsonElement value);
    }

    private interface IWithFunction : IGrainWithStringKey
    {
        Task Call(Func<int> value);
    }

    private interface IWithObject : IGrainWithStringKey
    {
        Task Call(object value);
    }

    private interface IWithBadElement : IGrainWithStringKey
    {
        Task Call(ImmutableArray<Unmarked> value);
    }

    private interface IWithBadMember : IGrainWithStringKey
    {
        Task Call(Outer value);
    }

    private interface IWithBadSequence : IGrainWithStringKey
    {
        IAsyncEnumerable<Unmarked> Call();
    }

    private interface IWithBadObserver : IGrainWithStringKey
    {
        Task Call(IBadObserver observer);
    }

    private interface IBadObserver : IGrainObserver
    {
        void Heard(Unmarked value);
    }

    [GenerateSerializer]
    [Immutable]
    private sealed record Good([property: Id(0)] string Name, [property: Id(1)] ImmutableArray<Good> Parts);

    private sealed record Unmarked(string Name);

    [GenerateSerializer]
    private sealed class MutableMarked
    {
        [Id(0)]
        public string Name { get; set; } = "";
    }

    [GenerateSerializer]
    [Immutable]
    private sealed record Outer([property: Id(0)] Unmarked Inner);
}
