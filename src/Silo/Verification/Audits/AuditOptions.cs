using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>How answers are audited.</summary>
internal sealed class AuditOptions
{
    public const string SectionName = "Audits";

    /// <summary>Whether answers are audited at all. Without audits no credit matures. Default true.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Memory for texts that may yet be audited, bytes per silo; of more than it holds a sample stays. Default 32 MiB: some thirty thousand short answers.</summary>
    [Range(0, 1L << 40)]
    public long BufferBytes { get; set; } = 32L << 20;

    /// <summary>The same for vectors. Default 32 MiB: some thousand answers of a few texts.</summary>
    [Range(0, 1L << 40)]
    public long VectorBufferBytes { get; set; } = 32L << 20;

    /// <summary>Largest request and answer kept for an audit, bytes together. Default 1 MiB.</summary>
    [Range(1024, 1L << 30)]
    public long MaxAnswerBytes { get; set; } = 1 << 20;

    /// <summary>How long an answer is kept at most: an epoch, and the time its audits take. Default 2 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan KeepFor { get; set; } = TimeSpan.FromHours(2);

    /// <summary>
    /// Tokens of an answer whose committed log-probabilities a node is asked to show. Default 256: most answers whole, since the places where other engines' verifiers look are few and must be among
    /// them. 0: no node is asked.
    /// </summary>
    [Range(0, 1024)]
    public int RevealedTokens { get; set; } = 256;

    /// <summary>
    /// Audited answers kept for one sum of one node and weights: the latest of those the sum rests on, for arbiters to score anew should it alarm. A shift of half a standard deviation alarms
    /// after some sixty. Default 128; 0: none, and no alarm is ever confirmed.
    /// </summary>
    [Range(0, 10_000)]
    public int AlarmAnswers { get; set; } = 128;

    /// <summary>Memory for them, bytes per silo; the oldest go first. Default 128 MiB.</summary>
    [Range(0, 1L << 40)]
    public long AlarmBufferBytes { get; set; } = 128L << 20;

    /// <summary>How long one is kept. Sixty audits of a node that is audited once in a hundred units take some hundred hours. Default 7 days.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "60.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan AlarmKeepFor { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How often a silo looks for audits to do. Default 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Period { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Audits of one silo that run at once: few, since clients' requests go first. Default 2.</summary>
    [Range(1, 1_000)]
    public int AtOnce { get; set; } = 2;

    /// <summary>Audits taken from the list in one look. Default 64.</summary>
    [Range(1, 10_000)]
    public int BatchSize { get; set; } = 64;

    /// <summary>How long a verifier may take over one answer. Default 5 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ScoreTimeout { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// How long the arbiters of one audit may take in all: shared between the answer itself and each alarm, and there between the two arbiters it takes. Of a series what was scored in time counts.
    /// Default 30 min.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ReviewTimeout { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>
    /// Whether nodes of the operator's own account may verify others before they are trusted. The network's first verifier
    /// must come from somewhere. Default true.
    /// </summary>
    public bool OperatorNodesVerify { get; set; } = true;

    /// <summary>Share of audits that are canaries: requests of the hub's own, in place of a client's. Default 0.3.</summary>
    [Range(0, 1)]
    public double CanaryShare { get; set; } = 0.3;
}

[OptionsValidator]
internal sealed partial class AuditOptionsValidator : IValidateOptions<AuditOptions>;
