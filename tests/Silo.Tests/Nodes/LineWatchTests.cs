using System.IO.Pipelines;
using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Grpc.Core;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using static Federation.Protocol.V1.HubMessage;

namespace Federation.Silo.Tests.Nodes;

public sealed class LineWatchTests
{
    private static readonly TimeSpan AskAfter = new NodeLinkOptions().PingAfter;
    private static readonly TimeSpan Patience = new NodeLinkOptions().PingTimeout;

    private readonly TestClock _clock = new();
    private readonly LineWatch _watch;

    public LineWatchTests() => _watch = new LineWatch(AskAfter, Patience, _clock);

    [Fact]
    public void A_node_that_says_no_more_in_a_lease_is_noticed_within_four_seconds_whenever_that_is()
    {
        const int seed = 20261122;
        var random = new Random(seed);
        for (var round = 0; round < 1_000; round++)
        {
            var clock = new TestClock();
            var watch = new LineWatch(AskAfter, Patience, clock);
            var heard = clock.GetTimestamp();
            // A line that speaks for a while, at times of its own.
            for (var words = random.Next(20); words > 0; words--)
            {
                clock.Advance(LineWatch.Period * random.NextDouble());
                heard = clock.GetTimestamp();
                clock.Advance(LineWatch.Period * random.NextDouble());
                Assert.Equal(LineState.Fine, watch.Look(heard, bytesAt: 0, owes: true, listens: true));
            }

            LineState state;
            do
            {
                clock.Advance(LineWatch.Period);
                state = watch.Look(heard, bytesAt: 0, owes: true, listens: true);
                if (state is LineState.Ask) watch.Asked();
            }
            while (state is not LineState.Dead);

            var took = clock.GetElapsedTime(heard);
            Assert.True(took >= AskAfter + Patience && took <= TimeSpan.FromSeconds(4), $"seed {seed}, round {round}: {took}");
        }
    }

    [Fact]
    public void A_node_that_is_slow_but_answers_is_left_alone()
    {
        var heard = _clock.GetTimestamp();
        var asked = 0;
        // It speaks only when it is asked, and takes its time.
        for (var look = 0; look < 1_000; look++)
        {
            _clock.Advance(LineWatch.Period);
            var state = _watch.Look(heard, bytesAt: 0, owes: true, listens: true);
            Assert.NotEqual(LineState.Dead, state);
            if (state is LineState.Ask)
            {
                asked++;
                _watch.Asked();
            }
            else if (asked > 0 && _clock.GetElapsedTime(heard) > AskAfter + Patience - (2 * LineWatch.Period))
            {
                heard = _clock.GetTimestamp();
            }
        }
        Assert.True(asked > 50);
    }

    [Fact]
    public void A_node_without_work_is_not_asked()
    {
        var heard = _clock.GetTimestamp();
        for (var look = 0; look < 100; look++)
        {
            _clock.Advance(LineWatch.Period);
            Assert.Equal(LineState.Fine, _watch.Look(heard, bytesAt: 0, owes: false, listens: true));
        }
    }

    [Fact]
    public void A_hub_that_stood_still_or_did_not_listen_blames_nobody()
    {
        var heard = _clock.GetTimestamp();
        Assert.Equal(LineState.Ask, LooksUntil(heard, LineState.Ask));
        _watch.Asked();
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(LineState.Fine, _watch.Look(heard, bytesAt: 0, owes: true, listens: true));
        Assert.Equal(LineState.Ask, LooksUntil(heard, LineState.Ask));
        _watch.Asked();
        for (var look = 0; look < 100; look++)
        {
            _clock.Advance(LineWatch.Period);
            Assert.Equal(LineState.Fine, _watch.Look(heard, bytesAt: 0, owes: true, listens: false));
        }
    }

