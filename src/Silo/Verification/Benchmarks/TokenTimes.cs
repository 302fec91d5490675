using System.Collections.Frozen;
using Federation.Silo.Accounts.Ledger;

namespace Federation.Silo.Verification.Benchmarks;

/// <summary>How long a device takes for a token of a model: 1/PP and 1/TG.</summary>
/// <param name="PromptMicroseconds">For a token of the prompt, µs.</param>
/// <param name="TokenMicroseconds">For a generated one, µs.</param>
internal readonly record struct TokenTimes(double PromptMicroseconds, double TokenMicroseconds)
{
    /// <summary>What so much work takes, µs.</summary>
    public long WorkMicroseconds(long promptTokens, long completionTokens) => checked((long)((promptTokens * PromptMicroseconds) + (completionTokens * TokenMicroseconds)));

    /// <summary>PP and TG, tokens a second.</summary>
    public (double Prompt, double Generation) PerSecond => (1e6 / PromptMicroseconds, 1e6 / TokenMicroseconds);
}

/// <summary>What a node's work with one model is paid by.</summary>
/// <param name="HardwareClass">What it is paid as.</param>
/// <param name="Times">That class's reference: what work is measured in.</param>
/// <param name="PaidTimes">What of them is paid, never more than <paramref name="Times"/>; see <see cref="Of"/>.</param>
internal readonly record struct PayRate(string HardwareClass, TokenTimes Times, TokenTimes PaidTimes)
{
    /// <summary>The size of the weights that it is paid by; 0 when unknown.</summary>
    public long ModelBytes { get; init; }

    /// <summary>
    /// A token is paid as what the class takes for it by the class's rate, but never more than by any better-paid class. Credits an hour grow more slowly than speed for many models, so that
    /// otherwise whoever answers slowly, and is placed in a lesser class for it, would earn more a token.
    /// </summary>
    /// <param name="hardware">What the node is paid as.</param>
    /// <param name="times">That class's reference.</param>
    /// <param name="better">The classes that earn no less an hour, each with its own reference for the same model and payee.</param>
    public static PayRate Of(HardwareClass hardware, TokenTimes times, IEnumerable<(HardwareClass Hardware, TokenTimes Times)> better)
    {
        var paid = times;
        // A class that earns nothing an hour earns nothing a token.
        foreach (var (other, theirs) in hardware.CreditsPerHour > 0 ? better : [])
        {
            var ratio = other.CreditsPerHour / (double)hardware.CreditsPerHour;
            paid = new TokenTimes(Math.Min(paid.PromptMicroseconds, theirs.PromptMicroseconds * ratio), Math.Min(paid.TokenMicroseconds, theirs.TokenMicroseconds * ratio));
        }
        return new PayRate(hardware.Name, times, paid);
    }

    /// <summary>What work earns.</summary>
    /// <param name="classes">The classes.</param>
    /// <param name="promptTokens">Tokens read.</param>
    /// <param name="completionTokens">Tokens written.</param>
    /// <param name="referenceMicroseconds">The work, as it was booked, µs.</param>
    /// <param name="payableMicroseconds">What of it the caps leave, µs: that share is paid.</param>
    /// <param name="multiplier">The owner's tier's.</param>
    public Microcredits CreditsFor(HardwareClasses classes, long promptTokens, long completionTokens, long referenceMicroseconds, long payableMicroseconds, int multiplier)
        => classes.CreditsFor(HardwareClass, (long)((Int128)PaidTimes.WorkMicroseconds(promptTokens, completionTokens) * payableMicroseconds / Math.Max(1, referenceMicroseconds)), multiplier);
}

/// <summary>The reference speed of a class with a model, for one payee.</summary>
/// <param name="Times">Time a token.</param>
/// <param name="Accounts">Accounts whose nodes it was measured on; 0: it is the configured one, [uncalibrated].</param>
internal readonly record struct ReferenceSpeed(TokenTimes Times, int Accounts)
{
    /// <summary>Whether it was measured.</summary>
    public bool IsMeasured => Accounts > 0;

    /// <summary>The size of the weights that the configured figures were taken for; 0 when unknown.</summary>
    public long ModelBytes { get; init; }
}

/// <summary>What nodes of a class were measured at, and by whom they are owned.</summary>
internal readonly record struct MeasuredSpeed(string AccountId, TokenTimes Times);

/// <summary>What was measured of a class with a model, one voice an account: sorted once, so that leaving out a payee's account is a step in an array and not a sort a job.</summary>
internal sealed class AccountSpeeds
{
    private readonly double[] _prompts;
    private readonly double[] _tokens;
    private readonly FrozenDictionary<string, (int Prompt, int Token)> _places;

