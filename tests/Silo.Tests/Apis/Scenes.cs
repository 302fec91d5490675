using System.Buffers;
using System.Text;
using System.Text.Json.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Apis;
using Federation.Silo.Gateway;

namespace Federation.Silo.Tests.Apis;

/// <summary>Engines' answers on their way through a translation.</summary>
internal static class Scenes
{
    public static readonly AnswerHead Head = new("nd_1", 1, TimeSpan.FromMilliseconds(20));

    /// <summary>An event of a chat's stream with this delta.</summary>
    public static string Delta(string delta, string? finish = null, string more = "")
        => $$"""{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{{delta}},"finish_reason":{{(finish is null ? "null" : $"\"{finish}\"")}}{{more}}}]}""";

    /// <summary>The chunk of usage at the end of a stream.</summary>
    public const string Usage = """{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4}}}""";

    public static RequestField Request(string json) => new(RequestField.Parse(Encoding.UTF8.GetBytes(json)).RootElement, string.Empty);

    /// <summary>What a client of the other API receives of a stream.</summary>
    public static string Stream(Func<IBufferWriter<byte>, AnswerWriter> make, params ReadOnlySpan<string> events)
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = make(output);
        var reader = new ChatReader("call_x");
        writer.Begin(Head);
        foreach (var item in events) writer.Take(reader.Read(Encoding.UTF8.GetBytes(item)));
        writer.Take(reader.End());
        writer.End();
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    /// <summary>What a client of the other API receives of an answer that is no stream.</summary>
    public static JsonNode Whole(Func<IBufferWriter<byte>, AnswerWriter> make, string answer)
    {
        var output = new ArrayBufferWriter<byte>();
        var reader = new ChatReader("call_x");
        var whole = new ChatAnswer();
        whole.Add(reader.Read(Encoding.UTF8.GetBytes(answer)));
        whole.Add(reader.End());
        make(output).Whole(Head, whole);
        return JsonNode.Parse(output.WrittenSpan)!;
    }

    /// <summary>The data of the events of a stream.</summary>
    public static List<JsonNode> Events(string stream)
    {
        var events = new List<JsonNode>();
        foreach (var block in stream.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Where(block => !block.StartsWith(':')))
        {
            var lines = block.Split('\n');
            Assert.StartsWith("event: ", lines[0], StringComparison.Ordinal);
            Assert.StartsWith("data: ", lines[1], StringComparison.Ordinal);
            events.Add(JsonNode.Parse(lines[1]["data: ".Length..])!);
            Assert.Equal(lines[0]["event: ".Length..], (string?)events[^1]["type"]);
        }
        return events;
    }

    /// <summary>Whether two texts are the same JSON.</summary>
    public static void AssertJson(string expected, ReadOnlyMemory<byte> actual)
    {
        var same = JsonNode.DeepEquals(JsonNode.Parse(expected), JsonNode.Parse(actual.Span));
        Assert.True(same, $"Expected {JsonNode.Parse(expected)!.ToJsonString()}\n but got {Encoding.UTF8.GetString(actual.Span)}");
    }

    /// <summary>A request in OpenAI's words is one that the gateway takes.</summary>
    public static void AssertTaken(JobKind kind, ReadOnlyMemory<byte> body)
        => Assert.True(RequestHead.TryRead(body.Span, kind, out _, out var error), error?.Message);
}
