using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Jobs;
using Federation.Silo.Models;
using Federation.Silo.Pricing;
using ModelContextProtocol.Protocol;

namespace Federation.Silo.Mcp;

/// <summary>What a tool came to: texts for the model that called it, or why it came to nothing.</summary>
internal sealed record McpAnswer(ImmutableArray<string> Texts, bool IsError)
{
    public static McpAnswer Of(params ImmutableArray<string> texts) => new(texts, false);

    public static McpAnswer Of<T>(T value) => Of(JsonSerializer.Serialize(value, Answers.Options));

    public static McpAnswer Of(OpenAiError error) => new([Encoding.UTF8.GetString(error.ToJson())], true);
}

/// <summary>The hub's tools: the same services as behind its HTTP endpoints, with the same keys and limits; the arguments are the bodies these take.</summary>
internal sealed class McpTools(BackgroundInference inference, AsyncJobs jobs, AsyncJobStore jobStore, ModelList models, Quotes quotes, IGrainFactory grains)
{
    private const string Chat = """{"type":"object","required":["model","messages"],"properties":{"model":{"type":"string"},"messages":{"type":"array","items":{"type":"object"}},"max_tokens":{"type":"integer","minimum":1},"temperature":{"type":"number"}},"additionalProperties":true}""";
    private const string Embed = """{"type":"object","required":["model","input"],"properties":{"model":{"type":"string"},"input":{"anyOf":[{"type":"string"},{"type":"array"}]}},"additionalProperties":true}""";
    private const string Quote = """{"type":"object","required":["model"],"properties":{"model":{"type":"string"},"messages":{"type":"array","items":{"type":"object"}},"prompt_tokens":{"type":"integer","minimum":0},"completion_tokens":{"type":"integer","minimum":0}},"additionalProperties":true}""";
    private const string Submit = """{"type":"object","required":["type","request"],"properties":{"type":{"enum":["chat","completion","embedding"]},"request":{"type":"object"},"metadata":{"type":"object","additionalProperties":{"type":"string"}},"expires":{"type":"integer","minimum":1}}}""";
    private const string JobId = """{"type":"object","required":["id"],"properties":{"id":{"type":"string"}}}""";
    private const string Nothing = """{"type":"object","properties":{}}""";

    /// <summary>What they are called and take.</summary>
    public static ImmutableArray<Tool> All { get; } =
    [
        Describe("list_models", "The models that can be asked now: their names, what they can do, and how many nodes serve each.", Nothing, isReadOnly: true),
        Describe("chat", "Asks a model. Takes the body of OpenAI's chat completions; gives the answer's text, then its usage and who answered.", Chat, isReadOnly: false),
        Describe("embed", "Makes vectors of texts. Takes the body of OpenAI's embeddings, and gives its answer.", Embed, isReadOnly: false),
        Describe("quote", "What a request would cost, in microcredits, without asking anybody for it.", Quote, isReadOnly: true),
        Describe("submit_job", "Hands in a request to be answered later, by get_job; 'request' is the body of OpenAI's endpoint of this type.", Submit, isReadOnly: false),
        Describe("get_job", "A job that was handed in: where it stands, and its answer once it has one.", JobId, isReadOnly: true),
        Describe("cancel_job", "Cancels a job that has not ended.", JobId, isReadOnly: false),
        Describe("account_balance", "The credits of the caller's account, in microcredits: available, held by what runs, and earned but not yet matured.", Nothing, isReadOnly: true),
    ];

    /// <summary>Calls a tool; null where there is none of this name.</summary>
    /// <param name="name">Of <see cref="All"/>.</param>
    /// <param name="arguments">As the caller's model wrote them.</param>
    /// <param name="caller">Who calls.</param>
    /// <param name="terms">What was demanded with the call, for what it asks of models.</param>
    /// <param name="cancellationToken">The caller has gone.</param>
    public async Task<McpAnswer?> CallAsync(string name, IReadOnlyDictionary<string, JsonElement> arguments, ApiCaller caller, AnswerTerms terms, CancellationToken cancellationToken) => name switch
    {
        "list_models" => await ListModelsAsync(caller, cancellationToken),
        "chat" => await ChatAsync(BodyOf(arguments), caller, terms, cancellationToken),
        "embed" => await AskAsync(JobKind.Embedding, BodyOf(arguments), caller, terms, answer => McpAnswer.Of(Encoding.UTF8.GetString(answer.Body.Span)), cancellationToken),
        "quote" => await QuoteAsync(BodyOf(arguments), cancellationToken),
        "submit_job" => await SubmitAsync(BodyOf(arguments), caller, terms, cancellationToken),
        "get_job" => JobOf(await jobStore.FindAsync(caller.AccountId, IdOf(arguments), cancellationToken)),
        "cancel_job" => JobOf(await jobs.CancelAsync(caller.AccountId, IdOf(arguments), cancellationToken)),
        "account_balance" => McpAnswer.Of(await grains.GetGrain<IAccountGrain>(caller.AccountId).GetBalance(cancellationToken)),
        _ => null,
    };

