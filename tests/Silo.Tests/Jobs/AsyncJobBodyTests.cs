using System.Text;
using System.Text.Json;
using Federation.Protocol.OpenAi;
using Federation.Silo.Hosting;
using Federation.Silo.Jobs;

namespace Federation.Silo.Tests.Jobs;

public sealed class AsyncJobBodyTests
{
    private const string Request = """{"model":"llama","messages":[{"role":"user","content":"hi"}],"temperature": 1.50}""";

    [Fact]
    public void The_request_goes_on_in_the_clients_own_bytes()
    {
        var (job, problem) = Read($$"""{"type":"chat","request":{{Request}},"metadata":{"a":"b"},"expires":90}""");
        Assert.Null(problem);
        Assert.Equal((JobKind.Chat, "llama", Request), (job!.Kind, job.Model, Encoding.UTF8.GetString(job.Request.Span)));
        Assert.Equal("""{"a":"b"}""", job.Metadata);
        Assert.Equal(TimeSpan.FromSeconds(90), job.Lifetime);
    }

    [Theory]
    [InlineData("""{"type":"chat"}""", "request")]
    [InlineData("""{"type":"score","request":{}}""", "type")]
    [InlineData("""{"type":7,"request":{}}""", "type")]
    [InlineData("""{"request":{}}""", "type")]
    [InlineData("""{"type":"chat","request":{"model":"m"}}""", "request.messages")]
    [InlineData("""{"type":"chat","request":{"messages":[{"role":"user","content":"hi"}]}}""", "request.model")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}}""", "request.stream")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"expires":0}""", "expires")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"expires":-9223372036854775808}""", "expires")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"expires":99999999999999999999}""", "expires")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"expires":1.5}""", "expires")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"metadata":{"a":1}}""", "metadata")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"metadata":{"a":"\ud800"}}""", "metadata")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"metadata":{"a":"\u0000"}}""", "metadata")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"metadata":{"":"x"}}""", "metadata")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"webhook":7}""", "webhook")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"webhook":{"url":"x","more":1}}""", "webhook")]
    [InlineData("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"priority":9}""", "priority")]
    public void What_is_wrong_is_named(string body, string param) => Assert.Equal(param, Read(body).Problem!.Param);

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("""{"type":"chat","type":"chat"}""")]
    [InlineData("\u00ff")]
    public void What_is_no_object_is_refused(string body) => Assert.Equal(400, Read(body).Problem!.Status);

    [Fact]
    public void Line_breaks_in_metadata_stay_text()
    {
        var (job, _) = Read("""{"type":"chat","request":{"model":"m","messages":[{"role":"user","content":"hi"}]},"metadata":{"x-evil\r\nSet-Cookie: a":"b\r\nc"}}""");
        Assert.DoesNotContain('\n', job!.Metadata!);
        Assert.Equal("b\r\nc", JsonElement.Parse(job.Metadata!).GetProperty("x-evil\r\nSet-Cookie: a").GetString());
    }

    [Theory]
    [InlineData(1, null, 2)]
    [InlineData(2, null, 4)]
    [InlineData(4, null, 16)]
    [InlineData(6, null, 60)]
    [InlineData(long.MaxValue, null, 60)]
    [InlineData(0, null, 2)]
    [InlineData(1, 1, 2)]
    [InlineData(1, 300, 300)]
    public void Waits_double_up_to_the_longest_and_what_was_told_counts(long attempt, int? told, int expected)
        => Assert.Equal(TimeSpan.FromSeconds(expected), Backoff.Wait(attempt, TimeSpan.FromSeconds(2), TimeSpan.FromMinutes(1), told is { } seconds ? TimeSpan.FromSeconds(seconds) : null));

    private static (WantedJob? Job, Federation.Silo.Gateway.OpenAiError? Problem) Read(string body) => AsyncJobBody.Read(Encoding.UTF8.GetBytes(body));
}
