using Federation.Silo.Gateway;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Logging;

namespace Federation.Silo.Tests.Gateway;

/// <summary>A stop while the database is away.</summary>
public sealed class SettlementsTests
{
    private readonly FakeGrains _grains = new();
    private readonly TestClock _clock = new();
    private readonly KeptLog<Settlements> _log = new();

    [Fact]
    public async Task What_waits_for_the_database_when_the_hub_stops_is_named_in_the_log_and_waited_for_no_longer()
    {
        using var settlements = Make();
        _grains.Jobs.BeforeSettling = _ => throw new StorageException(StorageFailure.Unavailable, "away");
        await settlements.StartAsync(CancellationToken.None);
        Task[] settling = [settlements.SettleAsync(InferenceRunTests.OutcomeOf("job_1")), settlements.SettleAsync(InferenceRunTests.OutcomeOf("job_2"))];
        await _clock.UntilWaitedForAsync(TimeSpan.FromSeconds(1));
        Assert.All(settling, task => Assert.False(task.IsCompleted));

        await settlements.StopAsync(CancellationToken.None);
        await Task.WhenAll(settling).WithinPatienceAsync();
        // What is cut off by the end of the stop itself.
        await settlements.SettleAsync(InferenceRunTests.OutcomeOf("job_3")).WithinPatienceAsync();
        Assert.Equal(
            ["job_1", "job_2", "job_3"],
            _log.Lines.Where(line => line.Level is LogLevel.Error && line.Words.EndsWith("nor the work of node nd_a for it paid: the hub stopped while the database was away", StringComparison.Ordinal)).Select(line => line.Words.Split(' ')[1]));
        Assert.False(settlements.IsFull);
    }

    [Fact]
    public async Task A_hub_that_stops_with_all_on_disk_says_nothing_of_it()
    {
        using var settlements = Make();
        await settlements.StartAsync(CancellationToken.None);
        await settlements.SettleAsync(InferenceRunTests.OutcomeOf("job_1"));
        await settlements.StopAsync(CancellationToken.None);
        Assert.Single(_grains.Jobs.Settled);
        Assert.Empty(_log.Lines);
    }

    private Settlements Make() => new(_grains.Grains, Microsoft.Extensions.Options.Options.Create(new GatewayOptions { MaxUnsettled = 3 }), _clock, _log);
}
