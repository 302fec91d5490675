using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts.Limits;

/// <summary>How limits are kept. What they are is in <see cref="TierOptions"/> and on each key.</summary>
internal sealed class LimitOptions
{
    public const string SectionName = "Limits";

    /// <summary>
    /// How long a running request counts after its silo was last heard of; each silo repeats what runs three times as often. A silo that died blocks its requests' places for so long. Default 30 s.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:03", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ReservationLifetime { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Tokens set aside for an answer whose length the client did not limit, as far as there are so many. Default 1 000. [uncalibrated]</summary>
    [Range(0, 1_000_000)]
    public long UnnamedTokens { get; set; } = 1_000;

    /// <summary>Bytes of a request's body that are set aside as one token, as far as there are so many. Default 4. [uncalibrated]</summary>
    [Range(1, 1_000)]
    public int BytesPerToken { get; set; } = 4;

    /// <summary>Keys of one account whose own limits are remembered; of more, those that are idle are read from the record again. Default 1 000.</summary>
    [Range(1, 100_000)]
    public int KeysMax { get; set; } = 1_000;
}

[OptionsValidator]
internal sealed partial class LimitOptionsValidator : IValidateOptions<LimitOptions>;
