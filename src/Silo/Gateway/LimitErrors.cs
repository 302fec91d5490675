using System.Globalization;
using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway;

/// <summary>What a caller is told that met a limit, in OpenAI's words.</summary>
internal static class LimitErrors
{
    private const int MicrocreditsPerCredit = 1_000_000;

    /// <summary>The error for a refusal.</summary>
    /// <param name="refusal">Of the account's grain.</param>
    /// <param name="model">As the client named it.</param>
    /// <param name="kind">What was asked for.</param>
    public static OpenAiError Of(AdmissionRefusal refusal, string model, JobKind kind)
    {
        var who = refusal.OfKey ? "this API key" : "this account";
        return refusal.Reason switch
        {
            RefusalReason.AccountClosed => OpenAiError.Forbidden("The account is closed."),
            RefusalReason.Model => ModelNotAllowed($"The account's tier does not have access to model `{model}`."),
            RefusalReason.Capability => OpenAiError.Forbidden($"The account's tier does not include {kind.Path()}."),
            RefusalReason.Streams => TooMany("requests", refusal, $"Rate limit reached for {who} on concurrent requests: Limit {refusal.Limit}, Running {refusal.Used}."),
            RefusalReason.Requests => TooMany("requests", refusal, $"Rate limit reached for {who} on requests per min (RPM): Limit {refusal.Limit}, Used {refusal.Used}, Requested {refusal.Requested}."),
            RefusalReason.Tokens => TooMany("tokens", refusal, $"Rate limit reached for {who} on tokens per day (TPD): Limit {refusal.Limit}, Used {refusal.Used}, Requested {refusal.Requested}."),
            RefusalReason.CloudTokens => Exhausted(refusal, $"{Capital(who)} exceeded its current quota of cloud tokens per day: Limit {refusal.Limit}, Used {refusal.Used}, Requested {refusal.Requested}."),
            RefusalReason.Budget => Exhausted(refusal, $"{Capital(who)} exceeded its current budget in credits: Limit {Credits(refusal.Limit)}, Used {Credits(refusal.Used)}, Requested {Credits(refusal.Requested)}."),
            RefusalReason.Claim => new OpenAiError(409, "invalid_request_error", "conflict_in_progress", "A request with this Idempotency-Key still runs. Ask again when it is over.") { RetryAfterSeconds = 1 },
            RefusalReason.NotRunning or RefusalReason.Moved => OpenAiError.Busy("The request ran out of its time.", TimeSpan.FromSeconds(1)),
            _ => throw new ArgumentOutOfRangeException(nameof(refusal), refusal.Reason, null),
        };
    }

    /// <summary>As OpenAI refuses a project's model: who may not use it need not know whether it exists.</summary>
    public static OpenAiError ModelNotAllowed(string message) => new(403, "invalid_request_error", "model_not_found", message, "model");

    /// <summary>The key is wrong, as were too many before it from the same address.</summary>
    public static OpenAiError TooManyWrongKeys(TimeSpan wait)
        => new(429, "requests", "rate_limit_exceeded", $"Incorrect API key provided, as too many before it that came from your address. Please try again in {RateLimits.Duration(wait)}.") { RetryAfterSeconds = Seconds(wait) };

    private static OpenAiError TooMany(string type, AdmissionRefusal refusal, string message) => new(429, type, "rate_limit_exceeded", $"{message} Please try again in {RateLimits.Duration(refusal.RetryAfter)}.")
    {
        RetryAfterSeconds = Seconds(refusal.RetryAfter),
    };

    private static OpenAiError Exhausted(AdmissionRefusal refusal, string message) => new(429, "insufficient_quota", "insufficient_quota", $"{message} It begins anew in {RateLimits.Duration(refusal.RetryAfter)}.")
    {
        RetryAfterSeconds = Seconds(refusal.RetryAfter),
    };

    private static int Seconds(TimeSpan time) => Math.Max(1, (int)Math.Ceiling(time.TotalSeconds));

    private static string Credits(long microcredits) => ((decimal)microcredits / MicrocreditsPerCredit).ToString("0.######", CultureInfo.InvariantCulture);

    private static string Capital(string words) => char.ToUpperInvariant(words[0]) + words[1..];
}
