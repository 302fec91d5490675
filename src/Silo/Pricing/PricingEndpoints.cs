using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;

namespace Federation.Silo.Pricing;

/// <summary>What a request would cost, and how an operator gives an account something to pay with.</summary>
internal static class PricingEndpoints
{
    private const int IdMax = 64;

    public static void MapPricing(this IEndpointRouteBuilder app)
    {
        app.MapPost("/v1/quote", (HttpContext http, Quotes quotes) => quotes.AnswerAsync(http)).RequireScope(Scopes.Inference)
            .WithName("create_quote").WithSummary("What a request would cost: send it as you would to have it answered, or 'model', 'prompt_tokens' and 'completion_tokens'.").WithTags("pricing").Produces<Quotes.QuoteJson>();
        app.MapPost("/v1/accounts/{account}/credits", GiveAsync).RequireScope(Scopes.Admin)
            .WithName("give_credits").WithSummary("Gives credits to an account, once for each id.").WithTags("pricing").TakesJson<GiveCreditsJson>().Produces<GivenCreditsJson>(201);
    }

    private static async Task<IResult> GiveAsync(HttpContext http, AccountStore accounts, ILedger ledger, string account)
    {
        var (body, unreadable) = await Answers.ReadAsync<GiveCreditsJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        if (body.Credits is not { } credits || Price.MicrocreditsOf(credits) is not (> 0 and { } amount))
            return Answers.Error(OpenAiError.BadRequest("'credits' must be above 0 and at most 1000000, with at most six digits after the point.", "credits", "invalid_value"));
        if (body.Id is not { Length: > 0 and <= IdMax } id || !id.All(static c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.'))
            return Answers.Error(OpenAiError.BadRequest($"'id' must be 1 to {IdMax} letters, digits, _ - or . of your choice: the same one gives credits once only.", "id", "invalid_value"));
        if (Reason(body.Reason) is not { } reason) return Answers.Error(OpenAiError.BadRequest("'reason' must be 'grant', 'purchase' or 'refund'.", "reason", "invalid_value"));
        if (await accounts.FindAsync(account, http.RequestAborted) is null) return Answers.Error(OpenAiError.NotFound($"There is no account '{account}'."));
        var purse = LedgerAccountId.Available(account);
        var transfer = Transfer.Post(TransferId.Of($"give:{id}"), LedgerAccountId.Treasury, purse, new Microcredits(amount), reason, id);
        var result = await ledger.SubmitAsync(new LedgerUnit { Open = [purse], Transfers = [transfer] }, http.RequestAborted);
        return result.Transfers[0].Status switch
        {
            TransferStatus.Created or TransferStatus.Exists => Answers.Json(new GivenCreditsJson(id, account, amount), StatusCodes.Status201Created),
            _ => Answers.Error(new OpenAiError(409, "invalid_request_error", "id_taken", $"The id '{id}' has given other credits already.", "id")),
        };
    }

    private static TransferReason? Reason(string? word) => word switch
    {
        null or "grant" => TransferReason.Grant,
        "purchase" => TransferReason.Purchase,
        "refund" => TransferReason.Refund,
        _ => null,
    };

    internal sealed record GiveCreditsJson(string? Id, decimal? Credits, string? Reason);

    internal sealed record GivenCreditsJson(string Id, string AccountId, long Microcredits);
}
