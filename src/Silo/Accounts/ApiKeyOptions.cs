using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts;

/// <summary>How keys are cached, rotated, and seen to be used, and how many wrong ones are too many.</summary>
internal sealed class ApiKeyOptions
{
    public const string SectionName = "ApiKeys";

    /// <summary>
    /// How long another silo may honour a key that was revoked on this one; on this one a revocation counts at once. Default 1 s;
    /// 0 asks the database every time.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:05:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan CacheAge { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Keys remembered at once, and as many texts that are none. Default 10 000.</summary>
    [Range(1, 10_000_000)]
    public int CacheMax { get; set; } = 10_000;

    /// <summary>The longest time that a key's secret may still open after it was rotated. Default 7 days.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "90.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan RotationGraceMax { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How often it is written down which keys were used: what a list of keys shows is at most so old. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan UsePeriod { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Keys that open nothing which one address, of IPv6 one network of 64 bits, may send in a minute before it hears 429, and has what it sends looked up one at a time; a key that is right opens all the same. Behind a
    /// proxy the address is the proxy's. Default 3 000; 0: no limit. [uncalibrated]
    /// </summary>
    [Range(0, 1_000_000)]
    public int WrongPerMinute { get; set; } = 3_000;

    /// <summary>Addresses with wrong keys that are counted at once; with one more they all begin anew. Default 10 000.</summary>
    [Range(1, 10_000_000)]
    public int MaxWrongAddresses { get; set; } = 10_000;
}

[OptionsValidator]
internal sealed partial class ApiKeyOptionsValidator : IValidateOptions<ApiKeyOptions>;
