using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Nodes;

/// <summary>The bounds of a node's connection. A node that crosses one is disconnected with a status that says which.</summary>
internal sealed class NodeLinkOptions
{
    public const string SectionName = "NodeLink";

    /// <summary>How long a node may take to answer the challenge. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:05:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan HandshakeTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How often a node sends a heartbeat. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:05:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Heartbeat { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>A connection silent for this many heartbeats is closed. Default 3.</summary>
    [Range(2, 100)]
    public int SilentHeartbeats { get; set; } = 3;

    /// <summary>A node that works for somebody and is silent for so long is asked whether it is there. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan PingAfter { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How long it may take to say anything then; beyond, its line is dead, and other nodes go on with its leases. Shorter than TCP takes to send a lost packet a fourth time, and a line that loses one now and then is cut off.
    /// Default 2.5 s [uncalibrated].
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:05:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan PingTimeout { get; set; } = TimeSpan.FromSeconds(2.5);

    /// <summary>Largest message a node may send, bytes. Default 1 MiB.</summary>
    [Range(4 * 1024, 64 * 1024 * 1024)]
    public int MaxMessageBytes { get; set; } = 1024 * 1024;

    /// <summary>Largest chunk of output, bytes. Default 64 KiB.</summary>
    [Range(1024, 4 * 1024 * 1024)]
    public int MaxChunkBytes { get; set; } = 64 * 1024;

    /// <summary>Output of one lease that may be on its way before the client takes it, bytes. Default 256 KiB.</summary>
    [Range(16 * 1024, 64 * 1024 * 1024)]
    public int WindowBytes { get; set; } = 256 * 1024;

    /// <summary>Messages a node may send per second, on average, beside those of its leases and answers to offers. Default 200.</summary>
    [Range(1, 100_000)]
    public int MessagesPerSecond { get; set; } = 200;

    /// <summary>Such messages a node may send at once. Default 2 000.</summary>
    [Range(1, 1_000_000)]
    public int MessageBurst { get; set; } = 2_000;

    /// <summary>Messages that may wait for a slow node. A node that lets them pile up is disconnected. Default 1 024.</summary>
    [Range(16, 100_000)]
    public int MaxOutbound { get; set; } = 1_024;

    /// <summary>Engines, and models of all its engines together, that one node may report. Default 1 024.</summary>
    [Range(1, 100_000)]
    public int MaxInventory { get; set; } = 1_024;

    /// <summary>Engines of one node that may have the same model: each of them is one to choose from in the model's pool. A machine has one for each of its accelerators. Default 16.</summary>
    [Range(1, 1_024)]
    public int MaxEnginesPerModel { get; set; } = 16;

    /// <summary>Model pulls of one node whose progress is remembered. Default 16.</summary>
    [Range(1, 1_000)]
    public int MaxPulls { get; set; } = 16;

    /// <summary>Largest weights a node may claim, bytes: pay grows with them. Default 16 TiB.</summary>
    [Range(1, 1L << 50)]
    public long MaxModelBytes { get; set; } = 1L << 44;

    /// <summary>Slots an engine may report. Default 1 024.</summary>
    [Range(1, 100_000)]
    public int MaxSlots { get; set; } = 1_024;

    /// <summary>Connections of nodes to one silo. Default 10 000.</summary>
    [Range(1, 1_000_000)]
    public int MaxSessions { get; set; } = 10_000;

    /// <summary>How long a connection that has ended says so to whoever calls it. Default 40 s: longer than such a call waits.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Linger { get; set; } = TimeSpan.FromSeconds(40);

    /// <summary>Words of a node about challenges that may wait to be read. Default 32.</summary>
    [Range(8, 10_000)]
    public int MaxCheckMessages { get; set; } = 32;

    /// <summary>Questions for committed log-probabilities that may wait for one node's answer. Default 16.</summary>
    [Range(1, 1_000)]
    public int MaxReveals { get; set; } = 16;

    /// <summary>Largest answer to one, bytes. Default 512 KiB.</summary>
    [Range(4 * 1024, 64 * 1024 * 1024)]
    public int MaxRevealBytes { get; set; } = 512 * 1024;

    /// <summary>How long a node may take over one. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:00:25", ParseLimitsInInvariantCulture = true)]
    public TimeSpan RevealTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long after a job a node may sign its receipt; later it earns nothing. A receipt is drawn up to an hour after it was signed, and what answered it is kept for <c>Audits:KeepFor</c>: together
    /// they must be well below that, or whoever signs late is not audited. Default 30 min.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan SignWithin { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>
    /// How long receipts of a node are gathered before they are booked in one commit and offered in one batch, which one signature is for. No client of free work waits for that, only pay does; a
    /// commit and a signature cost a hub more than all the rest of a short answer. Default 50 ms; 0: each as it comes.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:00:10", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Gather { get; set; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Receipts the hub keeps ready for one node to sign after it reconnects. Default 1 000.</summary>
    [Range(1, 100_000)]
    public int MaxOfferedReceipts { get; set; } = 1_000;
}

[OptionsValidator]
internal sealed partial class NodeLinkOptionsValidator : IValidateOptions<NodeLinkOptions>;
