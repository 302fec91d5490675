using System.Text;
using Federation.NodeAgent.Link;
using Federation.NodeAgent.Tests.Engines;
using Federation.Protocol.V1;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Tests.Link;

public sealed class RevealLogTests
{
    private readonly ManualTime _time = new();

    [Fact]
    public void What_is_shown_leads_to_the_root_that_was_committed_to()
    {
        var log = new RevealLog(1 << 20, TimeSpan.FromHours(3), _time);
        var tokens = Tokens(37);
        var root = log.Commit("job.1", tokens);
        Assert.Equal(LogprobCommitment.Root(tokens), root);

        var reveal = log.Reveal(Asked("job.1", 0, 5, 36, 37, 4_000_000_000));
        Assert.Equal(("job.1", 37u), (reveal.LeaseId, reveal.Count));
        Assert.Equal([0u, 5u, 36u], reveal.Tokens.Select(token => token.Position));
        Assert.All(reveal.Tokens, token => Assert.True(LogprobCommitment.Verify(root, 37, (int)token.Position, token.Content.Span, token.Path.Span)));
        Assert.Equal(tokens[5].Token.ToArray(), LogprobCommitment.TryDecode(reveal.Tokens[1].Content.Memory)!.Token.ToArray());
    }

    [Fact]
    public void A_question_asks_for_no_more_than_it_may_and_for_each_token_once()
    {
        var log = new RevealLog(1 << 24, TimeSpan.FromHours(3), _time);
        log.Commit("job.1", Tokens(3_000));
        var reveal = log.Reveal(Asked("job.1", [7, 7, .. Enumerable.Range(0, 3_000).Select(position => (uint)position)]));
        Assert.Equal(RevealLog.PositionsMax, reveal.Tokens.Count);
        Assert.Equal(reveal.Tokens.Count, reveal.Tokens.Select(token => token.Position).Distinct().Count());
    }

    [Fact]
    public void Nothing_is_promised_that_cannot_be_kept()
    {
        var log = new RevealLog(1_000, TimeSpan.FromHours(3), _time);
        Assert.Empty(log.Commit("job.1", []));
        Assert.Empty(log.Commit("job.2", Tokens(500)));
        Assert.Equal(0, log.Bytes);
        Assert.Equal(0u, log.Reveal(Asked("job.2", 0)).Count);
    }

    [Fact]
    public void The_oldest_answers_go_when_memory_is_short_and_all_go_when_their_time_is_up()
    {
        var log = new RevealLog(4_000, TimeSpan.FromHours(3), _time);
        for (var job = 0; job < 20; job++)
        {
            Assert.NotEmpty(log.Commit($"job.{job}", Tokens(10)));
            Assert.True(log.Bytes <= 4_000);
        }
        Assert.Equal(0u, log.Reveal(Asked("job.0", 0)).Count);
        Assert.Equal(10u, log.Reveal(Asked("job.19", 0)).Count);
        _time.Advance(TimeSpan.FromHours(2));
        Assert.Equal(10u, log.Reveal(Asked("job.19", 0)).Count);
        _time.Advance(TimeSpan.FromHours(2));
        log.Commit("later", Tokens(1));
        Assert.Equal(0u, log.Reveal(Asked("job.19", 0)).Count);
    }

    private static AuditRequest Asked(string leaseId, params uint[] positions) => new() { LeaseId = leaseId, Positions = { positions } };

    private static CommittedToken[] Tokens(int count) => [.. LogprobCommitment.InOrder(Enumerable.Range(0, count).Select(i => new CommittedToken(Encoding.UTF8.GetBytes($"t{i}"), (short)-i, [])))];
}
