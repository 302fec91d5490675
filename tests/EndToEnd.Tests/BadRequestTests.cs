using System.Net;
using System.Net.Sockets;
using System.Text;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Whatever a client sends: a clear error in OpenAI's shape, and others are served.</summary>
public sealed class BadRequestTests(SharedHub shared, ITestOutputHelper output) : SharedHubTest(shared, output)
{
    private const string Chat = "/v1/chat/completions";

    [Theory]
    [InlineData("{\"model\": \"steady\", \"messages\": [")]
    [InlineData("{\"model\": \"steady\"} trailing")]
    [InlineData("not json at all")]
    [InlineData("")]
    [InlineData("{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"model\": \"\\uD800\"}")]
    public Task Malformed_JSON_is_a_400_that_says_so(string body) => ExpectErrorAsync(Chat, body, HttpStatusCode.BadRequest, null, "We could not parse the JSON body");

    [Fact]
    public async Task Bytes_that_are_not_UTF_8_are_a_400()
    {
        using var client = Hub.Client();
        var body = new ByteArrayContent([.. "{\"model\": \""u8, 0xff, 0xfe, .. "\", \"messages\": [{}]}"u8]);
        (await client.SendAsync(HttpMethod.Post, Chat, body)).ExpectError(HttpStatusCode.BadRequest, null, "We could not parse the JSON body");
    }

    [Theory]
    [InlineData("/v1/keys?account=a%00b")]
    [InlineData("/v1/usage?account=%00")]
    [InlineData("/v1/jobs?after=%00")]
    public async Task A_null_character_in_a_query_is_a_400(string path)
    {
        using var client = Hub.Client();
        (await client.GetAsync(path)).ExpectError(HttpStatusCode.BadRequest, null, "null character");
    }

    [Fact]
    public Task JSON_nested_without_end_is_a_400()
        => ExpectErrorAsync(Chat, $"{{\"model\": \"steady\", \"anything\": {new string('[', 100_000)}", HttpStatusCode.BadRequest, null, "We could not parse the JSON body");

    [Theory]
    [InlineData("[1, 2]")]
    [InlineData("\"text\"")]
    [InlineData("null")]
    public Task A_body_that_is_no_object_is_a_400(string body) => ExpectErrorAsync(Chat, body, HttpStatusCode.BadRequest, null, "must be a JSON object");

    [Theory]
    [InlineData("""{"model": 5, "messages": [{"role": "user", "content": "hi"}]}""", "Invalid type for 'model': expected a string, but got a number")]
    [InlineData("""{"model": "steady", "messages": "hello"}""", "Invalid type for 'messages': expected an array of objects, but got a string")]
    [InlineData("""{"model": "steady", "messages": [{"role": "user", "content": "hi"}], "stream": "yes"}""", "Invalid type for 'stream': expected a boolean, but got a string")]
    [InlineData("""{"model": "steady", "messages": [{"role": "user", "content": "hi"}], "temperature": "hot"}""", "Invalid type for 'temperature': expected a number, but got a string")]
    [InlineData("""{"model": "steady", "messages": [{"role": "user", "content": "hi"}], "stop": 7}""", "Invalid type for 'stop': expected a string or an array of strings, but got a number")]
    [InlineData("""{"model": "steady", "messages": [{"role": "user", "content": "hi"}], "stream_options": []}""", "Invalid type for 'stream_options': expected an object, but got an array")]
    public Task A_parameter_of_the_wrong_type_is_named(string body, string words) => ExpectErrorAsync(Chat, body, HttpStatusCode.BadRequest, "invalid_type", words);

    [Theory]
    [InlineData("""{"messages": [{"role": "user", "content": "hi"}]}""", "missing_required_parameter", "You must provide a model parameter")]
    [InlineData("""{"model": "steady"}""", "missing_required_parameter", "Missing required parameter: 'messages'")]
    [InlineData("""{"model": "steady", "messages": []}""", "empty_array", "at least one message")]
    public Task A_missing_parameter_is_named(string body, string code, string words) => ExpectErrorAsync(Chat, body, HttpStatusCode.BadRequest, code, words);

