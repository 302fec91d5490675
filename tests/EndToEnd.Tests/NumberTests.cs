using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Whatever stands in the place of a number: it is taken or refused in words, breaks nothing, and nobody is the worse for it.</summary>
public sealed class NumberTests(SharedHub shared, ITestOutputHelper output) : SharedHubTest(shared, output)
{
    /// <summary>What is put in the place of every number.</summary>
    private static readonly string[] Odd =
    [
        "-1", "0", "-0", "1.5", "1e308", "-1e308", "1e999", "1e-999", "2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "79228162514264337593543950336",
        "\"1\"", "\"NaN\"", "null", "true", "[]", "{}", "[1]",
    ];

    private const string Message = """ "messages":[{"role":"user","content":"hi"}] """;

    /// <summary>Every place for a number: a name for it, where it goes, and the body with a star in its place.</summary>
    private static readonly (string Path, string[] Fields, string Body)[] Bodies =
    [
        ("/v1/chat/completions", ["temperature", "top_p", "n", "seed", "max_tokens", "max_completion_tokens", "presence_penalty", "frequency_penalty", "top_logprobs", "top_k", "min_p", "logit_bias"], $$"""{"model":"steady",{{Message}},"FIELD":*}"""),
        ("/v1/chat/completions", ["bias"], $$"""{"model":"steady",{{Message}},"logit_bias":{"50256":*} }"""),
        ("/v1/chat/completions", ["both"], $$"""{"model":"steady",{{Message}},"n":*,"max_tokens":*,"stream":true}"""),
        ("/v1/completions", ["max_tokens", "n", "best_of", "logprobs", "temperature", "prompt"], """{"model":"steady","prompt":"hi","FIELD":*}"""),
        ("/v1/completions", ["tokens"], """{"model":"steady","prompt":[*,*]}"""),
        ("/v1/embeddings", ["dimensions"], """{"model":"steady","input":"hi","FIELD":*}"""),
        ("/v1/embeddings", ["tokens"], """{"model":"steady","input":[*,*]}"""),
        ("/v1/responses", ["max_output_tokens", "temperature", "top_p", "top_logprobs", "max_tool_calls"], """{"model":"steady","input":"hi","FIELD":*}"""),
        ("/v1/messages", ["temperature", "top_p", "top_k"], $$"""{"model":"steady","max_tokens":8,{{Message}},"FIELD":*}"""),
        ("/v1/messages", ["max_tokens"], $$"""{"model":"steady",{{Message}},"max_tokens":*}"""),
        ("/v1/messages", ["budget_tokens"], $$"""{"model":"steady","max_tokens":8,{{Message}},"thinking":{"type":"enabled","budget_tokens":*} }"""),
        ("/v1/messages/count_tokens", ["messages"], """{"model":"steady","messages":*}"""),
        (
            "/api/chat",
            ["temperature", "top_p", "top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty", "seed", "num_predict", "num_ctx", "num_gpu", "mirostat"],
            $$"""{"model":"steady","stream":false,{{Message}},"options":{"FIELD":*} }"""),
        ("/api/chat", ["keep_alive", "top_logprobs"], $$"""{"model":"steady","stream":false,"logprobs":true,{{Message}},"FIELD":*}"""),
        ("/api/generate", ["keep_alive"], """{"model":"steady","stream":false,"FIELD":*}"""),
        ("/api/generate", ["num_predict", "seed"], """{"model":"steady","stream":false,"prompt":"hi","options":{"FIELD":*}}"""),
        ("/api/embed", ["dimensions", "keep_alive"], """{"model":"steady","input":"hi","FIELD":*}"""),
        ("/v1/jobs", ["expires", "metadata"], $$"""{"type":"chat","request":{"model":"steady",{{Message}} },"FIELD":*}"""),
        ("/v1/jobs", ["max_tokens", "n", "seed"], $$"""{"type":"chat","request":{"model":"steady",{{Message}},"FIELD":*} }"""),
        ("/v1/batches", ["input_file_id", "metadata", "completion_window"], """{"endpoint":"/v1/chat/completions","FIELD":*}"""),
        ("/v1/quote", ["prompt_tokens", "completion_tokens"], """{"model":"steady","FIELD":*}"""),
        ("/v1/quote", ["completion_tokens"], """{"model":"steady","prompt_tokens":9223372036854775807,"FIELD":*}"""),
        ("/v1/quote", ["max_tokens", "n"], $$"""{"model":"steady",{{Message}},"FIELD":*}"""),
        ("/v1/keys", ["expires_in_seconds", "budget_credits", "requests_per_minute", "tokens_per_day", "models", "scopes"], """{"name":"x","FIELD":*}"""),
        ("/v1/keys/key_none/rotate", ["grace_seconds"], """{"FIELD":*}"""),
        ("/v1/accounts", ["tier"], """{"name":"x","FIELD":*}"""),
        ("/v1/accounts/ACCOUNT/credits", ["credits"], """{"id":"odd","FIELD":*}"""),
        ("/v1/join-tokens", ["expires_in_seconds"], """{"FIELD":*}"""),
        ("/v1/contributor/register", ["vram"], """{"hardware":{"gpu":"x","FIELD":*}}"""),
        ("/v1/contributor/register", ["hours_per_day"], """{"availability":{"FIELD":*}}"""),
        ("/mcp", ["id"], """{"jsonrpc":"2.0","method":"tools/list","FIELD":*}"""),
        ("/mcp", ["protocolVersion", "capabilities", "clientInfo"], """{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"FIELD":*}}"""),
        ("/mcp", ["max_tokens"], """{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"chat","arguments":{"model":"steady","prompt":"hi","FIELD":*}}}"""),
    ];

