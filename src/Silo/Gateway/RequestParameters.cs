using System.Text;
using System.Text.Json;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway;

/// <summary>
/// Checks the parameters that OpenAI's API defines: type, range and set of values, in one pass over the bytes. A parameter that it does not define is the engine's to judge and may be anything.
/// </summary>
internal static class RequestParameters
{
    /// <summary>OpenAI takes 4; engines take more.</summary>
    private const int StopsMax = 16;

    private const int ToolsMax = 1_024;

    private static readonly string[] Roles = ["system", "developer", "user", "assistant", "tool", "function"];
    private static readonly string[] Formats = ["json_object", "json_schema", "text"];
    private static readonly string[] ToolChoices = ["none", "auto", "required"];

    /// <summary>Checks one parameter.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="reader">On the first token of its value, and on its last when nothing is wrong.</param>
    /// <param name="kind">Which endpoint it was sent to.</param>
    /// <param name="needs">What the value needs of an engine is added.</param>
    /// <returns>What is wrong.</returns>
    public static OpenAiError? Check(string name, ref Utf8JsonReader reader, JobKind kind, ref RequestNeeds needs)
    {
        if (reader.TokenType is JsonTokenType.Null && name is not ("model" or "messages" or "prompt" or "input")) return null;
        switch (name)
        {
            case "model":
                return Is(ref reader, name, "a string", JsonTokenType.String);
            case "prompt" or "input":
                return Is(ref reader, name, "a string or an array", JsonTokenType.String, JsonTokenType.StartArray);
            case "messages":
                return Messages(ref reader, ref needs);
            case "temperature":
                return Number(ref reader, name, 0, 2);
            case "top_p":
                return Number(ref reader, name, 0, 1);
            case "presence_penalty" or "frequency_penalty":
                return Number(ref reader, name, -2, 2);
            case "max_tokens" when kind is JobKind.Completion:
                return Whole(ref reader, name, 0, int.MaxValue, out _);
            case "max_tokens" or "max_completion_tokens" or "dimensions":
                return Whole(ref reader, name, 1, int.MaxValue, out _);
            case "seed":
                return Whole(ref reader, name, long.MinValue, long.MaxValue, out _);
            case "best_of":
                return Whole(ref reader, name, 1, 20, out _);
            case "n":
                var wrong = Whole(ref reader, name, 1, 128, out var choices);
                if (choices > 1) needs |= RequestNeeds.Choices;
                return wrong;
            case "top_logprobs":
                return Whole(ref reader, name, 0, 20, out _);
            case "logprobs" when kind is JobKind.Completion:
                needs |= RequestNeeds.Logprobs;
                return Whole(ref reader, name, 0, 5, out _);
            case "logprobs" when kind is JobKind.Chat:
                if (reader.TokenType is JsonTokenType.True) needs |= RequestNeeds.Logprobs;
                return Flag(ref reader, name);
            case "stream" or "parallel_tool_calls" or "store" or "echo":
                return Flag(ref reader, name);
            case "user" or "reasoning_effort" or "suffix" or "service_tier":
                return Is(ref reader, name, "a string", JsonTokenType.String);
            case "stop":
                return Stops(ref reader);
            case "tools" or "functions":
                return Tools(name, ref reader, ref needs);
            case "tool_choice":
                return ToolChoice(ref reader);
            case "response_format":
                return Format(ref reader, ref needs);
            case "stream_options":
                return StreamOptions(ref reader);
            case "logit_bias" or "metadata":
                return Is(ref reader, name, "an object", JsonTokenType.StartObject);
            default:
                reader.Skip();
                return null;
        }
    }

    private static OpenAiError? Is(ref Utf8JsonReader reader, string path, string expected, params ReadOnlySpan<JsonTokenType> allowed)
    {
        if (!allowed.Contains(reader.TokenType)) return WrongType(ref reader, path, expected);
        reader.Skip();
        return null;
    }

    private static OpenAiError? Flag(ref Utf8JsonReader reader, string path) => Is(ref reader, path, "a boolean", JsonTokenType.True, JsonTokenType.False);

    private static OpenAiError? Number(ref Utf8JsonReader reader, string path, double min, double max)
    {
        if (reader.TokenType is not JsonTokenType.Number) return WrongType(ref reader, path, "a number");
        var number = reader.GetDouble();
        return number < min || number > max ? ParameterErrors.OutOfRange(path, isWhole: false, number < min, number < min ? min : max, Raw(ref reader)) : null;
    }

    private static OpenAiError? Whole(ref Utf8JsonReader reader, string path, long min, long max, out long number)
    {
        number = 0;
        if (reader.TokenType is not JsonTokenType.Number) return WrongType(ref reader, path, "an integer");
        if (!TryWhole(ref reader, out number))
        {
            var size = reader.GetDouble();
            if (Math.Abs(size) < long.MaxValue) return OpenAiError.BadRequest($"Invalid type for '{path}': expected an integer, but got a decimal number instead.", path, "invalid_type");
            return ParameterErrors.OutOfRange(path, isWhole: true, size < 0, size < 0 ? min : max, Raw(ref reader));
        }
        return number < min || number > max ? ParameterErrors.OutOfRange(path, isWhole: true, number < min, number < min ? min : max, Raw(ref reader)) : null;
    }

