using System.Collections.Immutable;
using System.Text.Json;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis.Ollama;

/// <summary>
/// Translates requests of Ollama's API into OpenAI's. Options of how a node runs its model (<c>num_ctx</c>, <c>num_gpu</c>, <c>keep_alive</c>…) are the node's own and count for nothing; what would
/// change the answer and cannot be had is refused. The table is tested: <c>OllamaRequestTests</c>.
/// </summary>
internal static class OllamaRequests
{
    /// <summary>Ollama's options that OpenAI's API or the engines behind it have, and what they are called there.</summary>
    private static readonly ImmutableArray<(string Option, string Parameter, double Min, double Max, bool IsWhole)> Numbers =
    [
        ("temperature", "temperature", 0, 2, false),
        ("top_p", "top_p", 0, 1, false),
        ("top_k", "top_k", 0, int.MaxValue, true),
        ("min_p", "min_p", 0, 1, false),
        ("typical_p", "typical_p", 0, 1, false),
        ("repeat_penalty", "repeat_penalty", 0, 10, false),
        ("repeat_last_n", "repeat_last_n", -1, int.MaxValue, true),
        ("presence_penalty", "presence_penalty", -2, 2, false),
        ("frequency_penalty", "frequency_penalty", -2, 2, false),
        ("seed", "seed", long.MinValue, long.MaxValue, true),
    ];

    /// <summary><c>POST /api/chat</c>.</summary>
    /// <exception cref="RefusedException">It cannot be translated.</exception>
    public static OllamaCall Chat(RequestField request)
    {
        var model = ModelOf(request);
        var stream = request.Find("stream")?.Flag() ?? true;
        var messages = (request.Find("messages")?.Items("an array of messages") ?? []).ToImmutableArray();
        if (messages.IsEmpty) return Resident(request, model, JobKind.Chat, stream);
        var calls = new OpenCalls();
        return new OllamaCall(model, JobKind.Chat, stream, OpenAiBody.Write(json =>
        {
            json.WriteString("model", model);
            json.WriteStartArray("messages");
            foreach (var message in messages) WriteMessage(json, message.Object(), calls);
            json.WriteEndArray();
            if (request.Find("tools") is { } tools && tools.Items("an array of tools").Any()) json.WriteField("tools", tools);
            WriteSettings(json, request);
            if (request.Find("logprobs")?.Flag() is true)
            {
                json.WriteBoolean("logprobs", true);
                if (request.Find("top_logprobs") is { } top) json.WriteNumber("top_logprobs", top.Whole(0, 20));
            }
            json.WriteStream(stream);
        }));
    }

    /// <summary><c>POST /api/generate</c>: a chat of one message, or with <c>raw</c> or <c>suffix</c> a completion.</summary>
    /// <exception cref="RefusedException">It cannot be translated.</exception>
    public static OllamaCall Generate(RequestField request)
    {
        var model = ModelOf(request);
        var stream = request.Find("stream")?.Flag() ?? true;
        foreach (var name in (ReadOnlySpan<string>)["template", "context"])
        {
            if (request.Find(name) is { } field && !IsEmpty(field.Json)) throw field.Unsupported("The model's own template is used; send a conversation to /api/chat.");
        }
        var prompt = request.Find("prompt")?.Text() ?? string.Empty;
        var images = (request.Find("images")?.Items() ?? []).ToImmutableArray();
        if (prompt.Length == 0 && images.IsEmpty) return Resident(request, model, JobKind.Chat, stream);
        var suffix = request.Find("suffix")?.Text() is { Length: > 0 } text ? text : null;
        var isRaw = suffix is not null || request.Find("raw")?.Flag() is true;
        if (isRaw && !images.IsEmpty) throw images[0].Unsupported("A raw prompt has no place for images.");
        return new OllamaCall(model, isRaw ? JobKind.Completion : JobKind.Chat, stream, OpenAiBody.Write(json =>
        {
            json.WriteString("model", model);
            if (isRaw)
            {
                json.WriteString("prompt", prompt);
                if (suffix is not null) json.WriteString("suffix", suffix);
            }
            else
            {
                json.WriteStartArray("messages");
                if (request.Find("system")?.Text() is { Length: > 0 } system) WriteText(json, "system", system);
                json.WriteStartObject();
                json.WriteString("role", "user");
                WriteContent(json, prompt, images);
                json.WriteEndObject();
                json.WriteEndArray();
            }
            WriteSettings(json, request);
            json.WriteStream(stream);
        }));
    }

