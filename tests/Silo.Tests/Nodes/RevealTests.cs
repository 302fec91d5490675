using System.Collections.Immutable;
using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Grpc.Core;
using static Federation.Protocol.V1.HubMessage;

namespace Federation.Silo.Tests.Nodes;

/// <summary>What the hub asks a node to show comes back to whoever asked; anything else ends the connection and harms nobody.</summary>
public sealed class RevealTests
{
    private const string Lease = "job_1.1";
    private static readonly ImmutableArray<int> Positions = [0, 3, 7];

    [Fact]
    public async Task What_was_asked_for_comes_back_as_the_node_said_it()
    {
        await using var node = new ScriptedSession();
        var asked = node.Start().Session.AskReveal(Lease, Positions);
        var question = (await node.NextAsync(MessageOneofCase.AuditRequest)).AuditRequest;
        Assert.Equal(Lease, question.LeaseId);
        Assert.Equal([0u, 3u, 7u], question.Positions);
        node.Say(Says.Reveal(Lease, 9, Says.Token(0, [1, 2], new byte[64]), Says.Token(7, [3], [])));

        var reveal = await asked.WithinPatienceAsync();
        Assert.Equal((RevealStatus.Shown, 9), (reveal.Status, reveal.Count));
        Assert.Equal([(0, 2, 64), (7, 1, 0)], reveal.Tokens.Select(token => (token.Position, token.Content.Length, token.Path.Length)));
    }

    public static TheoryData<string, NodeMessage, StatusCode, string> Hostile() => new()
    {
        { "another lease's", Says.Reveal("job_2.1", 9), StatusCode.PermissionDenied, "a reveal of lease 'job_2.1', which nobody asked for" },
        { "a token that was not asked for", Says.Reveal(Lease, 9, Says.Token(1, [1], [])), StatusCode.InvalidArgument, "token 1 was not asked for" },
        { "a token beyond all", Says.Reveal(Lease, 9, Says.Token(uint.MaxValue, [1], [])), StatusCode.InvalidArgument, "token 4294967295 was not asked for" },
        { "a token twice", Says.Reveal(Lease, 9, Says.Token(3, [1], []), Says.Token(3, [1], [])), StatusCode.InvalidArgument, "tokens twice or out of order" },
        { "tokens in another order", Says.Reveal(Lease, 9, Says.Token(3, [1], []), Says.Token(0, [1], [])), StatusCode.InvalidArgument, "tokens twice or out of order" },
        { "a token without content", Says.Reveal(Lease, 9, Says.Token(3, [], [])), StatusCode.InvalidArgument, "token 3 has 0 bytes" },
        { "a huge token", Says.Reveal(Lease, 9, Says.Token(3, new byte[17 * 1024], [])), StatusCode.InvalidArgument, "token 3 has 17408 bytes" },
        { "a torn path", Says.Reveal(Lease, 9, Says.Token(3, [1], new byte[33])), StatusCode.InvalidArgument, "the path of token 3 has 33 bytes" },
        { "a path higher than any tree", Says.Reveal(Lease, 9, Says.Token(3, [1], new byte[21 * 32])), StatusCode.InvalidArgument, "the path of token 3 has 672 bytes" },
        { "more tokens than an answer has", Says.Reveal(Lease, uint.MaxValue), StatusCode.InvalidArgument, "4294967295 tokens; at most 1048576" },
        { "more bytes than it may", Says.Reveal(new string('x', 9 * 1024), 9), StatusCode.ResourceExhausted, "at most 8192" },
    };

    [Theory]
    [MemberData(nameof(Hostile))]
    public async Task A_hostile_reveal_ends_the_connection_and_counts_as_none(string what, NodeMessage said, StatusCode code, string words)
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { MaxRevealBytes = what.StartsWith("more bytes", StringComparison.Ordinal) ? 8 * 1024 : 512 * 1024 });
        var asked = node.Start().Session.AskReveal(Lease, Positions);
        await node.NextAsync(MessageOneofCase.AuditRequest);
        node.Say(said);
        var end = await node.EndAsync();
        Assert.True(end.StatusCode == code, $"{what}: {end}");
        Assert.Contains(words, end.Detail, StringComparison.Ordinal);
        Assert.Equal(RevealStatus.Silent, (await asked.WithinPatienceAsync()).Status);
        Assert.Equal(RevealStatus.Gone, (await node.Session.AskReveal("job_3.1", Positions).WithinPatienceAsync()).Status);
    }

    [Fact]
    public async Task A_second_answer_is_one_nobody_asked_for()
    {
        await using var node = new ScriptedSession();
        var asked = node.Start().Session.AskReveal(Lease, Positions);
        await node.NextAsync(MessageOneofCase.AuditRequest);
        node.Say(Says.Reveal(Lease, 9), Says.Reveal(Lease, 9));
        Assert.Equal(StatusCode.PermissionDenied, (await node.EndAsync()).StatusCode);
        Assert.Equal(RevealStatus.Shown, (await asked.WithinPatienceAsync()).Status);
    }

    [Fact]
    public async Task A_node_that_says_nothing_is_waited_for_no_longer_than_its_time_and_may_still_answer_late()
    {
        await using var node = new ScriptedSession();
        var asked = node.Start().Session.AskReveal(Lease, Positions);
        await node.NextAsync(MessageOneofCase.AuditRequest);
        await node.Clock.UntilWaitedForAsync(node.Options.RevealTimeout);
        node.Clock.Advance(node.Options.RevealTimeout);
        Assert.Equal(RevealStatus.Silent, (await asked.WithinPatienceAsync()).Status);
        node.Say(Says.Reveal(Lease, 9));
        await node.HeardAsync();
        Assert.False(node.Running.IsCompleted);
    }

    [Fact]
    public async Task A_node_that_hangs_up_has_not_answered()
    {
        await using var node = new ScriptedSession();
        var asked = node.Start().Session.AskReveal(Lease, Positions);
        await node.NextAsync(MessageOneofCase.AuditRequest);
        node.HangUp();
        Assert.Equal(RevealStatus.Silent, (await asked.WithinPatienceAsync()).Status);
    }

    [Fact]
    public async Task Questions_are_bounded_and_those_whose_time_is_up_make_room()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { MaxReveals = 2 });
        node.Start();
        var first = node.Session.AskReveal("job_1.1", Positions);
        var second = node.Session.AskReveal("job_2.1", Positions);
        Assert.Equal(RevealStatus.Busy, (await node.Session.AskReveal("job_3.1", Positions)).Status);
        Assert.Equal(RevealStatus.Busy, (await node.Session.AskReveal("job_1.1", Positions)).Status);
        await node.Clock.UntilWaitedForAsync(node.Options.RevealTimeout);
        node.Clock.Advance(node.Options.RevealTimeout);
        await Task.WhenAll(first, second).WithinPatienceAsync();
        var third = node.Session.AskReveal("job_3.1", Positions);
        node.Say(Says.Reveal("job_3.1", 9));
        Assert.Equal(RevealStatus.Shown, (await third.WithinPatienceAsync()).Status);
    }

    [Fact]
    public async Task A_commitment_goes_with_the_end_of_its_lease()
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign(Lease);
        node.Start().Say(Says.Head(Lease), Says.Done(Lease, 1, 1, "stop", commitment: [.. Enumerable.Repeat((byte)7, 32)]));
        while (true)
        {
            if (await lease.Events.ReadAsync().AsTask().WithinPatienceAsync() is not LeaseEvent.Done done) continue;
            Assert.Equal(Enumerable.Repeat((byte)7, 32), done.LogprobCommitment);
            return;
        }
    }
}
