using System.Collections.Immutable;
using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis.Anthropic;

/// <summary>
/// Translates requests of Anthropic's Messages API into OpenAI chats. What only tells how to go about it (<c>cache_control</c>, <c>metadata</c>, <c>service_tier</c>, thoughts of earlier turns) counts
/// for nothing; what would change the answer and cannot be had is refused by name. The table is tested: <c>AnthropicRequestTests</c>.
/// </summary>
internal static class AnthropicRequests
{
    /// <exception cref="RefusedException">It cannot be translated.</exception>
    public static AnthropicCall Messages(RequestField request)
    {
        var model = request.Need("model").Text();
        var maxTokens = request.Need("max_tokens").Whole(1, int.MaxValue);
        var stream = request.Find("stream")?.Flag() ?? false;
        var messages = request.Need("messages").Items("an array of messages").ToImmutableArray();
        if (messages.IsEmpty) throw new RefusedException(ParameterErrors.Empty("messages", "an array with at least one message"));
        RefuseWhatIsNotHere(request);
        var stops = (request.Find("stop_sequences")?.Items("an array of strings") ?? []).Select(stop => stop.Text()).ToImmutableArray();
        var thinks = request.Find("thinking")?.Object().Need("type").OneOf("enabled", "disabled", "adaptive");
        return new AnthropicCall(model, stream, thinks is "enabled" or "adaptive", stops, OpenAiBody.Write(json =>
        {
            json.WriteString("model", model);
            json.WriteStartArray("messages");
            WriteSystem(json, request.Find("system"));
            foreach (var message in messages) WriteMessage(json, message.Object());
            json.WriteEndArray();
            if (messages[^1].Need("role").Text() == "assistant")
            {
                // The last turn is the beginning of the answer, in the words of the engines that know how to go on with one.
                json.WriteBoolean("continue_final_message", true);
                json.WriteBoolean("add_generation_prompt", false);
            }
            json.WriteNumber("max_tokens", maxTokens);
            if (request.Find("temperature") is { } temperature) json.WriteNumber("temperature", temperature.Number(0, 1));
            if (request.Find("top_p") is { } topP) json.WriteNumber("top_p", topP.Number(0, 1));
            if (request.Find("top_k") is { } topK) json.WriteNumber("top_k", topK.Whole(0, int.MaxValue));
            if (!stops.IsEmpty)
            {
                json.WriteStartArray("stop");
                foreach (var stop in stops) json.WriteStringValue(stop);
                json.WriteEndArray();
            }
            WriteTools(json, request);
            WriteOutput(json, request, thinks);
            json.WriteStream(stream);
        }));
    }

    private static void RefuseWhatIsNotHere(RequestField request)
    {
        foreach (var name in (ReadOnlySpan<string>)["mcp_servers", "container", "context_management"])
        {
            if (request.Find(name) is { } field && field.Json is not { ValueKind: JsonValueKind.Array } and not { ValueKind: JsonValueKind.Object }) throw field.WrongType("an object or an array");
            if (request.Find(name) is { } wanted && wanted.Json.GetRawText().Length > "[]".Length) throw wanted.Unsupported("That is done by Anthropic's servers; the hub has only models.");
        }
    }

    private static void WriteSystem(Utf8JsonWriter json, RequestField? system)
    {
        if (system is not { } words) return;
        var text = words.IsText ? words.Text() : string.Join("\n\n", words.Items("a string or an array of text blocks").Select(block => TextOf(block.Object())));
        if (text.Length == 0) return;
        json.WriteStartObject();
        json.WriteString("role", "system");
        json.WriteString("content", text);
        json.WriteEndObject();
    }

    private static void WriteMessage(Utf8JsonWriter json, RequestField message)
    {
        var role = message.Need("role").OneOf("user", "assistant");
        var content = message.Need("content");
        if (content.IsText)
        {
            json.WriteStartObject();
            json.WriteString("role", role);
            json.WriteString("content", content.Text());
            json.WriteEndObject();
            return;
        }
        var blocks = content.Items("a string or an array of content blocks").Select(block => block.Object()).ToImmutableArray();
        if (role == "assistant") WriteAssistant(json, blocks);
        else WriteUser(json, blocks);
    }

