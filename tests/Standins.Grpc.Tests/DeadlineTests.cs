using Federation.Standins.Grpc.Tests.V1;
using Grpc.Core;

namespace Federation.Standins.Grpc.Tests;

public sealed class DeadlineTests
{
    [Fact]
    public async Task An_expired_unary_call_fails_at_the_client_and_is_cancelled_at_the_server()
    {
        var (started, cancelled) = (new Signal(), new Signal());
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = async (_, context) =>
            {
                started.Set();
                await cancelled.SetWhenCancelledAsync(context.CancellationToken);
                return new Answer();
            },
        });
        using var channel = server.Channel();

        foreach (var deadline in DeadlinesUntil(started))
        {
            var expired = await new Probe.ProbeClient(channel).UnaryAsync(new Ask(), deadline: deadline).ResponseAsync.RefusalAsync();
            Assert.Equal(StatusCode.DeadlineExceeded, expired.StatusCode);
        }

        await cancelled.Happened;
    }

    [Fact]
    public async Task An_expired_duplex_call_fails_reads_and_writes()
    {
        var (started, cancelled) = (new Signal(), new Signal());
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Chat = (_, _, context) =>
            {
                started.Set();
                return cancelled.SetWhenCancelledAsync(context.CancellationToken);
            },
        });
        using var channel = server.Channel();

        foreach (var deadline in DeadlinesUntil(started))
        {
            using var call = new Probe.ProbeClient(channel).Chat(deadline: deadline);
            var reading = await call.ResponseStream.MoveNext().RefusalAsync();
            var writing = await call.RequestStream.WriteAsync(new Ask()).RefusalAsync();

            Assert.Equal(StatusCode.DeadlineExceeded, reading.StatusCode);
            Assert.Equal(StatusCode.DeadlineExceeded, writing.StatusCode);
            Assert.Equal(StatusCode.DeadlineExceeded, call.GetStatus().StatusCode);
        }

        await cancelled.Happened;
    }

    [Fact]
    public async Task A_deadline_in_the_past_fails_without_calling()
    {
        var calls = 0;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, _) =>
            {
                Interlocked.Increment(ref calls);
                return Task.FromResult(new Answer());
            },
        });
        using var channel = server.Channel();

        var expired = await new Probe.ProbeClient(channel).UnaryAsync(new Ask(), deadline: DateTime.UtcNow.AddSeconds(-1))
            .ResponseAsync.RefusalAsync();

        Assert.Equal(StatusCode.DeadlineExceeded, expired.StatusCode);
        Assert.Equal(0, calls);
    }

    [Fact]
    public async Task A_deadline_must_be_UTC()
    {
        await using var server = await ProbeServer.StartAsync(new Script());
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        var local = new DateTime(2100, 1, 1, 0, 0, 0, DateTimeKind.Local);

        Assert.Throws<InvalidOperationException>(() => client.UnaryAsync(new Ask(), deadline: local));
    }

    [Fact]
    public async Task The_handler_knows_the_deadline()
    {
        DateTime seen = default;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, context) =>
            {
                seen = context.Deadline;
                return Task.FromResult(new Answer());
            },
        });
        using var channel = server.Channel();
        var deadline = DateTime.UtcNow.AddHours(3);

        await new Probe.ProbeClient(channel).UnaryAsync(new Ask(), deadline: deadline).ResponseAsync.Soon();

        Assert.InRange(seen, deadline.AddMinutes(-2), deadline.AddMinutes(2));
    }

    [Fact]
    public async Task A_deadline_far_away_changes_nothing()
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (ask, _) => Task.FromResult(new Answer { Text = ask.Text }),
        });
        using var channel = server.Channel();
        var client = new Probe.ProbeClient(channel);

        foreach (var deadline in new[] { DateTime.MaxValue, DateTime.UtcNow.AddDays(365), DateTime.UtcNow.AddYears(100) })
            Assert.Equal("in time", (await client.UnaryAsync(new Ask { Text = "in time" }, deadline: deadline).ResponseAsync.Soon()).Text);
    }

    [Fact]
    public async Task A_call_that_ends_in_time_is_not_touched_by_its_deadline()
    {
        await using var server = await ProbeServer.StartAsync(new Script { Chat = CallKindTests.EchoAsync });
        using var channel = server.Channel();
        var deadline = DateTime.UtcNow.AddSeconds(2);

        using var call = new Probe.ProbeClient(channel).Chat(deadline: deadline);
        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext().Soon());
        await Task.Delay(deadline.AddMilliseconds(200) - DateTime.UtcNow);

        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
        Assert.False(await call.ResponseStream.MoveNext().Soon());
        Assert.Empty(server.Errors);
    }

    [Fact]
    public async Task The_server_ends_an_expired_call_although_its_client_does_not()
    {
        var cancelled = new Signal();
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = async (_, context) =>
            {
                await cancelled.SetWhenCancelledAsync(context.CancellationToken);
                return new Answer();
            },
        });
        using var raw = new RawClient(server.Address);

        var answer = await raw.PostAsync("Unary", RawClient.Frame([]), ("grpc-timeout", "200m")).Soon();

        Assert.Equal("4", answer.Status);
        Assert.Equal("Deadline Exceeded", answer.Message);
        await cancelled.Happened;
    }

    [Theory]
    [InlineData("soon")]
    [InlineData("10")]
    [InlineData("m")]
    [InlineData("-5S")]
    [InlineData("0S")]
    [InlineData("5 S")]
    public async Task A_malformed_timeout_is_ignored(string timeout)
    {
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, context) => Task.FromResult(new Answer { Text = context.Deadline == DateTime.MaxValue ? "none" : "some" }),
        });
        using var raw = new RawClient(server.Address);

        var answer = await raw.PostAsync("Unary", RawClient.Frame([]), ("grpc-timeout", timeout)).Soon();

        Assert.Equal("0", answer.Status);
        Assert.Equal("none", Answer.Parser.ParseFrom(answer.Messages.Single()).Text);
    }

    [Theory]
    [InlineData("1H", 3600)]
    [InlineData("90M", 5400)]
    [InlineData("3600S", 3600)]
    [InlineData("3600000m", 3600)]
    [InlineData("99999999u", 99.999999)]
    public async Task Every_unit_of_a_timeout_is_understood(string timeout, double seconds)
    {
        var left = TimeSpan.Zero;
        await using var server = await ProbeServer.StartAsync(new Script
        {
            Unary = (_, context) =>
            {
                left = context.Deadline - DateTime.UtcNow;
                return Task.FromResult(new Answer());
            },
        });
        using var raw = new RawClient(server.Address);

        var answer = await raw.PostAsync("Unary", RawClient.Frame([]), ("grpc-timeout", timeout)).Soon();

        Assert.Equal("0", answer.Status);
        Assert.InRange(left.TotalSeconds, seconds - 30, seconds);
    }

    /// <summary>Deadlines further and further away, until one left the time to reach the handler.</summary>
    private static IEnumerable<DateTime> DeadlinesUntil(Signal reached)
    {
        for (var timeout = TimeSpan.FromMilliseconds(200); !reached.HasHappened; timeout *= 2)
            yield return DateTime.UtcNow + timeout;
    }
}