    /// <summary><c>POST /api/embed</c>.</summary>
    /// <exception cref="RefusedException">It cannot be translated.</exception>
    public static OllamaCall Embed(RequestField request)
    {
        if (request.Find("truncate") is { } truncate && !truncate.Flag()) throw truncate.Unsupported("What an engine does with a text that is too long is its own affair.");
        return Embedding(request, "input");
    }

    /// <summary><c>POST /api/embeddings</c>, the older form for one text.</summary>
    /// <exception cref="RefusedException">It cannot be translated.</exception>
    public static OllamaCall Embeddings(RequestField request) => Embedding(request, "prompt");

    private static OllamaCall Embedding(RequestField request, string field)
    {
        var model = ModelOf(request);
        var input = request.Need(field);
        if (!input.IsText)
        {
            if (field == "prompt") throw input.WrongType("a string");
            foreach (var item in input.Items("a string or an array of strings")) item.Text();
        }
        return new OllamaCall(model, JobKind.Embedding, false, OpenAiBody.Write(json =>
        {
            json.WriteString("model", model);
            json.WriteField("input", input);
            json.WriteString("encoding_format", "float");
            if (request.Find("dimensions") is { } dimensions) json.WriteNumber("dimensions", dimensions.Whole(1, int.MaxValue));
        }));
    }

    private static string ModelOf(RequestField request)
    {
        // "name" is what the field was called before.
        var model = (request.Find("model") ?? request.Find("name"))?.Text();
        return string.IsNullOrEmpty(model) ? throw new RefusedException(ParameterErrors.Missing("model")) : model;
    }

    private static OllamaCall Resident(RequestField request, string model, JobKind kind, bool stream) => new(model, kind, stream, ReadOnlyMemory<byte>.Empty)
    {
        // Ollama itself takes a question without words as a wish to load the model, or with keep_alive 0 to let go of it.
        Residency = request.Find("keep_alive") is { Json: { ValueKind: JsonValueKind.Number } never } && never.GetDouble() == 0 ? "unload" : "load",
    };

    private static void WriteMessage(Utf8JsonWriter json, RequestField message, OpenCalls calls)
    {
        var role = message.Need("role").OneOf("system", "user", "assistant", "tool");
        var content = message.Find("content")?.Text() ?? string.Empty;
        json.WriteStartObject();
        json.WriteString("role", role);
        var made = role == "assistant" ? (message.Find("tool_calls")?.Items() ?? []).ToImmutableArray() : [];
        if (made.IsEmpty) WriteContent(json, content, [.. message.Find("images")?.Items() ?? []]);
        else
        {
            json.WriteString("content", content);
            json.WriteStartArray("tool_calls");
            foreach (var call in made)
            {
                var function = call.Object().Need("function").Object();
                var name = function.Need("name").Text();
                json.WriteToolCall(calls.Add(call.Find("id")?.Text(), name), name, function.Find("arguments")?.Object().Json.GetRawText() ?? "{}");
            }
            json.WriteEndArray();
        }
        if (role == "tool") json.WriteString("tool_call_id", message.Find("tool_call_id")?.Text() ?? calls.Answer((message.Find("tool_name") ?? message.Find("name"))?.Text()));
        json.WriteEndObject();
    }

    private static void WriteText(Utf8JsonWriter json, string role, string text)
    {
        json.WriteStartObject();
        json.WriteString("role", role);
        json.WriteString("content", text);
        json.WriteEndObject();
    }

    private static void WriteContent(Utf8JsonWriter json, string text, ImmutableArray<RequestField> images)
    {
        if (images.IsEmpty)
        {
            json.WriteString("content", text);
            return;
        }
        json.WriteStartArray("content");
        if (text.Length > 0) json.WriteTextPart(text);
        foreach (var image in images) json.WriteImagePart(DataUrl(image));
        json.WriteEndArray();
    }

