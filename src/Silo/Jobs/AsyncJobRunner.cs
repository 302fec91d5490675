using System.Collections.Concurrent;
using Federation.Silo.Gateway;
using Federation.Silo.Hosting;
using Federation.Silo.Hubs;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Jobs;

/// <summary>
/// Runs asynchronous jobs: claims those whose turn has come, has them answered behind everybody who waits, and writes the answers down.
/// </summary>
/// <remarks>
/// A job belongs to whoever claimed it last, by its attempt's number, while that silo says so at least every <see cref="AsyncJobOptions.LeaseDuration"/>. A silo that is killed stops saying so and another
/// one runs the job; a silo that only slept finds that its attempt has the job no longer, and its late answer is refused by the database.
/// </remarks>
internal sealed partial class AsyncJobRunner(
    AsyncJobStore store, IBackgroundInference inference, AsyncJobSignals signals, HubDrain drain, IOptions<AsyncJobOptions> options, TimeProvider time, ILogger<AsyncJobRunner> logger)
    : WakingService(options.Value.LookPeriod, time, logger)
{
    private static readonly TimeSpan RetryPeriod = TimeSpan.FromSeconds(1);

    private readonly AsyncJobOptions _options = options.Value;
    private readonly string _owner = $"silo_{Guid.CreateVersion7():N}";
    private readonly ConcurrentDictionary<string, Run> _running = new(StringComparer.Ordinal);
    private long? _heldAt;

    /// <summary>Jobs under way on this silo.</summary>
    public int Running => _running.Count;

    public override async Task LookAsync(CancellationToken cancellationToken)
    {
        await HoldAsync(cancellationToken);
        foreach (var id in await store.TidyAsync(cancellationToken))
        {
            LogExpired(id);
            Stop(id);
            signals.Tell(id);
        }
        await ForgetAsync(store.ForgetAsync, cancellationToken);
        var free = _options.MaxRunning - _running.Count;
        if (free <= 0 || drain.IsDraining) return;
        foreach (var job in await store.ClaimAsync(_owner, free, cancellationToken)) Start(job);
    }

    /// <summary>The job has ended by other means than its run: the nodes' work for it stops.</summary>
    public void Stop(string id)
    {
        if (_running.TryGetValue(id, out var run)) run.Gone.Cancel();
    }

    /// <summary>Completes when everything that was under way has ended.</summary>
    public Task WhenIdleAsync() => Task.WhenAll(_running.Values.Select(run => run.Task));

    protected override async Task StopWorkAsync()
    {
        foreach (var run in _running.Values) await run.Gone.CancelAsync();
        await WhenIdleAsync();
    }

    /// <summary>Keeps what this silo has, and lets go of what was taken from it: cancelled, expired, or claimed by another while this one slept.</summary>
    private async Task HoldAsync(CancellationToken cancellationToken)
    {
        if (_running.IsEmpty) return;
        var before = _running.ToArray();
        var renew = _heldAt is not { } heldAt || Time.GetElapsedTime(heldAt) >= _options.LeaseDuration / 3;
        var held = await store.HoldAsync(_owner, before.Select(run => (run.Key, run.Value.Attempt)), renew, cancellationToken);
        if (renew) _heldAt = Time.GetTimestamp();
        foreach (var (id, run) in before)
        {
            if (held.GetValueOrDefault(id)?.Attempt != run.Attempt) await run.Gone.CancelAsync();
        }
    }

    private void Start(AsyncJob job)
    {
        var run = new Run(job.Attempt);
        _running[job.Id] = run;
        signals.Tell(job.Id);
        run.Task = RunAsync(job, run);
    }

    private async Task RunAsync(AsyncJob job, Run run)
    {
        // Not in the middle of the look that claimed it.
        await Task.Yield();
        try
        {
            var answer = await inference.TryAsync(job.Kind, job.Request, job.KeyId, CallOrigin.Job, job.Terms, run.Gone.Token);
            await RecordAsync(job, answer, run);
        }
        catch (OperationCanceledException) when (run.Gone.IsCancellationRequested)
        {
            await RecordAsync(job, null, run);
        }
        catch (Exception exception)
        {
            LogFailed(job.Id, job.Attempt, exception);
            await RecordAsync(job, WholeAnswerSink.AnswerOf(string.Empty, OpenAiError.Internal()), run);
        }
        finally
        {
            // Only this run: the job may have been claimed again meanwhile.
            _running.TryRemove(KeyValuePair.Create(job.Id, run));
            Wake();
        }
    }

    /// <summary>Writes down what the attempt came to; while the database is away, again and again until it is back or the job is another's.</summary>
    private async Task RecordAsync(AsyncJob job, BackgroundAnswer? answer, Run run)
    {
        var claimedAt = Time.GetTimestamp();
        while (true)
        {
            try
            {
                if (!await TryRecordAsync(job, answer) && answer is not null) LogFenced(job.Id, job.Attempt);
                signals.Tell(job.Id);
                return;
            }
            catch (StorageException exception) when (exception.IsTransient && !run.Gone.IsCancellationRequested && Time.GetElapsedTime(claimedAt) < _options.LeaseDuration)
            {
                LogPostponed(job.Id, exception);
                await Task.Delay(RetryPeriod, Time, run.Gone.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception exception)
            {
                // Its lease ends, and it is run anew.
                LogUnrecorded(job.Id, job.Attempt, exception);
                return;
            }
        }
    }

    private Task<bool> TryRecordAsync(AsyncJob job, BackgroundAnswer? answer)
    {
        // Stopped by the hub's own stop: another silo, or the next start, goes on. Stopped because it is another's or has ended: the database will say so.
        if (answer is null) return store.PostponeAsync(job.Id, job.Attempt, TimeSpan.Zero, isFailure: false, "The silo that ran it stops.", CancellationToken.None);
        switch (answer.Verdict)
        {
            case AttemptVerdict.Answered:
                return store.EndAsync(job.Id, job.Attempt, EndOf(AsyncJobState.Completed, answer), CancellationToken.None);
            case AttemptVerdict.Later:
                return store.PostponeAsync(job.Id, job.Attempt, WaitFor(job.Attempt, answer), isFailure: false, answer.Message ?? "Later.", CancellationToken.None);
            case AttemptVerdict.Failed when job.Failures + 1 < _options.MaxFailures:
                return store.PostponeAsync(job.Id, job.Attempt, WaitFor(job.Attempt, answer), isFailure: true, answer.Message ?? "The attempt failed.", CancellationToken.None);
            case AttemptVerdict.Failed or AttemptVerdict.Refused:
                return store.EndAsync(job.Id, job.Attempt, EndOf(AsyncJobState.Failed, answer), CancellationToken.None);
            default:
                throw new InvalidOperationException($"Verdict {answer.Verdict} is not handled.");
        }
    }

    private TimeSpan WaitFor(long attempt, BackgroundAnswer answer) => Backoff.Wait(attempt, _options.RetryDelay, _options.MaxRetryDelay, answer.RetryAfter);

    private static AsyncJobEnd EndOf(AsyncJobState state, BackgroundAnswer answer) => new(state, answer.RequestId, answer.NodeId, answer.Status, answer.Body);

    private sealed class Run(long attempt)
    {
        public long Attempt => attempt;

        /// <remarks>Left to the collector, having no timer: whoever stops the run may just be about to.</remarks>
        public CancellationTokenSource Gone { get; } = new();

        public Task Task { get; set; } = Task.CompletedTask;
    }

    [LoggerMessage(4400, LogLevel.Information, "Asynchronous job {JobId} ran out of time")]
    private partial void LogExpired(string jobId);

    [LoggerMessage(4401, LogLevel.Information, "Asynchronous job {JobId}: attempt {Attempt} came late; its answer is refused, for the job has ended or is another attempt's")]
    private partial void LogFenced(string jobId, long attempt);

    [LoggerMessage(4402, LogLevel.Error, "Asynchronous job {JobId}: attempt {Attempt} failed")]
    private partial void LogFailed(string jobId, long attempt, Exception exception);

    [LoggerMessage(4403, LogLevel.Warning, "Asynchronous job {JobId}: its answer cannot be written down now; tried again")]
    private partial void LogPostponed(string jobId, Exception exception);

    [LoggerMessage(4404, LogLevel.Warning, "Asynchronous job {JobId}: the answer of attempt {Attempt} could not be written down; it will be run anew")]
    private partial void LogUnrecorded(string jobId, long attempt, Exception exception);
}
