using System.Buffers;
using System.Collections.Immutable;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis.Responses;

/// <summary>
/// Translates requests of OpenAI's Responses API into chats. Functions are the only tools there are: hosted ones (search, code, images, computers) are refused by name, as is what needs a server that goes
/// on working by itself. The table is tested: <c>ResponsesRequestTests</c>.
/// </summary>
internal static class ResponsesRequests
{
    private const string Hosted = "The hub runs no tools of its own; tools of type 'function' are supported.";

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Which answer the request goes on from; null for a new conversation.</summary>
    /// <exception cref="RefusedException">It is no text.</exception>
    public static string? PreviousOf(RequestField request) => request.Find("previous_response_id")?.Text();

    /// <summary>Translates.</summary>
    /// <param name="request">The client's.</param>
    /// <param name="before">The conversation of the answer it goes on from, a JSON array of messages; null for a new one.</param>
    /// <param name="storesByDefault">Whether answers are kept where the client does not say.</param>
    /// <exception cref="RefusedException">It cannot be translated.</exception>
    public static ResponsesCall Translate(RequestField request, string? before, bool storesByDefault)
    {
        var model = request.Need("model").Text();
        var stream = request.Find("stream")?.Flag() ?? false;
        var store = request.Find("store") is { } wish ? wish.Flag() : storesByDefault;
        if (store && !storesByDefault) throw request.Find("store")!.Value.Unsupported("This hub keeps no answers; send store: false.");
        RefuseWhatIsNotHere(request);
        var conversation = ConversationOf(request, before);
        return new ResponsesCall(model, stream, store, OpenAiBody.Write(json => WriteBody(json, request, model, stream, conversation)), conversation, request.Json);
    }

