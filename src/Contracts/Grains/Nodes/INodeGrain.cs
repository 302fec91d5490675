using System.Collections.Immutable;
using Federation.Contracts.Jobs;

namespace Federation.Contracts.Nodes;

/// <summary>
/// One contributor's machine: who owns it, whether it is connected, what it has, and the chain of its receipts.
/// The key is the node's id, <c>nd_…</c>.
/// </summary>
[Alias("Federation.Node")]
public interface INodeGrain : IGrainWithStringKey
{
    /// <summary>Makes the node known, or refreshes it when the same account enrols the same key again.</summary>
    [Alias("Enrol")]
    Task<EnrolmentStatus> Enrol(NodeEnrolment enrolment);

    /// <summary>The key a connection must be proved with; <see langword="null"/> when the node is unknown.</summary>
    [Alias("GetIdentity")]
    Task<NodeIdentity?> GetIdentity();

    /// <summary>A proved connection takes over; the one before, if any, is closed.</summary>
    [Alias("Connect")]
    Task<ConnectionStatus> Connect(NodeConnection connection);

    /// <summary>The connection ended. Ignored unless <paramref name="sessionId"/> is the current one.</summary>
    [Alias("Disconnect")]
    Task Disconnect(string sessionId);

    /// <summary>What the node said last; sent by its session.</summary>
    [Alias("Report")]
    Task<ReportStatus> Report(string sessionId, NodeReport report);

    /// <summary>
    /// Books a finished lease: usage and receipt are on disk when this returns. Booking the same attempt again changes nothing.
    /// </summary>
    [Alias("Book")]
    Task Book(JobOutcome outcome);

    /// <summary>The node's answer to receipts it was offered. A valid signature credits the owner's pending balance.</summary>
    /// <returns>What became of each receipt: first those that are signed, then those objected to, in their order.</returns>
    [Alias("SignReceipts")]
    Task<ImmutableArray<ReceiptSigning>> SignReceipts(OfferAnswer answer);

    /// <summary>The node as its owner and the operator see it; <see langword="null"/> when it is unknown.</summary>
    [Alias("GetView")]
    Task<NodeView?> GetView();

    /// <summary>The node's current connection, for work that goes past the pools: checks. <see langword="null"/> when there is none.</summary>
    [Alias("GetConnection")]
    Task<NodeConnection?> GetConnection();

    /// <summary>Asks the node to fetch a model; how far it is shows in <see cref="GetView"/>.</summary>
    [Alias("Pull")]
    Task<PullStatus> Pull(string engine, string model);

    /// <summary>Sets the standing by an operator's decision; a banned node is disconnected.</summary>
    [Alias("SetStanding")]
    Task<bool> SetStanding(Standing standing);

    /// <summary>The classes that challenges measured; <see langword="null"/> until they have.</summary>
    [Alias("GetMeasuredClasses")]
    Task<MeasuredClasses?> GetMeasuredClasses();

    /// <summary>Takes in a hardware challenge's result. When this returns, evidence, decision and consequences are on disk; so with all of these.</summary>
    [Alias("RecordChallenge")]
    Task<Ruling> RecordChallenge(ChallengeReport report);

    /// <summary>Takes in an audit's verdict.</summary>
    [Alias("RecordAudit")]
    Task<Ruling> RecordAudit(AuditReport report);

    /// <summary>The node took a lease of this job and gave it up, or let its time go by. Not for what its client or the hub did.</summary>
    [Alias("RecordAbandonment")]
    Task<Ruling> RecordAbandonment(string jobId, string determinismClass, string finding);

    /// <summary>
    /// Takes in what became of a standby probe and pays the time before it where that is due. Ignored unless <paramref name="sessionId"/> is the current connection.
    /// </summary>
    [Alias("RecordProbe")]
    Task<ProbeFollowUp> RecordProbe(string sessionId, ProbeReport report);

    /// <summary>Moves what has matured, is forfeited, or is to be paid as another class, in bounded steps; how many earnings moved.</summary>
    [Alias("SettleEarnings")]
    Task<int> SettleEarnings();

