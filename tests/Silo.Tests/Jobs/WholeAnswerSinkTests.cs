using System.Text;
using System.Text.Json;
using Federation.Silo.Batches;
using Federation.Silo.Gateway;
using Federation.Silo.Jobs;

namespace Federation.Silo.Tests.Jobs;

public sealed class WholeAnswerSinkTests
{
    public static TheoryData<string> Readable => ["{}", "\"\\ud83d\\ude00\"", "{\"a\\n\":[1,\n\"\\u0041\"]}", Nested(WholeAnswerSink.DepthMax)];

    public static TheoryData<string> Unreadable => ["", "{", "{} {}", "\"\\ud83d\"", "{\"\\ude00\":1}", "{\n\"a\":[\"\\ud83d.\"]}", Nested(WholeAnswerSink.DepthMax + 1)];

    [Theory]
    [MemberData(nameof(Readable))]
    public async Task An_answer_that_is_kept_can_be_read_wherever_it_is_put(string body)
    {
        var answer = await AnswerAsync(Encoding.UTF8.GetBytes(body));
        Assert.Equal(AttemptVerdict.Answered, answer.Verdict);
        JsonDocument.Parse(BatchLine.Output("a", answer)).Dispose();
        var job = new AsyncJobJson("ajob_1", "chat", "llama", "completed", 0, 0) { Result = new AsyncJobJson.ResultJson(200, "job_1", JsonElement.Parse(answer.Body.Span)) };
        Assert.NotEmpty(JsonSerializer.SerializeToUtf8Bytes(job, Answers.Options));
    }

    [Theory]
    [MemberData(nameof(Unreadable))]
    public async Task An_answer_that_cannot_be_read_is_the_engine_s_error(string body) => Assert.Equal("malformed_answer", (await AnswerAsync(Encoding.UTF8.GetBytes(body))).Code);

    [Fact]
    public async Task An_answer_that_is_not_UTF8_is_the_engine_s_error() => Assert.Equal("malformed_answer", (await AnswerAsync([(byte)'"', 0xff, (byte)'"'])).Code);

    private static string Nested(int depth) => new string('[', depth) + new string(']', depth);

    private static async Task<BackgroundAnswer> AnswerAsync(byte[] body)
    {
        var sink = new WholeAnswerSink("job_1", CancellationToken.None);
        await sink.WriteWholeAsync(new AnswerHead("node", 1, TimeSpan.Zero), 200, "application/json", body);
        return sink.Answer!;
    }
}
