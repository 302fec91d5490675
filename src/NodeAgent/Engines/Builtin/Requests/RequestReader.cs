using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Federation.NodeAgent.Engines.Builtin.Sampling;
using Federation.NodeAgent.Engines.Builtin.Text;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.Builtin.Requests;

/// <summary>
/// Reads OpenAI request bodies. A field nobody knows is ignored; a known one that cannot be honoured is refused by name, since an answer that
/// looks right and silently lacks the tools or the format that were asked for is worse than none.
/// </summary>
/// <param name="choicesMax">Answers one request may ask for: <c>n</c> times its prompts.</param>
internal sealed class RequestReader(int choicesMax)
{
    private const int StopsMax = 16;
    private const int StopBytesMax = 1024;
    private const int ChatTopLogprobsMax = 20;
    private const int CompletionLogprobsMax = 5;

    /// <exception cref="OpenAiErrorException">The body is not a request this engine can serve.</exception>
    public GenerationRequest Read(JobKind kind, ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? Read(kind, document.RootElement)
                : throw Fault("The request body is not a JSON object.");
        }
        catch (JsonException e)
        {
            throw Fault($"The request body is not valid JSON, at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}.");
        }
        catch (InvalidOperationException)
        {
            // What JsonElement.GetString throws for bytes that are not UTF-8 and for half a surrogate pair.
            throw Fault("The request body holds a text that is not valid Unicode.");
        }
    }

    private GenerationRequest Read(JobKind kind, JsonElement body)
    {
        RefuseWhatIsNotSupported(kind, body);
        var stream = Boolean(body, "stream");
        var chat = kind == JobKind.Chat;
        var topLogprobs = chat
            ? Integer(body, "top_logprobs", 0, ChatTopLogprobsMax) ?? 0
            : Integer(body, "logprobs", 0, CompletionLogprobsMax) ?? 0;
        var wantsLogprobs = chat ? Boolean(body, "logprobs") : Given(body, "logprobs") is not null;
        if (topLogprobs > 0 && !wantsLogprobs)
        {
            throw Fault("top_logprobs needs logprobs to be true.", "top_logprobs");
        }

        var messages = chat ? Messages(body) : [];
        var prompts = chat ? [] : Prompts(body);
        var choices = Integer(body, "n", 1, choicesMax) ?? 1;
        var said = Said(body);
        if (said.Length > 0 && choices * Math.Max(1, prompts.Length) > 1)
        {
            throw Fault($"{Continuation.Field} goes on with one answer, not with several.", Continuation.Field);
        }

        if (choices * Math.Max(1, prompts.Length) > choicesMax)
        {
            throw Fault($"{prompts.Length} prompts with {choices} choices each are more than the {choicesMax} this engine gives.", "n");
        }

        return new GenerationRequest
        {
            Kind = kind,
            Messages = messages,
            ContinuesLastMessage = chat && ContinuesLastMessage(body, messages),
            Said = said,
            Prompts = prompts,
            Choices = choices,
            TokensMax = Integer(body, "max_completion_tokens", 1, int.MaxValue) ?? Integer(body, "max_tokens", 1, int.MaxValue) ?? (chat ? null : 16),
            Sampling = new SamplingSettings
            {
                Temperature = Number(body, "temperature", 0, 2) ?? 1,
                TopK = Math.Max(0, Integer(body, "top_k", -1, int.MaxValue) ?? 0),
                TopP = TopP(body),
                MinP = Number(body, "min_p", 0, 1) ?? 0,
                PresencePenalty = Number(body, "presence_penalty", -2, 2) ?? 0,
                FrequencyPenalty = Number(body, "frequency_penalty", -2, 2) ?? 0,
            },
            Seed = Seed(body),
            Stops = Stops(body),
            WantsLogprobs = wantsLogprobs,
            TopLogprobs = topLogprobs,
            Stream = stream,
            IncludeUsage = IncludeUsage(body, stream),
        };
    }

    private static void RefuseWhatIsNotSupported(JobKind kind, JsonElement body)
    {
        RefuseUnless(body, "tools", value => IsEmpty(value));
        RefuseUnless(body, "functions", value => IsEmpty(value));
        RefuseUnless(body, "tool_choice", value => IsText(value, "none") || IsText(value, "auto"));
        RefuseUnless(body, "function_call", value => IsText(value, "none") || IsText(value, "auto"));
        RefuseUnless(body, "logit_bias", value => IsEmpty(value));
        RefuseUnless(body, "audio", _ => false);
        RefuseUnless(body, "modalities", value =>
            value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(modality => IsText(modality, "text")));
        RefuseUnless(body, "response_format", value =>
            value.ValueKind == JsonValueKind.Object && value.TryGetProperty("type", out var type) && IsText(type, "text"));
        if (kind == JobKind.Completion)
        {
            RefuseUnless(body, "echo", value => value.ValueKind == JsonValueKind.False);
            RefuseUnless(body, "suffix", value => IsText(value, ""));
            RefuseUnless(body, "best_of", value => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var count) && count == 1);
        }
    }

    private static void RefuseUnless(JsonElement body, string name, Func<JsonElement, bool> isHarmless)
    {
        if (Given(body, name) is { } value && !isHarmless(value))
        {
            throw Fault($"The builtin engine does not support this value of {name}.", name, "unsupported_parameter");
        }
    }

    private static ImmutableArray<ChatMessage> Messages(JsonElement body)
    {
        var list = Given(body, "messages") ?? throw Missing("messages");
        if (list.ValueKind != JsonValueKind.Array)
        {
            throw WrongType("messages", "an array");
        }

        if (list.GetArrayLength() == 0)
        {
            throw Fault("messages must hold at least one message.", "messages");
        }

        var messages = ImmutableArray.CreateBuilder<ChatMessage>(list.GetArrayLength());
        foreach (var message in list.EnumerateArray())
        {
            messages.Add(Message(message, $"messages[{messages.Count}]"));
        }

        return messages.MoveToImmutable();
    }

    private static ChatMessage Message(JsonElement message, string path)
    {
        if (message.ValueKind != JsonValueKind.Object)
        {
            throw WrongType(path, "an object");
        }

        var role = Given(message, "role") ?? throw Missing($"{path}.role");
        if (role.ValueKind != JsonValueKind.String)
        {
            throw WrongType($"{path}.role", "a string");
        }

        // OpenAI's newer name for the same thing.
        var name = role.GetString() is "developer" ? "system" : role.GetString()!;
        if (Given(message, "tool_calls") is { } calls && !IsEmpty(calls))
        {
            throw Fault("The builtin engine does not support tool calls.", $"{path}.tool_calls", "unsupported_parameter");
        }

        return Given(message, "content") is { } content
            ? new ChatMessage(name, Content(content, $"{path}.content"))
            : name == "assistant" ? new ChatMessage(name, "") : throw Missing($"{path}.content");
    }

    private static string Content(JsonElement content, string path)
    {
        if (content.ValueKind == JsonValueKind.String)
        {
            return content.GetString()!;
        }

        if (content.ValueKind != JsonValueKind.Array)
        {
            throw WrongType(path, "a string or an array of parts");
        }

        var texts = new List<string>();
        foreach (var part in content.EnumerateArray())
        {
            var partPath = $"{path}[{texts.Count}]";
            if (part.ValueKind != JsonValueKind.Object || Given(part, "type") is not { ValueKind: JsonValueKind.String } type)
            {
                throw WrongType(partPath, "an object with a type");
            }

            if (!type.ValueEquals("text"))
            {
                throw Fault("The builtin engine reads text parts only.", $"{partPath}.type", "unsupported_parameter");
            }

            texts.Add(Given(part, "text") is { ValueKind: JsonValueKind.String } text ? text.GetString()! : throw WrongType($"{partPath}.text", "a string"));
        }

        return string.Join('\n', texts);
    }

    private static bool ContinuesLastMessage(JsonElement body, ImmutableArray<ChatMessage> messages)
    {
        if (!Boolean(body, "continue_final_message"))
        {
            return false;
        }

        return messages[^1].Role == "assistant"
            ? true
            : throw Fault("continue_final_message needs the last message to be the assistant's.", "continue_final_message");
    }

    private static ImmutableArray<string> Said(JsonElement body) =>
        Given(body, Continuation.Field) is null ? []
        : Continuation.PiecesOf(body) is { } pieces ? [.. pieces]
        : throw WrongType(Continuation.Field, "an array of texts");

    private ImmutableArray<TextPrompt> Prompts(JsonElement body)
    {
        var prompt = Given(body, "prompt") ?? throw Missing("prompt");
        if (prompt.ValueKind == JsonValueKind.String)
        {
            return [new TextPrompt(prompt.GetString(), default)];
        }

        if (prompt.ValueKind != JsonValueKind.Array || prompt.GetArrayLength() == 0)
        {
            throw WrongType("prompt", "a string, an array of strings, an array of tokens or an array of such arrays");
        }

        if (prompt[0].ValueKind == JsonValueKind.Number)
        {
            return [new TextPrompt(null, Tokens(prompt, "prompt"))];
        }

        if (prompt.GetArrayLength() > choicesMax)
        {
            throw Fault($"{prompt.GetArrayLength()} prompts are more than the {choicesMax} this engine takes.", "prompt");
        }

        var prompts = ImmutableArray.CreateBuilder<TextPrompt>();
        foreach (var element in prompt.EnumerateArray())
        {
            prompts.Add(element.ValueKind == JsonValueKind.String
                ? new TextPrompt(element.GetString(), default)
                : new TextPrompt(null, Tokens(element, $"prompt[{prompts.Count}]")));
        }

        return prompts.ToImmutable();
    }

    private static ImmutableArray<int> Tokens(JsonElement list, string path)
    {
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
        {
            throw WrongType(path, "a string or an array of tokens");
        }

        var tokens = ImmutableArray.CreateBuilder<int>(list.GetArrayLength());
        foreach (var token in list.EnumerateArray())
        {
            tokens.Add(token.ValueKind == JsonValueKind.Number && token.TryGetInt32(out var id) && id >= 0
                ? id
                : throw WrongType($"{path}[{tokens.Count}]", "a token"));
        }

        return tokens.MoveToImmutable();
    }

    private static double TopP(JsonElement body)
    {
        var share = Number(body, "top_p", 0, 1) ?? 1;
        return share > 0 ? share : throw OutOfRange("top_p", "above 0 and at most 1");
    }

    private static long? Seed(JsonElement body) =>
        Given(body, "seed") is not { } seed ? null
        : seed.ValueKind == JsonValueKind.Number && seed.TryGetInt64(out var value) ? value
        : throw WrongType("seed", "a whole number of 64 bits");

    private static ImmutableArray<byte[]> Stops(JsonElement body)
    {
        if (Given(body, "stop") is not { } stop)
        {
            return [];
        }

        if (stop.ValueKind == JsonValueKind.String)
        {
            return [Stop(stop)];
        }

        if (stop.ValueKind != JsonValueKind.Array)
        {
            throw WrongType("stop", "a string or an array of strings");
        }

        return stop.GetArrayLength() <= StopsMax
            ? [.. stop.EnumerateArray().Select(Stop)]
            : throw Fault($"stop holds more than {StopsMax} texts.", "stop");
    }

    private static byte[] Stop(JsonElement text)
    {
        if (text.ValueKind != JsonValueKind.String)
        {
            throw WrongType("stop", "a string or an array of strings");
        }

        var bytes = Encoding.UTF8.GetBytes(text.GetString()!);
        return bytes.Length is > 0 and <= StopBytesMax ? bytes : throw OutOfRange("stop", $"texts of 1 to {StopBytesMax} bytes");
    }

    private static bool IncludeUsage(JsonElement body, bool stream)
    {
        if (Given(body, "stream_options") is not { } options)
        {
            return false;
        }

        if (options.ValueKind != JsonValueKind.Object)
        {
            throw WrongType("stream_options", "an object");
        }

        return stream ? Boolean(options, "include_usage") : throw Fault("stream_options needs stream to be true.", "stream_options");
    }

    /// <summary>A field that is there and not null.</summary>
    private static JsonElement? Given(JsonElement body, string name) =>
        body.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static bool Boolean(JsonElement body, string name) => Given(body, name)?.ValueKind switch
    {
        null or JsonValueKind.False => false,
        JsonValueKind.True => true,
        _ => throw WrongType(name, "a boolean"),
    };

    private static double? Number(JsonElement body, string name, double min, double max)
    {
        if (Given(body, name) is not { } value)
        {
            return null;
        }

        var number = value.ValueKind == JsonValueKind.Number ? value.GetDouble() : throw WrongType(name, "a number");
        return number >= min && number <= max ? number : throw OutOfRange(name, $"{min} to {max}");
    }

    private static int? Integer(JsonElement body, string name, int min, int max)
    {
        if (Given(body, name) is not { } value)
        {
            return null;
        }

        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out var number))
        {
            throw WrongType(name, "a whole number");
        }

        return number >= min && number <= max ? number : throw OutOfRange(name, max == int.MaxValue ? $"{min} or more" : $"{min} to {max}");
    }

    private static bool IsText(JsonElement value, string text) => value.ValueKind == JsonValueKind.String && value.ValueEquals(text);

    private static bool IsEmpty(JsonElement value) =>
        (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0)
        || (value.ValueKind == JsonValueKind.Object && !value.EnumerateObject().MoveNext());

    private static OpenAiErrorException Missing(string param) => Fault($"{param} is missing.", param, "missing_required_parameter");

    private static OpenAiErrorException WrongType(string param, string expected) => Fault($"{param} must be {expected}.", param, "invalid_type");

    private static OpenAiErrorException OutOfRange(string param, string range) => Fault($"{param} must be {range}.", param, "invalid_value");

    private static OpenAiErrorException Fault(string message, string? param = null, string? code = null) =>
        new(OpenAiError.Invalid(message, param, code));
}
