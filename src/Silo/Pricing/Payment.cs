using System.Globalization;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Storage;

namespace Federation.Silo.Pricing;

/// <summary>What a client asked of the price.</summary>
/// <param name="MaxCost">What the job may cost at most; <see langword="null"/> where the client's credits are the only limit.</param>
/// <param name="Millionths">The share of the price that is asked; <see cref="Price.Whole"/> but for batches.</param>
internal sealed record PaymentTerms(Microcredits? MaxCost, int Millionths)
{
    /// <summary>The header that caps what a request may cost, in credits.</summary>
    public const string MaxCreditsHeader = "x-federation-max-credits";

    /// <summary>The whole price, and no limit.</summary>
    public static PaymentTerms Usual { get; } = new(null, Price.Whole);

    /// <summary>Reads <see cref="MaxCreditsHeader"/>; what is wrong with it, or <see langword="null"/>.</summary>
    public static OpenAiError? TryReadMaxCost(string header, out Microcredits? maxCost)
    {
        maxCost = null;
        if (header.Length == 0) return null;
        if (!decimal.TryParse(header, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var credits) || credits > long.MaxValue / Microcredits.PerCredit)
            return OpenAiError.BadRequest($"'{MaxCreditsHeader}' must be a number of credits, such as 0.25.", MaxCreditsHeader, "invalid_value");
        // What is finer than a microcredit caps at the microcredit below.
        maxCost = new Microcredits((long)decimal.Floor(credits * Microcredits.PerCredit));
        return null;
    }
}

/// <summary>What a job paid, or will.</summary>
/// <param name="HoldId">The hold it is taken from; empty where nothing was held.</param>
/// <param name="Amount">Of the hold.</param>
internal readonly record struct Charge(string HoldId, Microcredits Amount)
{
    /// <summary>Nothing was held, nothing is paid.</summary>
    public static Charge None { get; } = new(string.Empty, Microcredits.Zero);
}

/// <summary>What one job may cost: held for the route that is tried, then paid or freed. Used by one thread at a time.</summary>
internal sealed class Payment(string jobId, LedgerAccountId payer, RequestTokens tokens, PaymentTerms terms, Payments payments)
{
    // Fewer tokens than this are no answer that anybody wants to pay for.
    private const long CompletionTokensMin = 16;

    // A job that a killed hub has begun meets the holds it has left; more than these it does not leave.
    private const int TriesMax = 64;

    private int _tries;
    private Held? _held;

    /// <summary>The job.</summary>
    public string JobId => jobId;

    /// <summary>Holds the most that the job may cost on a route; what was held for an earlier one is free again.</summary>
    /// <param name="price">Of the route.</param>
    /// <param name="receiver">Who is paid.</param>
    /// <param name="cancellationToken">The client left.</param>
    /// <returns>Why the route cannot be taken; <see langword="null"/> when it can.</returns>
    public async Task<OpenAiError?> HoldAsync(Price price, LedgerAccountId receiver, CancellationToken cancellationToken)
    {
        var options = payments.Options;
        var prompt = tokens.MaxPrompt(options);
        var wanted = tokens.MaxCompletion(options);
        var most = price.Of(prompt, wanted, terms.Millionths);
        if (terms.MaxCost is { } cap && cap < most)
        {
            if (tokens.CompletionLimit is not null || Within(cap) is not { } fewer) return TooDear(most, cap);
            wanted = fewer;
            most = price.Of(prompt, wanted, terms.Millionths);
        }
        if (most.IsZero)
        {
            await ReleaseAsync();
            return null;
        }
        var status = await TryHoldAsync(price, receiver, most, wanted, cancellationToken);
        if (status is TransferStatus.InsufficientCredits or TransferStatus.DebitAccountNotFound && tokens.CompletionLimit is null)
        {
            // The client named no limit, so its credits are one.
            if (await AvailableAsync(cancellationToken) is not { } available) return Away();
            if (_held is { } earlier) available += earlier.Amount;
            if (Within(available < most ? available : most) is { } affordable)
                status = await TryHoldAsync(price, receiver, price.Of(prompt, affordable, terms.Millionths), affordable, cancellationToken);
        }
        return status switch
        {
            null => Away(),
            TransferStatus.Created or TransferStatus.Exists => null,
            TransferStatus.InsufficientCredits or TransferStatus.DebitAccountNotFound => Insufficient(most),
            _ => throw new InvalidOperationException($"The hold of job {jobId} was answered {status}."),
        };

        long? Within(Microcredits budget)
        {
            var each = Math.Min(wanted, price.CompletionTokensWithin(budget, prompt, terms.Millionths) ?? 0) / tokens.Choices;
            return each >= CompletionTokensMin ? each * tokens.Choices : null;
        }
    }

    /// <summary>Tokens that each answer may have, where the client named no limit and something is held; <see langword="null"/> where it did, or the answer is free.</summary>
    public long? ImposedLimit => tokens.CompletionLimit is null ? HeldLimit : null;

    /// <summary>Tokens of each answer that are held for, whoever named the limit; <see langword="null"/> where the answer is free.</summary>
    public long? HeldLimit => _held is { } held ? held.CompletionTokens / tokens.Choices : null;

    /// <summary>What the job may come to in tokens.</summary>
    public RequestTokens Tokens => tokens;

    /// <summary>What is held now; nothing where the route is free.</summary>
    public long HeldMicrocredits => _held?.Amount.Value ?? 0;