    [Theory]
    [InlineData(Chat, "messages", """[{"role": "user", "content": "hi"}]""")]
    [InlineData("/v1/completions", "prompt", "\"hello\"")]
    [InlineData("/v1/embeddings", "input", "\"hello\"")]
    public Task An_unknown_model_is_a_404_that_names_it(string path, string input, string value)
        => ExpectErrorAsync(path, $"{{\"model\": \"gpt-nonsense\", \"{input}\": {value}}}", HttpStatusCode.NotFound, "model_not_found", "'gpt-nonsense' does not exist");

    [Fact]
    public Task A_model_that_cannot_embed_says_what_it_can()
        => ExpectErrorAsync("/v1/embeddings", $"{{\"model\": \"{SharedHub.SteadyModel}\", \"input\": \"hello\"}}", HttpStatusCode.BadRequest, "unsupported_model", "it supports: chat");

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_body_of_11_MB_is_a_413(bool lengthIsSaid)
    {
        using var client = Hub.Client();
        var bytes = Encoding.UTF8.GetBytes(Chats.Question(SharedHub.SteadyModel, new string('x', 11 * 1024 * 1024), stream: false));
        HttpContent body = lengthIsSaid ? new ByteArrayContent(bytes) : new StreamContent(new UnseekableStream(bytes));
        (await client.SendAsync(HttpMethod.Post, Chat, body)).ExpectError(HttpStatusCode.RequestEntityTooLarge, "request_too_large", "larger than 10485760 bytes");
    }

    [Fact]
    public async Task A_body_of_a_little_less_than_10_MiB_is_answered()
    {
        using var client = Hub.Client();
        Assert.Equal("as ever", (await client.ChatAsync(SharedHub.SteadyModel, new string('x', 9 * 1024 * 1024))).Content);
    }

    [Fact]
    public async Task Content_of_another_type_is_a_400()
    {
        using var client = Hub.Client();
        using var form = new FormUrlEncodedContent([new("model", "steady"), new("messages", "hello")]);
        (await client.SendAsync(HttpMethod.Post, Chat, form)).ExpectError(HttpStatusCode.BadRequest, null, "We could not parse the JSON body");
        using var multipart = new MultipartFormDataContent { { new StringContent("steady"), "model" } };
        (await client.SendAsync(HttpMethod.Post, Chat, multipart)).ExpectError(HttpStatusCode.BadRequest, null, "We could not parse the JSON body");
    }

    [Fact]
    public async Task The_hubs_own_endpoints_ask_for_JSON()
    {
        using var client = Hub.Client();
        using var form = new FormUrlEncodedContent([new("name", "x")]);
        (await client.SendAsync(HttpMethod.Post, "/v1/accounts", form)).ExpectError(HttpStatusCode.UnsupportedMediaType, "unsupported_media_type", "Content-Type: application/json");
        (await client.SendAsync(HttpMethod.Post, "/v1/accounts")).ExpectError(HttpStatusCode.BadRequest, null, "'name' must be");
    }

    [Fact]
    public async Task Where_every_field_may_be_left_out_so_may_the_body()
    {
        using var client = Hub.Client();
        (await client.SendAsync(HttpMethod.Post, "/v1/join-tokens")).Expect(HttpStatusCode.Created);
    }