    [Fact]
    public void A_question_that_waits_behind_a_long_request_is_not_held_against_the_node()
    {
        var heard = _clock.GetTimestamp();
        Assert.Equal(LineState.Ask, LooksUntil(heard, LineState.Ask));
        for (var look = 0; look < 100; look++)
        {
            _clock.Advance(LineWatch.Period);
            Assert.Equal(LineState.Fine, _watch.Look(heard, bytesAt: 0, owes: true, listens: true));
        }
        _watch.Asked();
        Assert.Equal(LineState.Dead, LooksUntil(heard, LineState.Dead));
    }

    [Fact]
    public void A_node_whose_message_takes_long_to_come_is_there_as_long_as_bytes_come()
    {
        var (heard, bytes, asked) = (_clock.GetTimestamp(), _clock.GetTimestamp(), (long?)null);
        var longest = TimeSpan.Zero;
        for (var look = 1; look <= 240; look++)
        {
            _clock.Advance(LineWatch.Period);
            // Some of a message each half second, the whole of it after half a minute.
            if (look % 2 == 0) bytes = _clock.GetTimestamp();
            if (look % 120 == 0) heard = bytes;
            var state = _watch.Look(heard, bytes, owes: true, listens: true);
            Assert.NotEqual(LineState.Dead, state);
            if (state is LineState.Ask)
            {
                if (asked is { } before && before > heard) longest = TimeSpan.FromTicks(Math.Max(longest.Ticks, _clock.GetElapsedTime(before).Ticks));
                asked = _clock.GetTimestamp();
                _watch.Asked();
            }
        }
        // The node gives its hub up when it hears nothing of it for two seconds and has no answer to a ping of its own, which waits behind the message.
        Assert.InRange(longest, AskAfter, TimeSpan.FromSeconds(1.5));

        LineState last;
        do
        {
            _clock.Advance(LineWatch.Period);
            last = _watch.Look(heard, bytes, owes: true, listens: true);
            if (last is LineState.Ask) _watch.Asked();
        }
        while (last is not LineState.Dead);
        Assert.InRange(_clock.GetElapsedTime(bytes), Patience, TimeSpan.FromSeconds(4));
    }

    [Fact]
    public async Task Bytes_of_half_a_message_are_heard_and_pings_of_the_transport_are_not()
    {
        var pipe = new Pipe();
        await using var connection = new DefaultConnectionContext("a", new Ends(pipe.Reader, pipe.Writer), new Ends(pipe.Reader, pipe.Writer));
        HeardBytes.Attach(connection, _clock);
        var heard = connection.Features.Get<HeardBytes>()!;
        var input = connection.Transport.Input;

        // Half of a frame, then a little more of it.
        foreach (var bytes in new[] { 1_448, 10 })
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            var reading = input.ReadAsync();
            await pipe.Writer.WriteAsync(new byte[bytes]);
            var read = await reading;
            Assert.Equal(_clock.GetTimestamp(), heard.At);
            input.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
        input.AdvanceTo((await ReadAsync(1)).Buffer.End);

        // What an agent's HTTP/2 says by itself.
        var last = heard.At;
        for (var ping = 0; ping < 10; ping++)
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            input.AdvanceTo((await ReadAsync(17)).Buffer.End);
        }
        Assert.Equal(last, heard.At);

