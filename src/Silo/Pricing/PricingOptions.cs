using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Pricing;

/// <summary>What work costs, and how its price is held.</summary>
internal sealed class PricingOptions
{
    public const string SectionName = "Pricing";

    /// <summary>
    /// Prices that differ from the defaults; the first rule that fits counts. Without any, models on the federation's nodes are free, and a cloud's cost what its provider's list says.
    /// </summary>
    public List<PriceRule> Rules { get; set; } = [];

    /// <summary>What a line of a batch costs of its price, 0 to 1, to the millionth. Default 0.5.</summary>
    [Range(typeof(decimal), "0", "1", ParseLimitsInInvariantCulture = true, ConvertValueInInvariantCulture = true)]
    public decimal BatchMultiplier { get; set; } = 0.5m;

    /// <summary>
    /// Bytes of a request that count as one token when its price is held. Fewer hold more. A prompt with more tokens than its bytes divided by this is not charged for those beyond. Default 2 [uncalibrated].
    /// </summary>
    [Range(1, 8)]
    public int HeldBytesPerToken { get; set; } = 2;

    /// <summary>Bytes of text that count as one token when they are estimated: in quotes, and where a provider does not say. Default 4 [uncalibrated].</summary>
    [Range(1, 8)]
    public int BytesPerToken { get; set; } = 4;

    /// <summary>Tokens that an image counts as, whatever its size. Default 1 600 [uncalibrated].</summary>
    [Range(0, 1_000_000)]
    public int ImageTokens { get; set; } = 1_600;

    /// <summary>
    /// Tokens of an answer, each of its choices, that are held for where the client names no limit. Where credits do not last for as many, as many as they last for. A chat that goes to a cloud then gets this limit. Default 4 096.
    /// </summary>
    [Range(16, 1_000_000)]
    public int DefaultCompletionTokens { get; set; } = 4_096;

    /// <summary>Tokens that an answer is taken to have in a quote's estimate, where its limit is not lower. Default 512 [uncalibrated].</summary>
    [Range(1, 1_000_000)]
    public int UsualCompletionTokens { get; set; } = 512;

    /// <summary>
    /// How long a hold lasts beyond the longest time an answer may take. A settlement that waits for the database for longer may find the credits spent; credits of a hub that was killed come back after as long. Default 15 min.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:01", "24:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan HoldMargin { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>How long a request waits for the database to hold its price before it is answered 503. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan HoldPatience { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a quote says that it is good. Prices are settings and change with a restart only; who must not pay more says so in the request. Default 5 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "24:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan QuoteAge { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary><see cref="BatchMultiplier"/> in millionths.</summary>
    public int BatchMillionths => (int)decimal.Floor(BatchMultiplier * Price.Whole);
}

/// <summary>The price of some models somewhere.</summary>
internal sealed class PriceRule
{
    /// <summary>The source of <see cref="Source"/> for the federation's nodes.</summary>
    public const string Nodes = "nodes";

    /// <summary>Where the answer comes from: <c>nodes</c>, the name of a cloud provider, or a pattern. Default <c>*</c>, anywhere.</summary>
    public string Source { get; set; } = "*";

    /// <summary>The model's name as clients write it, or a pattern: <c>llama3*</c>. Default <c>*</c>, any.</summary>
    public string Model { get; set; } = "*";

    /// <summary>Credits for a thousand tokens of the prompt, 0 to 1 000 000, to the millionth.</summary>
    public decimal Input { get; set; }

    /// <summary>Credits for a thousand tokens of the answer, 0 to 1 000 000, to the millionth.</summary>
    public decimal Output { get; set; }
}

[OptionsValidator]
internal sealed partial class PricingRangesValidator : IValidateOptions<PricingOptions>;

/// <summary>Checks ranges, and that every rule has a price that can be counted.</summary>
internal sealed class PricingOptionsValidator : IValidateOptions<PricingOptions>
{
    private readonly PricingRangesValidator _ranges = new();

    public ValidateOptionsResult Validate(string? name, PricingOptions options)
    {
        var problems = new List<string>();
        if (_ranges.Validate(name, options) is { Failed: true, Failures: var failures }) problems.AddRange(failures);
        foreach (var (index, rule) in options.Rules.Index())
        {
            var at = $"{PricingOptions.SectionName}:{nameof(PricingOptions.Rules)}:{index}";
            if (rule.Source is not { Length: > 0 }) problems.Add($"{at}:Source must name where the price counts: nodes, a provider, or *.");
            if (rule.Model is not { Length: > 0 }) problems.Add($"{at}:Model must name a model, or *.");
            if (WhyNoPrice(rule.Input) is { } input) problems.Add($"{at}:Input {input}");
            if (WhyNoPrice(rule.Output) is { } output) problems.Add($"{at}:Output {output}");
        }
        return problems.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(problems);
    }

    /// <summary>What is wrong with credits for a thousand tokens; <see langword="null"/> when nothing is.</summary>
    public static string? WhyNoPrice(decimal credits) => Price.MicrocreditsOf(credits) is null ? "must be 0 to 1000000 credits for a thousand tokens, with at most six digits after the point." : null;
}
