using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Grpc.Core;
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
                Assert.Equal(LineState.Fine, watch.Look(heard, owes: true, listens: true));
            }

            LineState state;
            do
            {
                clock.Advance(LineWatch.Period);
                state = watch.Look(heard, owes: true, listens: true);
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
            var state = _watch.Look(heard, owes: true, listens: true);
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
            Assert.Equal(LineState.Fine, _watch.Look(heard, owes: false, listens: true));
        }
    }

    [Fact]
    public void A_hub_that_stood_still_or_did_not_listen_blames_nobody()
    {
        var heard = _clock.GetTimestamp();
        Assert.Equal(LineState.Ask, LooksUntil(heard, LineState.Ask));
        _watch.Asked();
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(LineState.Fine, _watch.Look(heard, owes: true, listens: true));
        Assert.Equal(LineState.Ask, LooksUntil(heard, LineState.Ask));
        _watch.Asked();
        for (var look = 0; look < 100; look++)
        {
            _clock.Advance(LineWatch.Period);
            Assert.Equal(LineState.Fine, _watch.Look(heard, owes: true, listens: false));
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
            Assert.Equal(LineState.Fine, _watch.Look(heard, owes: true, listens: true));
        }
        _watch.Asked();
        Assert.Equal(LineState.Dead, LooksUntil(heard, LineState.Dead));
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
            node.Session.Watch();
        }
    }

    private LineState LooksUntil(long heard, LineState awaited)
    {
        var state = LineState.Fine;
        for (var look = 0; look < 100 && state != awaited; look++)
        {
            _clock.Advance(LineWatch.Period);
            state = _watch.Look(heard, owes: true, listens: true);
        }
        return state;
    }
}
