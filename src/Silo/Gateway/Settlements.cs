using System.Threading.Channels;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Silo.Storage;
using Federation.Silo.Telemetry;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway;

/// <summary>
/// Settles finished jobs, many in one commit where many end at once. While the database is away, settlements are kept, in bounds, and written when it is back: an answer
/// that was given is not taken back because its record has to wait.
/// </summary>
internal sealed partial class Settlements(IGrainFactory grains, IOptions<GatewayOptions> options, TimeProvider time, ILogger<Settlements> logger, RequestLog? requests = null) : BackgroundService
{
    private static readonly TimeSpan RetryPeriod = TimeSpan.FromSeconds(1);

    private readonly Channel<KeptOutcome> _kept = Channel.CreateBounded<KeptOutcome>(new BoundedChannelOptions(options.Value.MaxUnsettled) { SingleReader = true });
    private int _unsettled;
    private long _keptBytes;

    /// <summary>Whether so much waits for the database that no more work should be taken.</summary>
    public bool IsFull => Volatile.Read(ref _unsettled) >= options.Value.MaxUnsettled;

    /// <summary>Completes, and never fails, when the outcome is on disk: while the database is away, not before it is back. An outcome that will never be is in the log.</summary>
    public async Task SettleAsync(JobOutcome outcome) => await await KeepAsync(outcome);

    /// <summary>Completes, and never fails, when the outcome is on disk, or is kept for when that is possible; the task it returns completes like <see cref="SettleAsync"/>.</summary>
    public async Task<Task> KeepAsync(JobOutcome outcome)
    {
        // What the hub asks itself has no key, and is nobody's request.
        if (outcome.KeyId.Length > 0) requests?.OnAnswered(outcome);
        Interlocked.Increment(ref _unsettled);
        if (!await TrySettleAsync(outcome))
        {
            var kept = new KeptOutcome(WithinBounds(outcome), new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            if (_kept.Writer.TryWrite(kept)) return kept.Ended.Task;
            Interlocked.Add(ref _keptBytes, -BytesOf(kept.Outcome));
            if (_kept.Reader.Completion.IsCompleted) LogUnrecorded(outcome.JobId, outcome.NodeId);
            else LogLost(outcome.JobId, options.Value.MaxUnsettled);
        }
        Interlocked.Decrement(ref _unsettled);
        return Task.CompletedTask;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (await _kept.Reader.WaitToReadAsync(stoppingToken))
            {
                while (_kept.Reader.TryPeek(out var next))
                {
                    while (!await TrySettleAsync(next.Outcome)) await Task.Delay(RetryPeriod, time, stoppingToken);
                    _kept.Reader.TryRead(out _);
                    End(next);
                }
            }
        }
        finally
        {
            _kept.Writer.TryComplete();
            while (_kept.Reader.TryRead(out var lost))
            {
                LogUnrecorded(lost.Outcome.JobId, lost.Outcome.NodeId);
                End(lost);
            }
        }
    }

    /// <summary>Takes room for what is to wait; of an answer for which there is none only what it cost.</summary>
    private JobOutcome WithinBounds(JobOutcome outcome)
    {
        if (BytesOf(outcome) is not (> 0 and var bytes) || Interlocked.Add(ref _keptBytes, bytes) <= options.Value.MaxUnsettledBytes) return outcome;
        Interlocked.Add(ref _keptBytes, -bytes);
        LogAnswerForgotten(outcome.JobId, options.Value.MaxUnsettledBytes);
        return outcome with { Answer = outcome.Answer! with { IsKept = false, Bytes = [] } };
    }

    private static long BytesOf(JobOutcome outcome) => outcome.Answer?.Bytes.Length ?? 0;

    private void End(KeptOutcome kept)
    {
        Interlocked.Add(ref _keptBytes, -BytesOf(kept.Outcome));
        Interlocked.Decrement(ref _unsettled);
        kept.Ended.SetResult();
    }

    private async Task<bool> TrySettleAsync(JobOutcome outcome)
    {
        try
        {
            // Where nobody pays there is nothing to fence: its run settles a job once, and its node books an id once, however often it is asked to.
            if (outcome is { HoldId.Length: 0, NodeId.Length: > 0 }) await grains.GetGrain<INodeGrain>(outcome.NodeId).Book(outcome);
            else if (await grains.GetGrain<IJobGrain>(outcome.JobId).Settle(outcome) is { Settled: false } other) LogFenced(outcome.JobId, outcome.Attempt, other.SettledAttempt);
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

    [LoggerMessage(4205, LogLevel.Warning, "Job {JobId}: its answer is not kept for whoever asks again, what it cost is; {Max} bytes of answers wait for the database already")]
    private partial void LogAnswerForgotten(string jobId, long max);

    [LoggerMessage(4203, LogLevel.Warning, "Job {JobId}: attempt {Attempt} came late and is not paid; attempt {Settled} was settled")]
    private partial void LogFenced(string jobId, int attempt, int settled);

    [LoggerMessage(4204, LogLevel.Error, "Job {JobId} is not recorded, nor the work of node {NodeId} for it paid: the hub stopped while the database was away")]
    private partial void LogUnrecorded(string jobId, string nodeId);

    /// <summary>What waits for the database.</summary>
    /// <param name="Outcome">Of the job.</param>
    /// <param name="Ended">Completes when it is on disk, or never will be.</param>
    private sealed record KeptOutcome(JobOutcome Outcome, TaskCompletionSource Ended);
}
