using Federation.Contracts.Jobs;
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

    [Fact]
    public async Task Answers_that_wait_for_the_database_take_no_more_memory_than_allowed_and_every_price_is_settled()
    {
        using var settlements = Make(bytes: 1_000);
        var isAway = true;
        _grains.Jobs.BeforeSettling = _ => isAway ? throw new StorageException(StorageFailure.Unavailable, "away") : Task.CompletedTask;
        await settlements.StartAsync(CancellationToken.None);
        Task[] settling = [await settlements.KeepAsync(Answered("job_1", 600)), await settlements.KeepAsync(Answered("job_2", 500)), await settlements.KeepAsync(Answered("job_3", 400))];
        await _clock.UntilWaitedForAsync(TimeSpan.FromSeconds(1));
        isAway = false;
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Task.WhenAll(settling).WithinPatienceAsync();
        Assert.Equal(
            [("job_1", 7, true, 600), ("job_2", 7, false, 0), ("job_3", 7, true, 400)],
            _grains.Jobs.Settled.OrderBy(outcome => outcome.JobId, StringComparer.Ordinal).Select(outcome => (outcome.JobId, outcome.Price, outcome.Answer!.IsKept, outcome.Answer.Bytes.Length)));
        Assert.Single(_log.Lines, line => line.Words.StartsWith("Job job_2: its answer is not kept", StringComparison.Ordinal));

        // What was written leaves its room to the next.
        isAway = true;
        var later = await settlements.KeepAsync(Answered("job_4", 1_000));
        await _clock.UntilWaitedForAsync(TimeSpan.FromSeconds(1));
        isAway = false;
        _clock.Advance(TimeSpan.FromSeconds(1));
        await later.WithinPatienceAsync();
        Assert.Equal(1_000, _grains.Jobs.Settled.Single(outcome => outcome.JobId == "job_4").Answer!.Bytes.Length);
        await settlements.StopAsync(CancellationToken.None);
    }

    private static JobOutcome Answered(string job, int bytes) => InferenceRunTests.OutcomeOf(job) with
    {
        HoldId = $"hold:{job}.1",
        Price = 7,
        Answer = new AnswerOnRecord([1], [2], "node", "nd_a", 1, 0, 200, "", IsStream: true, IsKept: true, [.. new byte[bytes]], 0, 1),
    };

    private Settlements Make(long bytes = 1_000) => new(_grains.Grains, Microsoft.Extensions.Options.Options.Create(new GatewayOptions { MaxUnsettled = 3, MaxUnsettledBytes = bytes }), _clock, _log);
}
