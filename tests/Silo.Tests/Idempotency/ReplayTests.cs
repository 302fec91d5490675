using System.Text;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Idempotency;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace Federation.Silo.Tests.Idempotency;

public sealed class ReplayTests
{
    private static readonly RepeatableRequest Request = Of("key", "{}");

    [Theory]
    [InlineData("data: {\"a\":1}\n\ndata: [DONE]\n\n")]
    [InlineData("data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: [DONE]\n\ndata: {\"more\":1}\n\n")]
    [InlineData(": a comment\n\ndata: {}\r\n\r\ndata: [DONE]\n\n")]
    [InlineData("data: {}\n\ndata: [DONE]\n")]
    [InlineData("data: {}\n\ndata: no json\n\n")]
    [InlineData("data: [DONE]\n\n")]
    [InlineData("")]
    public async Task A_stream_is_given_again_in_the_same_bytes(string stream)
    {
        var (http, body) = Client();
        await Replay.WriteAsync(Given(stream, isStream: true), Request, new OpenAiSink(http));
        Assert.Equal(stream, Encoding.UTF8.GetString(body.ToArray()));
        Assert.Equal("text/event-stream; charset=utf-8", http.Response.ContentType);
        Assert.Equal(("true", "job_first", "nd_a"), (Header(http, "idempotent-replayed"), Header(http, "x-federation-replay-of"), Header(http, "x-federation-node")));
    }

    [Fact]
    public async Task A_whole_answer_is_given_again_in_the_same_bytes()
    {
        var (http, body) = Client();
        await Replay.WriteAsync(Given("{\"é\" : 1 }", isStream: false), Request, new OpenAiSink(http));
        Assert.Equal("{\"é\" : 1 }", Encoding.UTF8.GetString(body.ToArray()));
        Assert.Equal((200, "application/json", "true"), (http.Response.StatusCode, http.Response.ContentType, Header(http, "idempotent-replayed")));
    }

    [Theory]
    [InlineData("{} ", JobKind.Chat)]
    [InlineData("{}", JobKind.Completion)]
    public async Task Another_request_under_the_same_key_is_refused(string body, JobKind kind)
    {
        var (http, _) = Client();
        await Replay.WriteAsync(Given("{}", isStream: false), Of("key", body, kind), new OpenAiSink(http));
        Assert.Equal(422, http.Response.StatusCode);
        Assert.Equal(string.Empty, Header(http, "idempotent-replayed"));
    }

    [Fact]
    public async Task An_answer_that_was_too_large_is_told_of_and_not_run_again()
    {
        var (http, body) = Client();
        await Replay.WriteAsync(Given("{}", isStream: false) with { Bytes = null }, Request, new OpenAiSink(http));
        Assert.Equal(409, http.Response.StatusCode);
        Assert.Contains("job_first", Encoding.UTF8.GetString(body.ToArray()), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("550e8400-e29b-41d4-a716-446655440000", true)]
    [InlineData("with a space ~", true)]
    [InlineData("", false)]
    [InlineData("ü", false)]
    [InlineData("a\tb", false)]
    [InlineData("a\u0000b", false)]
    public void A_key_is_printable_ASCII(string header, bool isGood)
    {
        var problem = RepeatableRequest.TryReadKey(header, out var key);
        Assert.Equal((isGood, isGood ? header : null), (problem is null, key));
    }

    [Fact]
    public void A_key_is_one_and_short()
    {
        Assert.Null(RepeatableRequest.TryReadKey(new string('a', 255), out _));
        Assert.Equal("invalid_idempotency_key", RepeatableRequest.TryReadKey(new string('a', 256), out _)!.Code);
        Assert.NotNull(RepeatableRequest.TryReadKey(new StringValues(["a", "b"]), out _));
        Assert.Null(RepeatableRequest.TryReadKey(StringValues.Empty, out var none));
        Assert.Null(none);
    }

    private static GivenAnswer Given(string bytes, bool isStream) => new(Request.RequestHash, "job_first", new AnswerHead("nd_a", 1, TimeSpan.Zero), 200, "application/json", isStream, Encoding.UTF8.GetBytes(bytes));

    private static RepeatableRequest Of(string key, string body, JobKind kind = JobKind.Chat)
        => RepeatableRequest.Of(new InferenceCall("job_1", kind, Encoding.UTF8.GetBytes(body), new ApiCaller("acct_ann", "key_1", [])) { IdempotencyKey = key })!;

    private static (DefaultHttpContext Http, MemoryStream Body) Client()
    {
        var body = new MemoryStream();
        return (new DefaultHttpContext { Request = { Path = "/v1/chat/completions" }, Response = { Body = body } }, body);
    }

    private static string Header(DefaultHttpContext http, string name) => http.Response.Headers[name].ToString();
}