    /// <summary>JSON has one kind of number: 1.0 is whole, as OpenAI takes it.</summary>
    public static bool TryWhole(ref Utf8JsonReader reader, out long number)
    {
        if (reader.TryGetInt64(out number)) return true;
        var size = reader.GetDouble();
        if (size != Math.Floor(size) || Math.Abs(size) > 1L << 53) return false;
        number = (long)size;
        return true;
    }

    private static OpenAiError? Stops(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is JsonTokenType.String) return null;
        if (reader.TokenType is not JsonTokenType.StartArray) return WrongType(ref reader, "stop", "a string or an array of strings");
        var count = 0;
        while (reader.Read() && reader.TokenType is not JsonTokenType.EndArray)
        {
            if (reader.TokenType is not JsonTokenType.String) return WrongType(ref reader, $"stop[{count}]", "a string");
            count++;
        }
        return count > StopsMax ? ParameterErrors.TooMany("stop", StopsMax, count) : null;
    }

    private static OpenAiError? StreamOptions(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is not JsonTokenType.StartObject) return WrongType(ref reader, "stream_options", "an object");
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isFlag = reader.ValueTextEquals("include_usage"u8) || reader.ValueTextEquals("include_obfuscation"u8);
            var name = isFlag ? reader.GetString() : null;
            reader.Read();
            if (isFlag && reader.TokenType is not (JsonTokenType.True or JsonTokenType.False or JsonTokenType.Null)) return WrongType(ref reader, $"stream_options.{name}", "a boolean");
            reader.Skip();
        }
        return null;
    }

    private static OpenAiError? ToolChoice(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is not JsonTokenType.String) return Is(ref reader, "tool_choice", "a string or an object", JsonTokenType.StartObject);
        foreach (var choice in ToolChoices)
        {
            if (reader.ValueTextEquals(choice)) return null;
        }
        return ParameterErrors.NotAmong("tool_choice", reader.GetString(), ToolChoices);
    }

    // ------------------------------------------------------------------------------------------------------- tools

    private static OpenAiError? Tools(string name, ref Utf8JsonReader reader, ref RequestNeeds needs)
    {
        if (reader.TokenType is not JsonTokenType.StartArray) return WrongType(ref reader, name, "an array of objects");
        var count = 0;
        while (reader.Read() && reader.TokenType is not JsonTokenType.EndArray)
        {
            if (reader.TokenType is not JsonTokenType.StartObject) return WrongType(ref reader, $"{name}[{count}]", "an object");
            if ((name == "tools" ? Tool(ref reader, count) : Function(ref reader, $"functions[{count}]")) is { } wrong) return wrong;
            count++;
            needs |= RequestNeeds.Tools;
        }
        return count > ToolsMax ? ParameterErrors.TooMany(name, ToolsMax, count) : null;
    }

    private static OpenAiError? Tool(ref Utf8JsonReader reader, int index)
    {
        var (hasType, hasFunction, isFunction) = (false, false, false);
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isType = reader.ValueTextEquals("type"u8);
            var isBody = reader.ValueTextEquals("function"u8);
            reader.Read();
            if (isType)
            {
                if (reader.TokenType is not JsonTokenType.String) return WrongType(ref reader, $"tools[{index}].type", "a string");
                (hasType, isFunction) = (true, reader.ValueTextEquals("function"u8));
            }
            else if (isBody)
            {
                if (reader.TokenType is not JsonTokenType.StartObject) return WrongType(ref reader, $"tools[{index}].function", "an object");
                if (Function(ref reader, $"tools[{index}].function") is { } wrong) return wrong;
                hasFunction = true;
            }
            else reader.Skip();
        }
        // Other types of tools are the engine's to know.
        if (!hasType) return ParameterErrors.Missing($"tools[{index}].type");
        return isFunction && !hasFunction ? ParameterErrors.Missing($"tools[{index}].function") : null;
    }

    private static OpenAiError? Function(ref Utf8JsonReader reader, string path)
    {
        var hasName = false;
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isName = reader.ValueTextEquals("name"u8);
            var isParameters = reader.ValueTextEquals("parameters"u8);
            reader.Read();
            if (isName && reader.TokenType is not JsonTokenType.String) return WrongType(ref reader, $"{path}.name", "a string");
            if (isParameters && reader.TokenType is not (JsonTokenType.StartObject or JsonTokenType.Null)) return WrongType(ref reader, $"{path}.parameters", "an object");
            hasName |= isName && reader.ValueSpan.Length > 0;
            reader.Skip();
        }
        return hasName ? null : ParameterErrors.Missing($"{path}.name");
    }

    private static OpenAiError? Format(ref Utf8JsonReader reader, ref RequestNeeds needs)
    {
        if (reader.TokenType is not JsonTokenType.StartObject) return WrongType(ref reader, "response_format", "an object");
        string? type = null;
        var hasSchema = false;
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isType = reader.ValueTextEquals("type"u8);
            var isSchema = reader.ValueTextEquals("json_schema"u8);
            reader.Read();
            if (isType)
            {
                if (reader.TokenType is not JsonTokenType.String) return WrongType(ref reader, "response_format.type", "a string");
                type = reader.GetString();
            }
            else if (isSchema)
            {
                if (reader.TokenType is not JsonTokenType.StartObject) return WrongType(ref reader, "response_format.json_schema", "an object");
                if (Function(ref reader, "response_format.json_schema") is { } wrong) return wrong;
                hasSchema = true;
            }
            else reader.Skip();
        }
        if (type is null) return ParameterErrors.Missing("response_format.type");
        if (!Formats.Contains(type)) return ParameterErrors.NotAmong("response_format.type", type, Formats);
        if (type != "text") needs |= RequestNeeds.Json;
        return type == "json_schema" && !hasSchema ? ParameterErrors.Missing("response_format.json_schema") : null;
    }

    // ---------------------------------------------------------------------------------------------------- messages

    private static OpenAiError? Messages(ref Utf8JsonReader reader, ref RequestNeeds needs)
    {
        if (reader.TokenType is not JsonTokenType.StartArray) return WrongType(ref reader, "messages", "an array of objects");
        var count = 0;
        while (reader.Read() && reader.TokenType is not JsonTokenType.EndArray)
        {
            if (reader.TokenType is not JsonTokenType.StartObject) return WrongType(ref reader, $"messages[{count}]", "an object");
            if (Message(ref reader, count, ref needs) is { } wrong) return wrong;
            count++;
        }
        return count == 0 ? ParameterErrors.Empty("messages", "an array with at least one message") : null;
    }

    private static OpenAiError? Message(ref Utf8JsonReader reader, int index, ref RequestNeeds needs)
    {
        var (hasRole, hasContent, maySaySilent) = (false, false, false);
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isRole = reader.ValueTextEquals("role"u8);
            var isContent = reader.ValueTextEquals("content"u8);
            reader.Read();
            if (isRole)
            {
                if (reader.TokenType is not JsonTokenType.String) return WrongType(ref reader, $"messages[{index}].role", "a string");
                if (!IsRole(ref reader)) return ParameterErrors.NotAmong($"messages[{index}].role", reader.GetString(), Roles);
                hasRole = true;
                // An assistant's turn may be its calls of tools alone.
                maySaySilent = reader.ValueTextEquals("assistant"u8) || reader.ValueTextEquals("function"u8);
            }
            else if (isContent)
            {
                if (Content(ref reader, index, ref needs) is { } wrong) return wrong;
                hasContent |= reader.TokenType is not JsonTokenType.Null;
            }
            else reader.Skip();
        }
        if (!hasRole) return ParameterErrors.Missing($"messages[{index}].role");
        return hasContent || maySaySilent ? null : ParameterErrors.Missing($"messages[{index}].content");
    }

    private static bool IsRole(ref Utf8JsonReader reader)
    {
        foreach (var role in Roles)
        {
            if (reader.ValueTextEquals(role)) return true;
        }
        return false;
    }

    private static OpenAiError? Content(ref Utf8JsonReader reader, int message, ref RequestNeeds needs)
    {
        if (reader.TokenType is JsonTokenType.String or JsonTokenType.Null) return null;
        if (reader.TokenType is not JsonTokenType.StartArray) return WrongType(ref reader, $"messages[{message}].content", "a string or an array of objects");
        for (var part = 0; reader.Read() && reader.TokenType is not JsonTokenType.EndArray; part++)
        {
            if (reader.TokenType is not JsonTokenType.StartObject) return WrongType(ref reader, $"messages[{message}].content[{part}]", "an object");
            var hasType = false;
            while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
            {
                var isType = reader.ValueTextEquals("type"u8);
                reader.Read();
                if (isType)
                {
                    if (reader.TokenType is not JsonTokenType.String) return WrongType(ref reader, $"messages[{message}].content[{part}].type", "a string");
                    hasType = true;
                    if (reader.ValueTextEquals("image_url"u8)) needs |= RequestNeeds.Vision;
                    else if (reader.ValueTextEquals("input_audio"u8)) needs |= RequestNeeds.Audio;
                }
                reader.Skip();
            }
            if (!hasType) return ParameterErrors.Missing($"messages[{message}].content[{part}].type");
        }
        return null;
    }

    // ----------------------------------------------------------------------------------------------------- details

    private static string Raw(ref Utf8JsonReader reader) => Encoding.ASCII.GetString(reader.ValueSpan);

    private static OpenAiError WrongType(ref Utf8JsonReader reader, string path, string expected) => ParameterErrors.WrongType(path, expected, reader.TokenType switch
    {
        JsonTokenType.String => JsonValueKind.String,
        JsonTokenType.Number => JsonValueKind.Number,
        JsonTokenType.True => JsonValueKind.True,
        JsonTokenType.False => JsonValueKind.False,
        JsonTokenType.StartArray => JsonValueKind.Array,
        JsonTokenType.StartObject => JsonValueKind.Object,
        _ => JsonValueKind.Null,
    });
}
