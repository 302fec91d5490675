using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.V1;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>A hub that does not wait long for those who send slowly.</summary>
public sealed class BriskHub : SharedHub
{
    private protected override Dictionary<string, string> Settings() => new(base.Settings())
    {
        ["Gateway__HeadTimeout"] = "00:00:02",
        ["Gateway__BodyGrace"] = "00:00:02",
    };
}

/// <summary>Clients that mean no good: what they want they do not get, and others are served.</summary>
public sealed class AbuseTests(BriskHub shared, ITestOutputHelper output) : SharedHubTest<BriskHub>(shared, output)
{
    private const string Chat = "/v1/chat/completions";

    /// <summary>What nobody's request may make the hub take, bytes.</summary>
    private const long PeakMax = 500L << 20;

    public static TheoryData<string> Apis() => [.. Everything.Keys];

    /// <summary>Every place that reads JSON, with JSON that is right but for what comes next.</summary>
    private static readonly Dictionary<string, string> Everything = new()
    {
        [Chat] = """{"model":"steady","messages":[{"role":"user","content":"hi"}],"metadata":""",
        ["/v1/completions"] = """{"model":"steady","prompt":"hi","logit_bias":""",
        ["/v1/embeddings"] = """{"model":"steady","input":""",
        ["/v1/responses"] = """{"model":"steady","input":"hi","tools":""",
        ["/v1/messages"] = """{"model":"steady","max_tokens":8,"messages":[{"role":"user","content":"hi"}],"tools":""",
        ["/api/chat"] = """{"model":"steady","messages":[{"role":"user","content":"hi"}],"format":""",
        ["/api/generate"] = """{"model":"steady","prompt":"hi","options":""",
        ["/api/embed"] = """{"model":"steady","input":""",
        ["/api/show"] = """{"model":""",
        ["/v1/jobs"] = """{"type":"chat","request":{"model":"steady","messages":[{"role":"user","content":"hi"}]},"metadata":""",
        ["/v1/batches"] = """{"input_file_id":"f","endpoint":"/v1/chat/completions","completion_window":"24h","metadata":""",
        ["/v1/quote"] = """{"model":"steady","messages":[{"role":"user","content":"hi"}],"tools":""",
        ["/v1/keys"] = """{"name":"x","models":""",
        ["/v1/accounts"] = """{"name":"x","tier":""",
        ["/v1/webhooks"] = """{"url":"https://example.org/","events":""",
        ["/v1/join-tokens"] = """{"account_id":""",
        ["/v1/contributor/register"] = """{"hardware":""",
        ["/mcp"] = """{"jsonrpc":"2.0","id":1,"method":"tools/call","params":""",
    };

    // ------------------------------------------------------------------------------------------------------------ keys