    private AccountSpeeds(double[] prompts, double[] tokens, FrozenDictionary<string, (int Prompt, int Token)> places) => (_prompts, _tokens, _places) = (prompts, tokens, places);

    /// <summary>Of an account the fastest of its nodes counts, of each for prompts and for generation by itself.</summary>
    public static AccountSpeeds Of(IEnumerable<MeasuredSpeed> measured)
    {
        var fastest = new Dictionary<string, TokenTimes>(StringComparer.Ordinal);
        foreach (var (account, times) in measured)
        {
            fastest[account] = fastest.TryGetValue(account, out var known)
                ? new TokenTimes(Math.Min(known.PromptMicroseconds, times.PromptMicroseconds), Math.Min(known.TokenMicroseconds, times.TokenMicroseconds))
                : times;
        }
        var byPrompt = fastest.OrderBy(entry => entry.Value.PromptMicroseconds).ToArray();
        var byToken = fastest.OrderBy(entry => entry.Value.TokenMicroseconds).ToArray();
        var tokenPlaces = byToken.Select((entry, place) => (entry.Key, place)).ToDictionary(entry => entry.Key, entry => entry.place, StringComparer.Ordinal);
        return new AccountSpeeds(
            [.. byPrompt.Select(entry => entry.Value.PromptMicroseconds)],
            [.. byToken.Select(entry => entry.Value.TokenMicroseconds)],
            byPrompt.Select((entry, place) => (entry.Key, place)).ToFrozenDictionary(entry => entry.Key, entry => (entry.place, tokenPlaces[entry.Key]), StringComparer.Ordinal));
    }

    /// <summary>The medians of all accounts but one, and how many those are; no times where there are none. Of an even number the faster one of the two in the middle: the one that pays less.</summary>
    public (TokenTimes Times, int Accounts) Without(string payee)
    {
        var (prompt, token, accounts) = _places.TryGetValue(payee, out var own) ? (own.Prompt, own.Token, _prompts.Length - 1) : (int.MaxValue, int.MaxValue, _prompts.Length);
        if (accounts == 0) return (default, 0);
        var middle = (accounts - 1) / 2;
        return (new TokenTimes(_prompts[prompt <= middle ? middle + 1 : middle], _tokens[token <= middle ? middle + 1 : middle]), accounts);
    }
}

/// <summary>From benchmarks to the speed that work is paid by. Pure.</summary>
/// <remarks>
/// Pay is tokens ÷ reference speed, so whoever could make the reference slower would raise his pay a token. Five things stand against that (P8):
/// <list type="number">
/// <item>The reference of a payee leaves out every node of his own account: whatever his own nodes answer, and however slowly, his pay does not change by a microcredit.</item>
/// <item>It is a median over accounts, each with its fastest node: to move it beyond what honest nodes reach takes half of the other accounts, and no account has two voices.</item>
/// <item>Fewer accounts than <see cref="BenchmarkOptions.MinAccounts"/> give no median at all.</item>
/// <item>No median counts beyond <see cref="BenchmarkOptions.DeviationMax"/> times the configured figures.</item>
/// <item>
/// The configured figures are for a size of the weights, and of that the payee's word counts only as far as other accounts' trusted nodes, or the operator's, say the same; without them up to
/// <see cref="HardwareClassOptions.UnvouchedModelBytes"/>. See <see cref="ModelSizes"/>.
/// </item>
/// </list>
/// </remarks>
internal static class SpeedRules
{
    /// <summary>The reference speed for a payee.</summary>
    /// <param name="measured">All that was measured in the class with the model, on nodes whose audits pass.</param>
    /// <param name="payee">The account that is paid by it.</param>
    /// <param name="configured">What the class's figures say.</param>
    /// <param name="options">The bounds.</param>
    public static ReferenceSpeed Reference(AccountSpeeds measured, string payee, TokenTimes configured, BenchmarkOptions options)
    {
        var (medians, accounts) = measured.Without(payee);
        return accounts < options.MinAccounts
            ? new ReferenceSpeed(configured, 0)
            : new ReferenceSpeed(
                new TokenTimes(Within(configured.PromptMicroseconds, medians.PromptMicroseconds, options), Within(configured.TokenMicroseconds, medians.TokenMicroseconds, options)), accounts);
    }

    /// <summary>Whether a device is as fast as a reference, for prompts and for generation.</summary>
    public static bool Reaches(TokenTimes measured, TokenTimes reference, BenchmarkOptions options)
        => measured.PromptMicroseconds * options.Tolerance <= reference.PromptMicroseconds && measured.TokenMicroseconds * options.Tolerance <= reference.TokenMicroseconds;

    private static double Within(double configured, double median, BenchmarkOptions options) => Math.Clamp(median, configured / options.DeviationMax, configured * options.DeviationMax);
}
