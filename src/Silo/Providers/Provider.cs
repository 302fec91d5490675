using System.Collections.Immutable;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Pricing;

namespace Federation.Silo.Providers;

/// <summary>One model of a provider, or many.</summary>
/// <param name="Name">As clients write it.</param>
/// <param name="Theirs">As the provider does; <see langword="null"/> for the same.</param>
/// <param name="Listed">What the provider's list says that it costs.</param>
/// <param name="Capabilities">What it can do, in the words of <see cref="JobKind"/>.</param>
internal sealed record CloudModel(NamePattern Name, string? Theirs, Price Listed, ImmutableArray<string> Capabilities)
{
    /// <summary>It stands in <see cref="KnownProviders"/>, and no operator has named it.</summary>
    public bool IsKnown { get; init; }

    /// <summary>Whether it is meant, and costs what is listed.</summary>
    /// <param name="model">As clients write it.</param>
    public bool Has(string model) => Name.Matches(model) && !(IsKnown && !Name.IsName && KnownProviders.IsBilledOtherwise(model));
}

/// <summary>A cloud that can be asked: where it is, what it has, and how it does.</summary>
internal sealed class Provider : IDisposable
{
    /// <summary>The longest name, characters.</summary>
    public const int NameLengthMax = 32;

    private readonly ProviderKey? _key;
    private readonly string _root;

    /// <param name="name">As the settings call it.</param>
    /// <param name="settings">That were found to be good.</param>
    /// <param name="options">Bounds.</param>
    /// <param name="time">The clock.</param>
    public Provider(string name, ProviderOptions settings, CloudOptions options, TimeProvider time)
    {
        var known = KnownProviders.Find(name);
        Name = name;
        Account = LedgerAccountId.Provider(name);
        Priority = settings.Priority;
        AsksForUsage = settings.AsksForUsage ?? known?.AsksForUsage ?? true;
        LimitName = settings.LimitName ?? known?.LimitName ?? "max_tokens";
        _key = ProviderKey.Of(settings);
        _root = (settings.BaseUrl ?? known!.BaseUrl).TrimEnd('/');
        Models = settings.Models.Count > 0
            ? [.. settings.Models.Select(model => new CloudModel(new NamePattern(model.Name), model.Theirs, Price.FromCredits(model.Input, model.Output), model.Capabilities.Count > 0 ? [.. model.Capabilities] : [JobKind.Chat.Word()]))]
            : [.. known!.Models.Select(model => new CloudModel(new NamePattern(model.Name), null, Price.FromCredits(model.Credits, model.Credits), [model.Capability]) { IsKnown = true })];
        Breaker = new CircuitBreaker(options.BreakAfter, options.BreakFor, options.BreakForMax, time);
        Http = new HttpClient(new SocketsHttpHandler
        {
            // Another host than the configured one is given neither the key nor the prompt.
            AllowAutoRedirect = false,
            // Nothing is unpacked, so nothing can be packed to burst.
            AutomaticDecompression = System.Net.DecompressionMethods.None,
            ConnectTimeout = options.ConnectTimeout,
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            // A disposed answer closes the connection instead of reading on: that is what stops the provider's work.
            ResponseDrainTimeout = TimeSpan.Zero,
            UseCookies = false,
            UseProxy = !new Uri(_root).IsLoopback,
        })
        {
            DefaultRequestVersion = System.Net.HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>As the settings call it.</summary>
    public string Name { get; }

    /// <summary>Where the ledger keeps what it is owed.</summary>
    public LedgerAccountId Account { get; }

    /// <summary>Lower comes first.</summary>
    public int Priority { get; }

    /// <summary>Whether a stream is asked for its usage.</summary>
    public bool AsksForUsage { get; }

    /// <summary>The name of a chat's limit of tokens.</summary>
    public string LimitName { get; }

    /// <summary>What it has, the first that fits counts.</summary>
    public ImmutableArray<CloudModel> Models { get; }

    /// <summary>Whether it is asked at all.</summary>
    public CircuitBreaker Breaker { get; }

    /// <summary>The way there.</summary>
    public HttpClient Http { get; }

    /// <summary>A request to it, signed.</summary>
    public HttpRequestMessage Request(JobKind kind, SentContent content)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, _root + kind.Path()["/v1".Length..]) { Content = content };
        content.Headers.ContentType = new System.Net.Http.Headers.MediaTypeHeaderValue("application/json");
        request.Headers.TryAddWithoutValidation("Accept-Encoding", "identity");
        request.Headers.TryAddWithoutValidation("User-Agent", "federation-hub");
        _key?.Authorize(request);
        return request;
    }

    public void Dispose() => Http.Dispose();

    /// <summary>Its name.</summary>
    public override string ToString() => Name;
}
