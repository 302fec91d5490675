using System.ComponentModel.DataAnnotations;
using Federation.Silo.Nodes;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway;

/// <summary>The bounds of one request of an API client.</summary>
internal sealed class GatewayOptions
{
    public const string SectionName = "Gateway";

    /// <summary>Largest request body, bytes. Default 10 MiB.</summary>
    [Range(1024, 1L << 30)]
    public long MaxBodyBytes { get; set; } = 10 * 1024 * 1024;

    /// <summary>How long a client may take to send the head of a request, and of the next on the same connection once it has begun it. Default 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan HeadTimeout { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How fast the body of a request must come on average, bytes a second; slower ones are hung up on. Default 240; 0: as slowly as it likes.</summary>
    [Range(0, 1 << 30)]
    public int MinBodyBytesPerSecond { get; set; } = 240;

    /// <summary>How long a body may come more slowly than that at first. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:02", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan BodyGrace { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Largest answer that is not streamed, bytes: it is kept until it is whole. Default 16 MiB.</summary>
    [Range(1024, 1 << 30)]
    public int MaxAnswerBytes { get; set; } = 16 * 1024 * 1024;

    /// <summary>Largest single event of a streamed answer, bytes. Default 1 MiB.</summary>
    [Range(1024, 64 * 1024 * 1024)]
    public int MaxEventBytes { get; set; } = 1024 * 1024;

    /// <summary>Nodes that are asked for one answer before the client hears that none could give it; one that is asked again for another of its engines counts again. Default 4.</summary>
    [Range(1, 100)]
    public int MaxNodes { get; set; } = 4;

    /// <summary>Output taken before the node is told that it may send as much more, bytes. Default 64 KiB; must be below the link's window.</summary>
    [Range(1024, 64 * 1024 * 1024)]
    public int GrantAt { get; set; } = 64 * 1024;

    /// <summary>
    /// How long the hub waits for the first byte of an answer before it asks another node; a cold model must load in it, and a whole answer be made. It is the hub's patience: a node that is slower is
    /// not paid, and not marked. Default 2 min.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan FirstByteTimeout { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>How long a node may be silent in the middle of an answer; beyond, it has given the job up. Default 60 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan SilenceTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long one answer may take in all. Default 10 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "24:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan AnswerTimeout { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// How long a streamed request waits, for a node or for a model that is being loaded, before its client is told so by comments in the stream. They begin the stream, so that errors then come as events in it; quick answers are
    /// untouched. Default 3 s.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan QuietWait { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>How often it is told again. Default 5 s; 0: never, nor at first.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan WaitNotePeriod { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often one streamed answer may go over to another node in its middle; 0: never. Default 3.</summary>
    [Range(0, 100)]
    public int MaxRescues { get; set; } = 3;

    /// <summary>
    /// How much of a streamed answer is kept so that another node can go on with it, bytes as the engine wrote them, some 200 a token. An answer that has grown beyond it ends with an error event if its node fails. By
    /// reference to what came over the node's line: an answer that may be audited holds the same bytes. Default 1 MiB; 0: no rescue.
    /// </summary>
    [Range(0, 64 * 1024 * 1024)]
    public int RescueBytes { get; set; } = 1024 * 1024;

    /// <summary>
    /// Memory for what is kept of all answers under way, for rescues and audits, bytes per silo. An answer that finds no room in it goes on all the same, but no other node can go on with it, and it is not audited.
    /// Default 64 MiB: three hundred thousand tokens. What is kept of answers that are over has a room of its own.
    /// </summary>
    [Range(0, 1L << 40)]
    public long MaxKeptBytes { get; set; } = 64L << 20;

    /// <summary>
    /// What of that memory the answers of one account may take together, bytes per silo: an account with many long streams takes it from nobody else's. A hub that serves one account alone may give it all. Default 8 MiB.
    /// </summary>
    [Range(0, 1L << 40)]
    public long MaxKeptBytesPerAccount { get; set; } = 8L << 20;

    /// <summary>How long the client of a stream that broke waits for a node that can go on with it. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:09:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan RescuePatience { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Whether nodes may be sent requests that name pictures, sounds or films by an address: their engines would fetch it, from within their owners' networks. For a hub whose nodes are all its own.
    /// Default false: such a request goes to a cloud that has the model, or is refused.
    /// </summary>
    public bool NodesFetchMedia { get; set; }

    /// <summary>Settlements under way, and kept while the database is away. No more work is taken while so many wait. Default 10 000.</summary>
    [Range(1, 1_000_000)]
    public int MaxUnsettled { get; set; } = 10_000;

    /// <summary>
    /// Bytes of answers that wait with their settlements while the database is away, for clients that may ask for them again. Of further ones is remembered that they were given, and not what they said. Default 64 MiB.
    /// </summary>
    [Range(0, 1L << 40)]
    public long MaxUnsettledBytes { get; set; } = 64 * 1024 * 1024;
}

[OptionsValidator]
internal sealed partial class GatewayOptionsValidator : IValidateOptions<GatewayOptions>;

/// <summary>Checks that a node is told to go on before it has to stop: else both sides wait for each other.</summary>
internal sealed class GrantsWithinWindow(IOptions<NodeLinkOptions> link) : IValidateOptions<GatewayOptions>
{
    public ValidateOptionsResult Validate(string? name, GatewayOptions options) => options.GrantAt + Lease.ChunkOverheadBytes < link.Value.WindowBytes
        ? ValidateOptionsResult.Success
        : ValidateOptionsResult.Fail($"Gateway:GrantAt ({options.GrantAt}) must be below NodeLink:WindowBytes ({link.Value.WindowBytes}) by more than {Lease.ChunkOverheadBytes}.");
}
