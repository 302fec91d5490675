using Federation.Contracts.Accounts;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hosting;
using Federation.Silo.Hubs;
using Federation.Silo.Storage;
using Federation.Silo.Verification;
using Microsoft.Extensions.Configuration;

namespace Federation.Silo.Tests.Hosting;

public sealed class SettingsTests
{
    private static readonly SettingsSection[] Sections =
    [
        SettingsSection.Of<StorageOptions, StorageOptionsValidator>(StorageOptions.SectionName),
        SettingsSection.Of<HubOptions, HubOptionsValidator>(HubOptions.SectionName),
        SettingsSection.Of<GatewayOptions, GatewayOptionsValidator>(GatewayOptions.SectionName),
        SettingsSection.Of<HardwareClassOptions, HardwareClassOptionsValidator>(HardwareClassOptions.SectionName),
        SettingsSection.Of<TierOptions, TierOptionsValidator>(TierOptions.SectionName),
        SettingsSection.Of<ClusteringOptions, ClusteringOptionsValidator>(ClusteringOptions.SectionName),
    ];

    [Fact]
    public void The_defaults_are_good() => Assert.Empty(Problems());

    [Fact]
    public void A_list_that_is_set_takes_the_place_of_its_default_and_one_that_is_not_stays()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection([new("HardwareClasses:Classes:0:Name", "ours")]).Build();
        var (set, unset) = (new HardwareClassOptions(), new HardwareClassOptions());
        Settings.Bind(configuration.GetSection("HardwareClasses"), set);
        Settings.Bind(configuration.GetSection("Elsewhere"), unset);
        Assert.Equal(["ours"], set.Classes.Select(hardwareClass => hardwareClass.Name));
        Assert.NotEmpty(unset.Classes);
    }

    [Fact]
    public void A_models_size_is_set_by_a_name_or_digest_that_has_colons()
    {
        Assert.Empty(Problems(("HardwareClasses:ModelBytes:qwen3:0.6b", "500000000"), ("HardwareClasses:ModelBytes:sha256:0a", "7"), ("HardwareClasses:ModelBytes:plain", "3")));
        var options = new HardwareClassOptions();
        Settings.Bind(
            new ConfigurationBuilder().AddInMemoryCollection([new("H:ModelBytes:qwen3:0.6b", "500000000"), new("H:ModelBytes:sha256:0a", "7"), new("H:ModelBytes:plain", "3")]).Build().GetSection("H"),
            options);
        Assert.Equal([("plain", 3L), ("qwen3:0.6b", 500_000_000L), ("sha256:0a", 7L)], options.ModelBytes.Select(entry => (entry.Key, entry.Value)).Order());
        Assert.Equal(["HardwareClasses:ModelBytes: 'much' of qwen3:0.6b is not a whole number."], Problems(("HardwareClasses:ModelBytes:qwen3:0.6b", "much")));
    }

    [Fact]
    public void What_a_tier_gets_is_set_a_tier_at_a_time_and_the_others_keep_theirs()
    {
        Assert.Empty(Problems(("Tiers:RequestsPerMinute:pro", "7"), ("Tiers:Models:Free:0", "llama*"), ("Tiers:Models:Free:1", "qwen*")));
        var tiers = new TierOptions();
        Settings.Bind(new ConfigurationBuilder().AddInMemoryCollection([new("T:RequestsPerMinute:pro", "7"), new("T:Models:Free:0", "llama*"), new("T:Models:Free:1", "qwen*")]).Build().GetSection("T"), tiers);
        Assert.Equal([20, 600, 7, 3_000, 0], Enum.GetValues<Tier>().Select(tier => tiers.RequestsPerMinute[tier]));
        Assert.Equal(["llama*", "qwen*"], tiers.Models[Tier.Free]);
        Assert.Empty(tiers.Models[Tier.Pro]);
    }

    [Fact]
    public void A_tier_that_is_none_and_a_value_without_a_tier_are_named()
        => Assert.Equal(
            ["Tiers:ConcurrentStreams: give a value for each of those it is for: Free, Contributor, Pro, Unlimited, Enterprise.", "Tiers:Weights:Gold is not a setting; there are: Free, Contributor, Pro, Unlimited, Enterprise."],
            Problems(("Tiers:Weights:Gold", "3"), ("Tiers:ConcurrentStreams", "5")).Order(StringComparer.Ordinal));

    [Fact]
    public void Good_values_are_good()
        => Assert.Empty(Problems(
            ("Hub:DrainTimeout", "00:00:05"), ("hub:name", "Ours"), ("Hub:PublicUrl", "https://hub.example.org"), ("Hub:Urls:0", "https://a.example.org"), ("Gateway:MaxNodes", "7"), ("Clustering:Address", "10.0.0.1")));

    [Fact]
    public void Values_that_cannot_be_read_are_all_named()
    {
        var problems = Problems(("Hub:DrainTimeout", "abc"), ("Hub:ModelMemory", "soon"), ("Gateway:MaxNodes", "many"));
        Assert.Equal(3, problems.Count);
        Assert.Equal("Hub:DrainTimeout: 'abc' is not a duration; write hours:minutes:seconds, such as 00:00:30.", problems[0]);
        Assert.StartsWith("Hub:ModelMemory: 'soon'", problems[1], StringComparison.Ordinal);
        Assert.StartsWith("Gateway:MaxNodes: ", problems[2], StringComparison.Ordinal);
        Assert.Contains("'many'", problems[2], StringComparison.Ordinal);
    }

    [Fact]
    public void Values_out_of_bounds_are_named_as_they_are_set()
        => Assert.Equal(
            ["Gateway:MaxBodyBytes must be between 1024 and 1073741824.", "Gateway:MaxNodes must be between 1 and 100.", "Clustering:SiloPort must be between 1 and 65535."],
            Problems(("Gateway:MaxBodyBytes", "-1"), ("Gateway:MaxNodes", "0"), ("Clustering:SiloPort", "99999")));

    [Theory]
    [InlineData("Hub:PublicUrl", "hub.example.org")]
    [InlineData("Hub:NodeLinkUrl", "ftp://hub.example.org")]
    [InlineData("Hub:Urls:0", "foo")]
    [InlineData("Clustering:Address", "silo-a")]
    public void What_is_no_URL_or_address_is_named(string name, string value)
    {
        var problem = Assert.Single(Problems((name, value)));
        Assert.StartsWith($"{name}: '{value}' is not a", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_that_no_setting_has_is_refused_with_those_there_are()
    {
        var problem = Assert.Single(Problems(("Hub:Nmae", "Ours")));
        Assert.StartsWith("Hub:Nmae is not a setting; there are: ", problem, StringComparison.Ordinal);
        Assert.Contains(" Name,", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_section_that_nobody_reads_is_refused_with_those_there_are_and_the_frameworks_are_not()
    {
        var file = new ConfigurationBuilder().AddInMemoryCollection(
            [new("Hubb:Name", "Ours"), new("DrainTimeout", "00:00:05"), new("hub:Name", "Ours"), new("Storage:Postgres", "Host=db"), new("Logging:LogLevel:Default", "Debug"), new("AllowedHosts", "*"), new("Kestrel:Limits:x", "1"), new("urls", "http://*:80")]).Build();
        Assert.Equal(
            ["DrainTimeout is not a section of settings; there are: Clustering, Gateway, HardwareClasses, Hub, Storage, Tiers.", "Hubb is not a section of settings; there are: Clustering, Gateway, HardwareClasses, Hub, Storage, Tiers."],
            Settings.UnknownSections(Sections, file).Order(StringComparer.Ordinal));
    }

    private static List<string> Problems(params (string Name, string Value)[] settings)
        => [.. Settings.Problems(Sections, new ConfigurationBuilder().AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Name, (string?)setting.Value))).Build())];
}