    private static readonly string[] Queries =
    [
        "/v1/jobs?limit=*", "/v1/jobs?after=*", "/v1/files?limit=*", "/v1/batches?limit=*", "/v1/accounts?limit=*", "/v1/nodes?limit=*", "/v1/account/statement?limit=*", "/v1/account/statement?cursor=*",
        "/v1/usage?limit=*", "/v1/usage?cursor=*", "/v1/usage?start_date=*", "/v1/usage?end_date=*", "/v1/epochs?limit=*", "/v1/epochs?before=*", "/v1/epochs/*", "/v1/epochs/*/receipts", "/v1/nodes/NODE/verification?events=*", "/v1/nodes/NODE/verification?before=*",
    ];

    public static TheoryData<string> Paths() => [.. Bodies.Select(body => body.Path).Distinct()];

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task In_a_body_it_is_taken_or_refused_in_words(string path)
    {
        using var client = Hub.Client();
        var (account, _) = await client.CreateAccountAsync("odd");
        var wrong = new List<string>();
        foreach (var (_, fields, pattern) in Bodies.Where(body => body.Path == path))
        {
            foreach (var field in fields)
            {
                foreach (var odd in Odd)
                {
                    var body = pattern.Replace("FIELD", field, StringComparison.Ordinal).Replace("*", odd, StringComparison.Ordinal);
                    var answer = await client.PostAsync(path.Replace("ACCOUNT", account, StringComparison.Ordinal), body);
                    if ((int)answer.Status >= 500 || (answer.Status is not HttpStatusCode.OK && !IsRefusal(answer))) wrong.Add($"{body}: {(int)answer.Status} {answer.Text}");
                }
            }
        }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.InRange((await client.GetAsync($"/v1/account?account={account}")).Expect(HttpStatusCode.OK).Json["available_microcredits"]!.GetValue<long>(), 0, 1_000_000_000_000);
    }

