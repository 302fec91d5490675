using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Federation.Protocol;
using static Federation.Silo.Verification.Audits.BodySpelling;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// How a client's request looks without a word of it: which fields in which order, switches as they are, numbers rounded, who speaks and at what length, and how its JSON is spaced. A canary takes such
/// a shape, since the node sees the body byte for byte; which shapes it may take is <see cref="CommonShapes"/>'s to say.
/// </summary>
/// <param name="Fields">In the body's order.</param>
/// <param name="IsSpaced">A space follows colons and commas.</param>
internal sealed record RequestShape(ImmutableArray<ShapeField> Fields, bool IsSpaced)
{
    private const int FieldsMax = 32;
    private const int MessagesMax = 64;
    private const int ValueCharactersMax = 24;

    /// <summary>Numbers are multiples of 0.05: finer ones would be known again.</summary>
    private const double StepsPerUnit = 20;
    private const double NumberMax = 1e12;
    private const int NumberCharactersMax = 6;

    /// <summary>Hotter answers say little of the model.</summary>
    private const double TemperatureMax = 1.5;

    /// <summary>What has no text of anybody's and asks for nothing that an audit cannot score.</summary>
    private static readonly FrozenSet<string> Plain = FrozenSet.Create(
        StringComparer.Ordinal,
        "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repeat_penalty", "repetition_penalty", "max_tokens", "max_completion_tokens", "n", "stream", "logprobs", "top_logprobs",
        "store", "reasoning_effort", "service_tier");

    private static readonly FrozenSet<string> Words = FrozenSet.Create(StringComparer.Ordinal, "auto", "default", "none", "minimal", "low", "medium", "high");

    private static readonly string[] Stops = ["\n\n", "###", "User:", "</s>", "END", "\nQ:"];

    /// <summary>Reads the shape of a chat request; <see langword="false"/> for one that is no model for a canary: of another kind, too long, too short an answer, or with fields that hold text.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, CanaryOptions options, [NotNullWhen(true)] out RequestShape? shape)
    {
        shape = null;
        try
        {
            var reader = new Utf8JsonReader(body);
            using var json = JsonDocument.ParseValue(ref reader);
            if (json.RootElement.ValueKind is not JsonValueKind.Object) return false;
            var fields = ImmutableArray.CreateBuilder<ShapeField>();
            foreach (var property in json.RootElement.EnumerateObject())
            {
                if (fields.Count == FieldsMax || FieldOf(property) is not { } field) return false;
                fields.Add(field);
            }
            shape = new RequestShape(fields.ToImmutable(), BodySpelling.IsSpaced(body));
            if (shape.IsUsable(options)) return true;
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            // The gateway took it, so an engine may have; a canary need not be like it.
        }
        shape = null;
        return false;
    }

    /// <summary>A shape as SDKs send it, for a hub that has had no clients lately.</summary>
    public static RequestShape Usual(CanaryOptions options, Random random)
    {
        var user = new MessageShape("user", random.Next(20, 400), IsParts: false, IsRoleFirst: true);
        var messages = random.Next(3) == 0 ? ImmutableArray.Create(new MessageShape("system", random.Next(30, 200), IsParts: false, IsRoleFirst: true), user) : [user];
        var fields = ImmutableArray.CreateBuilder<ShapeField>();
        fields.Add(new ShapeField("messages", FieldKind.Messages, string.Empty) { Messages = messages });
        fields.Add(new ShapeField("model", FieldKind.Model, string.Empty));
        fields.Add(new ShapeField("max_tokens", FieldKind.Plain, UsualLimit(options, random)));
        if (random.Next(2) == 0) fields.Add(new ShapeField("stream", FieldKind.Plain, "true"));
        // Clients differ in what they leave to the engine; greedy answers carry the most evidence.
        if (random.NextDouble() < options.GreedyShare) fields.Add(new ShapeField("temperature", FieldKind.Plain, "0"));
        return new RequestShape(fields.ToImmutable(), IsSpaced: false);
    }

    /// <summary>All that a body of this shape shows but for its numbers and lengths: two shapes of one manner have the same fields in the same order, the same switches, speakers and spaces.</summary>
    public string Manner => $"{IsSpaced} {string.Join(' ', Fields.Select(one => one.Manner))}";

    /// <summary>The same shape with numbers that are not common replaced by those of the hub's own shapes; null where it has none.</summary>
    /// <param name="isCommon">Whether a field's number may stay.</param>
    /// <param name="options">Lengths.</param>
    /// <param name="random">Unpredictable to nodes.</param>
    public RequestShape? WithNumbers(Func<ShapeField, bool> isCommon, CanaryOptions options, Random random)
    {
        var fields = ImmutableArray.CreateBuilder<ShapeField>(Fields.Length);
        foreach (var field in Fields)
        {
            var own = !field.IsNumber || isCommon(field) ? field.Raw : field.Name switch
            {
                "temperature" => "0",
                "max_tokens" or "max_completion_tokens" => UsualLimit(options, random),
                _ => null,
            };
            if (own is null) return null;
            fields.Add(field with { Raw = own });
        }
        return this with { Fields = fields.MoveToImmutable() };
    }