    [Fact]
    public async Task A_thousand_wrong_keys_open_nothing_and_the_right_one_opens_as_quickly_as_ever()
    {
        const int Wrong = 1_000;
        Hub.Process.ForgetPeak();
        using var client = Hub.Client();
        (await client.ChatAsync(SharedHub.SteadyModel)).Expect(HttpStatusCode.OK);
        var right = Hub.AdminKey;
        var tried = 0;
        var trying = Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(async () =>
        {
            using var guesser = new HubClient(Hub.Api, null);
            while (Interlocked.Increment(ref tried) is <= Wrong and var n)
            {
                // Of the right length; half of them right but for the end.
                var key = n % 2 == 0 ? $"{right[..^4]}{n:D4}" : $"fk_{Convert.ToBase64String(RandomNumberGenerator.GetBytes(33)).Replace('/', '_').Replace('+', '-')[..43]}";
                (await guesser.SendAsync(HttpMethod.Get, "/v1/models", authorization: $"Bearer {key}")).ExpectError(HttpStatusCode.Unauthorized, "invalid_api_key", "Incorrect API key provided");
            }
        })));
        var slowest = TimeSpan.Zero;
        while (!trying.IsCompleted)
        {
            var clock = Stopwatch.StartNew();
            (await client.ChatAsync(SharedHub.SteadyModel)).Expect(HttpStatusCode.OK);
            if (clock.Elapsed > slowest) slowest = clock.Elapsed;
        }
        await trying;
        Assert.True(slowest < TimeSpan.FromSeconds(5), $"An honest client waited {slowest}.");
        Assert.InRange(Hub.Process.PeakBytes(), 1, PeakMax);
    }

    [Theory]
    [InlineData("/v1/keys", """{"name":"x","scopes":[null,"admin"]}""")]
    [InlineData("/v1/keys", """{"name":"x","scopes":["inference",null,"admin"]}""")]
    [InlineData("/v1/webhooks", """{"url":"https://example.org/","events":[null]}""")]
    [InlineData("/v1/contributor/register", """{"models":[null]}""")]
    public async Task Null_in_a_list_hides_nothing_behind_it(string path, string body)
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("ambitious");
        using var client = new HubClient(Hub.Api, key);
        (await client.PostAsync(path, body)).ExpectError(HttpStatusCode.BadRequest, null, "holds null");
        Assert.Single((await admin.GetAsync($"/v1/keys?account={account}")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray());
    }

    // ------------------------------------------------------------------------------------------------------------ slow

    [Theory]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: hub\r\nX-Slow: ")]
    [InlineData("GET ")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer KEY\r\nContent-Length: 10000000\r\n\r\n{")]
    [InlineData("POST /v1/messages HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer KEY\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"mod")]
    [InlineData("POST /v1/keys HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer KEY\r\nContent-Length: 500\r\n\r\n{")]
    [InlineData("POST /v1/files HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer KEY\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 10000000\r\n\r\n--b\r\nContent-Dis")]
    public async Task Whoever_sends_a_byte_now_and_then_is_hung_up_on_and_others_are_served(string begin)
    {
        const int Slow = 100;
        Hub.Process.ForgetPeak();
        var sockets = Enumerable.Range(0, Slow).Select(_ => new TcpClient()).ToList();
        try
        {
            await Task.WhenAll(sockets.Select(async socket =>
            {
                await socket.ConnectAsync(IPAddress.Loopback, Hub.Api.Port);
                await socket.GetStream().WriteAsync(Encoding.ASCII.GetBytes(begin.Replace("KEY", Hub.AdminKey, StringComparison.Ordinal)));
            }));
            using var client = Hub.Client();
            (await client.ChatAsync(SharedHub.SteadyModel)).Expect(HttpStatusCode.OK);
            await Task.WhenAll(sockets.Select(DripAsync)).Soon("the hub to hang up on all of them");
        }
        finally
        {
            foreach (var socket in sockets) socket.Dispose();
        }
        // What they said that they would send is a gigabyte.
        Assert.InRange(Hub.Process.PeakBytes(), 1, PeakMax);
    }

    /// <summary>A byte, and a pause, until the hub hangs up.</summary>
    private static async Task DripAsync(TcpClient socket)
    {
        var line = socket.GetStream();
        var hungUp = Record.ExceptionAsync(() => line.CopyToAsync(Stream.Null));
        while (await Task.WhenAny(hungUp, Task.Delay(TimeSpan.FromMilliseconds(300))) != hungUp)
        {
            if (await Record.ExceptionAsync(() => line.WriteAsync("x"u8.ToArray()).AsTask()) is not null) break;
        }
        await hungUp;
    }

    // ------------------------------------------------------------------------------------------------------------ deep

    [Theory]
    [MemberData(nameof(Apis))]
    public async Task JSON_nested_without_end_is_refused_wherever_it_is_read(string path)
    {
        using var client = Hub.Client();
        foreach (var nested in new[] { new string('[', 50_000), string.Concat(Enumerable.Repeat("{\"a\":", 10_000)), new string('[', 10_000) + new string(']', 10_000) + "}" })
            await ExpectRefusalAsync(client, path, Everything[path] + nested);
    }

    [Theory]
    [MemberData(nameof(Apis))]
    public async Task Half_characters_null_characters_and_things_of_another_kind_are_refused_or_taken_and_break_nothing(string path)
    {
        using var client = Hub.Client();
        foreach (var odd in new[] { "\"\\ud800\"", "{\"\\ud800\":\"x\"}", "{\"x\":\"\\ud800\"}", "[\"\\udfff\"]", "\"\\u0000\"", "[\"\\u0000\"]", "{\"\\u0000\":\"\\u0000\"}", "null", "true", "1e999", "-0", "[null]", "[[]]", "[{}]", "{}", "[]", "\"\"" })
        {
            var answer = await client.PostAsync(path, Everything[path] + odd + "}");
            Assert.True((int)answer.Status < 500 || answer.Status is HttpStatusCode.ServiceUnavailable, $"{odd}: {(int)answer.Status} {answer.Text}");
        }
    }

    // ---------------------------------------------------------------------------------------------------------- echoes

    [Theory]
    [InlineData("POST", "/v1/accounts", """{"name":"x\r\nX-Evil: 1"}""")]
    [InlineData("POST", "/v1/keys", """{"name":"x\r\nX-Evil: 1"}""")]
    [InlineData("POST", "/v1/keys", """{"name":"x","models":["x\r\nX-Evil: 1"]}""")]
    [InlineData("POST", Chat, """{"model":"steady\r\nX-Evil: 1","messages":[{"role":"user","content":"hi"}]}""")]
    [InlineData("POST", "/api/chat", """{"model":"steady\r\nX-Evil: 1","messages":[{"role":"user","content":"hi"}]}""")]
    [InlineData("POST", "/v1/messages", """{"model":"steady\r\nX-Evil: 1","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}""")]
    [InlineData("POST", "/v1/responses", """{"model":"steady","input":"hi","previous_response_id":"x\r\nX-Evil: 1"}""")]
    [InlineData("POST", "/v1/webhooks", """{"url":"https://example.org/\r\nX-Evil: 1"}""")]
    [InlineData("POST", "/v1/jobs", """{"type":"chat","request":{"model":"steady","messages":[{"role":"user","content":"hi"}]},"webhook":"x\r\nX-Evil: 1"}""")]
    [InlineData("GET", "/v1/jobs/x%0d%0aX-Evil:%201", "")]
    [InlineData("GET", "/v1/files/x%0d%0aX-Evil:%201", "")]
    [InlineData("GET", "/v1/requests/x%0d%0aX-Evil:%201", "")]
    [InlineData("GET", "/v1/models/x%0d%0aX-Evil:%201", "")]
    [InlineData("GET", "/v1/nowhere%0d%0aX-Evil:%201", "")]
    [InlineData("GET", "/v1/keys?account=x%0d%0aX-Evil:%201", "")]
    public async Task What_is_echoed_is_no_header(string method, string path, string body)
    {
        using var client = Hub.Client();
        using var content = body.Length > 0 ? new StringContent(body, Encoding.UTF8, "application/json") : null;
        var answer = await client.SendAsync(new HttpMethod(method), path, content);
        Assert.InRange((int)answer.Status, 200, 499);
        Assert.False(answer.Headers.Contains("X-Evil"));
    }

    [Fact]
    public async Task What_a_client_says_steers_no_terminal_and_begins_no_line_of_the_log()
    {
        using var client = Hub.Client();
        var before = Hub.Process.Lines.Count;
        (await client.PostAsync("/mcp", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\u001b[2Jodd\\r\\nX fail: forged\\u0000\"}")).Expect(HttpStatusCode.OK);
        await Patience.UntilAsync(() => Task.FromResult(Hub.Process.Lines.Skip(before).Any(line => line.Contains("odd", StringComparison.Ordinal))), "the hub to log what it was asked");
        Assert.DoesNotContain(Hub.Process.Lines.Skip(before), line => line.Any(char.IsControl) || line.StartsWith("X fail", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_client_s_request_id_is_not_taken_for_the_hub_s()
    {
        using var http = new HttpClient { BaseAddress = Hub.Api };
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
        request.Headers.Add("x-request-id", "job_00000000000000000000000000000000");
        request.Headers.Add("Authorization", $"Bearer {Hub.AdminKey}");
        using var response = await http.SendAsync(request);
        Assert.NotEqual("job_00000000000000000000000000000000", response.Headers.GetValues("x-request-id").Single());
    }

    [Theory]
    [InlineData("text/plain\r\nX-Evil: 1")]
    [InlineData("text/plain\nX-Evil: 1")]
    [InlineData("applicatiön/json")]
    [InlineData("\u0000")]
    public async Task A_node_s_content_type_is_no_other_header(string contentType)
    {
        var (_, line, model) = await ConnectedNodeAsync();
        using var client = Hub.Client();
        var asking = client.ChatAsync(model);
        var lease = await line.NextAssignAsync();
        await line.SendAsync(new NodeMessage { Accept = new Accept { LeaseId = lease.LeaseId } });
        await line.SendAsync(new NodeMessage { Head = new Head { LeaseId = lease.LeaseId, Status = 200, ContentType = contentType } });
        await line.ChunkAsync(lease.LeaseId, 0, Chats.Whole("fit", 7, 2));
        await line.DoneAsync(lease.LeaseId);
        var answer = await asking;
        Assert.Equal(("fit", "application/json"), (answer.Content, answer.ContentType));
        Assert.False(answer.Headers.Contains("X-Evil"));
    }

    // ------------------------------------------------------------------------------------------------------------ SSRF

    [Theory]
    [InlineData("https://127.0.0.1/")]
    [InlineData("https://127.1/")]
    [InlineData("https://2130706433/")]
    [InlineData("https://0x7f000001/")]
    [InlineData("https://0x7f.0.0.1/")]
    [InlineData("https://0177.0.0.1/")]
    [InlineData("https://0/")]
    [InlineData("https://0.0.0.0/")]
    [InlineData("https://10.0.0.1/")]
    [InlineData("https://172.31.255.255/")]
    [InlineData("https://192.168.1.1/")]
    [InlineData("https://100.100.100.200/")]
    [InlineData("https://169.254.169.254/latest/meta-data")]
    [InlineData("https://168.63.129.16/")]
    [InlineData("https://255.255.255.255/")]
    [InlineData("https://[::1]/")]
    [InlineData("https://[::]/")]
    [InlineData("https://[::ffff:127.0.0.1]/")]
    [InlineData("https://[::127.0.0.1]/")]
    [InlineData("https://[64:ff9b::7f00:1]/")]
    [InlineData("https://[2002:7f00:1::]/")]
    [InlineData("https://[fe80::1%25eth0]/")]
    [InlineData("https://[fd00:ec2::254]/")]
    [InlineData("http://example.org/")]
    [InlineData("ftp://example.org/")]
    [InlineData("https://user:secret@example.org/")]
    [InlineData("https://exa mple.org/")]
    public async Task A_webhook_leads_to_the_public_internet_or_nowhere(string url)
    {
        using var client = Hub.Client();
        (await client.PostAsync("/v1/webhooks", new JsonObject { ["url"] = url })).ExpectError(HttpStatusCode.BadRequest, "invalid_url", "'url' must");
        var job = new JsonObject { ["type"] = "chat", ["request"] = JsonNode.Parse(Chats.Question(SharedHub.SteadyModel, "hi", stream: false)), ["webhook"] = new JsonObject { ["url"] = url } };
        (await client.PostAsync("/v1/jobs", job)).ExpectError(HttpStatusCode.BadRequest, "invalid_url", "'webhook.url' must");
    }

    [Theory]
    [InlineData("https://localhost:PORT/")]
    [InlineData("https://LOCALHOST:PORT/")]
    [InlineData("https://localhost.:PORT/")]
    [InlineData("https://127.0.0.1.:PORT/")]
    [InlineData("https://a.localhost:PORT/")]
    [InlineData("https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/")]
    public async Task A_name_that_leads_inwards_is_not_followed(string pattern)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var url = pattern.Replace("PORT", ((IPEndPoint)listener.LocalEndpoint).Port.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal);
        // Tests of webhooks are few for one account.
        using var admin = Hub.Client();
        using var client = new HubClient(Hub.Api, (await admin.CreateAccountAsync("caller")).Key);
        var made = await client.PostAsync("/v1/webhooks", new JsonObject { ["url"] = url });
        if (made.Status is HttpStatusCode.Created)
        {
            var test = (await client.PostAsync($"/v1/webhooks/{made.Json["id"]}/test", "{}")).Expect(HttpStatusCode.OK).Json;
            Assert.False(test["delivered"]!.GetValue<bool>());
        }
        else
        {
            made.ExpectError(HttpStatusCode.BadRequest, "invalid_url", "'url' must");
        }
        Assert.False(listener.Pending(), "The hub called.");
    }

    [Theory]
    [InlineData(Chat, """[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://169.254.169.254/"}}]}]""")]
    [InlineData(Chat, """[{"role":"user","content":[{"type":"image_url","image_url":"http://[::1]/"}]}]""")]
    [InlineData(Chat, """[{"role":"user","content":[{"type":"image_url","image\u005furl":{"\u0075rl":"https://2130706433/"}}]}]""")]
    [InlineData(Chat, """[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x","url":"file:///etc/passwd"}}]}]""")]
    [InlineData(Chat, """[{"role":"user","content":[{"type":"image_url","image_url":{"url":" data:,x"}}]}]""")]
    [InlineData(Chat, """[{"role":"user","content":[{"type":"video_url","video_url":{"url":"gopher://127.0.0.1:6379/"}}]}]""")]
    [InlineData("/v1/messages", """[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"http://127.0.0.1/"}}]}]""")]
    [InlineData("/v1/responses", """[{"role":"user","content":[{"type":"input_image","image_url":"http://127.0.0.1/"}]}]""")]
    [InlineData("/api/chat", """[{"role":"user","content":"look","images":["http://127.0.0.1/"]}]""")]
    public async Task Nodes_are_sent_no_picture_by_its_address(string path, string messages)
    {
        var node = await JoinedNodeAsync();
        var model = $"model-of-{node.Id}";
        var line = Keep(await node.ConnectAsync(Hub, model, 4, "chat", "vision"));
        line.Serve("seen");
        using var client = Hub.Client();
        var answer = await client.PostAsync(path, $$"""{"model":"{{model}}","max_tokens":8,"{{(path == "/v1/responses" ? "input" : "messages")}}":{{messages}}}""");
        Assert.True(answer.Status is HttpStatusCode.BadRequest, $"{(int)answer.Status} {answer.Text}");
    }

    private static async Task ExpectRefusalAsync(HubClient client, string path, string body)
    {
        var answer = await client.PostAsync(path, body);
        Assert.True((int)answer.Status is >= 400 and < 500, $"{(int)answer.Status} {answer.Text}");
        Assert.DoesNotContain("   at ", answer.Text, StringComparison.Ordinal);
    }
}