    [Fact]
    public async Task In_a_query_it_is_taken_or_refused_in_words()
    {
        using var client = Hub.Client();
        var node = await JoinedNodeAsync();
        var wrong = new List<string>();
        foreach (var pattern in Queries)
        {
            foreach (var odd in Odd.Append("abc").Append(string.Empty).Append("%ff").Append(new string('9', 400)))
            {
                var path = pattern.Replace("NODE", node.Id.ToString(), StringComparison.Ordinal).Replace("*", odd.StartsWith('%') ? odd : Uri.EscapeDataString(odd), StringComparison.Ordinal);
                var answer = await client.GetAsync(path);
                if ((int)answer.Status >= 500 || (answer.Status is not HttpStatusCode.OK && !IsRefusal(answer))) wrong.Add($"{path}: {(int)answer.Status} {answer.Text}");
            }
        }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Theory]
    [InlineData("x-federation-max-credits")]
    [InlineData("Last-Event-ID")]
    [InlineData("Idempotency-Key")]
    [InlineData("x-federation-privacy")]
    [InlineData("anthropic-version")]
    [InlineData("Range")]
    [InlineData("If-None-Match")]
    [InlineData("traceparent")]
    [InlineData("Accept-Encoding")]
    public async Task In_a_header_it_is_taken_or_refused_in_words(string header)
    {
        using var http = new HttpClient { BaseAddress = Hub.Api, Timeout = Patience.Limit };
        foreach (var odd in Odd.Append("abc").Append(new string('9', 4_000)))
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions") { Content = new StringContent(Chats.Question(SharedHub.SteadyModel, "hi", stream: false), Encoding.UTF8, "application/json") };
            request.Headers.Add("Authorization", $"Bearer {Hub.AdminKey}");
            Assert.True(request.Headers.TryAddWithoutValidation(header, odd));
            using var response = await http.SendAsync(request);
            Assert.True((int)response.StatusCode < 500, $"{header}: {odd}: {(int)response.StatusCode} {await response.Content.ReadAsStringAsync()}");
        }
    }

    [Fact]
    public async Task In_the_lines_of_a_batch_it_is_that_lines_answer()
    {
        using var client = Hub.Client();
        var lines = string.Concat(Odd.Select((odd, index) => $$"""{"custom_id":"{{index}}","method":"POST","url":"/v1/chat/completions","body":{"model":"steady",{{Message}},"max_tokens":{{odd}} } }""" + "\n"));
        using var form = new MultipartFormDataContent { { new StringContent("batch"), "purpose" }, { new ByteArrayContent(Encoding.UTF8.GetBytes(lines)), "file", "lines.jsonl" } };
        var file = (await client.SendAsync(HttpMethod.Post, "/v1/files", form)).Expect(HttpStatusCode.OK).Json["id"]!.ToString();
        var made = await client.PostAsync("/v1/batches", new JsonObject { ["input_file_id"] = file, ["endpoint"] = "/v1/chat/completions", ["completion_window"] = "24h" });
        var id = made.Expect(HttpStatusCode.OK).Json["id"]!.ToString();
        JsonNode? batch = null;
        await Patience.UntilAsync(async () => (batch = (await client.GetAsync($"/v1/batches/{id}")).Expect(HttpStatusCode.OK).Json)["status"]!.ToString() is "completed" or "failed", "the batch to end");
        var counts = batch!["request_counts"]!;
        Assert.Equal(("completed", Odd.Length), (batch["status"]!.ToString(), counts["completed"]!.GetValue<int>() + counts["failed"]!.GetValue<int>()));
        var errors = (await client.GetAsync($"/v1/files/{batch["error_file_id"]}/content")).Expect(HttpStatusCode.OK).Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.All(errors, line => Assert.InRange(JsonNode.Parse(line)!["response"]!["status_code"]!.GetValue<int>(), 400, 499));
    }

    /// <summary>An error that says what is wrong, or the success of what is made, or taken to be done later.</summary>
    private static bool IsRefusal(HubAnswer answer)
    {
        if (answer.Status is HttpStatusCode.Created or HttpStatusCode.Accepted) return true;
        if ((int)answer.Status is < 400 or >= 500 || answer.Text.Length == 0) return false;
        var error = answer.Json["error"];
        // The last is how HTTP's own problem details say it.
        return (error is JsonValue ? error.ToString() : error?["message"]?.ToString() ?? answer.Json["title"]?.ToString()) is { Length: > 0 };
    }
}
