using Federation.Contracts.Nodes;
using Federation.Protocol.V1;

namespace Federation.Silo.Nodes;

/// <summary>The wire's reasons as the hub's. A reason of a newer agent reads as unspecified.</summary>
internal static class Failures
{
    public static LeaseRefusal FromWire(RefuseReason reason) => reason switch
    {
        RefuseReason.NoSlot => LeaseRefusal.NoSlot,
        RefuseReason.ModelGone => LeaseRefusal.ModelGone,
        RefuseReason.Paused => LeaseRefusal.Paused,
        RefuseReason.Draining => LeaseRefusal.Draining,
        _ => LeaseRefusal.Unspecified,
    };

    public static LeaseFailure FromWire(FailReason reason) => reason switch
    {
        FailReason.EngineUnreachable => LeaseFailure.EngineUnreachable,
        FailReason.EngineError => LeaseFailure.EngineError,
        // A lease that the hub had cancelled has ended, and nothing that is said of it is heard any more.
        FailReason.Cancelled => LeaseFailure.GivenUp,
        FailReason.Deadline => LeaseFailure.Deadline,
        _ => LeaseFailure.Unspecified,
    };
}
