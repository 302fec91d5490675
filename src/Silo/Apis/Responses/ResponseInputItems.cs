using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace Federation.Silo.Apis.Responses;

/// <summary>
/// What a response answers, as the items of OpenAI's <c>/v1/responses/{id}/input_items</c>: made of the messages that are kept with it, so those of the responses it goes on from are among them. Pure.
/// Instructions are no items, and of thoughts nothing is kept.
/// </summary>
internal static class ResponseInputItems
{
    /// <summary>The items, the oldest first; their ids are the same whenever they are asked for.</summary>
    /// <param name="responseId">The response.</param>
    /// <param name="conversation">Of <see cref="KeptResponse"/>: its last message is the answer.</param>
    public static ImmutableArray<JsonObject> Of(string responseId, string conversation)
    {
        var items = ImmutableArray.CreateBuilder<JsonObject>();
        var messages = JsonNode.Parse(conversation)!.AsArray();
        foreach (var message in messages.Take(messages.Count - 1)) Add(message!.AsObject());
        return items.ToImmutable();

        void Add(JsonObject message)
        {
            var role = message["role"]!.GetValue<string>();
            if (role == "tool")
            {
                Append("fco", "function_call_output", ("call_id", message["tool_call_id"]!.DeepClone()), ("output", message["content"]!.DeepClone()));
                return;
            }
            var content = ContentOf(message["content"], role);
            if (content.Count > 0) Append("msg", "message", ("role", role), ("content", content));
            foreach (var call in message["tool_calls"]?.AsArray() ?? [])
            {
                var function = call!["function"]!;
                Append("fc", "function_call", ("call_id", call["id"]!.DeepClone()), ("name", function["name"]!.DeepClone()), ("arguments", function["arguments"]!.DeepClone()));
            }
        }

        void Append(string prefix, string type, params ReadOnlySpan<(string Name, JsonNode Value)> members)
        {
            var item = new JsonObject { ["id"] = $"{prefix}_{responseId["resp_".Length..]}_in{items.Count}", ["type"] = type, ["status"] = "completed" };
            foreach (var (name, value) in members) item[name] = value;
            items.Add(item);
        }
    }

    private static JsonArray ContentOf(JsonNode? content, string role)
    {
        if (content is JsonValue text) return text.GetValue<string>() is { Length: > 0 } words ? [TextOf(words, role)] : [];
        return [.. (content?.AsArray() ?? []).Select(part => part!["type"]!.GetValue<string>() == "image_url"
            ? new JsonObject { ["type"] = "input_image", ["image_url"] = part["image_url"]!["url"]!.DeepClone(), ["detail"] = part["image_url"]!["detail"]?.DeepClone() ?? "auto" }
            : TextOf(part["text"]!.GetValue<string>(), role))];
    }

    private static JsonObject TextOf(string text, string role)
        => role == "assistant" ? new JsonObject { ["type"] = "output_text", ["text"] = text, ["annotations"] = new JsonArray(), ["logprobs"] = new JsonArray() } : new JsonObject { ["type"] = "input_text", ["text"] = text };

    /// <summary>One page of items.</summary>
    /// <param name="items">The oldest first.</param>
    /// <param name="after">The id of the last item of the page before; empty for the first page.</param>
    /// <param name="oldestFirst">Else the newest first, as OpenAI's.</param>
    /// <param name="limit">Above 0.</param>
    /// <returns>The page as a client sees it; <see langword="null"/> where there is no item <paramref name="after"/>.</returns>
    public static JsonObject? Page(ImmutableArray<JsonObject> items, string after, bool oldestFirst, int limit)
    {
        ImmutableArray<JsonObject> inOrder = oldestFirst ? items : [.. items.Reverse()];
        var from = after.Length == 0 ? 0 : inOrder.TakeWhile(item => item["id"]!.GetValue<string>() != after).Count() + 1;
        if (from > inOrder.Length) return null;
        var page = inOrder.Skip(from).Take(limit).ToImmutableArray();
        return new JsonObject
        {
            ["object"] = "list",
            ["data"] = new JsonArray([.. page]),
            ["first_id"] = page.FirstOrDefault()?["id"]!.DeepClone(),
            ["last_id"] = page.LastOrDefault()?["id"]!.DeepClone(),
            ["has_more"] = from + page.Length < inOrder.Length,
        };
    }
}