    /// <summary>Writes a body of this shape.</summary>
    /// <param name="model">The name its nodes know it by.</param>
    /// <param name="template">What the last message of a user asks, in the operator's words; <see langword="null"/>: in the grammar's.</param>
    /// <param name="random">Unpredictable to nodes.</param>
    public byte[] Write(string model, string? template, Random random)
    {
        var body = new StringBuilder();
        var (comma, colon) = BodySpelling.Of(IsSpaced);
        body.Append('{').AppendJoin(comma, Fields.Select(field => $"{Quote(field.Name)}{colon}{Value(field)}")).Append('}');
        return Encoding.UTF8.GetBytes(body.ToString());

        string Value(ShapeField field) => field.Kind switch
        {
            FieldKind.Plain => field.Raw,
            FieldKind.Model => Quote(model),
            FieldKind.Usage => $"{{\"include_usage\"{colon}{field.Raw}}}",
            FieldKind.TextFormat => $"{{\"type\"{colon}\"text\"}}",
            FieldKind.Seed => random.Next().ToString(CultureInfo.InvariantCulture),
            FieldKind.User => Quote($"user_{random.Next():x8}"),
            FieldKind.Stop => Quote(Stops[random.Next(Stops.Length)]),
            FieldKind.Stops => $"[{string.Join(comma, Enumerable.Range(0, field.Count).Select(_ => Quote(Stops[random.Next(Stops.Length)])))}]",
            FieldKind.Messages => $"[{string.Join(comma, field.Messages.Select((message, at) => Message(message, isQuestion: at == field.Messages.Length - 1)))}]",
            _ => throw new InvalidOperationException($"A field of kind {field.Kind}."),
        };

        string Message(MessageShape message, bool isQuestion)
        {
            var text = message.Role is "system" or "developer" ? CanaryText.Instruction(message.Characters, random)
                : isQuestion ? CanaryText.Question(message.Characters, template, random)
                : CanaryText.Statement(message.Characters, random);
            var role = $"\"role\"{colon}{Quote(message.Role)}";
            var content = $"\"content\"{colon}{(message.IsParts ? $"[{{\"type\"{colon}\"text\"{comma}\"text\"{colon}{Quote(text)}}}]" : Quote(text))}";
            return message.IsRoleFirst ? $"{{{role}{comma}{content}}}" : $"{{{content}{comma}{role}}}";
        }
    }

    private static string UsualLimit(CanaryOptions options, Random random) => random.Next(options.MinTokens, Math.Max(options.MinTokens, options.MaxTokens) + 1).ToString(CultureInfo.InvariantCulture);

    private bool IsUsable(CanaryOptions options)
    {
        var limit = Fields.Where(field => field.Name is "max_tokens" or "max_completion_tokens").Select(field => double.TryParse(field.Raw, CultureInfo.InvariantCulture, out var tokens) ? tokens : double.MaxValue)
            .DefaultIfEmpty(double.MaxValue).Min();
        var messages = Fields.Where(field => field.Kind is FieldKind.Messages).SelectMany(field => field.Messages).ToArray();
        return Fields.Any(field => field.Kind is FieldKind.Model)
            && !Fields.Any(field => field.Name is "temperature" && double.TryParse(field.Raw, CultureInfo.InvariantCulture, out var temperature) && temperature > TemperatureMax)
            && messages is [.., { Role: "user" }]
            && messages.Sum(message => (long)message.Characters) <= options.MaxPromptCharacters
            // A shorter answer says nothing.
            && limit >= options.MinTokens;
    }

    private static ShapeField? FieldOf(JsonProperty property)
    {
        var (name, value) = (property.Name, property.Value);
        return name switch
        {
            "model" => new ShapeField(name, FieldKind.Model, string.Empty),
            "messages" => MessagesOf(value) is { } messages ? new ShapeField(name, FieldKind.Messages, string.Empty) { Messages = messages } : null,
            "seed" when value.ValueKind is JsonValueKind.Number => new ShapeField(name, FieldKind.Seed, string.Empty),
            "user" when value.ValueKind is JsonValueKind.String => new ShapeField(name, FieldKind.User, string.Empty),
            "stop" when value.ValueKind is JsonValueKind.String => new ShapeField(name, FieldKind.Stop, string.Empty),
            "stop" when value.ValueKind is JsonValueKind.Array && value.GetArrayLength() <= 8 => new ShapeField(name, FieldKind.Stops, string.Empty) { Count = value.GetArrayLength() },
            "stream_options" when Only(value, "include_usage") is { ValueKind: JsonValueKind.True or JsonValueKind.False } usage => new ShapeField(name, FieldKind.Usage, usage.GetRawText()),
            "response_format" when Only(value, "type") is { ValueKind: JsonValueKind.String } type && type.ValueEquals("text") => new ShapeField(name, FieldKind.TextFormat, string.Empty),
            "n" when value.ValueKind is not JsonValueKind.Number || value.GetDouble() != 1 => null,
            _ when Plain.Contains(name) && IsPlain(value) => new ShapeField(name, FieldKind.Plain, value.ValueKind is JsonValueKind.Number ? Rounded(value) : value.GetRawText()),
            _ => null,
        };
    }

    private static bool IsPlain(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Number => value.GetRawText().Length <= ValueCharactersMax && Math.Abs(value.GetDouble()) <= NumberMax,
        JsonValueKind.String => Words.Contains(value.GetString()!),
        JsonValueKind.True or JsonValueKind.False or JsonValueKind.Null => true,
        _ => false,
    };

    /// <summary>As it was written, where it is such a number: some clients write 1, some 1.0.</summary>
    private static string Rounded(JsonElement value)
    {
        var number = value.GetDouble();
        var rounded = Math.Round(number * StepsPerUnit) / StepsPerUnit;
        return rounded == number && value.GetRawText().Length <= NumberCharactersMax ? value.GetRawText() : rounded.ToString("0.##", CultureInfo.InvariantCulture);
    }

    private static JsonElement? Only(JsonElement value, string name)
        => value.ValueKind is JsonValueKind.Object && value.EnumerateObject().ToArray() is [var single] && single.Name == name ? single.Value : null;

    private static ImmutableArray<MessageShape>? MessagesOf(JsonElement value)
    {
        if (value.ValueKind is not JsonValueKind.Array || value.GetArrayLength() is 0 or > MessagesMax) return null;
        var messages = ImmutableArray.CreateBuilder<MessageShape>();
        foreach (var message in value.EnumerateArray())
        {
            if (message.ValueKind is not JsonValueKind.Object || message.EnumerateObject().ToArray() is not [var first, var second]) return null;
            var isRoleFirst = first.Name == "role";
            var (role, content) = isRoleFirst ? (first, second) : (second, first);
            if (role.Name != "role" || content.Name != "content" || role.Value.ValueKind is not JsonValueKind.String || role.Value.GetString() is not ("system" or "developer" or "user" or "assistant") || LengthOf(content.Value) is not { } length) return null;
            messages.Add(new MessageShape(role.Value.GetString()!, length, content.Value.ValueKind is JsonValueKind.Array, isRoleFirst));
        }
        return messages.ToImmutable();
    }

    private static int? LengthOf(JsonElement content) => content.ValueKind switch
    {
        JsonValueKind.String => content.GetString()!.Length,
        JsonValueKind.Array when content.GetArrayLength() == 1 && content[0] is { ValueKind: JsonValueKind.Object } part && part.EnumerateObject().Count() == 2
            && part.TryGetProperty("type", out var type) && type.ValueKind is JsonValueKind.String && type.ValueEquals("text")
            && part.TryGetProperty("text", out var text) && text.ValueKind is JsonValueKind.String => text.GetString()!.Length,
        _ => null,
    };
}

/// <summary>What stands in a field, and what a canary puts there.</summary>
internal enum FieldKind
{
    /// <summary>A number, a switch or a known word: the same.</summary>
    Plain,