    private async Task<McpAnswer> ListModelsAsync(ApiCaller caller, CancellationToken cancellationToken)
    {
        var listed = await models.ListAsync(caller, cancellationToken);
        var ofNodes = listed.OfNodes.Select(model => new ModelJson(model.Name, "nodes", model.Nodes, [.. model.Capabilities], model.ContextLength > 0 ? model.ContextLength : null));
        var ofClouds = listed.OfClouds.Select(model => new ModelJson(model.Name, "cloud", 0, [.. model.Capabilities], null));
        return McpAnswer.Of(ofNodes.Concat(ofClouds).OrderBy(model => model.Name, StringComparer.Ordinal).ToList());
    }

    private Task<McpAnswer> ChatAsync(byte[] body, ApiCaller caller, AnswerTerms terms, CancellationToken cancellationToken) => AskAsync(
        JobKind.Chat,
        body,
        caller,
        terms,
        answer =>
        {
            var json = JsonNode.Parse(answer.Body.Span);
            var choice = json?["choices"] is JsonArray { Count: > 0 } choices ? choices[0] : null;
            var about = new JsonObject { ["model"] = json?["model"]?.DeepClone(), ["usage"] = json?["usage"]?.DeepClone(), ["finish_reason"] = choice?["finish_reason"]?.DeepClone(), ["node"] = answer.NodeId, ["request_id"] = answer.RequestId };
            // An answer that calls tools has no words of its own.
            var words = choice?["message"]?["content"] is JsonValue content && content.TryGetValue<string>(out var text) ? text : choice?["message"]?.ToJsonString() ?? string.Empty;
            return McpAnswer.Of(words, about.ToJsonString());
        },
        cancellationToken);

    private async Task<McpAnswer> AskAsync(JobKind kind, byte[] body, ApiCaller caller, AnswerTerms terms, Func<BackgroundAnswer, McpAnswer> read, CancellationToken cancellationToken)
    {
        if (!RequestHead.TryRead(body, kind, out var head, out var problem)) return McpAnswer.Of(problem);
        if (head.Stream) return McpAnswer.Of(OpenAiError.BadRequest("A tool's answer comes whole: leave 'stream' out.", "stream", "unsupported_parameter"));
        var answer = await inference.TryAsync(kind, body, caller, CallOrigin.Client, terms, cancellationToken) ?? throw new OperationCanceledException(cancellationToken);
        return answer.Verdict is AttemptVerdict.Answered ? read(answer) : new McpAnswer([Encoding.UTF8.GetString(answer.Body.Span)], true);
    }

    private async Task<McpAnswer> QuoteAsync(byte[] body, CancellationToken cancellationToken)
    {
        var (quote, problem) = await quotes.QuoteAsync(body, null, cancellationToken);
        return quote is not null ? McpAnswer.Of(quote) : McpAnswer.Of(problem!);
    }

    private async Task<McpAnswer> SubmitAsync(byte[] body, ApiCaller caller, AnswerTerms terms, CancellationToken cancellationToken)
    {
        var (wanted, problem) = AsyncJobBody.Read(body);
        if (wanted is null) return McpAnswer.Of(problem!);
        var (job, _, refusal) = await jobs.SubmitAsync(caller, wanted with { Terms = terms }, cancellationToken);
        return job is not null ? McpAnswer.Of(AsyncJobJson.Of(job)) : McpAnswer.Of(refusal!);
    }

    private static McpAnswer JobOf(AsyncJob? job) => job is not null ? McpAnswer.Of(AsyncJobJson.Of(job)) : McpAnswer.Of(OpenAiError.NotFound("There is no such job."));

    private static string IdOf(IReadOnlyDictionary<string, JsonElement> arguments) => arguments.TryGetValue("id", out var id) && id.ValueKind is JsonValueKind.String && id.GetString() is { } text && !text.Contains('\0', StringComparison.Ordinal) ? text : string.Empty;

    private static byte[] BodyOf(IReadOnlyDictionary<string, JsonElement> arguments) => JsonSerializer.SerializeToUtf8Bytes(arguments, Answers.Options);

    private static Tool Describe(string name, string description, string schema, bool isReadOnly) => new()
    {
        Name = name,
        Description = description,
        InputSchema = JsonElement.Parse(schema),
        Annotations = new ToolAnnotations { ReadOnlyHint = isReadOnly, OpenWorldHint = false },
    };

    private sealed record ModelJson(string Name, string Source, int Nodes, string[] Capabilities, int? ContextLength);
}