        async Task<ReadResult> ReadAsync(int bytes)
        {
            await pipe.Writer.WriteAsync(new byte[bytes]);
            return await input.ReadAsync();
        }
    }

    [Theory]
    [InlineData(3, 3, true)]
    [InlineData(8, 8, true)]
    [InlineData(5, 3, true)]
    [InlineData(6, 3, false)]
    [InlineData(5, 2, false)]
    [InlineData(2, 2, false)]
    [InlineData(1, 1, false)]
    public async Task A_hub_that_most_of_its_nodes_are_silent_to_at_once_is_cut_off_itself_and_blames_none(int working, int silent, bool isTheHubs)
    {
        const int seed = 20261122;
        var random = new Random(seed + (working * 10) + silent);
        for (var round = 0; round < 5; round++)
        {
            var clock = new TestClock();
            var sessions = new NodeSessions(Options.Create(new NodeLinkOptions()));
            var watcher = new LineWatcher(sessions, Options.Create(new NodeLinkOptions()), clock, NullLogger<LineWatcher>.Instance);
            var nodes = Enumerable.Range(0, working).Select(number => new ScriptedSession($"n{number}", clock: clock)).ToList();
            var idle = new ScriptedSession("idle", clock: clock).Start();
            var leases = nodes.Select(node => node.Assign()).ToList();
            foreach (var node in nodes) Assert.True(sessions.TryAdd(node.Start().Session));
            Assert.True(sessions.TryAdd(idle.Session));

            // Each has something to say once a second, until some are not heard any more.
            for (var look = random.Next(4, 12); look > 0; look--) await LookAsync(nodes.Where((_, number) => (look + number) % 4 == 0));
            for (var look = 0; look < 20; look++) await LookAsync(nodes.Skip(silent));

            var ends = leases.Take(silent).Select(lease => lease.Events.TryRead(out var last) ? last : null).ToList();
            Assert.All(ends, end => Assert.Equal(isTheHubs ? LeaseFailure.HubLost : LeaseFailure.NodeLost, Assert.IsType<LeaseEvent.Failed>(end).Reason));
            Assert.All(leases.Skip(silent), lease => Assert.False(lease.Events.TryRead(out _)));
            Assert.All(nodes.Skip(silent).Append(idle), node => Assert.False(node.Session.Ended.IsCancellationRequested));
            foreach (var node in nodes.Append(idle)) await node.DisposeAsync();

            async Task LookAsync(IEnumerable<ScriptedSession> speaking)
            {
                foreach (var node in speaking.ToList()) await node.HeardAsync();
                clock.Advance(LineWatch.Period);
                await watcher.LookAsync(CancellationToken.None);
                foreach (var node in nodes)
                {
                    if (node.Session.Ended.IsCancellationRequested)
                    {
                        await Eventually.TrueAsync(() => node.Session.RunningLeases == 0, "the leases of a line that was given up to end");
                        sessions.Remove(node.Session);
                        continue;
                    }
                    // What is written before it is written when it is.
                    await node.Session.Pull("any", "model");
                    await node.NextAsync(MessageOneofCase.PullModel);
                }
            }
        }
    }

    [Fact]
    public async Task A_node_that_falls_silent_while_others_are_in_the_middle_of_long_messages_is_blamed()
    {
        var sessions = new NodeSessions(Options.Create(new NodeLinkOptions()));
        var watcher = new LineWatcher(sessions, Options.Create(new NodeLinkOptions()), _clock, NullLogger<LineWatcher>.Instance);
        List<Func<Task>> senders = [];
        List<ScriptedSession> nodes = [];
        for (var number = 0; number < 3; number++)
        {
            var pipe = new Pipe();
            var connection = new DefaultConnectionContext($"n{number}", new Ends(pipe.Reader, pipe.Writer), new Ends(pipe.Reader, pipe.Writer));
            HeardBytes.Attach(connection, _clock);
            nodes.Add(new ScriptedSession($"n{number}", clock: _clock, bytes: connection.Features.Get<HeardBytes>()));
            senders.Add(async () =>
            {
                await pipe.Writer.WriteAsync(new byte[1_448]);
                connection.Transport.Input.AdvanceTo((await connection.Transport.Input.ReadAsync()).Buffer.End);
            });
        }
        var leases = nodes.Select(node => node.Assign()).ToList();
        foreach (var node in nodes) Assert.True(sessions.TryAdd(node.Start().Session));
        await nodes[0].HeardAsync();

        // No message of any ends, and bytes come of all but one.
        for (var look = 0; look < 20; look++)
        {
            foreach (var send in senders.Skip(1)) await send();
            _clock.Advance(LineWatch.Period);
            await watcher.LookAsync(CancellationToken.None);
            foreach (var node in nodes.Where(node => !node.Session.Ended.IsCancellationRequested))
            {
                // What is written before it is written when it is.
                await node.Session.Pull("any", "model");
                await node.NextAsync(MessageOneofCase.PullModel);
            }
        }

        Assert.Equal(LeaseFailure.NodeLost, Assert.IsType<LeaseEvent.Failed>(await leases[0].Events.ReadAsync().AsTask().WithinPatienceAsync()).Reason);
        Assert.All(nodes.Skip(1), node => Assert.False(node.Session.Ended.IsCancellationRequested));
        foreach (var node in nodes) await node.DisposeAsync();
    }

    [Fact]
    public void Whoever_falls_silent_after_the_hub_was_cut_off_is_blamed_again()
    {
        var silence = new CommonSilence(new NodeLinkOptions(), _clock);
        var before = _clock.GetTimestamp();
        _clock.Advance(TimeSpan.FromSeconds(3));
        silence.Judge([before, before, before, _clock.GetTimestamp()]);
        Assert.True(silence.Covers(before));

        var after = _clock.GetTimestamp();
        _clock.Advance(TimeSpan.FromSeconds(3));
        silence.Judge([before, after, _clock.GetTimestamp(), _clock.GetTimestamp()]);
        Assert.True(silence.Covers(before));
        Assert.False(silence.Covers(after));
    }

    [Fact]
    public async Task A_node_that_does_not_answer_loses_its_leases()
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign();
        node.Start();

        Assert.Equal(0u, await AskedAsync(node));
        Look(node, Patience + LineWatch.Period);

        Assert.Equal(LeaseFailure.NodeLost, Assert.IsType<LeaseEvent.Failed>(await lease.Events.ReadAsync().AsTask().WithinPatienceAsync()).Reason);
        var end = await node.EndAsync();
        Assert.Equal((StatusCode.DeadlineExceeded, "no answer to a ping for 2.5 s"), (end.StatusCode, end.Detail));
    }

    [Fact]
    public async Task A_node_that_answers_keeps_them_and_no_challenge_hears_of_it()
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign();
        node.Start();
        for (var asked = 0; asked < 20; asked++)
        {
            node.Say(new NodeMessage { Pong = new Pong { Number = await AskedAsync(node) } });
            await node.HeardAsync();
        }

        Assert.False(node.Session.Ended.IsCancellationRequested);
        Assert.Equal(1, node.Session.RunningLeases);
        Assert.False(lease.Events.TryRead(out _));
        Assert.False(node.Session.Checks.TryRead(out _));
    }

    /// <summary>Lets a node be silent until it is asked; the number of the question, once it is written.</summary>
    private static async Task<uint> AskedAsync(ScriptedSession node)
    {
        Look(node, AskAfter + LineWatch.Period);
        // What is written after it has come when it is.
        await node.Session.Pull("any", "model");
        var number = (await node.NextAsync(MessageOneofCase.Ping)).Ping.Number;
        await node.NextAsync(MessageOneofCase.PullModel);
        return number;
    }

    private static void Look(ScriptedSession node, TimeSpan during)
    {
        for (var past = TimeSpan.Zero; past < during; past += LineWatch.Period)
        {
            node.Clock.Advance(LineWatch.Period);
            if (node.Session.Look() is LineState.Dead) node.Session.GiveUp(withMany: false);
        }
    }

    private LineState LooksUntil(long heard, LineState awaited)
    {
        var state = LineState.Fine;
        for (var look = 0; look < 100 && state != awaited; look++)
        {
            _clock.Advance(LineWatch.Period);
            state = _watch.Look(heard, bytesAt: 0, owes: true, listens: true);
        }
        return state;
    }

    private sealed record Ends(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
