using System.Globalization;
using Federation.Contracts.Nodes;
using Federation.Silo.Verification.Challenges;
using Federation.Silo.Verification.Epochs;
using Microsoft.Extensions.Options;
using ChallengeOutcome = Federation.Protocol.Challenges.ChallengeOutcome;

namespace Federation.Silo.Verification.CommonSlots;

/// <summary>What every node's common slots are made with.</summary>
internal sealed class SlotRoom(ChallengeRoom challenges, Neighbourhood neighbourhood, SlotResultStore results, EpochStore epochs, IOptions<CommonSlotOptions> options, ILogger<NodeSlots> logger)
{
    public CommonSlotOptions Options => options.Value;

    public ChallengeRoom Challenges => challenges;

    public Neighbourhood Neighbourhood => neighbourhood;

    public SlotResultStore Results => results;

    public TimeProvider Time => challenges.Time;

    public ILogger Logger => logger;

    public bool IsOpen => options.Value.Enabled && challenges.Schedule.Enabled;

    /// <summary>The common slots of one connection.</summary>
    public NodeSlots For(ChallengeTalk talk) => new(this, talk);

    /// <summary>When the next slot of a node's account or network begins in this epoch; when none does, null and the end of the epoch.</summary>
    public async Task<(DateTimeOffset? Slot, DateTimeOffset EpochEnd)> NextAsync(Neighbour node, CancellationToken cancellationToken)
    {
        var now = Time.GetUtcNow();
        var epoch = EpochClosing.EpochOf(now);
        var row = await epochs.FindAsync(epoch, cancellationToken) ?? throw new InvalidOperationException($"Epoch {epoch} has no secret yet.");
        var (begin, end) = (EpochClosing.BeginOf(epoch), EpochClosing.BeginOf(epoch + 1));
        string[] groups = node.Network.Length > 0
            ? [CommonSlotSchedule.AccountGroup(node.AccountId), CommonSlotSchedule.NetworkGroup(node.Network)]
            : [CommonSlotSchedule.AccountGroup(node.AccountId)];
        DateTimeOffset? next = null;
        foreach (var slot in groups.SelectMany(group => CommonSlotSchedule.SlotsOf(row.Secret, begin, end, group, Options.MeanPeriod, challenges.Schedule.Slot)))
        {
            if (slot > now && (next is null || slot < next)) next = slot;
        }
        return (next, end);
    }
}

/// <summary>
/// Challenges a node in the same moments as all others of its account, and of its network: one MM challenge of its class, begun with the slot. A card that is several nodes computes for each of them
/// in the same seconds, and passes for at most one. What comes of it decides who is paid standby (<see cref="SharedMachines"/>), and nothing else: a class is what sittings measure.
/// </summary>
/// <remarks>
/// Only a node that takes work and has none sits a slot; whoever is at work, or is given work before it has answered, shows nothing. Who could sit and declines has not passed. A node that nobody is
/// beside is not asked.
/// </remarks>
internal sealed partial class NodeSlots(SlotRoom room, ChallengeTalk talk)
{
    private readonly ILogger _logger = room.Logger;
    private readonly Neighbour _node = new(talk.Session.NodeId, talk.Node.AccountId, talk.Session.Network);

    /// <summary>Runs until the connection ends.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        if (!room.IsOpen) return;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                var (slot, epochEnd) = await room.NextAsync(_node, stop);
                var wait = (slot ?? epochEnd) - room.Time.GetUtcNow();
                await Task.Delay(wait > TimeSpan.Zero ? wait : TimeSpan.Zero, room.Time, stop);
                if (slot is { } at && talk.TryBegin())
                {
                    try
                    {
                        await SitAsync(at, stop);
                    }
                    finally
                    {
                        talk.End();
                    }
                }
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                LogMissed(_node.NodeId, exception);
                await Task.Delay(room.Challenges.Schedule.AgainAfter, room.Time, stop);
            }
        }
    }

    private async Task SitAsync(DateTimeOffset slot, CancellationToken stop)
    {
        if (!talk.Session.StandsBy || (await room.Neighbourhood.OfAsync(_node, stop)).IsEmpty) return;
        var measured = await room.Challenges.Grain(_node.NodeId).GetMeasuredClasses();
        var hardware = room.Challenges.Classes.Find(measured is { HasLapsed: false } ? measured.Compute : room.Challenges.Classes.Fallback);
        var plan = ChallengePlan.Matrix(hardware, room.Challenges.Rules, room.Challenges.Rules.PeriodicCells);
        talk.Session.IsChallenged = true;
        try
        {
            var leasesBefore = talk.Session.LeasesBegun;
            // Whoever begins late has seconds in which the others are through.
            if (talk.Session.RunningLeases > 0 || await talk.TryIssueAsync(plan, stop) is not { } challenge || room.Time.GetUtcNow() - slot > room.Options.LagMax) return;
            var verdict = await talk.AskAsync(challenge, plan, stop);
            if (verdict is { IsFraud: true })
            {
                await room.Challenges.Grain(_node.NodeId).RecordChallenge(
                    new ChallengeReport($"challenge:{Guid.CreateVersion7():N}", "MM", Contracts.Nodes.ChallengeOutcome.Fraud, string.Empty, verdict.Result.Sentence, ChallengeEvidence.JsonOf(verdict)));
                return;
            }
            if (talk.Session.LeasesBegun != leasesBefore || !talk.Session.Report.AcceptsWork) return;
            var result = new SlotResult(_node.NodeId, slot, verdict is { Outcome: ChallengeOutcome.Passed }, Finding(verdict, plan));
            await room.Results.AddAsync(result, slot - room.Options.EvidenceAge, stop);
            LogSat(_node.NodeId, slot, result.Finding);
        }
        finally
        {
            talk.Session.IsChallenged = false;
        }
    }

    private string Finding(ChallengeVerdict? verdict, ChallengePlan plan) => verdict?.Outcome switch
    {
        null => "declined",
        ChallengeOutcome.Passed or ChallengeOutcome.TooSlow => string.Create(
            CultureInfo.InvariantCulture, $"took {verdict.Result.ElapsedMicroseconds / 1e6:0.00} s of {(plan.Reference / room.Challenges.Rules.Tolerance).TotalSeconds:0.00} s"),
        ChallengeOutcome.Late => "did not answer in time",
        _ => "showed no proof in time",
    };

    [LoggerMessage(7250, LogLevel.Debug, "Node {NodeId}, in the common slot at {Slot:u}: it {Finding}")]
    private partial void LogSat(string nodeId, DateTimeOffset slot, string finding);

    [LoggerMessage(7251, LogLevel.Warning, "Node {NodeId} was left out of a common slot")]
    private partial void LogMissed(string nodeId, Exception exception);
}