    /// <summary>A conversation that goes on: the messages before, and the assistant's answer.</summary>
    public static string Extend(ReadOnlyMemory<byte> conversation, ChatAnswer answer)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Relaxed))
        {
            json.WriteStartArray();
            Copy(json, conversation);
            json.WriteStartObject();
            json.WriteString("role", "assistant");
            json.WriteString("content", answer.Text + answer.Refusal);
            if (answer.Calls.Count > 0)
            {
                json.WriteStartArray("tool_calls");
                foreach (var call in answer.Calls) json.WriteToolCall(call.Id, call.Name, call.Arguments);
                json.WriteEndArray();
            }
            json.WriteEndObject();
            json.WriteEndArray();
        }
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void RefuseWhatIsNotHere(RequestField request)
    {
        if (request.Find("background") is { } background && background.Flag()) throw background.Unsupported("Send the request to /v1/jobs to have it answered later.");
        foreach (var name in (ReadOnlySpan<string>)["conversation", "prompt"])
        {
            if (request.Find(name) is { } field) throw field.Unsupported("The hub keeps neither conversations nor prompts by name; use previous_response_id.");
        }
        if (request.Find("truncation") is { } truncation && truncation.OneOf("auto", "disabled") == "auto") throw truncation.Unsupported("The hub leaves nothing out of what it is sent.");
        if (request.Find("max_tool_calls") is { } calls) throw calls.Unsupported(Hosted);
        foreach (var include in request.Find("include")?.Items("an array of strings") ?? [])
        {
            // Codex and others ask for the second by default: where nothing is kept of thoughts there is nothing to include.
            if (include.Text() is not ("message.output_text.logprobs" or "reasoning.encrypted_content")) throw include.Unsupported(Hosted);
        }
    }

    private static ReadOnlyMemory<byte> ConversationOf(RequestField request, string? before)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Relaxed))
        {
            json.WriteStartArray();
            if (before is not null) Copy(json, Encoding.UTF8.GetBytes(before));
            WriteInput(json, request.Need("input"));
            json.WriteEndArray();
        }
        return buffer.WrittenMemory;
    }

    private static void Copy(Utf8JsonWriter json, ReadOnlyMemory<byte> messages)
    {
        using var document = JsonDocument.Parse(messages);
        foreach (var message in document.RootElement.EnumerateArray()) message.WriteTo(json);
    }

    private static void WriteInput(Utf8JsonWriter json, RequestField input)
    {
        if (input.IsText)
        {
            WriteText(json, "user", input.Text());
            return;
        }
        var items = input.Items("a string or an array of input items").Select(item => item.Object()).ToImmutableArray();
        if (items.IsEmpty) throw new RefusedException(ParameterErrors.Empty("input", "an array with at least one item"));
        for (var i = 0; i < items.Length; i++)
        {
            switch (TypeOf(items[i]))
            {
                case "message":
                    WriteMessage(json, items[i]);
                    break;
                case "function_call":
                    // A chat has all calls of one turn in one message.
                    var calls = items.Skip(i).TakeWhile(item => TypeOf(item) == "function_call").ToImmutableArray();
                    WriteCalls(json, calls);
                    i += calls.Length - 1;
                    break;
                case "function_call_output":
                    WriteOutput(json, items[i]);
                    break;
                case "reasoning":
                    // What an earlier turn thought; the engine would have to be told in a form of its own.
                    break;
                case var type:
                    throw new RefusedException(ParameterErrors.NotAmong(items[i].At("type"), type, "message", "function_call", "function_call_output", "reasoning"));
            }
        }
    }

    private static string TypeOf(RequestField item) => item.Find("type")?.Text() ?? "message";

    private static void WriteText(Utf8JsonWriter json, string role, string text)
    {
        json.WriteStartObject();
        json.WriteString("role", role);
        json.WriteString("content", text);
        json.WriteEndObject();
    }

    private static void WriteMessage(Utf8JsonWriter json, RequestField message)
    {
        // Few chat templates know "developer", OpenAI's newer name for the same.
        var role = message.Need("role").OneOf("user", "assistant", "system", "developer") is "developer" ? "system" : message.Need("role").Text();
        var content = message.Need("content");
        if (content.IsText)
        {
            WriteText(json, role, content.Text());
            return;
        }
        var parts = content.Items("a string or an array of parts").Select(part => part.Object()).ToImmutableArray();
        if (role != "user")
        {
            // Only a user's message may have parts everywhere.
            WriteText(json, role, string.Concat(parts.Select(TextOf)));
            return;
        }
        json.WriteStartObject();
        json.WriteString("role", role);
        json.WriteStartArray("content");
        foreach (var part in parts)
        {
            if (part.Need("type").Text() == "input_image") WriteImage(json, part);
            else json.WriteTextPart(TextOf(part));
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static string TextOf(RequestField part) => part.Need("type").OneOf("input_text", "output_text", "text", "refusal", "input_image") switch
    {
        "refusal" => part.Need("refusal").Text(),
        "input_image" => throw part.Need("type").Unsupported("Images may stand in a user's message."),
        _ => part.Need("text").Text(),
    };

    private static void WriteImage(Utf8JsonWriter json, RequestField image)
    {
        if (image.Find("file_id") is { } file) throw file.Unsupported("Send the image in image_url.");
        json.WriteImagePart(image.Need("image_url").Text(), image.Find("detail")?.OneOf("auto", "low", "high"));
    }

    private static void WriteCalls(Utf8JsonWriter json, ImmutableArray<RequestField> calls)
    {
        json.WriteStartObject();
        json.WriteString("role", "assistant");
        json.WriteString("content", string.Empty);
        json.WriteStartArray("tool_calls");
        foreach (var call in calls) json.WriteToolCall(call.Need("call_id").Text(), call.Need("name").Text(), call.Need("arguments").Text());
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteOutput(Utf8JsonWriter json, RequestField result)
    {
        var output = result.Need("output");
        json.WriteStartObject();
        json.WriteString("role", "tool");
        json.WriteString("tool_call_id", result.Need("call_id").Text());
        json.WriteString("content", output.IsText ? output.Text() : string.Concat(output.Items("a string or an array of parts").Select(part => TextOf(part.Object()))));
        json.WriteEndObject();
    }

    private static void WriteBody(Utf8JsonWriter json, RequestField request, string model, bool stream, ReadOnlyMemory<byte> conversation)
    {
        json.WriteString("model", model);
        json.WriteStartArray("messages");
        if (request.Find("instructions") is { } instructions) WriteText(json, "system", instructions.Text());
        Copy(json, conversation);
        json.WriteEndArray();
        if (request.Find("max_output_tokens") is { } most) json.WriteNumber("max_tokens", most.Whole(1, int.MaxValue));
        if (request.Find("temperature") is { } temperature) json.WriteNumber("temperature", temperature.Number(0, 2));
        if (request.Find("top_p") is { } topP) json.WriteNumber("top_p", topP.Number(0, 1));
        WriteLogprobs(json, request);
        WriteTools(json, request);
        WriteFormat(json, request.Find("text")?.Object());
        if (request.Find("reasoning")?.Object().Find("effort") is { } effort) json.WriteString("reasoning_effort", effort.OneOf("none", "minimal", "low", "medium", "high", "xhigh"));
        if (request.Find("user") is { } user) json.WriteString("user", user.Text());
        json.WriteStream(stream);
    }

    private static void WriteLogprobs(Utf8JsonWriter json, RequestField request)
    {
        var top = request.Find("top_logprobs")?.Whole(0, 20);
        if (top is null && !(request.Find("include")?.Items().Any(include => include.Text() == "message.output_text.logprobs") ?? false)) return;
        json.WriteBoolean("logprobs", true);
        if (top is > 0) json.WriteNumber("top_logprobs", top.Value);
    }

    private static void WriteTools(Utf8JsonWriter json, RequestField request)
    {
        var tools = (request.Find("tools")?.Items("an array of tools") ?? []).Select(tool => tool.Object()).ToImmutableArray();
        if (!tools.IsEmpty)
        {
            json.WriteStartArray("tools");
            foreach (var tool in tools)
            {
                if (tool.Need("type") is var type && type.Text() != "function") throw type.Unsupported(Hosted);
                json.WriteTool(tool.Need("name").Text(), tool.Find("description"), tool.Find("parameters"), tool.Find("strict"));
            }
            json.WriteEndArray();
        }
        if (request.Find("parallel_tool_calls") is { } parallel) json.WriteBoolean("parallel_tool_calls", parallel.Flag());
        if (request.Find("tool_choice") is not { } choice) return;
        if (choice.IsText)
        {
            json.WriteString("tool_choice", choice.OneOf("none", "auto", "required"));
            return;
        }
        if (choice.Object().Need("type") is var kind && kind.Text() != "function") throw kind.Unsupported(Hosted);
        json.WriteStartObject("tool_choice");
        json.WriteString("type", "function");
        json.WriteStartObject("function");
        json.WriteString("name", choice.Need("name").Text());
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteFormat(Utf8JsonWriter json, RequestField? text)
    {
        if (text?.Find("verbosity") is { } verbosity) json.WriteString("verbosity", verbosity.OneOf("low", "medium", "high"));
        if (text?.Find("format")?.Object() is not { } format) return;
        switch (format.Need("type").OneOf("text", "json_object", "json_schema"))
        {
            case "json_object":
                json.WriteStartObject("response_format");
                json.WriteString("type", "json_object");
                json.WriteEndObject();
                break;
            case "json_schema":
                json.WriteSchemaFormat(format.Need("name").Text(), format.Need("schema").Object(), format.Find("strict")?.Flag(), format.Find("description")?.Text());
                break;
            default:
                break;
        }
    }
}
