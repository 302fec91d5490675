using System.Threading.Channels;
using Federation.Contracts.Jobs;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway;

/// <summary>
/// Settles finished jobs, many in one commit where many end at once. While the database is away, settlements are kept, in bounds, and written when it is back: an answer
/// that was given is not taken back because its record has to wait.
/// </summary>
internal sealed partial class Settlements(IGrainFactory grains, IOptions<GatewayOptions> options, TimeProvider time, ILogger<Settlements> logger) : BackgroundService
{
    private static readonly TimeSpan RetryPeriod = TimeSpan.FromSeconds(1);

    private readonly Channel<JobOutcome> _unsettled = Channel.CreateBounded<JobOutcome>(new BoundedChannelOptions(options.Value.MaxUnsettled) { SingleReader = true });
    private int _underWay;

    /// <summary>Whether so much waits for the database that no more work should be taken.</summary>
    public bool IsFull => _unsettled.Reader.Count + Volatile.Read(ref _underWay) >= options.Value.MaxUnsettled;

    /// <summary>Completes, and never fails, when the outcome is on disk, or is kept for when that is possible.</summary>
    public async Task SettleAsync(JobOutcome outcome)
    {
        Interlocked.Increment(ref _underWay);
        try
        {
            if (await TrySettleAsync(outcome)) return;
            if (!_unsettled.Writer.TryWrite(outcome)) LogLost(outcome.JobId, options.Value.MaxUnsettled);
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await foreach (var outcome in _unsettled.Reader.ReadAllAsync(stoppingToken))
        {
            while (!await TrySettleAsync(outcome)) await Task.Delay(RetryPeriod, time, stoppingToken);
        }
    }

    private async Task<bool> TrySettleAsync(JobOutcome outcome)
    {
        try
        {
            var settlement = await grains.GetGrain<IJobGrain>(outcome.JobId).Settle(outcome);
            if (!settlement.Settled) LogFenced(outcome.JobId, outcome.Attempt, settlement.SettledAttempt);
            return true;
        }
        catch (Exception exception) when (exception is StorageException { IsTransient: true } or OrleansException or TimeoutException)
        {
            LogPostponed(outcome.JobId, exception);
            return false;
        }
        catch (Exception exception)
        {
            // It would fail again for the same reason, and the client's answer is not to blame.
            LogFailed(outcome.JobId, exception);
            return true;
        }
    }

    [LoggerMessage(4200, LogLevel.Warning, "Job {JobId} cannot be settled now; it is kept and tried again")]
    private partial void LogPostponed(string jobId, Exception exception);

    [LoggerMessage(4201, LogLevel.Error, "Job {JobId} could not be settled: its record is lost")]
    private partial void LogFailed(string jobId, Exception exception);

    [LoggerMessage(4202, LogLevel.Error, "Job {JobId} is not recorded: {Max} settlements wait for the database already")]
    private partial void LogLost(string jobId, int max);

    [LoggerMessage(4203, LogLevel.Warning, "Job {JobId}: attempt {Attempt} came late and is not paid; attempt {Settled} was settled")]
    private partial void LogFenced(string jobId, int attempt, int settled);
}
