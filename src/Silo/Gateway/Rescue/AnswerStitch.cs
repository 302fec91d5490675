using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway.Rescue;

/// <summary>
/// Makes the stream of a node that goes on with an answer the rest of the stream that its client has begun to read: the chunks keep the first one's names, nobody takes up the word a second time, and usage counts all
/// that was said. The one place where an engine's events are written anew (ADR 21).
/// </summary>
/// <param name="head">How the client knows the stream; <see langword="null"/>: it has seen none of its chunks.</param>
/// <param name="carried">Tokens that other nodes have delivered: a part of this node's prompt, and of the client's answer.</param>
internal sealed class AnswerStitch(StreamHead? head, long carried)
{
    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>An event as the client is to see it; empty: not at all.</summary>
    public ReadOnlyMemory<byte> Stitch(in SseEvent item)
    {
        if (item.Data.IsEmpty || item.IsDone || item.IsMalformed || Parse(item.Data) is not { } chunk) return item.Raw.ToArray();
        try
        {
            return Stitch(chunk);
        }
        catch (Exception exception) when (exception is InvalidOperationException or ArgumentException)
        {
            // Half a surrogate pair, or one name twice: what a node may say, and no JSON tree holds.
            return item.Raw.ToArray();
        }
    }

    private ReadOnlyMemory<byte> Stitch(JsonObject chunk)
    {
        var isUsage = TryCount(chunk);
        if (head?.Id is { } id) chunk["id"] = id;
        if (head?.Created is { } created) chunk["created"] = created;
        if (head?.Model is { } model) chunk["model"] = model;
        if (head is not null && !isUsage && chunk["choices"] is JsonArray { Count: > 0 } choices && choices.All(static choice => choice is JsonObject said && SaysNothing(said))) return default;
        return Event(chunk);
    }

    /// <summary>The chunk that ends an answer whose last node was lost when only this was left to say.</summary>
    public static ReadOnlyMemory<byte> Ending(StreamHead? head, JobKind kind, string finishReason)
    {
        var choice = new JsonObject { ["index"] = 0, ["finish_reason"] = finishReason };
        if (kind is JobKind.Chat) choice["delta"] = new JsonObject();
        else choice["text"] = string.Empty;
        return Event(new JsonObject { ["id"] = head?.Id, ["object"] = head?.Object, ["created"] = head?.Created, ["model"] = head?.Model, ["choices"] = new JsonArray(choice) });
    }

    private static JsonObject? Parse(ReadOnlySpan<byte> data)
    {
        try
        {
            return JsonNode.Parse(data) as JsonObject;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Whether there is usage; what another node read as its prompt the client got as its answer.</summary>
    private bool TryCount(JsonObject chunk)
    {
        if (chunk["usage"] is not JsonObject usage) return false;
        if (usage["prompt_tokens"] is JsonValue prompt && prompt.TryGetValue(out long read) && usage["completion_tokens"] is JsonValue completion && completion.TryGetValue(out long said))
        {
            // Bounded, as the hub's own count is: a node may say any number.
            var (own, all) = (Math.Clamp(read, carried, int.MaxValue) - carried, Math.Clamp(said, 0, int.MaxValue) + carried);
            (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) = (own, all, own + all);
        }
        return true;
    }

    /// <summary>Takes the role away, which the client knows, and says whether nothing is left.</summary>
    private static bool SaysNothing(JsonObject choice)
    {
        if (choice["delta"] is JsonObject delta)
        {
            delta.Remove("role");
            if (delta.Any(static field => field.Value is not (null or JsonArray { Count: 0 }) && !(field.Value is JsonValue value && value.TryGetValue(out string? text) && text.Length == 0))) return false;
        }
        return choice["finish_reason"] is null && (choice["text"] is null || (choice["text"] is JsonValue said && said.TryGetValue(out string? words) && words.Length == 0));
    }

    private static byte[] Event(JsonObject chunk) => Encoding.UTF8.GetBytes($"data: {chunk.ToJsonString(Relaxed)}\n\n");
}