    private static void WriteAssistant(Utf8JsonWriter json, ImmutableArray<RequestField> blocks)
    {
        var texts = new List<string>();
        var calls = new List<RequestField>();
        foreach (var block in blocks)
        {
            switch (TypeOf(block, "text", "tool_use", "thinking", "redacted_thinking"))
            {
                case "text":
                    texts.Add(TextOf(block));
                    break;
                case "tool_use":
                    calls.Add(block);
                    break;
                default:
                    // What an earlier turn thought; the engine would have to be told in a form of its own.
                    break;
            }
        }
        json.WriteStartObject();
        json.WriteString("role", "assistant");
        json.WriteString("content", string.Concat(texts));
        if (calls.Count > 0)
        {
            json.WriteStartArray("tool_calls");
            foreach (var call in calls) json.WriteToolCall(call.Need("id").Text(), call.Need("name").Text(), call.Need("input").Object().Json.GetRawText());
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    /// <summary>Results of tools are messages of their own and come first: they answer the assistant's turn before. A tool's message has no place for images, so these go with the user's.</summary>
    private static void WriteUser(Utf8JsonWriter json, ImmutableArray<RequestField> blocks)
    {
        var parts = new List<RequestField>();
        foreach (var block in blocks)
        {
            if (TypeOf(block, "text", "image", "tool_result") != "tool_result") parts.Add(block);
            else parts.AddRange(WriteResult(json, block));
        }
        if (parts.Count == 0) return;
        json.WriteStartObject();
        json.WriteString("role", "user");
        json.WriteStartArray("content");
        foreach (var part in parts)
        {
            if (TypeOf(part, "text", "image") == "image") json.WriteImagePart(UrlOf(part));
            else json.WriteTextPart(TextOf(part));
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static List<RequestField> WriteResult(Utf8JsonWriter json, RequestField result)
    {
        var texts = new List<string>();
        var images = new List<RequestField>();
        if (result.Find("content") is { } content)
        {
            if (content.IsText) texts.Add(content.Text());
            else
            {
                foreach (var block in content.Items("a string or an array of content blocks").Select(block => block.Object()))
                {
                    if (TypeOf(block, "text", "image") == "image") images.Add(block);
                    else texts.Add(TextOf(block));
                }
            }
        }
        var text = string.Join('\n', texts);
        json.WriteStartObject();
        json.WriteString("role", "tool");
        json.WriteString("tool_call_id", result.Need("tool_use_id").Text());
        json.WriteString("content", result.Find("is_error")?.Flag() is true ? $"Error: {text}" : text);
        json.WriteEndObject();
        return images;
    }

    private static void WriteTools(Utf8JsonWriter json, RequestField request)
    {
        var tools = (request.Find("tools")?.Items("an array of tools") ?? []).Select(tool => tool.Object()).ToImmutableArray();
        if (!tools.IsEmpty)
        {
            json.WriteStartArray("tools");
            foreach (var tool in tools)
            {
                if (tool.Find("type") is { } type && type.Text() != "custom") throw type.Unsupported($"The hub runs no tools of its own; '{ParameterErrors.Echo(type.Text())}' is one of Anthropic's servers.");
                json.WriteTool(tool.Need("name").Text(), tool.Find("description"), tool.Need("input_schema"));
            }
            json.WriteEndArray();
        }
        if (request.Find("tool_choice")?.Object() is not { } choice) return;
        switch (choice.Need("type").OneOf("auto", "any", "tool", "none"))
        {
            case "any":
                json.WriteString("tool_choice", "required");
                break;
            case "tool":
                json.WriteStartObject("tool_choice");
                json.WriteString("type", "function");
                json.WriteStartObject("function");
                json.WriteString("name", choice.Need("name").Text());
                json.WriteEndObject();
                json.WriteEndObject();
                break;
            case var same:
                json.WriteString("tool_choice", same);
                break;
        }
        if (choice.Find("disable_parallel_tool_use") is { } alone) json.WriteBoolean("parallel_tool_calls", !alone.Flag());
    }

    private static void WriteOutput(Utf8JsonWriter json, RequestField request, string? thinks)
    {
        var output = request.Find("output_config")?.Object();
        var format = output?.Find("format") ?? request.Find("output_format");
        if (format?.Object() is { } wanted)
        {
            wanted.Need("type").OneOf("json_schema");
            json.WriteSchemaFormat("answer", wanted.Need("schema").Object(), strict: true);
        }
        var effort = output?.Find("effort")?.OneOf("low", "medium", "high", "xhigh", "max");
        if (thinks == "disabled") json.WriteString("reasoning_effort", "none");
        else if (effort is not null || thinks is not null) json.WriteString("reasoning_effort", effort switch { null => "medium", "xhigh" or "max" => "high", _ => effort });
    }

    private static string TypeOf(RequestField block, params ReadOnlySpan<string> known)
    {
        var type = block.Need("type");
        var name = type.Text();
        return known.Contains(name) ? name : throw new RefusedException(ParameterErrors.NotAmong(type.Path, name, known));
    }

    private static string TextOf(RequestField block)
    {
        TypeOf(block, "text");
        return block.Need("text").Text();
    }

    private static string UrlOf(RequestField image)
    {
        var source = image.Need("source").Object();
        return source.Need("type").OneOf("base64", "url") == "url"
            ? source.Need("url").Text()
            : $"data:{source.Need("media_type").OneOf("image/jpeg", "image/png", "image/gif", "image/webp")};base64,{source.Need("data").Text()}";
    }
}
