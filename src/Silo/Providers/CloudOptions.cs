using System.ComponentModel.DataAnnotations;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using Federation.Silo.Pricing;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Providers;

/// <summary>Clouds that answer what no node can, and how they are trusted to.</summary>
internal sealed class CloudOptions
{
    public const string SectionName = "Cloud";

    /// <summary>
    /// Providers by the name that prices, records and clients know them by. Those of <see cref="KnownProviders"/> need a key and nothing else; any other server that speaks OpenAI's protocol needs a <see cref="ProviderOptions.BaseUrl"/>
    /// and <see cref="ProviderOptions.Models"/>.
    /// </summary>
    public Dictionary<string, ProviderOptions> Providers { get; set; } = new(StringComparer.Ordinal);

    /// <summary>
    /// Whether a request for a model that nodes have goes to a cloud that has it too when no node can answer it in time. It then costs what the cloud costs. Default false: the client hears that no node was free.
    /// </summary>
    public bool Overflow { get; set; }

    /// <summary>Providers that are asked for one answer at most. Default 3.</summary>
    [Range(1, 100)]
    public int MaxProviders { get; set; } = 3;

    /// <summary>How long a connection to a provider may take. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:05:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a provider may take to begin a stream; an answer that is not streamed has <see cref="GatewayOptions.AnswerTimeout"/>. Default 60 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan FirstByteTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a provider may be silent in the middle of an answer. Default 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan SilenceTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Paid answers in one piece that are waited for at once although their clients have left: the provider bills them all the same, so they are paid as it counts them. A further one is given up, and its prompt is paid.
    /// Default 256.
    /// </summary>
    [Range(0, 100_000)]
    public int MaxLeftAnswers { get; set; } = 256;

    /// <summary>Of those the most that one account may have: whoever leaves all that it asks takes nobody else's place. Default 32.</summary>
    [Range(0, 100_000)]
    public int MaxLeftAnswersPerAccount { get; set; } = 32;

    /// <summary>Bytes of a streamed answer at most. Default 64 MiB.</summary>
    [Range(1024, 1L << 40)]
    public long MaxStreamBytes { get; set; } = 64 * 1024 * 1024;

    /// <summary>Failures in a row after which a provider is asked nothing for a while. Default 5 [uncalibrated].</summary>
    [Range(1, 1_000)]
    public int BreakAfter { get; set; } = 5;

    /// <summary>How long it is asked nothing. Then one request tries it; where that fails, twice as long, up to <see cref="BreakForMax"/>. Default 15 s [uncalibrated].</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan BreakFor { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>The longest a provider is asked nothing, also where it names a time itself (<c>Retry-After</c>). Default 5 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "24:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan BreakForMax { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Further providers asked after one has failed, as a share of all requests: when everything fails, the load does not multiply. Default 0.2 [uncalibrated].</summary>
    [Range(0.0, 10.0)]
    public double RetryShare { get; set; } = 0.2;

    /// <summary>Further providers that may be asked however few requests there were. Default 10.</summary>
    [Range(1, 10_000)]
    public int RetryReserve { get; set; } = 10;
}

/// <summary>One provider.</summary>
internal sealed class ProviderOptions
{
    /// <summary>Where its API is, with what comes before <c>/chat/completions</c>: <c>https://api.example.com/v1</c>. https, but on loopback. Default: that of the known provider of this name.</summary>
    public string? BaseUrl { get; set; }

    /// <summary>Its API key. Without one of this, <see cref="KeyFile"/> and <see cref="KeyVariable"/> a known provider is not asked.</summary>
    public string? Key { get; set; }

    /// <summary>A file that holds its API key and that its owner alone may read.</summary>
    public string? KeyFile { get; set; }

    /// <summary>The environment variable that holds its API key.</summary>
    public string? KeyVariable { get; set; }

    /// <summary>Asked without a key: for a server of one's own. Default false.</summary>
    public bool Keyless { get; set; }

    /// <summary>Of several providers that have a model, the one with the lower number is asked first; of equal ones the cheaper. Default 100.</summary>
    public int Priority { get; set; } = 100;

    /// <summary>Whether a stream may be asked for its usage (<c>stream_options.include_usage</c>). Default: as it is known of the provider, else true.</summary>
    public bool? AsksForUsage { get; set; }

    /// <summary>The name by which a chat's limit of tokens goes there, where the hub sets one. Default: as it is known of the provider, else <c>max_tokens</c>.</summary>
    public string? LimitName { get; set; }

    /// <summary>Its models and what they cost. Default: those of the known provider of this name.</summary>
    public List<CloudModelOptions> Models { get; set; } = [];
}

