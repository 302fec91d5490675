using System.Text;
using System.Text.Json;
using Federation.Protocol;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Jobs;

/// <summary>What a client wants done later, read and found sound.</summary>
/// <param name="Kind">Which of OpenAI's endpoints.</param>
/// <param name="Model">As the client names it.</param>
/// <param name="Request">OpenAI's body, in the client's own bytes.</param>
/// <param name="Metadata">A JSON object of texts; null when there is none.</param>
/// <param name="WebhookId">A registered endpoint that is to be told of the end.</param>
/// <param name="WebhookUrl">Or an address.</param>
/// <param name="Lifetime">How long it may take in all; null for the usual time.</param>
internal sealed record WantedJob(JobKind Kind, string Model, ReadOnlyMemory<byte> Request, string? Metadata, string? WebhookId, string? WebhookUrl, TimeSpan? Lifetime)
{
    /// <summary>What was demanded with it.</summary>
    public AnswerTerms Terms { get; init; } = AnswerTerms.None;
}

/// <summary>Reads the body of <c>POST /v1/jobs</c>. The request inside goes on in its own bytes.</summary>
internal static class AsyncJobBody
{
    private const int DepthMax = 64;
    private const long LifetimeMaxSeconds = 30 * 24 * 3600;

    private static readonly string[] Known = ["type", "request", "webhook", "metadata", "expires"];

    /// <summary>Exactly one of the two is set.</summary>
    public static (WantedJob? Job, OpenAiError? Problem) Read(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var json = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = DepthMax + 1, AllowDuplicateProperties = false });
            return json.RootElement.ValueKind is JsonValueKind.Object ? Read(json.RootElement) : (null, OpenAiError.BadRequest("The request body must be a JSON object."));
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return (null, OpenAiError.BadRequest("We could not parse the JSON body of your request."));
        }
    }

    private static (WantedJob?, OpenAiError?) Read(JsonElement root)
    {
        foreach (var field in root.EnumerateObject())
        {
            if (!Known.Contains(field.Name, StringComparer.Ordinal)) return (null, OpenAiError.BadRequest($"There is no field '{field.Name}' here; there are: {string.Join(", ", Known)}.", field.Name, "unknown_field"));
        }
        var type = root.TryGetProperty("type", out var typed) && typed.ValueKind is JsonValueKind.String ? typed.GetString() : null;
        if (!JobKinds.TryParse(type, out var kind) || !JobKinds.ForClients.Contains(kind)) return (null, OpenAiError.BadRequest("'type' must be 'chat', 'completion' or 'embedding'.", "type"));
        if (!root.TryGetProperty("request", out var request) || request.ValueKind is not JsonValueKind.Object) return (null, OpenAiError.BadRequest($"'request' must be the body that {kind.Path()} takes.", "request"));
        var bytes = Encoding.UTF8.GetBytes(request.GetRawText());
        if (!RequestHead.TryRead(bytes, kind, out var head, out var problem)) return (null, problem with { Param = problem.Param is { } param ? $"request.{param}" : "request" });
        if (head.Stream) return (null, OpenAiError.BadRequest("A job's answer comes whole: leave 'stream' out.", "request.stream", "unsupported_parameter"));
        var (metadata, badMetadata) = Metadata.Read(root);
        if (badMetadata is not null) return (null, badMetadata);
        var (lifetime, badLifetime) = ReadLifetime(root);
        if (badLifetime is not null) return (null, badLifetime);
        var (webhookId, webhookUrl, badWebhook) = ReadWebhook(root);
        return badWebhook is null ? (new WantedJob(kind, head.Model, bytes, metadata, webhookId, webhookUrl, lifetime), null) : (null, badWebhook);
    }

    private static (TimeSpan?, OpenAiError?) ReadLifetime(JsonElement root)
    {
        if (!root.TryGetProperty("expires", out var expires) || expires.ValueKind is JsonValueKind.Null) return (null, null);
        return expires.ValueKind is JsonValueKind.Number && expires.TryGetInt64(out var seconds) && seconds is >= 1 and <= LifetimeMaxSeconds
            ? (TimeSpan.FromSeconds(seconds), null)
            : (null, OpenAiError.BadRequest($"'expires' must be a whole number of seconds from now, 1 to {LifetimeMaxSeconds}.", "expires"));
    }

    private static (string? Id, string? Url, OpenAiError? Problem) ReadWebhook(JsonElement root)
    {
        if (!root.TryGetProperty("webhook", out var webhook) || webhook.ValueKind is JsonValueKind.Null) return (null, null, null);
        if (webhook.ValueKind is JsonValueKind.String && !webhook.GetString()!.Contains('\0', StringComparison.Ordinal)) return (webhook.GetString(), null, null);
        if (webhook.ValueKind is JsonValueKind.Object && webhook.TryGetProperty("url", out var url) && url.ValueKind is JsonValueKind.String && webhook.EnumerateObject().Count() == 1) return (null, url.GetString(), null);
        return (null, null, OpenAiError.BadRequest("'webhook' must be the id of a registered endpoint, or an object with a 'url'.", "webhook"));
    }
}

/// <summary>OpenAI's <c>metadata</c>: up to 16 texts under names.</summary>
internal static class Metadata
{
    private const int PairsMax = 16;
    private const int NameMax = 64;
    private const int ValueMax = 512;

    /// <summary>The metadata of a body as JSON text; null when there is none.</summary>
    public static (string? Json, OpenAiError? Problem) Read(JsonElement root) => Of(root.TryGetProperty("metadata", out var metadata) ? metadata : null);

    /// <inheritdoc cref="Read"/>
    public static (string? Json, OpenAiError? Problem) Of(JsonElement? field)
    {
        if (field is not { ValueKind: not JsonValueKind.Null } metadata) return (null, null);
        if (metadata.ValueKind is not JsonValueKind.Object) return Bad("must be an object of strings");
        var pairs = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var pair in metadata.EnumerateObject())
        {
            if (!TryText(() => pair.Name, out var name) || name.Length is 0 or > NameMax) return Bad($"has names of 1 to {NameMax} characters of valid text");
            if (pair.Value.ValueKind is not JsonValueKind.String) return Bad($"holds something that is not a string at '{name}'");
            if (!TryText(() => pair.Value.GetString()!, out var value) || value.Length > ValueMax) return Bad($"has values of at most {ValueMax} characters of valid text");
            if (pairs.Count == PairsMax) return Bad($"has at most {PairsMax} entries");
            pairs[name] = value;
        }
        return (JsonSerializer.Serialize(pairs, Answers.Options), null);
    }

    private static bool TryText(Func<string> read, out string text)
    {
        try
        {
            text = read();
            // PostgreSQL has no such character in its texts.
            return !text.Contains('\0', StringComparison.Ordinal);
        }
        catch (InvalidOperationException)
        {
            // An escaped half of a surrogate pair.
            text = string.Empty;
            return false;
        }
    }

    private static (string?, OpenAiError?) Bad(string what) => (null, OpenAiError.BadRequest($"'metadata' {what}.", "metadata"));
}
