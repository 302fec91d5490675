using System.Net;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A hub with little patience, and one real agent whose engine does what a test tells it.</summary>
public sealed class FaultyEngine : IAsyncLifetime
{
    private HubProcess? _hub;
    private AgentProcess? _agent;

    internal RawEngine Engine { get; } = RawEngine.Start("faulty");

    internal HubProcess Hub => _hub ?? throw new InvalidOperationException("The hub did not start.");

    internal AgentProcess Agent => _agent ?? throw new InvalidOperationException("The agent did not start.");

    /// <summary>A hub that waits for seconds where others wait for minutes, and takes a small part of what others take.</summary>
    internal static Dictionary<string, string> Impatience() => new()
    {
        ["Gateway__FirstByteTimeout"] = "00:00:01",
        ["Gateway__SilenceTimeout"] = "00:00:01",
        ["Gateway__AnswerTimeout"] = "00:00:03",
        ["Gateway__RescuePatience"] = "00:00:00.2",
        ["Gateway__MaxAnswerBytes"] = "1000000",
        ["Gateway__MaxEventBytes"] = "100000",
    };

    public async Task InitializeAsync()
    {
        _hub = await HubProcess.StartAsync(Impatience());
        _agent = await AgentProcess.StartAsync(_hub, AgentEngines.Scripted(Engine));
    }

    public async Task DisposeAsync()
    {
        if (_agent is not null) await _agent.DisposeAsync();
        if (_hub is not null) await _hub.DisposeAsync();
        await Engine.DisposeAsync();
    }
}

/// <summary>Whatever an engine does, its client hears of it in words, in time, and neither agent nor hub is the worse for it.</summary>
public sealed class EngineFaultTests(FaultyEngine faulty, ITestOutputHelper output) : IClassFixture<FaultyEngine>, IAsyncLifetime
{
    /// <summary>What no engine may make a hub or an agent take, bytes.</summary>
    private const long PeakMax = 400L << 20;

    private readonly int _linesBefore = faulty.Hub.Process.Lines.Count;

    public static TheoryData<string, bool> AtFirst()
    {
        var data = new TheoryData<string, bool>();
        foreach (var fault in Faults.AtFirst.Keys)
        {
            data.Add(fault, true);
            data.Add(fault, false);
        }
        return data;
    }

    public static TheoryData<string> OfWhole() => [.. Faults.OfWhole.Keys];

    public static TheoryData<string> InMidStream() => [.. Faults.InMidStream.Keys];

    public Task InitializeAsync()
    {
        faulty.Hub.Process.ForgetPeak();
        faulty.Agent.Process.ForgetPeak();
        return Task.CompletedTask;
    }

    [Theory]
    [MemberData(nameof(AtFirst))]
    public Task Before_a_word_of_an_answer_the_client_hears_that_no_node_could_answer(string fault, bool stream) => ExpectNoAnswerAsync(Faults.AtFirst[fault], stream);

    [Theory]
    [MemberData(nameof(OfWhole))]
    public Task What_is_no_answer_is_not_passed_on_as_one(string fault) => ExpectNoAnswerAsync(Faults.OfWhole[fault], stream: false);

    [Theory]
    [MemberData(nameof(InMidStream))]
    public async Task In_the_middle_of_a_stream_the_client_hears_that_it_broke_off(string fault)
    {
        faulty.Engine.Answer = Faults.InMidStream[fault];
        using var client = faulty.Hub.Client();
        using var stream = await client.StreamChatAsync(faulty.Engine.Model);
        var (text, last) = await Faults.ReadAsync(stream);
        Assert.StartsWith("4", text, StringComparison.Ordinal);
        Assert.Equal("stream_interrupted", last?["error"]?["code"]?.ToString());
    }

    public async Task DisposeAsync()
    {
        faulty.Engine.Answer = RawAsked.WellAsync;
        using var client = faulty.Hub.Client();
        await Patience.UntilAsync(async () => (await client.ChatAsync(faulty.Engine.Model)).Status is HttpStatusCode.OK, "the engine to be asked again, and its answer to be passed on");
        using (var stream = await client.StreamChatAsync(faulty.Engine.Model)) Assert.Equal("42", await stream.TextAsync());
        var said = faulty.Hub.Process.Lines.Skip(_linesBefore).ToList();
        foreach (var line in said) output.WriteLine(line);
        HubProcess.AssertNoComplaints(said);
        Assert.False(faulty.Agent.Process.HasExited);
        Assert.InRange(faulty.Agent.Process.PeakBytes(), 1, PeakMax);
        Assert.InRange(faulty.Hub.Process.PeakBytes(), 1, PeakMax);
    }

    private async Task ExpectNoAnswerAsync(Func<RawAsked, Task> fault, bool stream)
    {
        faulty.Engine.Answer = fault;
        using var client = faulty.Hub.Client();
        var answer = await client.PostAsync("/v1/chat/completions", Chats.Question(faulty.Engine.Model, "17+25=", stream));
        answer.ExpectError(HttpStatusCode.BadGateway, "no_node_answered", "No node that has the model could answer");
    }
}
