using System.Globalization;
using Federation.Contracts.Nodes;

namespace Federation.Silo.Verification.Accrual;

/// <summary>
/// A node's standby from probe to probe: which gap each one ends, whether it is paid, and if not, why, in words. Remembers, and writes nothing: whoever asked writes the verdict down and then says so
/// (<see cref="Accept"/>). Until then, and if that never comes, nobody knows what was paid, and standby begins anew.
/// </summary>
internal sealed class NodeStandby(AccrualOptions options)
{
    private static readonly Memory Nothing = new(Standby.Fresh, null, null);

    private Memory _memory = Nothing;

    /// <summary>Whether there is nothing that could be paid or not.</summary>
    public bool IsNothing => _memory == Nothing;

    /// <summary>The node is there and takes work: from now on probes may pay.</summary>
    public void Begin(DateTimeOffset now)
    {
        if (_memory is { Standby.PassedAt: null, Unpaid: null }) _memory = _memory with { Unpaid = new UnpaidStandby(now, "no probe had been answered before it") };
    }

    /// <summary>The node left, or takes no work: what it is not there for is not paid, nor what no later probe confirms.</summary>
    /// <returns>When the gap began that ends with this; null when there is none to speak of.</returns>
    public DateTimeOffset? Leave()
    {
        var passedAt = _memory.Standby.PassedAt;
        _memory = Nothing;
        return passedAt;
    }

    /// <summary>What a probe means.</summary>
    public StandbyVerdict Judge(ProbeReport report)
    {
        var (standby, unpaid, failure) = _memory;
        _memory = new Memory(Standby.Fresh, new UnpaidStandby(report.SentAt, "the hub lost its record of the probe before"), null);
        var said = failure is null ? Format($"the probe at {report.SentAt:u} {report.Finding}") : Format($"{failure}, and its retry at {report.SentAt:u} {report.Finding}");
        var step = report.Outcome is ProbeOutcome.Void ? StandbyStep.Void : standby.After(report.Outcome is ProbeOutcome.Passed, report.SentAt, report.Worked, options);
        if (step.RetryAt is not null) return new StandbyVerdict(said, step, null, new Memory(step.After, unpaid, said));
        var after = new Memory(step.After, report.Outcome is ProbeOutcome.Passed ? null : new UnpaidStandby(report.SentAt, said), null);
        var paidFrom = standby.PassedAt;
        StandbyEnd? gap = (report.Outcome, step.Missed) switch
        {
            (ProbeOutcome.Passed, _) => paidFrom is { } from ? new StandbyEnd(from, null) : unpaid is { } before ? new StandbyEnd(before.Since, before.Why) : null,
            (_, true) => (paidFrom ?? unpaid?.Since) is { } from ? new StandbyEnd(from, said) : null,
            _ => paidFrom is { } from ? new StandbyEnd(from, said) : null,
        };
        // A probe that says nothing ends no gap that was not to be paid before.
        if (!step.Missed && report.Outcome is not ProbeOutcome.Passed && paidFrom is null && unpaid is not null) after = after with { Unpaid = unpaid };
        return new StandbyVerdict(said, step, gap, after);
    }

    /// <summary>What a verdict says is on disk.</summary>
    public void Accept(StandbyVerdict verdict) => _memory = verdict.After;

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>What is known between two probes.</summary>
    /// <param name="Standby">Since when time may be paid.</param>
    /// <param name="Unpaid">Time that is not paid whatever the next probe says.</param>
    /// <param name="Failure">The probe that waits for its retry, in words.</param>
    internal sealed record Memory(Standby Standby, UnpaidStandby? Unpaid, string? Failure);

    /// <summary>Standby that is not paid whatever the next probe says, and why.</summary>
    internal sealed record UnpaidStandby(DateTimeOffset Since, string Why);
}

/// <summary>What a probe means for a node's standby.</summary>
/// <param name="Said">What the probe found, in words, its retry included.</param>
/// <param name="Step">What follows by the rules.</param>
/// <param name="Gap">The gap that it ends; null when none.</param>
/// <param name="After">What is known from then on.</param>
internal sealed record StandbyVerdict(string Said, StandbyStep Step, StandbyEnd? Gap, NodeStandby.Memory After);

/// <summary>The end of a gap.</summary>
/// <param name="From">When it began.</param>
/// <param name="Unpaid">Why it is not paid; null: both of its probes were answered.</param>
internal sealed record StandbyEnd(DateTimeOffset From, string? Unpaid);
