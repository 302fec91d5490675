using System.Globalization;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using Federation.Silo.Hosting;
using Federation.Silo.Nodes;
using Federation.Silo.Verification.Accrual;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Probes;

/// <summary>What every node's standby probes are made with.</summary>
internal sealed class ProbeRoom(
    IOptions<ProbeOptions> options, IOptions<AccrualOptions> accrual, DirectLeases leases, IGrainFactory grains, Random random, TimeProvider time, ILogger<NodeProbes> logger)
{
    public ProbeOptions Options => options.Value;

    public DirectLeases Leases => leases;

    public TimeProvider Time => time;

    public ILogger Logger => logger;

    /// <summary>Nodes must not be able to foresee it; tests can.</summary>
    public Random Random { get; } = random;

    /// <summary>How long until a node's next probe.</summary>
    public TimeSpan NextWait() => PoissonProcess.Wait(Random.NextDouble(), accrual.Value.MeanProbeWait);

    public INodeGrain Grain(string nodeId) => grains.GetGrain<INodeGrain>(nodeId);

    /// <summary>The probes of one connection.</summary>
    public NodeProbes For(NodeSession session) => new(this, session);
}

/// <summary>
/// Finds out whether a node on standby is there: at moments of a Poisson process it is asked for a few greedy tokens of a model that it holds in memory, and the first must come
/// within <see cref="ProbeOptions.FirstToken"/> by the hub's clock. Runs beside the session.
/// </summary>
/// <remarks>
/// <para>A moment at which the node has work is let pass, which thins the process to the node's idle time and leaves it a Poisson process there; work is no pass, since whoever could send
/// work to his own node could then make himself pass whenever he is there. For the same reason there is no probe at moments that a node knows: not when it connects, not when its work
/// ends. It could answer that one, leave, and be paid unless the next came too early, with nothing to lose that it had not just been given.</para>
/// <para>A probe yields: it is given only to a node without work, and work that comes breaks it off (<see cref="LeaseAssignment.Yields"/>). If its first token had come, it has passed;
/// else it says nothing.</para>
/// <para>The tokens themselves are not judged: what standby earns matures only on audits of the node's work.</para>
/// </remarks>
internal sealed partial class NodeProbes(ProbeRoom room, NodeSession session)
{
    private readonly ILogger _logger = room.Logger;
    private TimeSpan _workedBefore;

