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
        Keep(buffer, Answer("a", 100));
        Assert.Equal("a", buffer.Find("a")!.Outcome.JobId);
        buffer.Forget("a");
        Assert.Null(buffer.Find("a"));
        Assert.Equal(0, buffer.Bytes);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Never_more_memory_is_used_than_allowed_and_all_of_it_by_what_is_found(int seed)
    {
        _options.VectorBufferBytes = 7_000;
        var (buffer, random) = (Buffer(seed), new Random(seed));
        for (var step = 0; step < 2_000; step++)
        {
            var (jobId, answer) = ($"job {random.Next(300)}", Answer($"job {random.Next(300)}", random.Next(3_000)));
            if (random.Next(3) == 0) answer = answer with { Outcome = answer.Outcome with { Kind = JobKind.Embedding } };
            switch (random.Next(4))
            {
                case 0:
                    buffer.Forget(jobId);
                    break;
                case 1:
                    buffer.Keep(jobId, answer);
                    break;
                default:
                    Keep(buffer, answer);
                    break;
            }
            if (random.Next(20) == 0) _clock.Advance(TimeSpan.FromMinutes(random.Next(30)));
            var found = Enumerable.Range(0, 300).Select(job => buffer.Find($"job {job}")).OfType<KeptAnswer>().ToList();
            Assert.Equal(found.Sum(kept => kept.Bytes), buffer.Bytes);
            Assert.True(found.Where(kept => kept.Outcome.Kind is JobKind.Chat).Sum(kept => kept.Bytes) <= _options.BufferBytes);
            Assert.True(found.Where(kept => kept.Outcome.Kind is JobKind.Embedding).Sum(kept => kept.Bytes) <= _options.VectorBufferBytes);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Of_more_than_memory_holds_a_sample_of_all_that_came_stays(int seed)
    {
        var size = Answer("job", 100).Bytes;
        _options.BufferBytes = 400 * size;
        var buffer = Buffer(seed);
        for (var job = 0; job < 10_000; job++) Keep(buffer, Answer($"job {job}", 100));
        Assert.Equal(400 * size, buffer.Bytes);
        // A hundred of each quarter are to be expected; four standard deviations are 35.
        for (var quarter = 0; quarter < 4; quarter++) Assert.InRange(Enumerable.Range(quarter * 2_500, 2_500).Count(job => buffer.Find($"job {job}") is not null), 65, 135);
    }

    [Fact]
    public void What_would_not_stay_is_told_as_it_begins_and_what_would_is_not()
    {
        var buffer = Buffer();
        var (refused, stayed) = (0, 0);
        for (var job = 0; job < 500; job++)
        {
            var answer = Answer($"job {job}", 1_000);
            var mayStay = buffer.TryDraw(JobKind.Chat, 1_000, out var lot);
            Assert.InRange(lot, 0, 1);
            buffer.Keep(answer, lot);
            var stays = buffer.Find(answer.Outcome.JobId) is not null;
            Assert.True(mayStay || !stays);
            refused += mayStay ? 0 : 1;
            stayed += stays ? 1 : 0;
        }
        // Of five places one each n-th answer takes one anew: 5 · (1 + ln(500 / 5)) in all.
        Assert.InRange(refused, 400, 490);
        Assert.InRange(stayed, 10, 60);
    }

    [Fact]
    public void A_canary_stays_longer_than_any_answer()
    {
        var buffer = Buffer();
        buffer.Keep("a", Answer("canary", 1_000));
        for (var job = 0; job < 100; job++) Keep(buffer, Answer($"job {job}", 1_000));
        Assert.Equal("canary", buffer.Find("a")!.Outcome.JobId);
    }

    [Fact]
    public void Vectors_push_out_no_texts()
    {
        _options.VectorBufferBytes = 5_000;
        var buffer = Buffer();
        Keep(buffer, Answer("text", 1_000));
        for (var job = 0; job < 50; job++)
        {
            var answer = Answer($"vector {job}", 1_000);
            Keep(buffer, answer with { Outcome = answer.Outcome with { Kind = JobKind.Embedding } });
        }
        Assert.NotNull(buffer.Find("text"));
        var vectors = Enumerable.Range(0, 50).Where(job => buffer.Find($"vector {job}") is not null).ToList();
        Assert.Equal(2, vectors.Count);
        Assert.InRange(buffer.Bytes, 2_000, 7_000);
        _clock.Advance(TimeSpan.FromMinutes(61));
        Keep(buffer, Answer("new", 1_000));
        Assert.All(vectors, job => Assert.Null(buffer.Find($"vector {job}")));
    }

    [Fact]
    public void Nothing_is_kept_beyond_its_time()
    {
        var buffer = Buffer();
        Keep(buffer, Answer("old", 100));
        _clock.Advance(TimeSpan.FromMinutes(61));
        Keep(buffer, Answer("new", 100));
        Assert.Null(buffer.Find("old"));
        Assert.NotNull(buffer.Find("new"));
    }

    [Fact]
    public void An_answer_beyond_the_limit_is_not_kept()
    {
        var buffer = Buffer();
        Keep(buffer, Answer("huge", 5_000));
        Assert.Null(buffer.Find("huge"));
        Assert.Equal(0, buffer.Bytes);
    }

    [Fact]
    public void The_same_job_again_takes_no_second_place()
    {
        var buffer = Buffer();
        Keep(buffer, Answer("a", 100));
        var once = buffer.Bytes;
        Keep(buffer, Answer("a", 100));
        Assert.Equal(once, buffer.Bytes);
    }

    [Fact]
    public void A_canary_takes_the_place_of_the_answer_it_is_asked_for()
    {
        var buffer = Buffer();
        Keep(buffer, Answer("a", 100));
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
        Keep(buffer, Answer("a", 100));
        Assert.Null(buffer.Find("a"));
    }

    private AnswerBuffer Buffer(int seed = 1) => new(Options.Create(_options), new Random(seed), _clock);

    private static void Keep(AnswerBuffer buffer, KeptAnswer answer)
    {
        if (buffer.TryDraw(answer.Outcome.Kind, answer.Request.Length, out var lot)) buffer.Keep(answer, lot);
    }

    private static KeptAnswer Answer(string jobId, int bytes) => new(
        new JobOutcome(jobId, 1, "acct", "key", JobKind.Chat, "m", "", 0, "nd", JobStatus.Succeeded, "stop", 1, 1, [], [], 0, 0, 0, 0, "dc"), "engine", new byte[10], [new byte[bytes]]);
}
