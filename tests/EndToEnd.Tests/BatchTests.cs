using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>OpenAI's files and batches: by a hub that is killed in the middle, and against clients that mean no good.</summary>
public sealed class BatchTests(ITestOutputHelper output) : EndToEndTest(output)
{
    private static readonly Dictionary<string, string> Quick = new() { ["Batches__LeaseDuration"] = "00:00:03", ["Batches__LookPeriod"] = "00:00:00.1", ["Batches__RetryDelay"] = "00:00:00.2", ["Files__MaxBytes"] = "2000000", ["Files__MaxAccountBytes"] = "5000000" };

    [Fact]
    public async Task A_hub_that_is_killed_in_mid_batch_goes_on_where_it_was()
    {
        const int Lines = 60;
        using var data = new TemporaryDirectory();
        var hub = await StartHubAsync(Quick, data: data.Path);
        await StartAgentAsync(hub, AgentEngines.Demo());
        string id;
        using (var client = hub.Client())
        {
            id = await SubmitAsync(client, string.Concat(Enumerable.Range(0, Lines).Select(n => Line($"zeile-{n}-ä😀", $"{n}+1="))));
            await Patience.UntilAsync(async () => (await client.GetAsync($"/v1/batches/{id}")).Json["request_counts"]!["completed"]!.GetValue<int>() > 5, "some answers");
            await hub.Process.KillAsync();
        }
        var again = await StartHubAsync(Quick, data: data.Path, listen: $"127.0.0.1:{hub.Api.Port}", arguments: ["--listen-nodes", $"127.0.0.1:{hub.Nodes.Port}"]);
        using var after = again.Client();
        var batch = await EndedAsync(after, id);
        Assert.Equal("completed", batch["status"]!.ToString());
        Assert.Equal((Lines, Lines, 0), (batch["request_counts"]!["total"]!.GetValue<int>(), batch["request_counts"]!["completed"]!.GetValue<int>(), batch["request_counts"]!["failed"]!.GetValue<int>()));
        var answers = await ContentAsync(after, batch["output_file_id"]!.ToString());
        Assert.Equal(Enumerable.Range(0, Lines).Select(n => $"zeile-{n}-ä😀"), answers.Select(line => line["custom_id"]!.ToString()));
        Assert.All(answers, line => Assert.Equal("chat.completion", line["response"]!["body"]!["object"]!.ToString()));
        Assert.Equal(Lines, answers.Select(line => line["id"]!.ToString()).Distinct().Count());
    }