    /// <summary>Runs until the connection ends.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        if (!room.Options.Enabled) return;
        var (wait, isRetry) = (room.NextWait(), false);
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(wait, room.Time, stop);
            DateTimeOffset? retryAt = null;
            try
            {
                if (session.StandsBy || isRetry) retryAt = await ProbeAsync(isRetry, stop);
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                // Whatever it was, this loop is all that pays the node's standby. Its grain begins again, and so do we.
                LogLost(session.NodeId, exception);
            }
            isRetry = retryAt is not null;
            wait = retryAt is { } at ? Durations.Longer(TimeSpan.Zero, at - room.Time.GetUtcNow()) : room.NextWait();
        }
    }

    /// <summary>One probe and its record; when to retry, if it failed for the first time.</summary>
    private async Task<DateTimeOffset?> ProbeAsync(bool isRetry, CancellationToken stop)
    {
        var (sentAt, worked) = (room.Time.GetUtcNow(), session.Worked);
        var resident = Resident();
        var result = resident is { } found ? await AskAsync(found.Engine, found.Model, worked, stop) : new ProbeResult(ProbeOutcome.Void, "found no model in memory");
        if (result is null)
        {
            // Something else was quicker: a moment among others, unless an answer is due.
            if (!isRetry) return null;
            result = new ProbeResult(ProbeOutcome.Void, "found it at work or taking none");
        }
        var report = new ProbeReport(
            $"pr_{Guid.CreateVersion7():N}", sentAt, result.Outcome, worked - _workedBefore, resident is { } asked ? asked.Model.DeterminismClass : string.Empty, result.Finding);
        var followUp = await room.Grain(session.NodeId).RecordProbe(session.SessionId, report);
        if (result.Outcome is ProbeOutcome.Passed) _workedBefore = worked;
        LogProbed(session.NodeId, result.Outcome, result.Finding, followUp.CreditedMicrocredits);
        return followUp.RetryAt;
    }

    /// <summary>What the node made of a probe; <see langword="null"/> when it could not be asked.</summary>
    private async Task<ProbeResult?> AskAsync(EngineReport engine, ModelReport model, TimeSpan workedBefore, CancellationToken stop)
    {
        var sent = room.Time.GetTimestamp();
        var lease = new DirectLease(session.NodeId, engine, model, $"probe_{Guid.CreateVersion7():N}", JobKind.Chat, BodyFor(model), Stream: true, room.Options.Answer) { Yields = true, Unpaid = true };
        var result = await room.Leases.AskAsync(lease, (stream, limit) => ReadAsync(stream, sent, limit), stop);
        return result is { Outcome: ProbeOutcome.Failed } && session.Worked > workedBefore ? new ProbeResult(ProbeOutcome.Void, "was outrun by work") : result;
    }

    private async Task<ProbeResult?> ReadAsync(LeaseStream lease, long sent, CancellationToken stop)
    {
        var text = new FirstText(room.Options.MaxAnswerBytes);
        TimeSpan? firstAfter = null;
        var bytes = 0L;
        while (true)
        {
            var limit = firstAfter is null ? room.Options.FirstToken : room.Options.Answer;
            LeaseEvent said;
            try
            {
                said = await lease.ReadAsync(Durations.Longer(TimeSpan.Zero, limit - room.Time.GetElapsedTime(sent)), room.Time, stop);
            }
            catch (TimeoutException)
            {
                lease.Cancel("deadline");
                return Failed(firstAfter is null ? Format($"got no first token within {limit.TotalSeconds:0.###} s") : Format($"got an answer without an end within {limit.TotalSeconds:0.###} s"));
            }
            switch (said)
            {
                case LeaseEvent.Head { Status: 200 }:
                    break;
                case LeaseEvent.Head head:
                    return Failed(Format($"was answered with status {head.Status}"));
                case LeaseEvent.Chunk chunk:
                    if ((bytes += chunk.Data.Length) > room.Options.MaxAnswerBytes) return Failed("got an answer beyond all measure");
                    if (firstAfter is null && text.IsIn(chunk.Data)) firstAfter = room.Time.GetElapsedTime(sent);
                    if (firstAfter > room.Options.FirstToken) return Failed(Format($"got its first token only after {firstAfter.Value.TotalSeconds:0.0##} s"));
                    lease.Taken(chunk, grantAt: 1);
                    break;
                case LeaseEvent.Done when firstAfter is { } first:
                    return new ProbeResult(ProbeOutcome.Passed, Format($"got its first token after {first.TotalSeconds:0.0##} s"));
                case LeaseEvent.Done:
                    return Failed("got an answer without text");
                case LeaseEvent.Failed { Reason: LeaseFailure.Cancelled } when firstAfter is { } first:
                    return new ProbeResult(ProbeOutcome.Passed, Format($"got its first token after {first.TotalSeconds:0.0##} s, and gave way to work"));
                case LeaseEvent.Failed { Reason: LeaseFailure.Cancelled }:
                    return new ProbeResult(ProbeOutcome.Void, "gave way to work");
                case LeaseEvent.Failed { Reason: LeaseFailure.NodeLost }:
                    // The end of the connection says the same, and ends standby.
                    return null;
                case LeaseEvent.Failed failed:
                    return Failed(Format($"was given up ({failed.Reason})"));
                case LeaseEvent.Refused refused:
                    return new ProbeResult(ProbeOutcome.Void, Format($"was refused ({refused.Reason})"));
                default:
                    throw new InvalidOperationException($"A lease went on with {said}.");
            }
        }
    }

    /// <summary>One of the models that the node says are in memory; the first token's time proves it.</summary>
    private (EngineReport Engine, ModelReport Model)? Resident()
    {
        var resident = session.Report.Engines.SelectMany(engine => engine.Models.Where(IsResident).Select(model => (engine, model))).ToArray();
        return resident.Length > 0 ? resident[room.Random.Next(resident.Length)] : null;
    }

    private static bool IsResident(ModelReport model) => model.Loaded && (model.Capabilities.IsEmpty || model.Capabilities.Contains(JobKind.Chat.Word()));

    /// <summary>A few greedy tokens on numbers that nobody has seen before, so that no cache has their beginning.</summary>
    private byte[] BodyFor(ModelReport model) => ChatBody.Greedy(model.Name, Format($"{room.Random.Next(1_000, 1_000_000)}+{room.Random.Next(1_000, 1_000_000)}="), room.Options.Tokens);

    private static ProbeResult Failed(string finding) => new(ProbeOutcome.Failed, finding);

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record ProbeResult(ProbeOutcome Outcome, string Finding);

    [LoggerMessage(7300, LogLevel.Debug, "Node {NodeId}: a standby probe {Outcome}: it {Finding}; {Microcredits} µcr for the time before it")]
    private partial void LogProbed(string nodeId, ProbeOutcome outcome, string finding, long microcredits);

    [LoggerMessage(7301, LogLevel.Warning, "Node {NodeId}: a standby probe could not be recorded; its standby begins again")]
    private partial void LogLost(string nodeId, Exception exception);
}
