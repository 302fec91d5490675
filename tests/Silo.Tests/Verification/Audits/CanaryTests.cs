using System.Globalization;
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
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1.5}""", true)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1.6}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":2}""", false)]
    [InlineData("""{"model":"m","messages":[{"role":"user","content":"hi"}],"top_k":1e300}""", false)]
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

    [Theory]
    [InlineData("0.7", "0.7")]
    [InlineData("1.0", "1.0")]
    [InlineData("0.7312345", "0.75")]
    [InlineData("0.71", "0.7")]
    [InlineData("0.70000000", "0.7")]
    [InlineData("1.524", "1.5")]
    [InlineData("0", "0")]
    public void Numbers_are_rounded_so_that_none_is_known_again(string asked, string shown)
    {
        Assert.True(RequestShape.TryRead(Encoding.UTF8.GetBytes($$"""{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":{{asked}}}"""), new CanaryOptions(), out var shape));
        Assert.Contains($"\"temperature\":{shown}}}", Encoding.UTF8.GetString(shape.Write("m", null, new Random(7))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_canary_has_nothing_that_fewer_than_three_accounts_have_asked_with()
    {
        var (options, drawn) = (new CanaryOptions(), 0);
        for (var seed = 0; seed < 500; seed++)
        {
            var random = new Random(seed);
            var asked = new List<(string, RequestShape)>();
            // Honest clients have one of two manners and usual numbers. Two others mark what they ask: by a field, by the order, by spaces, or by a number in the manner of all.
            foreach (var account in Enumerable.Range(0, random.Next(7)))
            {
                for (var request = random.Next(1, 5); request > 0; request--)
                    asked.Add(($"acct_{account}", Shape(random.Next(2) == 0 ? """{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.7}""" : """{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":512,"stream":true}""")));
            }
            foreach (var marker in new[] { "acct_x", "acct_y" })
            {
                for (var request = random.Next(1, 5); request > 0; request--)
                {
                    asked.Add((marker, Shape(random.Next(6) switch
                    {
                        0 => """{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.7,"top_k":7}""",
                        1 => """{"temperature":0.7,"model":"m","messages":[{"role":"user","content":"hi"}]}""",
                        2 => """{"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.7}""",
                        3 => """{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.95}""",
                        4 => """{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.70}""",
                        _ => """{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":777,"stream":true}""",
                    })));
                }
            }
            if (CommonShapes.Draw(asked, options, random) is not { } shape) continue;
            drawn++;
            var body = Encoding.UTF8.GetString(shape.Write("m", null, random));
            Assert.Matches("^\\{\"model\":\"m\",\"messages\":\\[\\{\"role\":\"user\",\"content\":\"[^\"]*\"\\}\\],(\"temperature\":(0|0\\.7)|\"max_tokens\":[0-9]+,\"stream\":true)\\}$", body);
            Assert.DoesNotContain("\"max_tokens\":777", body, StringComparison.Ordinal);
        }
        Assert.True(drawn > 200, $"A shape was drawn {drawn} times of 500.");

        RequestShape Shape(string body) => RequestShape.TryRead(Encoding.UTF8.GetBytes(body), options, out var shape) ? shape : throw new InvalidOperationException(body);
    }

    [Fact]
    public void Three_accounts_are_enough_and_a_number_that_only_two_of_them_used_is_replaced()
    {
        var options = new CanaryOptions { MinTokens = 64, MaxTokens = 128 };
        (string, RequestShape)[] asked = [.. new[] { ("a", 300), ("b", 300), ("c", 999) }.Select(one => (one.Item1, Shape($$"""{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":{{one.Item2}}}""")))];
        Assert.Null(CommonShapes.Draw(asked[..2], options, new Random(7)));
        var limits = Enumerable.Range(0, 100).Select(seed => int.Parse(CommonShapes.Draw(asked, options, new Random(seed))!.Fields[2].Raw, CultureInfo.InvariantCulture));
        Assert.All(limits, limit => Assert.InRange(limit, 64, 128));
        // Of a field without numbers of the hub's own there is no shape.
        asked = [.. new[] { ("a", "0.9"), ("b", "0.9"), ("c", "0.8") }.Select(one => (one.Item1, Shape($$"""{"model":"m","messages":[{"role":"user","content":"hi"}],"top_p":{{one.Item2}}}""")))];
        Assert.Null(CommonShapes.Draw(asked, options, new Random(7)));
        Assert.Equal("0.9", CommonShapes.Draw([.. asked, ("d", asked[0].Item2)], options, new Random(7))!.Fields[2].Raw);

        RequestShape Shape(string body) => RequestShape.TryRead(Encoding.UTF8.GetBytes(body), options, out var shape) ? shape : throw new InvalidOperationException(body);
    }

    [Fact]
    public void Nor_has_one_for_vectors()
    {
        (string, EmbeddingShape)[] asked =
        [
            .. new[] { "a", "b", "c" }.Select(account => (account, Shape("""{"input":"hi","model":"m","encoding_format":"float"}"""))),
            ("x", Shape("""{"input":"hi","model":"m","dimensions":77}""")), ("y", Shape("""{"model":"m","input":"hi","encoding_format":"float"}""")), ("y", Shape("""{"input":["hi"],"model":"m","encoding_format":"float"}""")),
        ];
        Assert.Null(CommonShapes.Draw([.. asked[..2], .. asked[3..]], new CanaryOptions(), new Random(7)));
        for (var seed = 0; seed < 100; seed++) Assert.Equal(asked[0].Item2.Manner, CommonShapes.Draw(asked, new CanaryOptions(), new Random(seed))!.Manner);

        static EmbeddingShape Shape(string body) => EmbeddingShape.TryRead(Encoding.UTF8.GetBytes(body), new CanaryOptions(), out var shape) ? shape : throw new InvalidOperationException(body);
    }

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
        var buffer = new AnswerBuffer(Options.Create(new AuditOptions()), new Random(seed), new TestClock());
        var random = new Random(seed);
        Assert.Empty(buffer.Draw(_ => true, 1, 10, random));
        for (var job = 0; job < 4; job++) buffer.Keep(Kept($"job_{job}"), lot: 0.5);
        buffer.Keep("job_9", Kept("canary"));
        var drawn = Enumerable.Range(0, 200).Select(_ => Assert.Single(buffer.Draw(kept => kept.Outcome.JobId != "job_3", 1, 10, random)).Outcome.JobId).ToArray();
        Assert.Equal(["job_0", "job_1", "job_2"], drawn.Distinct().Order());
        Assert.All(drawn.GroupBy(job => job), job => Assert.InRange(job.Count(), 40, 100));

        // An account that asks without end has no more say in what canaries look like.
        for (var job = 0; job < 1_000; job++) buffer.Keep(Kept($"flood_{job}", "acct_flood"), lot: 0.5);
        var both = buffer.Draw(_ => true, 3, 10, random);
        Assert.Equal([("acct", 3), ("acct_flood", 3)], both.GroupBy(kept => kept.Outcome.AccountId).Select(account => (account.Key, account.Distinct().Count())).Order());
        Assert.InRange(Enumerable.Range(0, 200).Count(_ => Assert.Single(buffer.Draw(_ => true, 1, 1, random)).Outcome.AccountId == "acct_flood"), 60, 140);

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
