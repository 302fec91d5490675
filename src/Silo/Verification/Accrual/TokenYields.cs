using System.Globalization;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Verification.Accrual;

/// <summary>What of a job's tokens is believed.</summary>
/// <param name="PromptTokens">Of the prompt; never more than were claimed.</param>
/// <param name="CompletionTokens">The same of the answer.</param>
/// <param name="Unpaid">Why not all of them, in words; <see langword="null"/> when they are.</param>
internal readonly record struct BelievedTokens(long PromptTokens, long CompletionTokens, string? Unpaid);

/// <summary>
/// How many bytes a token has with each model, by what trusted nodes of each account claim. What an engine counts nobody sees where all who could judge are probed engines, which count nothing: a token there may be as short as a byte. So
/// nobody is paid for more tokens than a factor of what the median of enough other accounts has of as many bytes. A copy in this process's memory, bounded; while too few are known nothing is cut. Safe for use by several threads.
/// </summary>
/// <remarks>Claims that are too high only make an account's own tokens short, and it is not asked about itself; too low ones are paid less, and are one voice of several.</remarks>
internal sealed class TokenYields(AccrualOptions options)
{
    private const int ModelsMax = 1_024;
    private const int AccountsMax = 256;

    /// <summary>A job with more bytes to a token says nothing about texts: pictures, or a body of little else than its envelope.</summary>
    private const int TellingBytesPerToken = 12;

    /// <summary>Tokens without bytes: a template's around the prompt, the ones that end a turn.</summary>
    private const int SilentTokens = 32;

    /// <summary>Older jobs count for half, each time so many tokens have come.</summary>
    private const double FadeTokens = 1_000_000;

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Model, bool IsEmbedding), Dictionary<string, Account>> _models = [];

    /// <summary>Counts what a trusted node claims.</summary>
    public void Add(JobOutcome outcome, string payee)
    {
        lock (_gate)
        {
            if (!_models.TryGetValue(KeyOf(outcome), out var accounts))
            {
                if (_models.Count >= ModelsMax) _models.Clear();
                _models[KeyOf(outcome)] = accounts = new(StringComparer.Ordinal);
            }
            if (!accounts.TryGetValue(payee, out var account))
            {
                if (accounts.Count >= AccountsMax) accounts.Clear();
                accounts[payee] = account = new Account();
            }
            account.Prompt = Added(account.Prompt, outcome.RequestBytes, outcome.PromptTokens);
            account.Answer = Added(account.Answer, outcome.TextBytes, outcome.CompletionTokens);
        }
    }

    /// <summary>What is believed of a job that this account is paid for.</summary>
    public BelievedTokens Believe(JobOutcome outcome, string payee)
    {
        double? promptBytes, answerBytes;
        lock (_gate)
        {
            if (!_models.TryGetValue(KeyOf(outcome), out var accounts)) return new BelievedTokens(outcome.PromptTokens, outcome.CompletionTokens, null);
            promptBytes = Median(accounts, payee, static account => account.Prompt);
            answerBytes = Median(accounts, payee, static account => account.Answer);
        }
        var prompt = Most(outcome.PromptTokens, outcome.RequestBytes, promptBytes);
        var answer = Most(outcome.CompletionTokens, outcome.TextBytes, answerBytes);
        var unpaid = (prompt, answer) == (outcome.PromptTokens, outcome.CompletionTokens) ? null : string.Create(
            CultureInfo.InvariantCulture,
            $"{outcome.PromptTokens} tokens of prompt and {outcome.CompletionTokens} of answer were claimed; {prompt} and {answer} are paid, {options.TokenFactor} times what other accounts' nodes have of as many bytes");
        return new BelievedTokens(prompt, answer, unpaid);
    }

    private static (string, bool) KeyOf(JobOutcome outcome) => (outcome.Model, outcome.Kind is JobKind.Embedding);

    private static (double Bytes, double Tokens) Added((double Bytes, double Tokens) sums, long bytes, long tokens)
    {
        if (bytes <= 0 || tokens <= 0 || bytes > tokens * TellingBytesPerToken) return sums;
        var fade = sums.Tokens > FadeTokens ? 0.5 : 1;
        return ((sums.Bytes * fade) + bytes, (sums.Tokens * fade) + tokens);
    }

    /// <summary>Bytes a token: the middle of other accounts', of two the one with more tokens to a byte; <see langword="null"/> while too few are known.</summary>
    private double? Median(Dictionary<string, Account> accounts, string payee, Func<Account, (double Bytes, double Tokens)> of)
    {
        double[] others = [.. accounts.Where(account => account.Key != payee).Select(account => of(account.Value)).Where(sums => sums.Tokens >= options.TokenSampleMin).Select(sums => sums.Bytes / sums.Tokens).Order()];
        return others.Length >= options.TokenAccounts ? others[(others.Length - 1) / 2] : null;
    }

    /// <summary>Bytes that the hub did not count bound nothing.</summary>
    private long Most(long claimed, long bytes, double? bytesPerToken)
        => bytesPerToken is { } each && bytes > 0 ? Math.Min(claimed, (long)(bytes / each * options.TokenFactor) + SilentTokens) : claimed;

    private sealed class Account
    {
        public (double Bytes, double Tokens) Prompt { get; set; }

        public (double Bytes, double Tokens) Answer { get; set; }
    }
}
