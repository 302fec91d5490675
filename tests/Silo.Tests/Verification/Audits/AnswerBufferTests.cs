using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Verification.Audits;

public sealed class AnswerBufferTests
{
    private readonly AuditOptions _options = new() { BufferBytes = 10_000, MaxAnswerBytes = 4_000, KeepFor = TimeSpan.FromHours(1) };
    private readonly TestClock _clock = new();

    [Fact]
    public void What_is_kept_is_found_until_it_is_forgotten()
    {
        var buffer = Buffer();
        buffer.Keep(Answer("a", 100));
        Assert.Equal("a", buffer.Find("a")!.Outcome.JobId);
        buffer.Forget("a");
        Assert.Null(buffer.Find("a"));
        Assert.Equal(0, buffer.Bytes);
    }

    [Fact]
    public void The_oldest_go_when_memory_is_short_and_never_more_is_used_than_allowed()
    {
        var buffer = Buffer();
        for (var job = 0; job < 50; job++)
        {
            buffer.Keep(Answer($"job {job}", 1_000));
            Assert.True(buffer.Bytes <= _options.BufferBytes);
        }
        Assert.Null(buffer.Find("job 0"));
        Assert.NotNull(buffer.Find("job 49"));
    }

    [Fact]
    public void Vectors_push_out_no_texts()
    {
        _options.VectorBufferBytes = 5_000;
        var buffer = Buffer();
        buffer.Keep(Answer("text", 1_000));
        for (var job = 0; job < 50; job++)
        {
            var answer = Answer($"vector {job}", 1_000);
            buffer.Keep(answer with { Outcome = answer.Outcome with { Kind = JobKind.Embedding } });
        }
        Assert.NotNull(buffer.Find("text"));
        Assert.NotNull(buffer.Find("vector 49"));
        Assert.Null(buffer.Find("vector 0"));
        Assert.InRange(buffer.Bytes, 2_000, 7_000);
        _clock.Advance(TimeSpan.FromMinutes(61));
        buffer.Keep(Answer("new", 1_000));
        Assert.Null(buffer.Find("vector 49"));
    }

    [Fact]
    public void Nothing_is_kept_beyond_its_time()
    {
        var buffer = Buffer();
        buffer.Keep(Answer("old", 100));
        _clock.Advance(TimeSpan.FromMinutes(61));
        buffer.Keep(Answer("new", 100));
        Assert.Null(buffer.Find("old"));
        Assert.NotNull(buffer.Find("new"));
    }

    [Fact]
    public void An_answer_beyond_the_limit_is_not_kept()
    {
        var buffer = Buffer();
        buffer.Keep(Answer("huge", 5_000));
        Assert.Null(buffer.Find("huge"));
        Assert.Equal(0, buffer.Bytes);
    }

    [Fact]
    public void The_same_job_again_takes_no_second_place()
    {
        var buffer = Buffer();
        buffer.Keep(Answer("a", 100));
        var once = buffer.Bytes;
        buffer.Keep(Answer("a", 100));
        Assert.Equal(once, buffer.Bytes);
    }

    [Fact]
    public void A_canary_takes_the_place_of_the_answer_it_is_asked_for()
    {
        var buffer = Buffer();
        buffer.Keep(Answer("a", 100));
        var once = buffer.Bytes;
        buffer.Keep("a", Answer("canary", 100));
        Assert.Equal("canary", buffer.Find("a")!.Outcome.JobId);
        Assert.Equal(once, buffer.Bytes);
        buffer.Forget("a");
        Assert.Equal(0, buffer.Bytes);
    }

    [Fact]
    public void Nothing_is_kept_where_nothing_is_audited()
    {
        _options.Enabled = false;
        var buffer = Buffer();
        buffer.Keep(Answer("a", 100));
        Assert.Null(buffer.Find("a"));
    }

    private AnswerBuffer Buffer() => new(Options.Create(_options), _clock);

    private static KeptAnswer Answer(string jobId, int bytes) => new(
        new JobOutcome(jobId, 1, "acct", "key", JobKind.Chat, "m", "", 0, "nd", JobStatus.Succeeded, "stop", 1, 1, [], [], 0, 0, 0, 0, "dc"), "engine", new byte[10], [new byte[bytes]]);
}