    [Fact]
    public async Task Files_are_listed_read_and_deleted_by_their_account_alone()
    {
        var hub = await StartHubAsync(Quick);
        using var admin = hub.Client();
        using var mine = hub.Client((await admin.CreateAccountAsync("mine")).Key);
        using var theirs = hub.Client((await admin.CreateAccountAsync("theirs")).Key);
        var text = Line("a", "1+1=");
        var file = (await UploadAsync(mine, text, "../../etc/pass\r\nwd")).Expect(HttpStatusCode.OK).Json;
        Assert.DoesNotContain('/', file["filename"]!.ToString());
        Assert.DoesNotContain('\n', file["filename"]!.ToString());
        Assert.Equal(text.Length, file["bytes"]!.GetValue<int>());
        Assert.Equal(text, (await mine.GetAsync($"/v1/files/{file["id"]}/content")).Expect(HttpStatusCode.OK).Text);
        Assert.Single((await mine.GetAsync("/v1/files?purpose=batch")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray());
        Assert.Empty((await theirs.GetAsync("/v1/files")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray());
        foreach (var answer in new[] { await theirs.GetAsync($"/v1/files/{file["id"]}"), await theirs.GetAsync($"/v1/files/{file["id"]}/content"), await theirs.SendAsync(HttpMethod.Delete, $"/v1/files/{file["id"]}") })
            answer.ExpectError(HttpStatusCode.NotFound, "not_found", "No such File");
        (await theirs.PostAsync("/v1/batches", Request(file["id"]!.ToString()))).ExpectError(HttpStatusCode.NotFound, "not_found", "input file");
        Assert.True((await mine.SendAsync(HttpMethod.Delete, $"/v1/files/{file["id"]}")).Expect(HttpStatusCode.OK).Json["deleted"]!.GetValue<bool>());
        (await mine.GetAsync($"/v1/files/{file["id"]}")).Expect(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task What_is_wrong_with_an_upload_is_said_and_leaves_nothing_behind()
    {
        var hub = await StartHubAsync(Quick);
        using var client = hub.Client();
        (await UploadAsync(client, new string('x', 2_000_001))).ExpectError(HttpStatusCode.RequestEntityTooLarge, "request_too_large", "2000000");
        (await UploadAsync(client, "")).ExpectError(HttpStatusCode.BadRequest, "empty_file", "empty");
        (await UploadAsync(client, "x", purpose: "fine-tune")).ExpectError(HttpStatusCode.BadRequest, "invalid_value", "purpose");
        (await UploadAsync(client, "x", purpose: new string('p', 5_000))).ExpectError(HttpStatusCode.BadRequest, null, "longer");
        (await client.PostAsync("/v1/files", "{}")).ExpectError(HttpStatusCode.BadRequest, null, "multipart");
        using var cut = new StringContent("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhalf a file");
        cut.Headers.ContentType = System.Net.Http.Headers.MediaTypeHeaderValue.Parse("multipart/form-data; boundary=b");
        (await client.SendAsync(HttpMethod.Post, "/v1/files", cut)).ExpectError(HttpStatusCode.BadRequest, null, "malformed");
        (await UploadAsync(client, new string('x', 1_900_000))).Expect(HttpStatusCode.OK);
        (await UploadAsync(client, new string('x', 1_900_000))).Expect(HttpStatusCode.OK);
        (await UploadAsync(client, new string('x', 1_900_000))).ExpectError(HttpStatusCode.BadRequest, "storage_full", "5000000");
        Assert.Equal(2, (await client.GetAsync("/v1/files")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray().Count);
    }

    [Fact]
    public async Task What_is_wrong_with_a_batch_is_said_of_the_batch_or_of_its_line()
    {
        var hub = await StartHubAsync(Quick);
        await StartAgentAsync(hub, AgentEngines.Demo());
        using var client = hub.Client();
        (await client.PostAsync("/v1/batches", Request("file-none"))).ExpectError(HttpStatusCode.NotFound, "not_found", "input file");
        (await client.PostAsync("/v1/batches", """{"input_file_id":"f","endpoint":"/v1/images","completion_window":"24h"}""")).ExpectError(HttpStatusCode.BadRequest, "invalid_value", "endpoint");
        (await client.PostAsync("/v1/batches", """{"input_file_id":"f","endpoint":"/v1/embeddings","completion_window":"1h"}""")).ExpectError(HttpStatusCode.BadRequest, "invalid_value", "24h");

        var malformed = await EndedAsync(client, await SubmitAsync(client, Line("a", "1+1=") + "{\"custom_id\":\n"));
        Assert.Equal("failed", malformed["status"]!.ToString());
        Assert.Equal(2, malformed["errors"]!["data"]![0]!["line"]!.GetValue<int>());

        var mixed = await EndedAsync(client, await SubmitAsync(
            client,
            Line("good", "17+25=") + Line("typo", "1+1=", "no-such-model") + """{"custom_id":"stream","method":"POST","url":"/v1/chat/completions","body":{"model":"federation-demo","messages":[{"role":"user","content":"x"}],"stream":true}}""" + "\n"
                + """{"custom_id":"empty","method":"POST","url":"/v1/chat/completions","body":{}}""" + "\n"));
        Assert.Equal("completed", mixed["status"]!.ToString());
        Assert.Equal("42", Assert.Single(await ContentAsync(client, mixed["output_file_id"]!.ToString()))["response"]!["body"]!["choices"]![0]!["message"]!["content"]!.ToString());
        var errors = await ContentAsync(client, mixed["error_file_id"]!.ToString());
        Assert.Equal([("typo", 404), ("stream", 400), ("empty", 400)], errors.Select(line => (line["custom_id"]!.ToString(), line["response"]!["status_code"]!.GetValue<int>())));
        (await client.PostAsync($"/v1/batches/{mixed["id"]}/cancel", "{}")).ExpectError(HttpStatusCode.Conflict, "batch_not_cancellable", "completed");
        Assert.Equal(2, (await client.GetAsync("/v1/batches?limit=5")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray().Count);
    }

    private static string Line(string id, string question, string model = AgentProcess.Model)
        => new JsonObject { ["custom_id"] = id, ["method"] = "POST", ["url"] = "/v1/chat/completions", ["body"] = JsonNode.Parse(Chats.Question(model, question, stream: false)) }.ToJsonString() + "\n";

    private static JsonObject Request(string file) => new() { ["input_file_id"] = file, ["endpoint"] = "/v1/chat/completions", ["completion_window"] = "24h", ["metadata"] = new JsonObject { ["x\r\ny"] = "a\r\nb" } };

    private static async Task<HubAnswer> UploadAsync(HubClient client, string text, string filename = "lines.jsonl", string purpose = "batch")
    {
        using var form = new MultipartFormDataContent();
        using var file = new ByteArrayContent(Encoding.UTF8.GetBytes(text));
        // As a client that does not look at what it sends would.
        file.Headers.TryAddWithoutValidation("Content-Disposition", $"form-data; name=\"file\"; filename=\"{filename.Replace("\r\n", "\\r\\n", StringComparison.Ordinal)}\"");
        form.Add(file);
        form.Add(new StringContent(purpose), "purpose");
        return await client.SendAsync(HttpMethod.Post, "/v1/files", form);
    }

    private static async Task<string> SubmitAsync(HubClient client, string lines)
    {
        var file = (await UploadAsync(client, lines)).Expect(HttpStatusCode.OK).Json["id"]!.ToString();
        return (await client.PostAsync("/v1/batches", Request(file))).Expect(HttpStatusCode.OK).Json["id"]!.ToString();
    }

    private static async Task<JsonNode> EndedAsync(HubClient client, string id)
    {
        JsonNode? now = null;
        await Patience.UntilAsync(async () => (now = (await client.GetAsync($"/v1/batches/{id}")).Expect(HttpStatusCode.OK).Json)["status"]!.ToString() is "completed" or "failed" or "cancelled" or "expired", "the batch to end");
        return now!;
    }

    private static async Task<List<JsonNode>> ContentAsync(HubClient client, string file)
        => [.. (await client.GetAsync($"/v1/files/{file}/content")).Expect(HttpStatusCode.OK).Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)];
}
