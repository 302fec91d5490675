using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Verification.Audits;

public sealed class CanaryTests
{
    private const string Request = """
        {"model": "m", "messages": [{"role": "system", "content": "The secret of Ann is safe."}, {"content": [{"type": "text", "text": "Tell nobody what Ann said about her neighbour's garden last week."}], "role": "user"}], "temperature": 0.35, "top_p": 0.9, "max_completion_tokens": 300, "stop": ["Ann", "Bob"], "seed": 42, "user": "ann@example.org", "stream": true, "stream_options": {"include_usage": true}}
        """;

    [Fact]
    public void Without_clients_a_canary_is_a_request_the_gateway_would_take_and_no_two_are_alike()
    {
        var random = new Random(7);
        var bodies = new HashSet<string>();
        for (var i = 0; i < 500; i++)
        {
            var canary = Canary.Draw("m", null, [], new CanaryOptions(), random);
            Assert.True(RequestHead.TryRead(canary.Body.Span, canary.Kind, out var head, out _));
            Assert.Equal("m", head.Model);
            using var body = JsonDocument.Parse(canary.Body);
            Assert.InRange(body.RootElement.GetProperty("max_tokens").GetInt32(), 64, 256);
            foreach (var message in body.RootElement.GetProperty("messages").EnumerateArray())
            {
                Assert.DoesNotMatch("[{}]", message.GetProperty("content").GetString());
                bodies.Add(message.GetProperty("content").GetString()!);
            }
        }
        Assert.True(bodies.Count > 600, $"{bodies.Count} messages of 500 canaries differ.");
    }

    [Fact]
    public void A_canary_looks_like_a_clients_request_and_has_none_of_its_words()
    {
        var random = new Random(7);
        Assert.True(RequestShape.TryRead(Encoding.UTF8.GetBytes(Request), new CanaryOptions(), out var shape));
        for (var i = 0; i < 200; i++)
        {
            var body = Encoding.UTF8.GetString(Canary.Draw("m", shape, [], new CanaryOptions(), random).Body.Span);
            Assert.DoesNotMatch("Ann|Bob|secret|neighbour's|example.org|: 42,", body);
            // All but the words is the same, byte for byte: spaces, order, numbers.
            Assert.Equal(Skeleton(Request.Trim()), Skeleton(body));
            Assert.Equal(Names(Request), Names(body));
            using var json = JsonDocument.Parse(body);
            Assert.InRange(json.RootElement.GetProperty("messages")[0].GetProperty("content").GetString()!.Length, 10, 120);
            Assert.InRange(json.RootElement.GetProperty("messages")[1].GetProperty("content")[0].GetProperty("text").GetString()!.Length, 20, 600);
        }

        static string Skeleton(string body) => Regex.Replace(Regex.Replace(body, "\"seed\": [0-9]+", "\"seed\": 0"), "\"(?:[^\"\\\\]|\\\\.)*\"", "\"\"");

        static string Names(string body)
        {
            using var json = JsonDocument.Parse(body);
            return string.Join(' ', json.RootElement.EnumerateObject().Select(field => field.Name).Concat(json.RootElement.GetProperty("messages").EnumerateArray().SelectMany(message => message.EnumerateObject().Select(field => field.Name))));
        }
    }