    /// <summary>The owner asks an operator to look again at the last decision against the node.</summary>
    [Alias("Appeal")]
    Task<AppealAnswer> Appeal(string words);

    /// <summary>An operator's answer to an appeal. Granted, what was forfeited is given back by a new movement; nothing is rewritten.</summary>
    [Alias("DecideAppeal")]
    Task<AppealAnswer> DecideAppeal(string appealId, bool granted, string answer, string decidedBy);
}

/// <summary>The outcome of <see cref="INodeGrain.Pull"/>.</summary>
[GenerateSerializer, Alias("Federation.PullStatus")]
public enum PullStatus
{
    /// <summary>The node was asked.</summary>
    Asked = 0,

    /// <summary>The node is not connected.</summary>
    NotConnected = 1,

    /// <summary>The node has no engine of that name.</summary>
    NoSuchEngine = 2,
}

/// <summary>What a hub thinks of a node.</summary>
[GenerateSerializer, Alias("Federation.Standing")]
public enum Standing
{
    /// <summary>New: everything is checked.</summary>
    Probation = 0,

    /// <summary>Checked often enough.</summary>
    Trusted = 1,

    /// <summary>Takes no paid work until an operator or evidence clears it.</summary>
    Quarantined = 2,

    /// <summary>May not connect.</summary>
    Banned = 3,
}

/// <summary>A key pair that asks to become a node, already proved.</summary>
[GenerateSerializer, Immutable, Alias("Federation.NodeEnrolment")]
public sealed record NodeEnrolment(
    [property: Id(0)] string AccountId,
    [property: Id(1)] ImmutableArray<byte> PublicKey,
    [property: Id(2)] string DisplayName,
    [property: Id(3)] ImmutableArray<byte> Hardware);

/// <summary>The outcome of <see cref="INodeGrain.Enrol"/>.</summary>
[GenerateSerializer, Alias("Federation.EnrolmentStatus")]
public enum EnrolmentStatus
{
    /// <summary>The node is new.</summary>
    Enrolled = 0,

    /// <summary>The same account enrolled this key before.</summary>
    AlreadyEnrolled = 1,

    /// <summary>Another account owns this key. A retry cannot help.</summary>
    OwnedByAnotherAccount = 2,

    /// <summary>The key is banned. A retry cannot help.</summary>
    Banned = 3,
}

/// <summary>Who a node is.</summary>
[GenerateSerializer, Immutable, Alias("Federation.NodeIdentity")]
public sealed record NodeIdentity(
    [property: Id(0)] string AccountId,
    [property: Id(1)] ImmutableArray<byte> PublicKey,
    [property: Id(2)] Standing Standing);

/// <summary>A connection that was proved.</summary>
/// <param name="SessionId">Names this connection; a later one has another.</param>
/// <param name="Session">Reaches the silo that holds the stream.</param>
/// <param name="Report">What the node's hello said.</param>
[GenerateSerializer, Immutable, Alias("Federation.NodeConnection")]
public sealed record NodeConnection(
    [property: Id(0)] string SessionId,
    [property: Id(1)] INodeSession Session,
    [property: Id(2)] NodeReport Report)
{
    /// <summary>The network that it comes from, as the hub sees it: "203.0.113.0/24". Empty where unknown.</summary>
    [Id(3)] public string Network { get; init; } = string.Empty;
}

/// <summary>The outcome of <see cref="INodeGrain.Connect"/>.</summary>
[GenerateSerializer, Alias("Federation.ConnectionStatus")]
public enum ConnectionStatus
{
    /// <summary>The session is the node's current one.</summary>
    Connected = 0,

    /// <summary>No such node. It must enrol first.</summary>
    Unknown = 1,

    /// <summary>The node is banned.</summary>
    Banned = 2,
}

/// <summary>The outcome of <see cref="INodeGrain.Report"/>.</summary>
[GenerateSerializer, Alias("Federation.ReportStatus")]
public enum ReportStatus
{
    /// <summary>Taken.</summary>
    Taken = 0,