    /// <summary>The model.</summary>
    Model,

    /// <summary>The conversation: other words.</summary>
    Messages,

    /// <summary>A fresh number.</summary>
    Seed,

    /// <summary>Nobody's name.</summary>
    User,

    /// <summary>One stop text: a common one.</summary>
    Stop,

    /// <summary>Several of them.</summary>
    Stops,

    /// <summary>Whether a stream ends with its usage: the same.</summary>
    Usage,

    /// <summary>The answer is to be text, which is what it is anyway.</summary>
    TextFormat,
}

/// <summary>One field of a body.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Raw">JSON of what stays the same; else empty.</param>
internal sealed record ShapeField(string Name, FieldKind Kind, string Raw)
{
    /// <summary>Of <see cref="FieldKind.Messages"/>.</summary>
    public ImmutableArray<MessageShape> Messages { get; init; } = [];

    /// <summary>Of <see cref="FieldKind.Stops"/>.</summary>
    public int Count { get; init; }

    /// <summary>Whether it is a number that stays the same.</summary>
    public bool IsNumber => Kind is FieldKind.Plain && char.IsAsciiDigit(Raw[^1]);

    /// <summary>What of it shows but for its number and lengths.</summary>
    public string Manner => Kind switch
    {
        FieldKind.Plain => IsNumber ? Name : $"{Name}={Raw}",
        FieldKind.Usage => $"{Name}={Raw}",
        FieldKind.Stops => $"{Name}*{Count.ToString(CultureInfo.InvariantCulture)}",
        FieldKind.Messages => $"{Name}[{string.Join(' ', Messages.Select(message => $"{message.Role}{(message.IsParts ? "*" : string.Empty)}{(message.IsRoleFirst ? "<" : ">")}"))}]",
        _ => $"{Name}:{Kind}",
    };
}

/// <summary>One message of a conversation.</summary>
/// <param name="Role">Who speaks.</param>
/// <param name="Characters">How much.</param>
/// <param name="IsParts">In a list with one part.</param>
/// <param name="IsRoleFirst">The role stands before the content.</param>
internal readonly record struct MessageShape(string Role, int Characters, bool IsParts, bool IsRoleFirst);
