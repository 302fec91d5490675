using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Microsoft.Data.Sqlite;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Nodes die in the middle of their answers, in every way that nodes do, and the clients' streams go on.</summary>
public sealed class RescueTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private const string Shared = "shared-model";
    private const string Question = "count to 40";
    private const int StreamsPerDeath = 3;

    private static readonly int Deaths = Environment.GetEnvironmentVariable("FEDERATION_TESTS_FULL") == "1" ? 100 : 8;

    [Fact]
    public async Task Whenever_a_node_is_killed_its_clients_read_what_they_would_have_read()
    {
        const int seed = 20261121;
        var random = new Random(seed);
        var hub = await StartHubAsync();
        // Fast enough for a test, slow enough to be killed in the middle of.
        var engine = Keep(await ModelEngine.StartAsync(TimeSpan.FromMilliseconds(8)));
        var agents = new List<AgentProcess> { await StartAgentAsync(hub, AgentEngines.Scripted(engine, 8)), await StartAgentAsync(hub, AgentEngines.Scripted(engine, 8)) };
        using var client = hub.Client();
        var reference = (await client.ChatAsync(AgentProcess.Model, Question)).Content;
        var rescued = 0;
        for (var death = 0; death < Deaths; death++)
        {
            var next = StartAgentAsync(hub, AgentEngines.Scripted(engine, 8));
            var streams = await Task.WhenAll(Enumerable.Range(0, StreamsPerDeath).Select(_ => client.StreamChatAsync(AgentProcess.Model, Question)));
            var reading = streams.Select(stream => new ReadStream(stream)).ToArray();
            await Task.Delay(random.Next(0, 700));
            // A node of one of the streams, so that there is something to rescue.
            var doomed = agents.SingleOrDefault(agent => agent.NodeId == streams[0].Node) ?? agents[0];
            var under = streams.Zip(reading).Count(stream => stream.First.Node == doomed.NodeId && !stream.Second.Ended.IsCompleted);
            await doomed.Process.KillAsync();
            agents.Remove(doomed);
            foreach (var read in reading)
            {
                await read.Ended;
                Assert.True(reference == read.Text, $"After death {death} of seed {seed} a client read\n{read.Text}\nand not\n{reference}");
                Assert.Single(read.Names);
            }
            foreach (var stream in streams) stream.Dispose();
            rescued += under;
            agents.Add(await next);
        }
        Assert.True(rescued >= Deaths / 2, $"Only {rescued} streams were under way when their node was killed.");
        Assert.Equal(0L, await ScalarAsync(hub, "SELECT COALESCE(SUM(credits_posted - debits_posted), 0) FROM ledger_accounts"));
        // Each stretch is on record; of each killed one too, though nobody is left to sign for it.
        Assert.True(await ScalarAsync(hub, "SELECT COUNT(*) FROM receipts WHERE job_id LIKE '%~2'") >= rescued / 2);
        Assert.Equal(0L, await ScalarAsync(hub, "SELECT COUNT(*) FROM jobs j WHERE j.id LIKE '%~2' AND NOT EXISTS (SELECT 1 FROM jobs f WHERE j.id = f.id || '~2' AND f.status = 'failed')"));
        Note($"{rescued} of {Deaths * StreamsPerDeath} streams were rescued.");
    }

    [Fact]
    public async Task A_node_that_stands_still_is_noticed_within_seconds_and_its_stream_goes_on()
    {
        var hub = await StartHubAsync();
        var (one, two) = (await StartEngineAsync(Shared), await StartEngineAsync(Shared));
        AgentProcess[] agents = [await StartAgentAsync(hub, AgentEngines.Scripted(one, Shared)), await StartAgentAsync(hub, AgentEngines.Scripted(two, Shared))];
        using var client = hub.Client();
        var (stream, first, other) = await BeginAsync(client, one, two, "so far");
        using (stream)
        {
            var reading = stream.TextAsync();
            var doomed = agents.Single(agent => agent.NodeId == stream.Node);
            var clock = Stopwatch.StartNew();
            doomed.Process.Suspend();
            var rest = await other.NextAsync();
            var noticed = clock.Elapsed;
            doomed.Process.Resume();
            await rest.WriteAsync(" and on");
            await rest.EndAsync();
            Assert.Equal("so far and on", await reading);
            await first.GoneAsync();
            // Four by the settings, and what a busy machine takes.
            Assert.True(noticed < TimeSpan.FromSeconds(5), $"It took {noticed}.");
            Note($"Noticed after {noticed.TotalSeconds:0.0} s.");
        }
    }

    public static TheoryData<string> Crashes() => ["its connection breaks", "it breaks off in half a character", "it breaks off in half an event", "it floods", "it stalls"];

    [Theory]
    [MemberData(nameof(Crashes))]
    public async Task An_engine_that_fails_is_replaced_and_both_nodes_sign_for_what_they_delivered(string how)
    {
        var hub = await StartHubAsync(new Dictionary<string, string> { ["Gateway__MaxEventBytes"] = "4096", ["Gateway__SilenceTimeout"] = "00:00:02" });
        var (one, two) = (await StartEngineAsync(Shared), await StartEngineAsync(Shared));
        await StartAgentAsync(hub, AgentEngines.Scripted(one, Shared));
        await StartAgentAsync(hub, AgentEngines.Scripted(two, Shared));
        using var client = hub.Client();
        var (stream, first, other) = await BeginAsync(client, one, two, "so ");
        using (stream)
        {
            var reading = new ReadStream(stream);
            await first.WriteAsync("far");
            // What was written reaches the agent before what breaks it: on one connection, in order.
            if (how == "it breaks off in half a character") await first.WriteAsync([.. Chats.Piece("é").TakeWhile(value => value != 0xA9 && value != (byte)'u')]);
            else if (how == "it breaks off in half an event") await first.WriteAsync(Chats.Piece(" lost")[..30]);
            else if (how == "it floods") await first.WriteAsync([.. "data: \""u8, .. Enumerable.Repeat((byte)'x', 6_000)]);
            if (how is not ("it stalls" or "it floods"))
            {
                await Patience.UntilAsync(() => Task.FromResult(reading.Text == "so far"), "the client to have what was said");
                first.Crash();
            }
            var rest = await other.NextAsync();
            var last = rest.Request["messages"]!.AsArray().Last()!;
            Assert.Equal(("assistant", "so far", true), (last["role"]!.ToString(), last["content"]!.ToString(), rest.Request["continue_final_message"]!.GetValue<bool>()));
            await rest.WriteAsync(" and on");
            await rest.EndAsync();
            await reading.Ended;
            Assert.Equal("so far and on", reading.Text);
        }
        await Patience.UntilAsync(async () => await ScalarAsync(hub, "SELECT COUNT(*) FROM receipts WHERE state = 'issued'") == 2, "both receipts to be signed");
        Assert.Equal(2L, await ScalarAsync(hub, "SELECT COUNT(DISTINCT node_id) FROM receipts"));
        Assert.Equal(3L, await ScalarAsync(hub, "SELECT SUM(completion_tokens) FROM jobs"));
        Assert.Equal(0L, await ScalarAsync(hub, "SELECT COALESCE(SUM(credits_posted - debits_posted), 0) FROM ledger_accounts"));
    }

    /// <summary>Has one of two engines asked, which begins with these words.</summary>
    private static async Task<(ChatStream Stream, ScriptedAnswer First, ScriptedEngine Other)> BeginAsync(HubClient client, ScriptedEngine one, ScriptedEngine two, string words)
    {
        var asking = client.StreamChatAsync(Shared);
        var (askedOne, askedTwo) = (one.NextAsync(), two.NextAsync());
        var first = await Task.WhenAny(askedOne, askedTwo);
        // Whoever waits for the other engine's next request has it.
        var other = first == askedOne ? two : one;
        other.Expect(first == askedOne ? askedTwo : askedOne);
        var answer = await first;
        await answer.WriteAsync(words);
        return (await asking, answer, other);
    }

    private static async Task<long> ScalarAsync(HubProcess hub, string sql)
    {
        SQLitePCL.Batteries_V2.Init();
        await using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = Path.Combine(hub.Data, "hub.db"), Mode = SqliteOpenMode.ReadOnly, Pooling = false }.ToString());
        await connection.OpenAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        return (long)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>A client that reads a stream to its end.</summary>
    private sealed class ReadStream
    {
        private readonly StringBuilder _text = new();

        public ReadStream(ChatStream stream) => Ended = ReadAsync(stream);

        /// <summary>Fails unless the end is as it should be: one reason, one mark, and nothing behind it.</summary>
        public Task Ended { get; }

        /// <summary>What came so far.</summary>
        public string Text
        {
            get
            {
                lock (_text) return _text.ToString();
            }
        }

        /// <summary>Ids and times of the chunks: to a client it is one answer.</summary>
        public HashSet<string> Names { get; } = [];

        private async Task ReadAsync(ChatStream stream)
        {
            var (reasons, marks) = (0, 0);
            await foreach (var data in stream.EventsAsync())
            {
                Assert.Equal(0, marks);
                if (data == "[DONE]")
                {
                    marks++;
                    continue;
                }
                var json = JsonNode.Parse(data)!;
                Names.Add($"{json["id"]} {json["created"]} {json["model"]}");
                if (json["choices"]!.AsArray().FirstOrDefault()?["finish_reason"] is not null) reasons++;
                lock (_text) _text.Append(Chats.Delta(data));
            }
            Assert.Equal((1, 1), (reasons, marks));
        }
    }
}
