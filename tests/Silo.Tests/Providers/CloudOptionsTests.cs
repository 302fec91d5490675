using Federation.Protocol.Machine;
using Federation.Protocol.OpenAi;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Providers;

public sealed class CloudOptionsTests : IDisposable
{
    private const string Secret = "sk-very-secret";

    private readonly string _directory = Directory.CreateTempSubdirectory("federation-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("openai")]
    [InlineData("anthropic")]
    [InlineData("gemini")]
    [InlineData("mistral")]
    [InlineData("groq")]
    [InlineData("cerebras")]
    [InlineData("openrouter")]
    [InlineData("together")]
    [InlineData("deepseek")]
    public void A_known_provider_needs_a_key_and_nothing_else(string name)
    {
        Assert.Empty(Problems(name, new ProviderOptions { Key = Secret }));
        using var routes = Routes((name, new ProviderOptions { Key = Secret }));
        Assert.NotEmpty(routes.Listed.Length > 0 ? routes.Listed.SelectMany(model => model.Routes) : routes.Find("openai/gpt-4o", JobKind.Chat));
        using var silent = Routes((name, new ProviderOptions()));
        Assert.Empty(silent.Listed);
        Assert.Empty(silent.Find("openai/gpt-4o", JobKind.Chat));
    }

    [Theory]
    [InlineData("openai", "gpt-4o-search-preview")]
    [InlineData("openai", "gpt-4o-mini-audio-preview")]
    [InlineData("gemini", "gemini-2.5-flash-image")]
    [InlineData("gemini", "gemini-2.5-pro-preview-tts")]
    [InlineData("openrouter", "openai/gpt-4o:extended")]
    public void A_model_that_only_a_pattern_fits_and_more_than_tokens_is_billed_for_is_not_offered(string provider, string model)
    {
        using var routes = Routes((provider, new ProviderOptions { Key = Secret }));
        Assert.Empty(routes.Find(model, JobKind.Chat));
    }

    [Theory]
    [InlineData("openai", "gpt-4o-mini", 2)]
    [InlineData("openai", "gpt-4o-2024-11-20", 10)]
    [InlineData("openai", "gpt-4-turbo", 15)]
    [InlineData("anthropic", "claude-3-opus-20240229", 25)]
    [InlineData("anthropic", "claude-sonnet-4-5", 10)]
    [InlineData("gemini", "gemini-2.5-flash-lite", 2)]
    [InlineData("gemini", "gemini-2.5-pro", 5)]
    [InlineData("mistral", "mistral-small-latest", 2)]
    [InlineData("mistral", "mistral-large-2411", 5)]
    [InlineData("groq", "llama-3.1-8b-instant", 1)]
    [InlineData("cerebras", "llama3.1-8b", 1)]
    public void Models_cost_what_the_designs_table_says(string provider, string model, int credits)
    {
        using var routes = Routes((provider, new ProviderOptions { Key = Secret }));
        Assert.Equal(Price.FromCredits(credits, credits), Assert.Single(routes.Find(model, JobKind.Chat)).Price);
    }

    [Fact]
    public void Of_several_providers_the_one_with_the_lower_number_comes_first_then_the_cheaper_and_a_rule_sets_the_price()
    {
        var (cheap, dear) = (Own("m", 1), Own("m", 9));
        using var routes = Routes(("dear", dear), ("cheap", cheap), ("first", new ProviderOptions { BaseUrl = "https://x.example", Keyless = true, Priority = 1, Models = Own("*", 50).Models }));
        Assert.Equal(["first", "cheap", "dear"], routes.Find("m", JobKind.Chat).Select(route => route.Provider.Name));
        Assert.Equal(["first"], routes.Find("other", JobKind.Chat).Select(route => route.Provider.Name));
        Assert.Empty(routes.Find("m", JobKind.Embedding));
        Assert.Equal(["m"], routes.Listed.Select(model => model.Name));

        var rules = new PricingOptions { Rules = [new PriceRule { Source = "dear", Model = "m" }] };
        using var ruled = new CloudRoutes(Create(new CloudOptions { Providers = { ["dear"] = dear, ["cheap"] = cheap } }), new PriceList(Create(rules)), TimeProvider.System, NullLogger<CloudRoutes>.Instance);
        Assert.Equal(["dear", "cheap"], ruled.Find("m", JobKind.Chat).Select(route => route.Provider.Name));
    }

    [Fact]
    public void A_model_may_have_another_name_there()
    {
        using var routes = Routes(("own", new ProviderOptions { BaseUrl = "http://127.0.0.1:1/v1", Keyless = true, Models = [new CloudModelOptions { Name = "fast-*", Theirs = "vendor/*-turbo" }] }));
        Assert.Equal("vendor/8b-turbo", Assert.Single(routes.Find("fast-8b", JobKind.Chat)).Theirs);
    }

    [Fact]
    public void A_key_comes_from_a_file_that_others_cannot_read_or_from_the_environment()
    {
        var file = Path.Combine(_directory, "openai.key");
        PrivateFile.TryCreate(file, Secret + "\n");
        Assert.Equal($"Bearer {Secret}", Sent(new ProviderOptions { KeyFile = file }));
        Environment.SetEnvironmentVariable("FEDERATION_TEST_PROVIDER_KEY", Secret);
        Assert.Equal($"Bearer {Secret}", Sent(new ProviderOptions { KeyVariable = "FEDERATION_TEST_PROVIDER_KEY" }));
        Assert.Null(ProviderKey.Of(new ProviderOptions { KeyVariable = "FEDERATION_TEST_NO_SUCH_KEY" }));

        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.OtherRead);
            Assert.Contains("chmod 600", Assert.Single(Problems("openai", new ProviderOptions { KeyFile = file })), StringComparison.Ordinal);
        }
        Assert.Contains("there is no key in", Assert.Single(Problems("openai", new ProviderOptions { KeyFile = Path.Combine(_directory, "none") })), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sk-\r\nx-evil: 1")]
    [InlineData("sk-ünïcode")]
    [InlineData("sk secret")]
    public void A_key_that_no_header_takes_is_refused_in_words_without_it(string key)
    {
        var problem = Assert.Single(Problems("openai", new ProviderOptions { Key = key }));
        Assert.DoesNotContain(key[..3], problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://api.example.com/v1", "https://")]
    [InlineData("ftp://api.example.com", "https://")]
    [InlineData("not a url", "https://")]
    [InlineData("https://user:pass@api.example.com", "no user")]
    [InlineData("https://api.example.com/v1?key=1", "no user")]
    public void A_key_goes_nowhere_in_the_clear(string url, string words)
        => Assert.Contains(words, Assert.Single(Problems("own", new ProviderOptions { BaseUrl = url, Key = Secret, Models = Own("m", 1).Models })), StringComparison.Ordinal);

    [Fact]
    public void All_that_is_wrong_is_told_at_once_and_no_secret_is()
    {
        var problems = Problems("Own:Cloud", new ProviderOptions
        {
            Key = Secret,
            KeyVariable = "X",
            LimitName = "limit",
            Models = [new CloudModelOptions { Name = "a*b*", Theirs = "*", Input = -1, Output = 0.0000001m, Capabilities = ["singing"] }, new CloudModelOptions { Name = "" }],
        });
        Assert.Equal(9, problems.Count);
        Assert.All(problems, problem => Assert.DoesNotContain(Secret, problem, StringComparison.Ordinal));
    }

    [Fact]
    public void A_key_is_never_told()
    {
        var settings = new ProviderOptions { Key = Secret };
        using var provider = new Provider("openai", settings, new CloudOptions(), TimeProvider.System);
        Assert.DoesNotContain(Secret, $"{provider} {ProviderKey.Of(settings)} {settings}", StringComparison.Ordinal);
    }

    private static string? Sent(ProviderOptions settings)
    {
        using var provider = new Provider("openai", settings, new CloudOptions(), TimeProvider.System);
        using var request = provider.Request(JobKind.Chat, new SentContent("{}"u8.ToArray()));
        Assert.Equal("https://api.openai.com/v1/chat/completions", request.RequestUri!.AbsoluteUri);
        return request.Headers.NonValidated["Authorization"].ToString();
    }

    private static ProviderOptions Own(string model, decimal credits)
        => new() { BaseUrl = "https://api.example.com/v1", Keyless = true, Models = [new CloudModelOptions { Name = model, Input = credits, Output = credits }] };

    private static List<string> Problems(string name, ProviderOptions settings)
        => [.. new CloudOptionsValidator().Validate(null, new CloudOptions { Providers = { [name] = settings } }).Failures ?? []];

    private static CloudRoutes Routes(params (string Name, ProviderOptions Settings)[] providers)
        => new(Create(new CloudOptions { Providers = providers.ToDictionary(provider => provider.Name, provider => provider.Settings) }), new PriceList(Create(new PricingOptions())), TimeProvider.System, NullLogger<CloudRoutes>.Instance);
}
