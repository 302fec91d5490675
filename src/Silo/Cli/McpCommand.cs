using System.CommandLine;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Federation.Protocol;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub mcp</c>: the hub's tools over standard input and output, for assistants that start their servers as programs.</summary>
/// <remarks>A line in is a message that goes to the hub's <c>/mcp</c> as it is; what the hub answers comes out a line each. The tools themselves are the hub's.</remarks>
internal static class McpCommand
{
    /// <summary>Messages on their way at once; more wait on the line.</summary>
    private const int MessagesMax = 16;

    public static Command Create()
    {
        var command = new Command("mcp", "Speaks the Model Context Protocol over standard input and output, with the tools of a running hub.");
        command.SetAction(RelayAsync);
        return command.WithHub();
    }

    private static async Task<int> RelayAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (key, problem) = await HubClient.KeyAsync(parsed, cancellationToken);
        if (key is null)
        {
            await Console.Error.WriteLineAsync($"federation-hub: {problem}");
            return 1;
        }
        using var http = HubClient.Open(parsed);
        http.Timeout = Timeout.InfiniteTimeSpan;
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        // The protocol is UTF-8 whatever the console is.
        using var input = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false));
        await using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false)) { AutoFlush = true };
        using var turns = new SemaphoreSlim(MessagesMax);
        using var writing = new SemaphoreSlim(1);
        while (await input.ReadLineAsync(cancellationToken) is { } line)
        {
            if (string.IsNullOrWhiteSpace(line)) continue;
            await turns.WaitAsync(cancellationToken);
            _ = RelayAsync(line);
        }
        for (var i = 0; i < MessagesMax; i++) await turns.WaitAsync(cancellationToken);
        return 0;

        async Task RelayAsync(string line)
        {
            try
            {
                foreach (var answer in await AskAsync(http, line, cancellationToken)) await WriteAsync(answer);
            }
            catch (Exception exception) when (exception is HttpRequestException or IOException)
            {
                if (ErrorFor(line, $"The hub at {http.BaseAddress} does not answer: {exception.GetBaseException().Message}") is { } error) await WriteAsync(error);
            }
            catch (OperationCanceledException)
            {
                // The program stops.
            }
            finally
            {
                turns.Release();
            }
        }

        async Task WriteAsync(string message)
        {
            await writing.WaitAsync(cancellationToken);
            try
            {
                await output.WriteLineAsync(message.AsMemory(), cancellationToken);
            }
            finally
            {
                writing.Release();
            }
        }
    }

    private static async Task<IReadOnlyList<string>> AskAsync(HttpClient http, string line, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/mcp") { Content = new StringContent(line, Encoding.UTF8, "application/json") };
        request.Headers.Accept.ParseAdd("application/json, text/event-stream");
        using var response = await http.SendAsync(request, cancellationToken);
        var text = await response.Content.ReadAsStringAsync(cancellationToken);
        if (!response.IsSuccessStatusCode) return ErrorFor(line, HubClient.MessageOf(response, text)) is { } error ? [error] : [];
        return [.. text.Split('\n').Where(part => part.StartsWith("data:", StringComparison.Ordinal)).Select(part => part["data:".Length..].Trim()).Where(part => part.Length > 0)];
    }

    /// <summary>An answer that says what went wrong; null for a message that has none, being a notification or no message.</summary>
    private static string? ErrorFor(string line, string message)
    {
        try
        {
            return JsonNode.Parse(line)?["id"] is { } id
                ? new JsonObject { ["jsonrpc"] = "2.0", ["id"] = id.DeepClone(), ["error"] = new JsonObject { ["code"] = -32603, ["message"] = message } }.ToJsonString()
                : null;
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return new JsonObject { ["jsonrpc"] = "2.0", ["id"] = null, ["error"] = new JsonObject { ["code"] = -32700, ["message"] = "The line is not a JSON-RPC message." } }.ToJsonString();
        }
    }
}