    /// <summary>Ollama's images are bare base64; an engine wants to know of what.</summary>
    private static string DataUrl(RequestField image)
    {
        var base64 = image.Text("an image in base64");
        var type = base64 switch
        {
            _ when base64.StartsWith("iVBORw0KGgo", StringComparison.Ordinal) => "image/png",
            _ when base64.StartsWith("/9j/", StringComparison.Ordinal) => "image/jpeg",
            _ when base64.StartsWith("R0lGOD", StringComparison.Ordinal) => "image/gif",
            _ when base64.StartsWith("UklGR", StringComparison.Ordinal) => "image/webp",
            _ => throw new RefusedException(OpenAiError.BadRequest($"Invalid '{image.Path}': expected a PNG, JPEG, GIF or WebP image in base64.", image.Path, "invalid_value")),
        };
        return $"data:{type};base64,{base64}";
    }

    private static void WriteSettings(Utf8JsonWriter json, RequestField request)
    {
        if (request.Find("options") is { } options) WriteOptions(json, options.Object());
        WriteFormat(json, request.Find("format"));
        if (request.Find("think") is { } think) json.WriteString("reasoning_effort", Effort(think));
    }

    private static void WriteOptions(Utf8JsonWriter json, RequestField options)
    {
        foreach (var (option, parameter, min, max, isWhole) in Numbers)
        {
            if (options.Find(option) is not { } value) continue;
            if (isWhole) json.WriteNumber(parameter, value.Whole(min <= long.MinValue ? long.MinValue : (long)min, max >= long.MaxValue ? long.MaxValue : (long)max));
            else json.WriteNumber(parameter, value.Number(min, max));
        }
        // Below 0: until the model ends.
        if (options.Find("num_predict") is { } most && most.Whole(-2, int.MaxValue) is >= 0 and var tokens) json.WriteNumber("max_tokens", Math.Max(1, tokens));
        if (options.Find("stop") is not { } stop || IsEmpty(stop.Json)) return;
        if (stop.IsText) json.WriteString("stop", stop.Text());
        else
        {
            json.WriteStartArray("stop");
            foreach (var text in stop.Items("a string or an array of strings")) json.WriteStringValue(text.Text());
            json.WriteEndArray();
        }
    }

    private static void WriteFormat(Utf8JsonWriter json, RequestField? format)
    {
        if (format is not { } wanted || (wanted.IsText && wanted.Text().Length == 0)) return;
        if (!wanted.IsText)
        {
            json.WriteSchemaFormat("answer", wanted.Json.ValueKind is JsonValueKind.Object ? wanted : throw wanted.WrongType("'json' or a JSON schema"), strict: true);
            return;
        }
        wanted.OneOf("json");
        json.WriteStartObject("response_format");
        json.WriteString("type", "json_object");
        json.WriteEndObject();
    }

    private static string Effort(RequestField think) => think.Json.ValueKind switch
    {
        JsonValueKind.True => "medium",
        JsonValueKind.False => "none",
        JsonValueKind.String => think.OneOf("low", "medium", "high"),
        _ => throw think.WrongType("a boolean or a string"),
    };

    private static bool IsEmpty(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.ValueEquals(string.Empty),
        JsonValueKind.Array => value.GetArrayLength() == 0,
        _ => false,
    };

    /// <summary>Ollama's tool calls have no ids in older clients: an answer is for the oldest call of that name that has none.</summary>
    private sealed class OpenCalls
    {
        private readonly List<(string Id, string Name)> _open = [];
        private int _made;

        public string Add(string? id, string name)
        {
            _open.Add((string.IsNullOrEmpty(id) ? $"call_{_made}" : id, name));
            _made++;
            return _open[^1].Id;
        }

        public string Answer(string? name)
        {
            var index = _open.FindIndex(call => name is null || call.Name == name);
            if (index < 0) return $"call_{_made++}";
            var id = _open[index].Id;
            _open.RemoveAt(index);
            return id;
        }
    }
}