    /// <summary>The grain moved to another silo and knows of no connection: the session connects again.</summary>
    NotConnected = 1,

    /// <summary>Another session is the node's current one.</summary>
    Superseded = 2,
}

/// <summary>What a node says of itself. Hardware is the protobuf message as it came.</summary>
[GenerateSerializer, Immutable, Alias("Federation.NodeReport")]
public sealed record NodeReport(
    [property: Id(0)] string AgentVersion,
    [property: Id(1)] ImmutableArray<byte> Hardware,
    [property: Id(2)] ImmutableArray<EngineReport> Engines,
    [property: Id(3)] int RunningLeases,
    [property: Id(4)] bool AcceptsWork,
    [property: Id(5)] string WhyNot,
    [property: Id(6)] ImmutableArray<PullReport> Pulls);

/// <summary>How far the fetching of a model is.</summary>
/// <param name="Engine">The engine that fetches it.</param>
/// <param name="Model">The model.</param>
/// <param name="Status">The engine's own words.</param>
/// <param name="CompletedBytes">Of <paramref name="TotalBytes"/>; 0 where unknown.</param>
/// <param name="TotalBytes">0 where unknown.</param>
/// <param name="Finished">The model is there.</param>
/// <param name="Error">Why it is not; empty unless it failed.</param>
[GenerateSerializer, Immutable, Alias("Federation.PullReport")]
public sealed record PullReport(
    [property: Id(0)] string Engine,
    [property: Id(1)] string Model,
    [property: Id(2)] string Status,
    [property: Id(3)] long CompletedBytes,
    [property: Id(4)] long TotalBytes,
    [property: Id(5)] bool Finished,
    [property: Id(6)] string Error);

/// <summary>One engine of a node.</summary>
[GenerateSerializer, Immutable, Alias("Federation.EngineReport")]
public sealed record EngineReport(
    [property: Id(0)] string Name,
    [property: Id(1)] string Kind,
    [property: Id(2)] string Version,
    [property: Id(3)] int Slots,
    [property: Id(4)] ImmutableArray<ModelReport> Models)
{
    /// <summary>What calculates: "cpu", "cuda", "rocm", "metal".</summary>
    [Id(5)] public string Backend { get; init; } = string.Empty;

    /// <summary>Of that: "x64", "sm_89".</summary>
    [Id(6)] public string Architecture { get; init; } = string.Empty;
}

/// <summary>One model of an engine. Empty text and 0 stand for unknown.</summary>
[GenerateSerializer, Immutable, Alias("Federation.ModelReport")]
public sealed record ModelReport(
    [property: Id(0)] string Name,
    [property: Id(1)] string Digest,
    [property: Id(2)] long SizeBytes,
    [property: Id(3)] bool Loaded,
    [property: Id(4)] int ContextLength,
    [property: Id(5)] ImmutableArray<string> Capabilities,
    [property: Id(6)] string Quantization)
{
    /// <summary>Whose answers compare with this engine's of this model: the canonical text of a determinism class.</summary>
    [Id(7)] public string DeterminismClass { get; init; } = string.Empty;

    /// <summary>Kinds of jobs whose answers the engine can go on with where another node's broke off.</summary>
    [Id(8)] public ImmutableArray<string> Continues { get; init; } = [];
}

/// <summary>A node as people see it.</summary>
[GenerateSerializer, Immutable, Alias("Federation.NodeView")]
public sealed record NodeView(
    [property: Id(0)] string NodeId,
    [property: Id(1)] string AccountId,
    [property: Id(2)] string DisplayName,
    [property: Id(3)] Standing Standing,
    [property: Id(4)] string HardwareClass,
    [property: Id(5)] bool Connected,
    [property: Id(6)] DateTimeOffset? LastSeen,
    [property: Id(7)] NodeReport? Report)
{
    /// <inheritdoc cref="NodeConnection.Network"/>
    [Id(8)] public string Network { get; init; } = string.Empty;
}
