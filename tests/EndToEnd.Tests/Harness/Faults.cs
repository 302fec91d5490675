using System.Text;
using System.Text.Json.Nodes;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>What can go wrong with a server that is to answer a chat, each under the words that a test names it by.</summary>
internal static class Faults
{
    private const int FloodBytes = 64 * 1024;

    /// <summary>Before a word of the answer has come.</summary>
    public static readonly IReadOnlyDictionary<string, Func<RawAsked, Task>> AtFirst = new Dictionary<string, Func<RawAsked, Task>>
    {
        ["it answers 500"] = asked => asked.SayAsync("HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops"),
        ["it closes without a word"] = _ => Task.CompletedTask,
        ["it says what is no HTTP"] = asked => asked.SayAsync("\0\u0001\u0002 SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        ["it stalls before its head"] = asked => asked.StallAsync(),
        ["it stalls in the middle of its head"] = async asked =>
        {
            await asked.SayAsync("HTTP/1.1 200 OK\r\nContent-Ty");
            await asked.StallAsync();
        },
        ["it stalls behind its head"] = async asked =>
        {
            await asked.HeadAsync();
            await asked.StallAsync();
        },
        ["it closes behind its head"] = asked => asked.HeadAsync(),
        ["its headers have no end"] = async asked =>
        {
            await asked.SayAsync("HTTP/1.1 200 OK\r\n");
            await asked.FloodAsync(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("X-Endless: and on\r\n", 1_000))));
        },
        ["one header has no end"] = async asked =>
        {
            await asked.SayAsync("HTTP/1.1 200 OK\r\nX-Endless: ");
            await asked.FloodAsync(Filled('x'));
        },
        ["its chunks have no length"] = asked => asked.SayAsync($"HTTP/1.1 200 OK\r\nContent-Type: {(asked.Streams ? "text/event-stream" : "application/json")}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n"),
        ["it sends a page of HTML"] = asked => asked.SayAsync("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 23\r\n\r\n<script>1</script>oh no"),
        ["its event has no end"] = async asked =>
        {
            await asked.HeadAsync();
            await asked.SayAsync("data: \"");
            await asked.FloodAsync(Filled('x'));
        },
        ["it closes in the middle of its JSON"] = async asked =>
        {
            await asked.HeadAsync();
            await asked.SayAsync((asked.Streams ? Chats.Piece("4") : Chats.Whole("42", 7, 2))[..40]);
        },
        ["it promises more than it sends"] = asked => asked.SayAsync($"HTTP/1.1 200 OK\r\nContent-Type: {(asked.Streams ? "text/event-stream" : "application/json")}\r\nContent-Length: 1000\r\n\r\n{{\"id\":"),
    };

    /// <summary>Of an answer that comes whole.</summary>
    public static readonly IReadOnlyDictionary<string, Func<RawAsked, Task>> OfWhole = new Dictionary<string, Func<RawAsked, Task>>
    {
        ["it has half a character"] = async asked =>
        {
            await asked.HeadAsync();
            await asked.SayAsync([.. Chats.Whole("42", 7, 2).SelectMany(value => value == '4' ? [0xC3] : new[] { value })]);
        },
        ["it streams what was to come whole"] = async asked =>
        {
            await asked.SayAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
            await asked.SayAsync([.. Chats.Piece("4"), .. Chats.End()]);
        },
        ["it has no end"] = async asked =>
        {
            await asked.HeadAsync();
            await asked.SayAsync("{\"choices\":[{\"message\":{\"content\":\"");
            await asked.FloodAsync(Filled('x'));
        },
    };

    /// <summary>Of a stream, behind its first word, "4".</summary>
    public static readonly IReadOnlyDictionary<string, Func<RawAsked, Task>> InMidStream = new Dictionary<string, Func<RawAsked, Task>>
    {
        ["it closes"] = BegunAsync,
        ["it stalls"] = async asked =>
        {
            await BegunAsync(asked);
            await asked.StallAsync();
        },
        ["it closes in half a character"] = async asked =>
        {
            await BegunAsync(asked);
            await asked.SayAsync([.. "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\""u8, 0xC3]);
        },
        ["its next event has no end"] = async asked =>
        {
            await BegunAsync(asked);
            await asked.SayAsync("data: \"");
            await asked.FloodAsync(Filled('x'));
        },
        ["its comments have no end"] = async asked =>
        {
            await BegunAsync(asked);
            await asked.FloodAsync(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(": still here\n\n", 4_000))));
        },
        ["its answer has no end"] = async asked =>
        {
            await BegunAsync(asked);
            await asked.FloodAsync([.. Enumerable.Repeat(Chats.Piece("4"), 400).SelectMany(piece => piece)]);
        },
    };

    /// <summary>What a client reads of a stream that goes wrong: its text, and its last event.</summary>
    public static async Task<(string Text, JsonNode? Last)> ReadAsync(ChatStream stream)
    {
        var text = new StringBuilder();
        JsonNode? last = null;
        await foreach (var data in stream.EventsAsync())
        {
            Assert.Null(last?["error"]);
            last = JsonNode.Parse(data);
            if (last?["error"] is null) text.Append(Chats.Delta(data));
        }
        return (text.ToString(), last);
    }

    private static byte[] Filled(char with) => [.. Enumerable.Repeat((byte)with, FloodBytes)];

    private static async Task BegunAsync(RawAsked asked)
    {
        await asked.HeadAsync();
        await asked.SayAsync(Chats.Piece("4"));
    }
}
