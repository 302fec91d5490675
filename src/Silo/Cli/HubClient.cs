using System.CommandLine;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Federation.Silo.Cli;

/// <summary>How the operator's commands reach a running hub: over HTTP, with the admin key of its data directory.</summary>
internal static class HubClient
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly Option<string> Hub = new("--hub")
    {
        Description = "The hub's URL. Default: the variable FEDERATION_HUB, else http://127.0.0.1:8080.",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("FEDERATION_HUB") ?? "http://127.0.0.1:8080",
        Recursive = true,
    };

    private static readonly Option<string> KeyFile = new("--key-file")
    {
        Description = "File with an API key. The variable FEDERATION_KEY overrules it.",
        DefaultValueFactory = _ => Path.Combine("data", "admin.key"),
        Recursive = true,
    };

    /// <summary>Adds the options every one of these commands has.</summary>
    public static Command WithHub(this Command command)
    {
        command.Options.Add(Hub);
        command.Options.Add(KeyFile);
        return command;
    }

    /// <summary>Makes a command that sends one request and prints the answer, or where that is empty what was done.</summary>
    public static void Sends(this Command command, HttpMethod method, Func<ParseResult, string> path, Func<ParseResult, JsonObject?>? body = null, Func<ParseResult, string>? done = null)
        => command.SetAction((parsed, cancellationToken) => SendAsync(parsed, method, path(parsed), body?.Invoke(parsed), done?.Invoke(parsed), cancellationToken));

    /// <summary>A way to the hub of <c>--hub</c>, without a key.</summary>
    /// <exception cref="FormatException">That is no URL.</exception>
    public static HttpClient Open(ParseResult parsed) => Uri.TryCreate(parsed.GetValue(Hub), UriKind.Absolute, out var hub) && hub.Scheme is "http" or "https"
        ? new HttpClient { BaseAddress = hub, Timeout = TimeSpan.FromSeconds(30) }
        : throw new FormatException($"'{parsed.GetValue(Hub)}' is not a URL.");

    /// <summary>The key of <c>--key-file</c> or the variable, or why there is none.</summary>
    public static async Task<(string? Key, string? Problem)> KeyAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var keyFile = parsed.GetValue(KeyFile)!;
        var variable = Environment.GetEnvironmentVariable("FEDERATION_KEY");
        var key = variable ?? (File.Exists(keyFile) ? (await File.ReadAllTextAsync(keyFile, cancellationToken)).Trim() : null);
        if (key is null) return (null, $"There is no key: no file {keyFile}, and FEDERATION_KEY is not set. Give --key-file <the hub's data directory>/admin.key.");
        return key.Length > 0 && key.All(character => character is > ' ' and <= '~') ? (key, null) : (null, $"{(variable is null ? keyFile : "FEDERATION_KEY")} holds no API key, which is one word, fk_….");
    }

    /// <summary>What an answer that is no success says.</summary>
    public static string MessageOf(HttpResponseMessage response, string text)
    {
        var status = $"{(int)response.StatusCode} {response.ReasonPhrase}";
        return response.Content.Headers.ContentType?.MediaType == "application/json" ? JsonNode.Parse(text)?["error"]?["message"]?.ToString() ?? status : status;
    }

    private static async Task<int> SendAsync(ParseResult parsed, HttpMethod method, string path, JsonObject? body, string? done, CancellationToken cancellationToken)
    {
        var (key, problem) = await KeyAsync(parsed, cancellationToken);
        if (key is null) return Fail(problem!);
        if (!Uri.TryCreate(parsed.GetValue(Hub), UriKind.Absolute, out var hub) || hub.Scheme is not ("http" or "https")) return Fail($"'{parsed.GetValue(Hub)}' is not a URL; write https://hub.example.org.");
        using var http = new HttpClient { BaseAddress = hub, Timeout = TimeSpan.FromSeconds(30) };
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        if (body is not null) request.Content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
        try
        {
            using var response = await http.SendAsync(request, cancellationToken);
            var text = await response.Content.ReadAsStringAsync(cancellationToken);
            var isJson = response.Content.Headers.ContentType?.MediaType == "application/json";
            if (!response.IsSuccessStatusCode) return Fail(isJson ? MessageOf(response, text) : $"{hub} answered {(int)response.StatusCode} {response.ReasonPhrase}. Is it the hub's URL for API clients, and not the one for nodes?");
            if (text.Length > 0) Console.WriteLine(isJson ? JsonNode.Parse(text)!.ToJsonString(Indented) : text);
            else if (done is not null) Console.WriteLine(done);
            return 0;
        }
        catch (HttpRequestException exception) when (exception.HttpRequestError == HttpRequestError.SecureConnectionError)
        {
            return Fail($"TLS with the hub at {hub} failed: {exception.GetBaseException().Message} (The URL of a hub without TLS begins with http://.)");
        }
        catch (HttpRequestException exception)
        {
            // Of a failed handshake only the innermost says why.
            return Fail($"The hub at {hub} does not answer: {exception.GetBaseException().Message}");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return Fail($"The hub at {hub} did not answer within {http.Timeout.TotalSeconds:0} seconds.");
        }
    }

    private static int Fail(string message)
    {
        Console.Error.WriteLine($"federation-hub: {message}");
        return 1;
    }
}
