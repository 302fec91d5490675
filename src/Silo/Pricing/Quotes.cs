using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.Protocol;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Providers;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Pricing;

/// <summary><c>POST /v1/quote</c>: what a request would cost, without asking anybody for it.</summary>
internal sealed class Quotes(HubDirectoryView directory, PriceList prices, Clouds clouds, IOptions<PricingOptions> options, IOptions<GatewayOptions> gateway, TimeProvider time)
{
    /// <summary>Answers a quote, or says what is wrong with the question.</summary>
    public async Task<IResult> AnswerAsync(HttpContext http)
    {
        if (await RequestBody.ReadAsync(http, gateway.Value.MaxBodyBytes) is not { } body) return Answers.Error(OpenAiError.BodyTooLarge(gateway.Value.MaxBodyBytes));
        if (PaymentTerms.TryReadMaxCost(http.Request.Headers[PaymentTerms.MaxCreditsHeader].ToString(), out var cap) is { } badCap) return Answers.Error(badCap);
        var (quote, error) = await QuoteAsync(body, cap, http.RequestAborted);
        return quote is not null ? Answers.Json(quote) : Answers.Error(error!);
    }

    /// <summary>A quote, or what is wrong with the question.</summary>
    /// <param name="body">The question.</param>
    /// <param name="cap">What the answer may cost at most; <see langword="null"/> where nobody said.</param>
    /// <param name="cancellationToken">Whoever asked has gone.</param>
    public async Task<(QuoteJson? Quote, OpenAiError? Error)> QuoteAsync(ReadOnlyMemory<byte> body, Microcredits? cap, CancellationToken cancellationToken)
    {
        var (question, error) = Question.Read(body);
        if (question is null) return (null, error);
        var routes = await RoutesAsync(question, cancellationToken);
        if (routes.Count == 0) return (null, OpenAiError.UnknownModel(question.Model));
        var quoted = routes.Select(route => Quote(route, question)).ToList();
        var first = quoted[0];
        var quote = new QuoteJson(
            question.Model,
            first.Route,
            first.Price,
            question.Tokens.EstimatedPrompt(options.Value),
            question.Tokens.MaxCompletion(options.Value),
            first.EstimatedMicrocredits,
            first.MaxMicrocredits,
            time.GetUtcNow() + options.Value.QuoteAge)
        {
            IsWithinMaxCredits = cap is { } most ? first.MaxMicrocredits <= most.Value : null,
            Routes = quoted,
        };
        return (quote, null);
    }

    /// <summary>The ways to an answer, in the order in which they are tried.</summary>
    private async Task<List<(string Name, Price Price)>> RoutesAsync(Question question, CancellationToken cancellationToken)
    {
        var routes = new List<(string, Price)>();
        if (await directory.FindModelAsync(question.Model, cancellationToken) is { } model && (model.Capabilities.Length == 0 || model.Capabilities.Contains(question.Kind.Word())))
            routes.Add((PriceRule.Nodes, prices.OnNodes(model.Name)));
        if (routes.Count == 0 || clouds.Overflow) routes.AddRange(clouds.Find(question.Model, question.Kind).Select(route => (route.Name, route.Price)));
        return routes;
    }

    private RouteJson Quote((string Name, Price Price) route, Question question)
    {
        var millionths = question.IsBatch ? options.Value.BatchMillionths : Price.Whole;
        return new RouteJson(
            route.Name,
            PriceJson.Of(route.Price),
            route.Price.Of(question.Tokens.EstimatedPrompt(options.Value), question.Tokens.EstimatedCompletion(options.Value), millionths).Value,
            route.Price.Of(question.Tokens.MaxPrompt(options.Value), question.Tokens.MaxCompletion(options.Value), millionths).Value);
    }

