using System.Net;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>An answer of the hub, read whole.</summary>
internal sealed record HubAnswer(HttpStatusCode Status, HttpResponseHeaders Headers, string? ContentType, string Text)
{
    public JsonNode Json => JsonNode.Parse(Text) ?? throw new JsonException("null");

    /// <summary>The assistant's words in an answer that was not streamed.</summary>
    public string Content => Expect(HttpStatusCode.OK).Json["choices"]![0]!["message"]!["content"]!.ToString();

    public HubAnswer Expect(HttpStatusCode status)
    {
        Assert.True(status == Status, $"Expected {(int)status}, got {(int)Status}: {Text}");
        return this;
    }

    /// <summary>Checks that this is an error in the shape OpenAI's clients parse, with this status, code and words.</summary>
    public void ExpectError(HttpStatusCode status, string? code, string words)
    {
        Expect(status);
        var error = Json["error"];
        Assert.True(error is JsonObject, $"Not an error in OpenAI's shape: {Text}");
        Assert.Equal("application/json", ContentType);
        Assert.Equal(code, error["code"]?.ToString());
        Assert.False(string.IsNullOrEmpty(error["type"]?.ToString()));
        Assert.Contains(words, error["message"]!.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", Text, StringComparison.Ordinal);
    }
}

/// <summary>An API client that sees every byte.</summary>
internal sealed class HubClient(Uri api, string? key, HttpMessageHandler? handler = null) : IDisposable
{
    private readonly HttpClient _http = new(handler ?? new SocketsHttpHandler { MaxConnectionsPerServer = 1_000 }) { BaseAddress = api, Timeout = Patience.Limit };

    public async Task<HubAnswer> SendAsync(HttpMethod method, string path, HttpContent? content = null, string? authorization = null, CancellationToken cancellationToken = default)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        Authorize(request, authorization);
        using var response = await _http.SendAsync(request, cancellationToken);
        return new HubAnswer(response.StatusCode, response.Headers, response.Content.Headers.ContentType?.MediaType, await response.Content.ReadAsStringAsync(cancellationToken));
    }

    public Task<HubAnswer> GetAsync(string path) => SendAsync(HttpMethod.Get, path);

    public Task<HubAnswer> PostAsync(string path, string json) => SendAsync(HttpMethod.Post, path, Json(json));

    public Task<HubAnswer> PostAsync(string path, JsonNode json) => PostAsync(path, json.ToJsonString());

    public Task<HubAnswer> ChatAsync(string model, string question = "17+25=", CancellationToken cancellationToken = default)
        => SendAsync(HttpMethod.Post, "/v1/chat/completions", Json(Chats.Question(model, question, stream: false)), cancellationToken: cancellationToken);

    /// <summary>Starts a streamed chat; the answer's headers have come when this returns.</summary>
    public async Task<ChatStream> StreamChatAsync(string model, string question = "17+25=", CancellationToken cancellationToken = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions") { Content = Json(Chats.Question(model, question, stream: true)) };
        Authorize(request, null);
        var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (response.StatusCode is not HttpStatusCode.OK) throw new InvalidOperationException($"{(int)response.StatusCode}: {await response.Content.ReadAsStringAsync(cancellationToken)}");
        return new ChatStream(response);
    }

    /// <summary>Makes an account with a key of the usual scopes, or of these.</summary>
    public async Task<(string AccountId, string Key)> CreateAccountAsync(string name, params string[] scopes)
    {
        var account = (await PostAsync("/v1/accounts", new JsonObject { ["name"] = name })).Expect(HttpStatusCode.Created).Json["id"]!.ToString();
        var body = new JsonObject { ["name"] = name, ["account_id"] = account, ["scopes"] = new JsonArray([.. scopes.Select(scope => (JsonNode)scope)]) };
        return (account, (await PostAsync("/v1/keys", body)).Expect(HttpStatusCode.Created).Json["key"]!.ToString());
    }

    /// <summary>A join token for this account; none: the caller's.</summary>
    public async Task<string> JoinTokenAsync(string? account = null)
        => (await PostAsync("/v1/join-tokens", new JsonObject { ["account_id"] = account })).Expect(HttpStatusCode.Created).Json["join_token"]!.ToString();

    public async Task<bool> HasModelAsync(string model)
        => (await GetAsync("/v1/models")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray().Any(one => one!["id"]!.ToString() == model && one["nodes"]!.GetValue<int>() > 0);

    public async Task<JsonNode> NodeAsync(string id) => (await GetAsync($"/v1/nodes/{id}")).Expect(HttpStatusCode.OK).Json;

    public async Task<long> PendingAsync() => (await GetAsync("/v1/account")).Expect(HttpStatusCode.OK).Json["pending_microcredits"]!.GetValue<long>();

    public void Dispose() => _http.Dispose();

    private static StringContent Json(string json) => new(json, Encoding.UTF8, "application/json");

    private void Authorize(HttpRequestMessage request, string? authorization)
    {
        if (authorization is not null)
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        else if (key is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
    }
}

/// <summary>A streamed chat, read as clients read it.</summary>
internal sealed class ChatStream(HttpResponseMessage response) : IDisposable
{
    public string Node => response.Headers.GetValues("x-federation-node").Single();

    public int Attempts => int.Parse(response.Headers.GetValues("x-federation-attempts").Single(), System.Globalization.CultureInfo.InvariantCulture);

    public string Header(string name) => response.Headers.GetValues(name).Single();

    /// <summary>The data of each event, <c>[DONE]</c> included.</summary>
    public async IAsyncEnumerable<string> EventsAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancellationToken));
        while (await reader.ReadLineAsync(cancellationToken).AsTask().Soon("the next line of a stream") is { } line)
        {
            // A comment says how the wait is going.
            if (line.Length == 0 || line[0] == ':') continue;
            Assert.StartsWith("data: ", line, StringComparison.Ordinal);
            yield return line["data: ".Length..];
        }
    }

    /// <summary>The pieces of text, to the end; fails unless the end is as it should be.</summary>
    public async Task<string> TextAsync()
    {
        var text = new StringBuilder();
        string? last = null;
        await foreach (var data in EventsAsync())
        {
            last = data;
            if (data != "[DONE]") text.Append(Chats.Delta(data));
        }
        Assert.Equal("[DONE]", last);
        return text.ToString();
    }

    public void Dispose() => response.Dispose();
}
