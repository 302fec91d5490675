using System.Text.Json.Nodes;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Tests.Fakes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Federation.Silo.Tests.Providers;

public sealed class CloudRunTests
{
    private const string Ask = """{"model":"m","messages":[{"role":"user","content":"17+25="}],"max_tokens":100}""";
    private const string AskStream = """{"model":"m","messages":[{"role":"user","content":"17+25="}],"max_tokens":100,"stream":true}""";
    private const string Whole = """{ "id":"x", "model":"m-2024", "choices":[{"message":{"content":"42"},"finish_reason":"stop"}], "usage":{"prompt_tokens":10,"completion_tokens":20} }""";
    private const string Event1 = "data: {\"model\":\"m-2024\",\"choices\":[{\"delta\":{\"content\":\"4\"}}]}\n\n";
    private const string Event2 = ": a comment\n\ndata: {\"model\":\"m-2024\",\"choices\":[{\"delta\":{\"content\":\"2\"},\"finish_reason\":\"stop\"}]}\n\n";
    private const string Usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20}}\n\n";
    private const string End = "data: [DONE]\n\n";

    // 10 credits for a thousand tokens, 30 tokens.
    private const long Paid = 300_000;
    private const long Credits = 100_000_000;

    // ----------------------------------------------------------------------------------------------------- the answer

    [Fact]
    public async Task An_answer_is_paid_before_its_client_has_it_and_reaches_it_in_the_providers_own_bytes()
    {
        await using var scene = new CloudScene();
        var provider = (await scene.ProviderAsync("one")).ThenWhole(Whole);
        await scene.GiveAsync(Credits);
        var run = await scene.RunAsync(Ask);

        Assert.Equal(Whole, scene.Received);
        Assert.Equal(("cloud:one", false), (scene.Http.Response.Headers["x-federation-route"].ToString(), scene.Http.Response.Headers.ContainsKey("x-federation-node")));
        Assert.Equal((Credits - Paid, 0, Paid), (scene.Available, scene.Held, scene.PaidTo("one")));
        var outcome = Assert.Single(scene.Settled);
        Assert.Equal(("one", "", Paid, 10L, 20L, JobStatus.Succeeded), (outcome.Provider, outcome.NodeId, outcome.Price, outcome.PromptTokens, outcome.CompletionTokens, outcome.Status));
        Assert.Equal((30, Paid, 30), (run.DeliveredTokens, run.PaidMicrocredits, run.CloudTokens));
        var (path, key, body) = Assert.Single(provider.Asked);
        Assert.Equal(("/v1/chat/completions", $"Bearer {CloudScene.Key}", Ask), (path, key, body));
    }

    [Fact]
    public async Task A_stream_passes_untouched_and_the_usage_that_only_the_hub_asked_for_stays_with_it()
    {
        await using var scene = new CloudScene();
        var provider = (await scene.ProviderAsync("one")).ThenStream(Event1 + Event2 + Usage + End);
        await scene.GiveAsync(Credits);
        await scene.RunAsync(AskStream, stream: true);

        Assert.Equal(Event1 + Event2 + End, scene.Received);
        Assert.True(JsonNode.Parse(provider.Asked.Single().Body)!["stream_options"]!["include_usage"]!.GetValue<bool>());
        Assert.Equal(Paid, scene.PaidTo("one"));
    }

    [Fact]
    public async Task A_client_that_asks_for_usage_gets_it()
    {
        await using var scene = new CloudScene();
        (await scene.ProviderAsync("one")).ThenStream(Event1 + Event2 + Usage + End);
        await scene.GiveAsync(Credits);
        await scene.RunAsync(AskStream.Replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}", StringComparison.Ordinal), stream: true);
        Assert.Equal(Event1 + Event2 + Usage + End, scene.Received);
    }

    [Fact]
    public async Task A_provider_that_refuses_unknown_fields_is_not_asked_for_usage()
    {
        await using var scene = new CloudScene();
        var provider = (await scene.ProviderAsync("one", asksForUsage: false)).ThenStream(Event1 + Event2 + End);
        await scene.GiveAsync(Credits);
        await scene.RunAsync(AskStream, stream: true);
        Assert.Equal(AskStream, provider.Asked.Single().Body);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_model_of_another_name_there_goes_by_the_clients_name_here(bool stream)
    {
        await using var scene = new CloudScene();
        var provider = await scene.ProviderAsync("one", theirs: "vendor/m-turbo");
        if (stream) provider.ThenStream(Event1 + Event2 + End);
        else provider.ThenWhole(Whole);
        await scene.GiveAsync(Credits);
        await scene.RunAsync(stream ? AskStream : Ask, stream);
        Assert.Equal("vendor/m-turbo", JsonNode.Parse(provider.Asked.Single().Body)!["model"]!.ToString());
        Assert.Contains("\"model\":\"m\"", scene.Received, StringComparison.Ordinal);
        Assert.DoesNotContain("m-2024", scene.Received, StringComparison.Ordinal);
        Assert.Equal("m", scene.Settled.Single().Model);
    }

    [Theory]
    [InlineData("", JobKind.Chat)]
    [InlineData(",\"max_tokens\":null", JobKind.Chat)]
    [InlineData(",\"max_completion_tokens\":null", JobKind.Chat)]
    [InlineData(",\"max_tokens\":null", JobKind.Completion)]
    [InlineData(",\"max_completion_tokens\":5", JobKind.Completion)]
    public async Task An_answer_without_a_limit_gets_the_one_that_is_paid_for(string limit, JobKind kind)
    {
        await using var scene = new CloudScene();
        var provider = (await scene.ProviderAsync("one")).ThenWhole(Whole);
        await scene.GiveAsync(1_000_000);
        var ask = Ask.Replace(",\"max_tokens\":100", limit, StringComparison.Ordinal);
        await scene.RunAsync(ask, kind: kind);
        // The prompt is held for at two bytes a token, ten thousand microcredits each.
        Assert.Equal(100 - ((ask.Length + 1) / 2), JsonNode.Parse(provider.Asked.Single().Body)!["max_tokens"]!.GetValue<long>());
        Assert.Equal(1_000_000 - Paid, scene.Available);
    }

    [Fact]
    public async Task A_free_cloud_is_not_held_for()
    {
        await using var scene = new CloudScene();
        (await scene.ProviderAsync("one", credits: 0)).ThenWhole(Whole);
        await scene.RunAsync(Ask);
        Assert.Equal(Whole, scene.Received);
        // The record, and no movement.
        Assert.Equal(1, scene.Ledger.Commits);
        Assert.Empty(scene.Books.State.Transfers);
    }

    [Fact]
    public async Task Vectors_come_from_clouds_too()
    {
        await using var scene = new CloudScene();
        var provider = (await scene.ProviderAsync("one")).ThenWhole("""{"object":"list","data":[{"embedding":[1]}],"usage":{"prompt_tokens":10,"total_tokens":10}}""");
        await scene.GiveAsync(Credits);
        await scene.RunAsync("""{"model":"m","input":"hello"}""", kind: JobKind.Embedding);
        Assert.Equal("/v1/embeddings", provider.Asked.Single().Path);
        Assert.Equal(100_000, scene.PaidTo("one"));
    }

    // ------------------------------------------------------------------------------------------------------- failures

    public static TheoryData<string> Failures => [.. Bad.Keys];

    [Theory]
    [MemberData(nameof(Failures))]
    public async Task Whatever_is_no_answer_sends_the_request_to_the_next_provider_unseen(string failure)
    {
        await using var scene = new CloudScene();
        scene.Gateway.MaxAnswerBytes = 4_096;
        scene.Gateway.MaxEventBytes = 4_096;
        var (isStream, script) = Bad[failure];
        script(await scene.ProviderAsync("bad", credits: 5));
        var good = await scene.ProviderAsync("good");
        if (isStream) good.ThenStream(Event1 + Event2 + Usage + End);
        else good.ThenWhole(Whole);
        await scene.GiveAsync(Credits);
        await scene.RunAsync(isStream ? AskStream : Ask, isStream);

        Assert.Equal(isStream ? Event1 + Event2 + End : Whole, scene.Received);
        Assert.Equal("cloud:good", scene.Http.Response.Headers["x-federation-route"].ToString());
        Assert.Equal((Credits - Paid, 0, 0, Paid), (scene.Available, scene.Held, scene.PaidTo("bad"), scene.PaidTo("good")));
        Assert.Equal(2, scene.Settled.Single().Attempt);
        Assert.DoesNotContain(scene.Log.Lines, line => line.Words.Contains(CloudScene.Key, StringComparison.Ordinal));
    }

    private static readonly Dictionary<string, (bool IsStream, Action<ScriptedProvider> Script)> Bad = new()
    {
        ["500"] = (false, provider => provider.ThenStatus(500, "oops")),
        ["503 to a stream"] = (true, provider => provider.ThenStatus(503)),
        ["429"] = (false, provider => provider.ThenStatus(429, "{}", response => response.Headers.RetryAfter = "20")),
        ["401, which names the key"] = (false, provider => provider.ThenStatus(401, $$$"""{"error":{"message":"Incorrect API key provided: {{{CloudScene.Key}}}"}}""")),
        ["402"] = (false, provider => provider.ThenStatus(402, """{"error":{"message":"Insufficient Balance"}}""")),
        ["403"] = (false, provider => provider.ThenStatus(403)),
        ["400 for want of the operator's credit"] = (false, provider => provider.ThenStatus(400, """{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}""")),
        ["400 for the operator's limit"] = (true, provider => provider.ThenStatus(400, $$$"""{"error":{"message":"The limit of {{{CloudScene.Key}}} has been reached","type":"invalid_request_error","param":null,"code":"billing_hard_limit_reached"}}""")),
        ["404"] = (false, provider => provider.ThenStatus(404, """{"error":{"message":"no such model"}}""")),
        ["a redirect"] = (false, provider => provider.ThenStatus(302, "", response => response.Headers.Location = "http://127.0.0.1:1/v1/chat/completions")),
        ["a page of HTML"] = (false, provider => provider.ThenWhole("<html>", "text/html")),
        ["no JSON"] = (false, provider => provider.ThenWhole("{\"choices\":[")),
        ["a list"] = (false, provider => provider.ThenWhole("[]")),
        ["no choices"] = (false, provider => provider.ThenWhole("{\"choices\":[]}")),
        ["an error with the status of success"] = (false, provider => provider.ThenWhole("""{"error":{"message":"x"}}""")),
        ["a stream instead of JSON"] = (false, provider => provider.ThenStream(Event1 + End)),
        ["JSON instead of a stream"] = (true, provider => provider.ThenWhole(Whole)),
        ["an answer beyond the limit"] = (false, provider => provider.ThenWhole("{\"choices\":[{\"message\":{\"content\":\"" + new string('x', 5_000) + "\"}}]}")),
        ["an event beyond the limit"] = (true, provider => provider.ThenStream("data: " + new string('x', 5_000))),
        ["a packed answer"] = (false, provider => provider.Then(async http =>
        {
            http.Response.ContentType = "application/json";
            http.Response.Headers.ContentEncoding = "gzip";
            await using var packed = new System.IO.Compression.GZipStream(http.Response.Body, System.IO.Compression.CompressionLevel.SmallestSize);
            await packed.WriteAsync(new byte[1 << 20]);
        })),
        ["an empty stream"] = (true, provider => provider.ThenStream("")),
        ["a stream that is no JSON"] = (true, provider => provider.ThenStream("data: hello\n\n")),
        ["a stream that breaks at once"] = (true, provider => provider.ThenBreaks(": hello\n\n", Task.CompletedTask)),
        ["a connection that is closed"] = (false, provider => provider.Then(http =>
        {
            http.Abort();
            return Task.CompletedTask;
        })),
        ["an error in a stream"] = (true, provider => provider.ThenStream("data: {\"error\":{\"message\":\"overloaded\"}}\n\n" + End)),
    };

    [Fact]
    public async Task A_provider_that_does_not_begin_in_time_is_left_for_the_next()
    {
        await using var scene = new CloudScene();
        var slow = (await scene.ProviderAsync("slow")).ThenFallsSilent("");
        (await scene.ProviderAsync("good")).ThenStream(Event1 + Event2 + Usage + End);
        await scene.GiveAsync(Credits);
        var asked = Eventually.TrueAsync(() => !slow.Asked.IsEmpty, "the slow provider to be asked");
        await scene.RunAsync(AskStream, stream: true, until: asked.ContinueWith(_ => scene.Clock.Advance(scene.Options.FirstByteTimeout), TaskScheduler.Default));
        Assert.Equal(Event1 + Event2 + End, scene.Received);
        await slow.Left.Task.WithinPatienceAsync();
    }

    [Fact]
    public async Task A_whole_answer_that_is_only_long_is_asked_for_once_and_keeps_nobody_from_its_provider()
    {
        await using var scene = new CloudScene();
        scene.Options.BreakAfter = 1;
        var slow = (await scene.ProviderAsync("slow")).ThenFallsSilent("", "application/json").ThenWhole(Whole);
        var other = (await scene.ProviderAsync("other")).ThenWhole(Whole);
        await scene.GiveAsync(Credits);
        var asked = Eventually.TrueAsync(() => !slow.Asked.IsEmpty, "the slow provider to be asked");
        await scene.RunAsync(Ask, until: asked.ContinueWith(_ => scene.Clock.Advance(scene.Gateway.AnswerTimeout), TaskScheduler.Default));
        Assert.Equal(504, scene.Http.Response.StatusCode);
        Assert.Equal((Credits, 0, 0), (scene.Available, scene.Held, other.Asked.Count));
        await slow.Left.Task.WithinPatienceAsync();

        await scene.RunAsync(Ask, jobId: "job_2");
        Assert.Equal((2, 0), (slow.Asked.Count, other.Asked.Count));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stream_that_ends_in_its_middle_ends_with_an_error_and_costs_what_came(bool breaks)
    {
        await using var scene = new CloudScene();
        var provider = await scene.ProviderAsync("one");
        var seen = Eventually.TrueAsync(() => scene.Received.Length > 0, "the first event");
        if (breaks) provider.ThenBreaks(Event1, seen);
        else provider.ThenStream(Event1);
        await scene.GiveAsync(Credits);
        await scene.RunAsync(AskStream, stream: true);

        Assert.StartsWith(Event1 + "data: {\"error\":", scene.Received, StringComparison.Ordinal);
        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        // One token of ten thousand microcredits.
        Assert.Equal((Credits - 10_000, 0), (scene.Available, scene.Held));
        Assert.Equal(JobStatus.Failed, scene.Settled.Single().Status);
    }

    [Fact]
    public async Task A_stream_that_falls_silent_ends_with_an_error()
    {
        await using var scene = new CloudScene();
        var provider = (await scene.ProviderAsync("one")).ThenFallsSilent(Event1);
        await scene.GiveAsync(Credits);
        var seen = Eventually.TrueAsync(() => scene.Received.Length > 0, "the first event");
        await scene.RunAsync(AskStream, stream: true, until: seen.ContinueWith(_ => scene.Clock.Advance(scene.Options.SilenceTimeout), TaskScheduler.Default));
        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        await provider.Left.Task.WithinPatienceAsync();
    }

    [Fact]
    public async Task A_client_that_leaves_stops_the_provider_pays_for_what_it_got_and_opens_no_breaker()
    {
        await using var scene = new CloudScene();
        scene.Options.BreakAfter = 1;
        var provider = (await scene.ProviderAsync("one")).ThenFallsSilent(Event1);
        await scene.GiveAsync(Credits);
        var seen = Eventually.TrueAsync(() => scene.Received.Length > 0, "the first event");
        await scene.RunAsync(AskStream, stream: true, until: seen.ContinueWith(_ => scene.Leave(), TaskScheduler.Default));

        await provider.Left.Task.WithinPatienceAsync();
        var outcome = scene.Settled.Single();
        Assert.Equal((JobStatus.Cancelled, 1L, (AskStream.Length + 3) / 4), (outcome.Status, outcome.CompletionTokens, outcome.PromptTokens));
        Assert.Equal((Credits - outcome.Price, 0), (scene.Available, scene.Held));
        Assert.True(outcome.Price is > 0 and < 1_000_000);
        Assert.DoesNotContain(scene.Log.Lines, line => line.Level >= LogLevel.Warning);
    }

    [Fact]
    public async Task A_whole_answer_that_its_client_left_is_waited_for_and_costs_what_the_provider_bills()
    {
        await using var scene = new CloudScene();
        scene.Options.BreakAfter = 1;
        var left = new TaskCompletionSource();
        var provider = (await scene.ProviderAsync("one")).Then(async http =>
        {
            await left.Task;
            // Whoever had given the answer up would have closed the connection by now.
            Assert.False(http.RequestAborted.IsCancellationRequested);
            http.Response.ContentType = "application/json";
            await http.Response.WriteAsync(Whole);
        });
        await scene.GiveAsync(Credits);
        var asked = Eventually.TrueAsync(() => !provider.Asked.IsEmpty, "the provider to be asked");
        var run = await scene.RunAsync(Ask, until: asked.ContinueWith(
            _ =>
            {
                scene.Leave();
                left.SetResult();
            },
            TaskScheduler.Default));
        Assert.Equal((Credits - Paid, 0, Paid), (scene.Available, scene.Held, scene.PaidTo("one")));
        Assert.Equal((10L, 20L), (scene.Settled.Single().PromptTokens, scene.Settled.Single().CompletionTokens));
        Assert.Equal((30, Paid), (run.DeliveredTokens, run.PaidMicrocredits));
    }

    [Theory]
    [InlineData(500)]
    [InlineData(401)]
    public async Task A_whole_answer_that_fails_when_its_client_has_left_costs_nothing_and_is_asked_of_nobody_else(int status)
    {
        await using var scene = new CloudScene();
        var left = new TaskCompletionSource();
        var provider = (await scene.ProviderAsync("one")).Then(async http =>
        {
            await left.Task;
            http.Response.StatusCode = status;
        });
        var other = (await scene.ProviderAsync("other")).ThenWhole(Whole);
        await scene.GiveAsync(Credits);
        var asked = Eventually.TrueAsync(() => !provider.Asked.IsEmpty, "the provider to be asked");
        await scene.RunAsync(Ask, until: asked.ContinueWith(
            _ =>
            {
                scene.Leave();
                left.SetResult();
            },
            TaskScheduler.Default));
        Assert.Equal((Credits, 0, 0), (scene.Available, scene.Held, other.Asked.Count));
        Assert.Empty(scene.Settled);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_prompt_that_was_sent_is_paid_though_its_client_left_before_a_word_of_the_answer_came(bool stream)
    {
        await using var scene = new CloudScene();
        // Of whole answers none is waited for here.
        scene.Options.MaxLeftAnswers = 0;
        var provider = (await scene.ProviderAsync("one")).ThenFallsSilent("", stream ? "text/event-stream" : "application/json");
        await scene.GiveAsync(Credits);
        var asked = Eventually.TrueAsync(() => !provider.Asked.IsEmpty, "the provider to be asked");
        await scene.RunAsync(stream ? AskStream : Ask, stream, until: asked.ContinueWith(_ => scene.Leave(), TaskScheduler.Default));
        await provider.Left.Task.WithinPatienceAsync();
        var outcome = scene.Settled.Single();
        Assert.Equal((JobStatus.Cancelled, 0L, ((stream ? AskStream : Ask).Length + 3) / 4), (outcome.Status, outcome.CompletionTokens, outcome.PromptTokens));
        Assert.Equal((Credits - outcome.Price, 0, 10_000 * outcome.PromptTokens), (scene.Available, scene.Held, outcome.Price));
    }

    [Fact]
    public async Task An_answer_that_costs_nothing_is_given_up_when_its_client_leaves()
    {
        await using var scene = new CloudScene();
        var provider = (await scene.ProviderAsync("one", credits: 0)).ThenFallsSilent("", "application/json");
        var asked = Eventually.TrueAsync(() => !provider.Asked.IsEmpty, "the provider to be asked");
        await scene.RunAsync(Ask, until: asked.ContinueWith(_ => scene.Leave(), TaskScheduler.Default));
        await provider.Left.Task.WithinPatienceAsync();
        Assert.Empty(scene.Settled);
    }

    [Theory]
    [InlineData(400)]
    [InlineData(413)]
    [InlineData(422)]
    public async Task What_the_client_did_wrong_it_reads_in_the_providers_words_and_pays_nothing(int status)
    {
        await using var scene = new CloudScene();
        scene.Options.BreakAfter = 1;
        const string words = """{"error":{"message":"'temperature' is too high","type":"invalid_request_error","param":"temperature","code":null}}""";
        (await scene.ProviderAsync("one")).ThenStatus(status, words);
        await scene.GiveAsync(Credits);
        await scene.RunAsync(Ask);
        Assert.Equal((status, words), (scene.Http.Response.StatusCode, scene.Received));
        Assert.Equal((Credits, 0), (scene.Available, scene.Held));
        Assert.Empty(scene.Settled);
        await scene.RunAsync(Ask, jobId: "job_2");
        Assert.Equal(words + words, scene.Received);
    }

    [Fact]
    public async Task A_refusal_that_no_SDK_can_read_is_told_in_the_hubs_words()
    {
        await using var scene = new CloudScene();
        (await scene.ProviderAsync("one")).ThenStatus(400, "[{\"error\":{}}]");
        await scene.GiveAsync(Credits);
        await scene.RunAsync(Ask);
        Assert.Contains("The provider refused the request with status 400.", scene.Received, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_provider_that_fails_again_and_again_is_not_asked_and_one_that_says_when_is_asked_then()
    {
        await using var scene = new CloudScene();
        scene.Options.BreakAfter = 2;
        var bad = (await scene.ProviderAsync("bad")).ThenStatus(500);
        var busy = (await scene.ProviderAsync("busy")).ThenStatus(429, "{}", response => response.Headers.RetryAfter = "20");
        await scene.GiveAsync(Credits);
        await scene.RunAsync(Ask, jobId: "job_1");
        await scene.RunAsync(Ask, jobId: "job_2");
        Assert.Equal((2, 1), (bad.Asked.Count, busy.Asked.Count));
        await scene.RunAsync(Ask, jobId: "job_3");
        Assert.Equal((2, 1), (bad.Asked.Count, busy.Asked.Count));
        Assert.Equal((503, "15"), (scene.Http.Response.StatusCode, scene.Http.Response.Headers.RetryAfter.ToString()));
        Assert.Equal((Credits, 0), (scene.Available, scene.Held));

        scene.Clock.Advance(TimeSpan.FromSeconds(20));
        await scene.RunAsync(Ask, jobId: "job_4");
        Assert.Equal((3, 2), (bad.Asked.Count, busy.Asked.Count));
    }

    // ---------------------------------------------------------------------------------------------------------- money

    [Theory]
    [InlineData(true, 10)]
    [InlineData(false, 10)]
    [InlineData(true, 0)]
    [InlineData(false, 0)]
    public async Task What_is_paid_is_settled_with_the_answer_that_may_be_asked_for_again(bool stream, int credits)
    {
        await using var scene = new CloudScene();
        scene.Wrap = sink => new Recorder(sink);
        var provider = await scene.ProviderAsync("one", credits);
        if (stream) provider.ThenStream(Event1 + Event2 + Usage + End);
        else provider.ThenWhole(Whole);
        await scene.GiveAsync(Credits);
        await scene.RunAsync(stream ? AskStream : Ask, stream);
        var answer = scene.Settled.Single().Answer;
        // What costs nothing does not wait for its record.
        if (credits == 0) Assert.Null(answer);
        else Assert.Equal((stream ? End : Whole, "cloud:one", stream), (System.Text.Encoding.UTF8.GetString([.. answer!.Bytes]), answer.Route, answer.IsStream));
    }

    /// <summary>Keeps the end of an answer.</summary>
    private sealed class Recorder(AnswerSink client) : ForwardingSink(client)
    {
        public override AnswerOnRecord? KeepEnd(AnswerHead head, ReadOnlyMemory<byte> rest) => Of(head, string.Empty, true, rest);

        public override AnswerOnRecord? KeepWhole(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body) => Of(head, contentType, false, body);

        private static AnswerOnRecord Of(AnswerHead head, string type, bool isStream, ReadOnlyMemory<byte> bytes) => new([], [], head.Route, head.NodeId, head.Attempts, 0, 200, type, isStream, true, [.. bytes.Span], 0, 0);
    }

    [Theory]
    [InlineData("9223372036854775808", "9223372036854775808")]
    [InlineData("-5", "-9223372036854775808")]
    [InlineData("2147483647", "2147483647")]
    [InlineData("1e308", "\"20\"")]
    public async Task No_usage_that_a_provider_can_report_costs_more_than_was_held(string prompt, string completion)
    {
        await using var scene = new CloudScene();
        (await scene.ProviderAsync("one")).ThenWhole($$$"""{"choices":[{"message":{"content":"42"}}],"usage":{"prompt_tokens":{{{prompt}}},"completion_tokens":{{{completion}}}}}""");
        await scene.GiveAsync(Credits);
        await scene.RunAsync(Ask);
        var most = 10_000 * (100 + ((Ask.Length + 1) / 2));
        Assert.InRange(scene.PaidTo("one"), 0, most);
        Assert.Equal((Credits - scene.PaidTo("one"), 0), (scene.Available, scene.Held));
        Assert.Equal(200, scene.Http.Response.StatusCode);
    }

    [Fact]
    public async Task Without_credits_nobody_is_asked_and_a_cheaper_provider_may_still_be()
    {
        await using var scene = new CloudScene();
        var dear = await scene.ProviderAsync("dear", credits: 1_000);
        var cheap = (await scene.ProviderAsync("cheap")).ThenWhole(Whole);
        await scene.RunAsync(Ask);
        Assert.Equal(429, scene.Http.Response.StatusCode);
        Assert.Contains("insufficient_quota", scene.Received, StringComparison.Ordinal);
        Assert.Equal("false", scene.Http.Response.Headers["x-should-retry"].ToString());
        Assert.Empty(cheap.Asked);

        await scene.GiveAsync(10_000_000);
        await scene.RunAsync(Ask, jobId: "job_2");
        Assert.Empty(dear.Asked);
        Assert.Equal(Paid, scene.PaidTo("cheap"));
    }

    [Fact]
    public async Task While_the_database_is_away_nobody_is_asked()
    {
        await using var scene = new CloudScene();
        var provider = await scene.ProviderAsync("one");
        await scene.GiveAsync(Credits);
        scene.Ledger.Faults = _ => Fault.Before;
        await scene.RunAsync(Ask);
        Assert.Equal((503, "5"), (scene.Http.Response.StatusCode, scene.Http.Response.Headers.RetryAfter.ToString()));
        Assert.Empty(provider.Asked);
    }

    [Fact]
    public async Task A_cap_below_what_it_may_cost_asks_nobody()
    {
        await using var scene = new CloudScene();
        var provider = await scene.ProviderAsync("one");
        await scene.GiveAsync(Credits);
        await scene.RunAsync(Ask, maxCost: new Microcredits(1_000));
        Assert.Equal(400, scene.Http.Response.StatusCode);
        Assert.Contains("max_credits_exceeded", scene.Received, StringComparison.Ordinal);
        Assert.Empty(provider.Asked);
    }
}