    /// <summary>What is asked about: a request of OpenAI's as it would be sent, or just tokens.</summary>
    private sealed record Question(string Model, JobKind Kind, RequestTokens Tokens, bool IsBatch)
    {
        public static (Question?, OpenAiError?) Read(ReadOnlyMemory<byte> body)
        {
            try
            {
                using var json = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 64 });
                if (json.RootElement.ValueKind is not JsonValueKind.Object) return (null, OpenAiError.BadRequest("The request body must be a JSON object."));
                var isBatch = json.RootElement.TryGetProperty("batch", out var batch) && batch.ValueKind is JsonValueKind.True;
                if (KindOf(json.RootElement) is not { } kind) return ReadTokens(json.RootElement, isBatch);
                if (!RequestHead.TryRead(body.Span, kind, out var head, out var error)) return (null, error);
                return RequestTokens.TryRead(body.Span, kind, out var tokens, out error) ? (new Question(head.Model, kind, tokens, isBatch), null) : (null, error);
            }
            catch (Exception exception) when (exception.IsBadJson())
            {
                return (null, OpenAiError.BadRequest("We could not parse the JSON body of your request."));
            }
        }

        private static JobKind? KindOf(JsonElement body)
            => body.TryGetProperty("messages", out _) ? JobKind.Chat
                : body.TryGetProperty("prompt", out _) ? JobKind.Completion
                : body.TryGetProperty("input", out _) ? JobKind.Embedding
                : null;

        private static (Question?, OpenAiError?) ReadTokens(JsonElement body, bool isBatch)
        {
            if (!body.TryGetProperty("model", out var model) || model.ValueKind is not JsonValueKind.String || model.GetString() is not { Length: > 0 and <= 256 } name)
                return (null, OpenAiError.BadRequest("You must provide a model parameter.", "model", "missing_required_parameter"));
            if (!TryCount(body, "prompt_tokens", out var prompt) || prompt is null)
                return (null, OpenAiError.BadRequest($"Send 'messages', 'prompt' or 'input' as you would to ask for an answer, or 'prompt_tokens', a whole number up to {Price.TokensMax}.", "prompt_tokens", "invalid_value"));
            if (!TryCount(body, "completion_tokens", out var completion))
                return (null, OpenAiError.BadRequest($"Invalid 'completion_tokens': expected a whole number up to {Price.TokensMax}.", "completion_tokens", "invalid_value"));
            return (new Question(name, JobKind.Chat, RequestTokens.Exactly(prompt.Value, completion), isBatch), null);
        }

        private static bool TryCount(JsonElement body, string name, out long? count)
        {
            count = null;
            if (!body.TryGetProperty(name, out var value)) return true;
            if (value.ValueKind is not JsonValueKind.Number || !value.TryGetInt64(out var number) || number is < 0 or > Price.TokensMax) return false;
            count = number;
            return true;
        }
    }

    /// <summary>A price as it is shown: credits for a thousand tokens.</summary>
    internal sealed record PriceJson(
        [property: JsonPropertyName("input_credits_per_1k_tokens")] decimal Input,
        [property: JsonPropertyName("output_credits_per_1k_tokens")] decimal Output)
    {
        public static PriceJson Of(Price price) => new(new Microcredits(price.InputPerThousand).Credits, new Microcredits(price.OutputPerThousand).Credits);
    }

    internal sealed record RouteJson(string Route, PriceJson Price, long EstimatedMicrocredits, long MaxMicrocredits);

    internal sealed record QuoteJson(
        string Model, string Route, PriceJson Price, long PromptTokens, long MaxCompletionTokens, long EstimatedMicrocredits, long MaxMicrocredits, DateTimeOffset GoodUntil)
    {
        public string Object { get; } = "quote";

        /// <summary>Whether a request that allows as much as this one's header would be taken; absent where none is sent.</summary>
        public bool? IsWithinMaxCredits { get; init; }

        /// <summary>Every way to an answer, in the order in which they are tried.</summary>
        public required IReadOnlyList<RouteJson> Routes { get; init; }
    }
}