/// <summary>One model of a provider, or many by a pattern.</summary>
internal sealed class CloudModelOptions
{
    /// <summary>As clients write it: a name, which the hub then lists, or a pattern: <c>gpt-4o*</c>.</summary>
    public string Name { get; set; } = string.Empty;

    /// <summary>As the provider writes it; with a star, what the star of <see cref="Name"/> stands for is put there. Default: the same.</summary>
    public string? Theirs { get; set; }

    /// <summary>Credits for a thousand tokens of the prompt.</summary>
    public decimal Input { get; set; }

    /// <summary>Credits for a thousand tokens of the answer.</summary>
    public decimal Output { get; set; }

    /// <summary>What it can do, in the words of models' capabilities: chat, completion, embedding. Default: chat.</summary>
    public List<string> Capabilities { get; set; } = [];
}

[OptionsValidator]
internal sealed partial class CloudRangesValidator : IValidateOptions<CloudOptions>;

/// <summary>Checks ranges, and that every provider can be asked. Never says what a key is.</summary>
internal sealed class CloudOptionsValidator : IValidateOptions<CloudOptions>
{
    private static readonly string[] Capabilities = [.. JobKinds.ForClients.Select(kind => kind.Word())];

    private readonly CloudRangesValidator _ranges = new();

    public ValidateOptionsResult Validate(string? name, CloudOptions options)
    {
        var problems = new List<string>();
        if (_ranges.Validate(name, options) is { Failed: true, Failures: var failures }) problems.AddRange(failures);
        foreach (var (provider, settings) in options.Providers) problems.AddRange(Problems($"{CloudOptions.SectionName}:{nameof(CloudOptions.Providers)}:{provider}", provider, settings));
        return problems.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(problems);
    }

    private static IEnumerable<string> Problems(string at, string name, ProviderOptions settings)
    {
        var known = KnownProviders.Find(name);
        if (name.Length is 0 or > Provider.NameLengthMax || !name.All(static c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '_') || name is PriceRule.Nodes)
            yield return $"{at}: a provider's name is 1 to {Provider.NameLengthMax} small letters, digits, - and _, and not '{PriceRule.Nodes}'.";
        if (new[] { settings.Key, settings.KeyFile, settings.KeyVariable }.Count(source => !string.IsNullOrEmpty(source)) > 1) yield return $"{at}: set one of Key, KeyFile and KeyVariable.";
        if (settings.BaseUrl is null && known is null) yield return $"{at}:BaseUrl must say where the provider is; known without it are: {string.Join(", ", KnownProviders.Names)}.";
        if (settings.BaseUrl is { } url && WhyNoAddress(url) is { } wrong) yield return $"{at}:BaseUrl {wrong}";
        if (settings.Models.Count == 0 && known is null) yield return $"{at}:Models must name the provider's models and what they cost.";
        if (settings.LimitName is not (null or "max_tokens" or "max_completion_tokens")) yield return $"{at}:LimitName must be max_tokens or max_completion_tokens.";
        foreach (var (index, model) in settings.Models.Index())
        {
            var of = $"{at}:Models:{index}";
            if (string.IsNullOrEmpty(model.Name)) yield return $"{of}:Name must name a model.";
            else if (model.Theirs is { } theirs && theirs.Contains('*', StringComparison.Ordinal) && model.Name.Count(static c => c == '*') != 1) yield return $"{of}:Theirs has a star, so Name must have exactly one.";
            if (model.Theirs is { Length: 0 }) yield return $"{of}:Theirs must name a model.";
            if (PricingOptionsValidator.WhyNoPrice(model.Input) is { } input) yield return $"{of}:Input {input}";
            if (PricingOptionsValidator.WhyNoPrice(model.Output) is { } output) yield return $"{of}:Output {output}";
            if (model.Capabilities.FirstOrDefault(capability => !Capabilities.Contains(capability, StringComparer.Ordinal)) is { } unknown)
                yield return $"{of}:Capabilities: '{unknown}' is none; there are: {string.Join(", ", Capabilities)}.";
        }
        if (ProviderKey.WhyUnreadable(settings) is { } unreadable) yield return $"{at}: {unreadable}";
    }

    // A key sent in the clear is anybody's on the way.
    private static string? WhyNoAddress(string url)
        => !Uri.TryCreate(url, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https") ? "must begin with https://."
            : address.Scheme == "http" && !address.IsLoopback ? "must begin with https://: over http, anyone on the way reads the key and the prompts."
            : address.UserInfo.Length > 0 || address.Query.Length > 0 || address.Fragment.Length > 0 ? "must have no user, query or fragment."
            : null;
}