    [Theory]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}]}""", true)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":63}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[]}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"n":2}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"reasoning_effort":"low"}""", true)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"reasoning_effort":"Ann said so"}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":{"ann":"said"}}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.1000000000000000000000000000000001}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi","name":"Ann"}]}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}]}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":"x"}]}]}""", false)]
    [InlineData("""{"model":"m","messages":"hi"}""", false)]
    [InlineData("""{"model":"m","prompt":"hi"}""", false)]
    [InlineData("""[]""", false)]
    [InlineData("""{"model":""", false)]
    public void Only_what_can_be_scored_and_holds_no_words_of_its_own_is_a_shape(string body, bool isOne)
        => Assert.Equal(isOne, RequestShape.TryRead(Encoding.UTF8.GetBytes(body), new CanaryOptions(), out _));

    [Fact]
    public void The_operators_prompts_have_their_share()
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, "\n  Sing of {word} and {number} {things\n\n");
            var options = new CanaryOptions { PromptsFile = path, PromptsShare = 0.5 };
            var prompts = new CanaryPrompts(Options.Create(options)).Prompts;
            var random = new Random(7);
            var sung = Enumerable.Range(0, 400).Count(_ => Encoding.UTF8.GetString(Canary.Draw("m", null, prompts, options, random).Body.Span) is var body && Regex.IsMatch(body, "\"Sing of [A-Z][a-z]+ and [0-9]+ {things\""));
            Assert.InRange(sung, 150, 250);

            File.WriteAllText(path, "\n \n");
            Assert.Contains("has no prompt in it", Assert.Throws<OptionsValidationException>(() => new CanaryPrompts(Options.Create(options))).Message, StringComparison.Ordinal);
            options.PromptsFile = path + ".gone";
            Assert.Contains("cannot be read", Assert.Throws<OptionsValidationException>(() => new CanaryPrompts(Options.Create(options))).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_shape_is_one_of_those_that_clients_asked_with_and_no_canarys(int seed)
    {
        var buffer = new AnswerBuffer(Options.Create(new AuditOptions()), new TestClock());
        var random = new Random(seed);
        Assert.Null(buffer.Draw(_ => true, random));
        for (var job = 0; job < 4; job++) buffer.Keep(Kept($"job_{job}"));
        buffer.Keep("job_9", Kept("canary"));
        var drawn = Enumerable.Range(0, 200).Select(_ => buffer.Draw(kept => kept.Outcome.JobId != "job_3", random)!.Outcome.JobId).ToArray();
        Assert.Equal(["job_0", "job_1", "job_2"], drawn.Distinct().Order());
        Assert.All(drawn.GroupBy(job => job), job => Assert.InRange(job.Count(), 40, 100));

        // An account that asks without end has no more say in what canaries look like.
        for (var job = 0; job < 1_000; job++) buffer.Keep(Kept($"flood_{job}", "acct_flood"));
        Assert.InRange(Enumerable.Range(0, 200).Count(_ => buffer.Draw(_ => true, random)!.Outcome.AccountId == "acct_flood"), 60, 140);

        static KeptAnswer Kept(string job, string account = "acct")
            => new(new JobOutcome(job, 1, account, "key", JobKind.Chat, "m", "", 0, "nd_a", JobStatus.Succeeded, "stop", 1, 1, [], [], 0, 0, 0, 0, "dc"), "engine", new byte[10], []);
    }

    [Fact]
    public void A_canary_for_vectors_looks_like_a_clients_request_and_has_none_of_its_words()
    {
        const string Asked = """{"input": ["The secret of Ann is safe with her neighbour.", "Bob told nobody what Ann had said last week, and so on."], "model": "m", "dimensions": 256, "encoding_format": "base64"}""";
        var random = new Random(7);
        Assert.True(EmbeddingShape.TryRead(Encoding.UTF8.GetBytes(Asked), new CanaryOptions(), out var shape));
        var texts = new HashSet<string>();
        for (var i = 0; i < 100; i++)
        {
            var canary = Canary.DrawEmbedding("m", shape, random);
            var body = Encoding.UTF8.GetString(canary.Body.Span);
            Assert.DoesNotMatch("\\bAnn\\b|\\bBob\\b|secret|neighbour", body);
            Assert.Matches("""^\{"input": \["[^"]{20,200}", "[^"]{20,200}"\], "model": "m", "dimensions": 256, "encoding_format": "base64"\}$""", body.Replace("\\\"", "'", StringComparison.Ordinal));
            Assert.True(RequestHead.TryRead(canary.Body.Span, JobKind.Embedding, out _, out _));
            using var json = JsonDocument.Parse(body);
            foreach (var text in json.RootElement.GetProperty("input").EnumerateArray()) texts.Add(text.GetString()!);
            Assert.True(RequestHead.TryRead(Canary.DrawEmbedding("m", null, random).Body.Span, JobKind.Embedding, out _, out _));
        }
        Assert.True(texts.Count > 150, $"{texts.Count} texts of 100 canaries differ.");
    }

    [Theory]
    [InlineData("""{"model":"m","input":"hi"}""", true)]
    [InlineData("""{"input":["hi","ho"],"model":"m","encoding_format":"float"}""", true)]
    [InlineData("""{"model":"m","input":[1,2,3]}""", false)]
    [InlineData("""{"model":"m","input":[]}""", false)]
    [InlineData("""{"model":"m","input":[null]}""", false)]
    [InlineData("""{"model":"m","input":"hi","dimensions":0}""", false)]
    [InlineData("""{"model":"m","input":"hi","user":"Ann"}""", false)]
    [InlineData("""{"model":"m","input":"hi","encoding_format":"Ann"}""", false)]
    [InlineData("""{"model":"m"}""", false)]
    [InlineData("""[]""", false)]
    public void Only_texts_without_words_beside_them_are_a_shape(string body, bool isOne) => Assert.Equal(isOne, EmbeddingShape.TryRead(Encoding.UTF8.GetBytes(body), new CanaryOptions(), out _));

    [Theory]
    [InlineData("""{"temperature":0,"max_tokens":5}""", nameof(Drawing.Greedy), 5L, false)]
    [InlineData("""{"max_completion_tokens":9,"stop":["x"]}""", nameof(Drawing.Sampled), 9L, true)]
    [InlineData("""{"stop":[],"response_format":{"type":"text"},"tools":null}""", nameof(Drawing.Sampled), null, false)]
    [InlineData("""{"temperature":0,"response_format":{"type":"json_object"}}""", nameof(Drawing.Constrained), null, false)]
    [InlineData("""{"temperature":0,"tools":[{"type":"function"}]}""", nameof(Drawing.Constrained), null, false)]
    public void How_tokens_were_to_be_chosen_is_read_from_the_request(string json, string drawing, long? max, bool hasStop)
    {
        using var body = JsonDocument.Parse(json);
        Assert.Equal(new RequestedSampling(Enum.Parse<Drawing>(drawing), max, hasStop), RequestedSampling.Of(JobKind.Chat, body.RootElement));
    }
}
