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
/// <param name="Times">That class's reference.</param>
/// <param name="ComputeClass">Its better class by matrix and memory challenges; null: the same.</param>
/// <param name="ComputeTimes">That class's reference.</param>
internal readonly record struct PayRate(string HardwareClass, TokenTimes Times, string? ComputeClass, TokenTimes ComputeTimes)
{
    /// <summary>The size of the weights that it is paid by; 0 when unknown.</summary>
    public long ModelBytes { get; init; }

    /// <summary>
    /// What work earns. A lesser class earns less an hour, but its reference is slower, and for some models by more than that: a node whose inference is slower than its hardware is paid no more a
    /// token than the hardware's class, or slowness would pay.
    /// </summary>
    /// <param name="classes">The classes.</param>
    /// <param name="promptTokens">Tokens read.</param>
    /// <param name="completionTokens">Tokens written.</param>
    /// <param name="referenceMicroseconds">The work, by <see cref="Times"/>, µs.</param>
    /// <param name="payableMicroseconds">What of its reference work is paid, µs.</param>
    /// <param name="multiplier">The owner's tier's.</param>
    public Microcredits CreditsFor(HardwareClasses classes, long promptTokens, long completionTokens, long referenceMicroseconds, long payableMicroseconds, int multiplier)
    {
        var earned = classes.CreditsFor(HardwareClass, payableMicroseconds, multiplier);
        if (ComputeClass is null) return earned;
        var work = (Int128)ComputeTimes.WorkMicroseconds(promptTokens, completionTokens) * payableMicroseconds / Math.Max(1, referenceMicroseconds);
        var most = classes.CreditsFor(ComputeClass, (long)work, multiplier);
        return earned < most ? earned : most;
    }
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
    public static ReferenceSpeed Reference(IEnumerable<MeasuredSpeed> measured, string payee, TokenTimes configured, BenchmarkOptions options)
    {
        var accounts = measured.Where(speed => speed.AccountId != payee).GroupBy(speed => speed.AccountId, StringComparer.Ordinal).Select(nodes => nodes.ToArray()).ToArray();
        return accounts.Length < options.MinAccounts
            ? new ReferenceSpeed(configured, 0)
            : new ReferenceSpeed(
                new TokenTimes(
                    Within(configured.PromptMicroseconds, Median(accounts.Select(nodes => nodes.Min(node => node.Times.PromptMicroseconds))), options),
                    Within(configured.TokenMicroseconds, Median(accounts.Select(nodes => nodes.Min(node => node.Times.TokenMicroseconds))), options)),
                accounts.Length);
    }

    /// <summary>Whether a device is as fast as a reference, for prompts and for generation.</summary>
    public static bool Reaches(TokenTimes measured, TokenTimes reference, BenchmarkOptions options)
        => measured.PromptMicroseconds * options.Tolerance <= reference.PromptMicroseconds && measured.TokenMicroseconds * options.Tolerance <= reference.TokenMicroseconds;

    private static double Within(double configured, double median, BenchmarkOptions options) => Math.Clamp(median, configured / options.DeviationMax, configured * options.DeviationMax);

    /// <summary>Of an even number the faster one of the two in the middle: the one that pays less.</summary>
    private static double Median(IEnumerable<double> times)
    {
        var sorted = times.Order().ToArray();
        return sorted[(sorted.Length - 1) / 2];
    }
}