    [Theory]
    [InlineData("GET", "/v1/nothing", HttpStatusCode.NotFound, "unknown_url", "Invalid URL (GET /v1/nothing)")]
    [InlineData("POST", "/chat/completions", HttpStatusCode.NotFound, "unknown_url", "Invalid URL (POST /chat/completions): the base URL must end in /v1")]
    [InlineData("GET", "/models/steady", HttpStatusCode.NotFound, "unknown_url", "Invalid URL (GET /models/steady): the base URL must end in /v1")]
    [InlineData("GET", Chat, HttpStatusCode.MethodNotAllowed, "method_not_supported", $"{Chat} does not take GET, but POST.")]
    [InlineData("DELETE", "/v1/hub", HttpStatusCode.MethodNotAllowed, "method_not_supported", "/v1/hub does not take DELETE, but GET.")]
    public async Task An_unknown_URL_or_method_is_an_error_in_the_same_shape(string method, string path, HttpStatusCode status, string code, string words)
    {
        using var client = Hub.Client();
        (await client.SendAsync(new HttpMethod(method), path)).ExpectError(status, code, words);
    }

    [Theory]
    [InlineData("/v1/accounts", """{"name": 5}""", "'name' is not of the right type")]
    [InlineData("/v1/accounts", "[]", "must be a JSON object")]
    [InlineData("/v1/keys", "nonsense", "must be a JSON object")]
    [InlineData("/v1/join-tokens", """{"expires_in_seconds": "soon"}""", "'expires_in_seconds' is not of the right type")]
    [InlineData("/v1/contributor/register", """{"hardware": {"gpu": 5}}""", "'hardware.gpu' is not of the right type")]
    public Task The_hubs_own_endpoints_refuse_what_they_cannot_read(string path, string body, string words)
        => ExpectErrorAsync(path, body, HttpStatusCode.BadRequest, null, words);

    [Fact]
    public Task A_field_that_the_hub_does_not_know_is_refused()
        => ExpectErrorAsync("/v1/join-tokens", """{"account": "acct_1"}""", HttpStatusCode.BadRequest, "unknown_field", "There is no field 'account' here; there are: account_id, expires_in_seconds.");

    [Theory]
    [InlineData("/v1/accounts", """{"name": ""}""", "'name' must be")]
    [InlineData("/v1/accounts", """{"name": "x", "tier": "platinum"}""", "'platinum' is not a tier; there are: free, contributor,")]
    [InlineData("/v1/keys", """{"name": "x", "scopes": ["root"]}""", "'root' is not a scope; there are: admin, inference, contribute")]
    [InlineData("/v1/join-tokens", """{"expires_in_seconds": 0}""", "above 0")]
    [InlineData("/v1/contributor/register", """{"availability": {"hours_per_day": 25}}""", "must be 0 to 24")]
    public Task The_hubs_own_endpoints_name_the_value_they_refuse(string path, string body, string words)
        => ExpectErrorAsync(path, body, HttpStatusCode.BadRequest, null, words);

    [Fact]
    public async Task Headers_without_end_are_refused()
    {
        using var handler = new SocketsHttpHandler();
        using var http = new HttpClient(handler) { BaseAddress = Hub.Api };
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
        request.Headers.Add("x-endless", new string('x', 60_000));
        using var response = await http.SendAsync(request);
        Assert.Equal(HttpStatusCode.RequestHeaderFieldsTooLarge, response.StatusCode);
    }

