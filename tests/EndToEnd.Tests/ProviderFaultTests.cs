using System.Net;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A hub with little patience that sells the answers of a cloud which does what a test tells it, and of one that answers.</summary>
public sealed class FaultyCloud : IAsyncLifetime
{
    /// <summary>A model that the faulty provider alone has, and one that both have.</summary>
    public const string Alone = "alone";

    /// <inheritdoc cref="Alone"/>
    public const string Both = "both";

    /// <summary>More than all tests together can come to.</summary>
    public const long Credits = 1_000_000;

    private readonly RawEngine _other = RawEngine.Start(Both);
    private HubProcess? _hub;

    internal RawEngine Cloud { get; } = RawEngine.Start(Alone);

    internal HubProcess Hub => _hub ?? throw new InvalidOperationException("The hub did not start.");

    internal string Key { get; private set; } = string.Empty;

    public async Task InitializeAsync()
    {
        var settings = FaultyEngine.Impatience().Concat(PaidCloud.Provider("faulty", Cloud.Url, Alone, Both)).Concat(PaidCloud.Provider("other", _other.Url, Both)).ToDictionary();
        settings["Cloud__Providers__faulty__Priority"] = "1";
        settings["Cloud__FirstByteTimeout"] = "00:00:01";
        settings["Cloud__SilenceTimeout"] = "00:00:01";
        // One that fails all the time would not be asked again.
        settings["Cloud__BreakAfter"] = "1000";
        settings["Cloud__RetryReserve"] = "1000";
        _hub = await HubProcess.StartAsync(settings);
        Key = await PaidCloud.RichAsync(_hub, Credits);
    }

    public async Task DisposeAsync()
    {
        if (_hub is not null) await _hub.DisposeAsync();
        await Cloud.DisposeAsync();
        await _other.DisposeAsync();
    }
}

/// <summary>Whatever a cloud does, its client hears of it in words, in time, and pays for what came and nothing else.</summary>
public sealed class ProviderFaultTests(FaultyCloud faulty, ITestOutputHelper output) : IClassFixture<FaultyCloud>, IAsyncLifetime
{
    private const long PeakMax = 400L << 20;

    private readonly HubClient _client = faulty.Hub.Client(faulty.Key);
    private readonly int _linesBefore = faulty.Hub.Process.Lines.Count;
    private long _before;

    public static TheoryData<string> AtFirst() => [.. Faults.AtFirst.Keys];

    public static TheoryData<string> OfWhole() => [.. Faults.AtFirst.Keys.Concat(Faults.OfWhole.Keys)];

    public static TheoryData<string> InMidStream() => [.. Faults.InMidStream.Keys];

    public async Task InitializeAsync()
    {
        faulty.Hub.Process.ForgetPeak();
        (_before, _) = await PaidCloud.BalanceAsync(_client);
    }

    [Theory]
    [MemberData(nameof(AtFirst))]
    public async Task Before_a_word_of_a_stream_the_client_hears_that_no_provider_could_answer_and_pays_nothing(string fault)
    {
        faulty.Cloud.Answer = Faults.AtFirst[fault];
        (await _client.PostAsync("/v1/chat/completions", Chats.Question(FaultyCloud.Alone, "17+25=", stream: true))).ExpectError(HttpStatusCode.BadGateway, "no_provider_answered", "No provider of the model could answer");
        Assert.Equal((_before, 0), await PaidCloud.BalanceAsync(_client));
    }

    [Theory]
    [MemberData(nameof(AtFirst))]
    public async Task Before_a_word_of_a_stream_the_next_provider_takes_over(string fault)
    {
        faulty.Cloud.Answer = Faults.AtFirst[fault];
        using (var stream = await _client.StreamChatAsync(FaultyCloud.Both))
        {
            Assert.Equal("42", await stream.TextAsync());
            Assert.Equal(("cloud:other", 2), (stream.Header("x-federation-route"), stream.Attempts));
        }
        var (available, held) = await PaidCloud.BalanceAsync(_client);
        Assert.Equal(0, held);
        Assert.InRange(_before - available, PaidCloud.PerToken, 100 * PaidCloud.PerToken);
    }

    [Theory]
    [MemberData(nameof(OfWhole))]
    public async Task What_is_no_answer_is_not_passed_on_as_one_and_costs_nothing(string fault)
    {
        faulty.Cloud.Answer = Faults.AtFirst.GetValueOrDefault(fault) ?? Faults.OfWhole[fault];
        var answer = await _client.ChatAsync(FaultyCloud.Alone);
        // Of a whole answer nobody can tell for how long it is only being made.
        if (fault.StartsWith("it stalls", StringComparison.Ordinal)) answer.ExpectError(HttpStatusCode.GatewayTimeout, "answer_timeout", "The answer took too long");
        else answer.ExpectError(HttpStatusCode.BadGateway, "no_provider_answered", "No provider of the model could answer");
        Assert.Equal((_before, 0), await PaidCloud.BalanceAsync(_client));
    }

    [Theory]
    [MemberData(nameof(InMidStream))]
    public async Task In_the_middle_of_a_stream_the_client_hears_that_it_broke_off_and_pays_for_what_came(string fault)
    {
        faulty.Cloud.Answer = Faults.InMidStream[fault];
        string text;
        using (var stream = await _client.StreamChatAsync(FaultyCloud.Alone))
        {
            (text, var last) = await Faults.ReadAsync(stream);
            Assert.StartsWith("4", text, StringComparison.Ordinal);
            Assert.Equal("stream_interrupted", last?["error"]?["code"]?.ToString());
        }
        await Patience.UntilAsync(async () => (await PaidCloud.BalanceAsync(_client)).Held == 0, "the hold to end");
        var (available, _) = await PaidCloud.BalanceAsync(_client);
        // A character a token, and never more than was held.
        Assert.InRange(_before - available, 1, text.Length * PaidCloud.PerToken);
    }

    public async Task DisposeAsync()
    {
        faulty.Cloud.Answer = RawAsked.WellAsync;
        Assert.Equal("42", (await _client.ChatAsync(FaultyCloud.Alone)).Content);
        var (available, held) = await PaidCloud.BalanceAsync(_client);
        Assert.Equal(0, held);
        Assert.Equal((FaultyCloud.Credits * 1_000_000) - available, await PaidCloud.NumberAsync(faulty.Hub, "SELECT SUM(credits_posted) FROM ledger_accounts WHERE id LIKE 'provider:%'"));
        Assert.Equal(0, await PaidCloud.NumberAsync(faulty.Hub, "SELECT SUM(credits_posted - debits_posted) FROM ledger_accounts"));
        _client.Dispose();
        var said = faulty.Hub.Process.Lines.Skip(_linesBefore).ToList();
        foreach (var line in said) output.WriteLine(line);
        HubProcess.AssertNoComplaints(said);
        Assert.InRange(faulty.Hub.Process.PeakBytes(), 1, PeakMax);
    }
}
