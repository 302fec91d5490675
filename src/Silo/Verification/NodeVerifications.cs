using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Nodes;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.CommonSlots;
using Federation.Silo.Verification.Standings;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification;

/// <summary>What every node's verification is made with.</summary>
internal sealed class NodeVerifications(
    VerificationStore store,
    EarningStore earnings,
    ILedger ledger,
    HardwareClasses classes,
    Neighbourhood neighbourhood,
    IOptions<StandingOptions> standing,
    IOptions<AccrualOptions> accrual,
    TimeProvider time,
    ILogger<NodeVerification> logger)
{
    /// <summary>The verification of one node; keep one only, with the one activation of its grain.</summary>
    public NodeVerification For(NodeRow node) => new(node, store, earnings, ledger, classes, neighbourhood, standing.Value, Accrual, time, logger);

    /// <summary>What caps the pay of one node's work.</summary>
    public NodeAccrual AccrualOf(string nodeId) => new(nodeId, earnings, Accrual);

    /// <summary>What is believed of tokens that nobody sees counted; one for all nodes.</summary>
    public TokenYields Yields { get; } = new(accrual.Value);

    /// <summary>The rules of pay.</summary>
    public AccrualOptions Accrual { get; } = accrual.Value;
}