    [Fact]
    public async Task A_client_that_hangs_up_in_the_middle_of_its_request_disturbs_nobody()
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(IPAddress.Loopback, Hub.Api.Port);
        var head = $"POST {Chat} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {Hub.AdminKey}\r\nContent-Length: 1000\r\n\r\n{{\"model\": ";
        await socket.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head));
        // Zero seconds of linger make the close a reset.
        socket.LingerState = new LingerOption(true, 0);
        socket.Close();
    }

    [Fact]
    public async Task Bytes_that_are_not_HTTP_disturb_nobody()
    {
        foreach (var port in new[] { Hub.Api.Port, Hub.Nodes.Port })
        {
            using var socket = new TcpClient();
            await socket.ConnectAsync(IPAddress.Loopback, port);
            var noise = new byte[4096];
            new Random(4711).NextBytes(noise);
            await socket.GetStream().WriteAsync(noise);
            socket.Client.Shutdown(SocketShutdown.Send);
            // The hub hangs up: the read comes to its end, whatever was said before.
            await Record.ExceptionAsync(() => socket.GetStream().CopyToAsync(Stream.Null)).Soon("the hub to hang up");
        }
    }

    [Theory]
    [InlineData("/api/chat", """{"model":"steady","messages":[{"role":"user","content":"hi"}],"options":{"temperature":-1}}""", "error")]
    [InlineData("/api/generate", """{"model":"steady","prompt":"hi","options":{"num_predict":1e30}}""", "error")]
    [InlineData("/api/embed", """{"model":"steady","input":{}}""", "error")]
    [InlineData("/api/show", "nonsense", "error")]
    [InlineData("/api/pull", "{}", "error")]
    [InlineData("/v1/messages", """{"model":"steady","max_tokens":-1,"messages":[]}""", "type")]
    [InlineData("/v1/messages", "[]", "type")]
    [InlineData("/v1/messages/nothing", "{}", "type")]
    [InlineData("/v1/responses", """{"model":"steady","input":"hi","max_output_tokens":-9223372036854775809}""", "error")]
    [InlineData("/v1/responses", """{"model":"steady","input":[{"role":"user\r\nX-Evil: 1","content":"hi"}]}""", "error")]
    [InlineData("/v1/chat/completions", """{"model":"steady","messages":[{"role":"user","content":"hi"}],"n":99999999999999999999}""", "error")]
    public async Task Every_API_refuses_in_its_own_shape_and_says_its_request_id(string path, string body, string member)
    {
        using var client = Hub.Client();
        var answer = await client.PostAsync(path, body);
        Assert.InRange((int)answer.Status, 400, 499);
        Assert.Equal("application/json", answer.ContentType);
        Assert.NotNull(answer.Json[member]);
        Assert.StartsWith("job_", answer.Headers.GetValues("x-request-id").Single(), StringComparison.Ordinal);
        Assert.False(answer.Headers.Contains("X-Evil"));
        Assert.DoesNotContain("   at ", answer.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Chat)]
    [InlineData("/api/chat")]
    [InlineData("/v1/messages")]
    public async Task Ten_thousand_messages_and_a_megabyte_of_tools_are_answered(string path)
    {
        using var client = Hub.Client();
        var messages = string.Join(',', Enumerable.Range(0, 10_001).Select(i => $"{{\"role\":\"{(i % 2 == 0 ? "user" : "assistant")}\",\"content\":\"turn {i}\"}}"));
        var schema = "{\"type\":\"object\",\"properties\":{" + string.Join(',', Enumerable.Range(0, 20_000).Select(i => $"\"property_{i}\":{{\"type\":\"string\",\"enum\":[\"a\",\"b\"]}}")) + "}}";
        var tool = path == "/v1/messages" ? "{\"name\":\"f\",\"input_schema\":" + schema + "}" : "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":" + schema + "}}";
        var answer = await client.PostAsync(path, $"{{\"model\":\"{SharedHub.SteadyModel}\",\"stream\":false,\"max_tokens\":8,\"tools\":[{tool}],\"messages\":[{messages}]}}");
        Assert.Contains("as ever", answer.Expect(HttpStatusCode.OK).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_hubs_document_describes_every_endpoint()
    {
        using var client = Hub.Client();
        var paths = (await client.GetAsync("/openapi.json")).Expect(HttpStatusCode.OK).Json["paths"]!.AsObject().Select(path => path.Key).ToHashSet();
        var promised = new[] { Chat, "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/contributor/register", "/v1/nodes", "/v1/hub", "/v1/account", "/v1/account/statement" };
        Assert.Empty(promised.Except(paths));
    }

    private async Task ExpectErrorAsync(string path, string body, HttpStatusCode status, string? code, string words)
    {
        using var client = Hub.Client();
        (await client.PostAsync(path, body)).ExpectError(status, code, words);
    }

    /// <summary>Nobody can tell its length, so it is sent in chunks.</summary>
    private sealed class UnseekableStream(byte[] bytes) : MemoryStream(bytes)
    {
        public override bool CanSeek => false;
    }
}