    /// <summary>The most tokens that the job may come to, prompt and answers.</summary>
    public long MaxTokens => tokens.MaxPrompt(payments.Options) + (_held?.CompletionTokens ?? tokens.MaxCompletion(payments.Options));

    /// <summary>What an answer costs: never more than was held.</summary>
    /// <param name="promptTokens">As counted; of negative ones and those beyond the bound nothing is paid.</param>
    /// <param name="completionTokens">As counted.</param>
    public Charge ChargeFor(long promptTokens, long completionTokens)
    {
        if (_held is not { } held) return Charge.None;
        var cost = held.Price.Of(
            Math.Clamp(promptTokens, 0, tokens.MaxPrompt(payments.Options)), Math.Clamp(completionTokens, 0, held.CompletionTokens), terms.Millionths);
        return new Charge(held.Id, cost < held.Amount ? cost : held.Amount);
    }

    /// <summary>
    /// Divides what is held where one node gave a part of the answer and another is to go on: what the part costs, for its settlement to take, and the rest, which the others may come to at most. Both holds are made in the
    /// commit that ends the one they come from, so that nobody spends the rest meanwhile.
    /// </summary>
    /// <param name="promptTokens">As <see cref="ChargeFor"/> has them, of the part.</param>
    /// <param name="completionTokens">Of the part.</param>
    /// <returns>
    /// What the part pays, and whether another may go on. No charge: nothing is left for another, and the part is paid from the whole. A charge of nothing without going on: the database does not say whether the hold is
    /// divided, so the hub bears what the part costs.
    /// </returns>
    public async Task<(Charge? Part, bool MayGoOn)> DivideAsync(long promptTokens, long completionTokens)
    {
        if (_held is not { } held) return (Charge.None, true);
        var part = ChargeFor(promptTokens, completionTokens).Amount;
        if (part.IsZero) return (Charge.None, true);
        var rest = held.Amount - part;
        while (!rest.IsZero && _tries + 1 < TriesMax)
        {
            var first = payments.HoldOf(jobId, ++_tries, payer, held.Receiver, part);
            var second = payments.HoldOf(jobId, ++_tries, payer, held.Receiver, rest);
            switch (await payments.DivideAsync(Payments.VoidOf(jobId, held.Try), first, second))
            {
                case TransferStatus.Created:
                    _held = held with { Try = _tries, Id = second.Id.Value, Amount = rest, CompletionTokens = Math.Max(0, held.CompletionTokens - completionTokens) };
                    return (new Charge(first.Id.Value, part), true);
                case null:
                    _held = null;
                    return (Charge.None, false);
                case >= TransferStatus.ExistsWithDifferentKind and <= TransferStatus.ExistsWithDifferentReference:
                    break;
                default:
                    return (null, false);
            }
        }
        return (null, false);
    }

    /// <summary>The settlement ends the hold; it is not this one's to end any more.</summary>
    public void HandOver() => _held = null;

    /// <summary>Frees what is held: nothing was delivered.</summary>
    public Task ReleaseAsync()
    {
        if (_held is null) return Task.CompletedTask;
        var end = Payments.VoidOf(jobId, _held.Try);
        _held = null;
        return payments.FreeAsync(end);
    }

    private async Task<TransferStatus?> TryHoldAsync(Price price, LedgerAccountId receiver, Microcredits amount, long completionTokens, CancellationToken cancellationToken)
    {
        var voided = _held is null ? null : Payments.VoidOf(jobId, _held.Try);
        while (true)
        {
            // Nobody knows what became of a try that got no answer: its id is not used for anything else.
            var hold = payments.HoldOf(jobId, ++_tries, payer, receiver, amount);
            var status = await payments.HoldAsync(hold, voided, cancellationToken);
            if (status is { } taken && IsTaken(taken) && _tries < TriesMax) continue;
            if (status?.IsRecorded() is true) _held = new Held(_tries, hold.Id.Value, receiver, price, amount, completionTokens);
            return status;
        }
    }

    /// <summary>Whether the id stands for another hold, or for one that has ended: what the same job left behind when it ran before.</summary>
    private static bool IsTaken(TransferStatus status)
        => status is TransferStatus.HoldExpired or (>= TransferStatus.ExistsWithDifferentKind and <= TransferStatus.ExistsWithDifferentReference);

    private async Task<Microcredits?> AvailableAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await payments.AvailableAsync(payer, cancellationToken);
        }
        catch (StorageException exception) when (exception.IsTransient)
        {
            return null;
        }
    }

    private static OpenAiError Away() => OpenAiError.Busy("The hub cannot take paid work now. Try again.", TimeSpan.FromSeconds(5));

    private static OpenAiError Insufficient(Microcredits most) => new(
        429,
        "insufficient_quota",
        "insufficient_quota",
        $"You exceeded your current quota, please check your plan and billing details. This request may cost up to {Words(most)} credits; GET /v1/account says what the account has.");

    private static OpenAiError TooDear(Microcredits most, Microcredits cap) => OpenAiError.BadRequest(
        $"This request may cost up to {Words(most)} credits, and '{PaymentTerms.MaxCreditsHeader}' allows {Words(cap)}. Ask for fewer tokens, or allow more; POST /v1/quote says beforehand what a request may cost.",
        PaymentTerms.MaxCreditsHeader,
        "max_credits_exceeded");

    private static string Words(Microcredits amount) => amount.Credits.ToString("0.######", CultureInfo.InvariantCulture);

    private sealed record Held(int Try, string Id, LedgerAccountId Receiver, Price Price, Microcredits Amount, long CompletionTokens);
}
