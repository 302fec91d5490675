using Federation.Contracts.Models;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Pricing;

namespace Federation.Silo.Gateway;

/// <summary>What whoever asks demands beside the body, by headers: they go with a request that is answered later as with one that is answered at once.</summary>
/// <param name="Privacy">Whose nodes may read it.</param>
/// <param name="MaxCost">What the answer may cost; <see langword="null"/> where the account's credits are the only limit.</param>
internal sealed record AnswerTerms(Privacy Privacy, Microcredits? MaxCost)
{
    /// <summary>Anybody's nodes, at any price.</summary>
    public static AnswerTerms None { get; } = new(Privacy.Any, null);

    /// <summary>Reads the headers; what is wrong with them, or <see langword="null"/>.</summary>
    public static OpenAiError? TryRead(IHeaderDictionary headers, out AnswerTerms terms)
    {
        terms = None;
        if (PrivacyHeader.TryRead(headers[PrivacyHeader.Name].ToString(), out var privacy) is { } unknown) return unknown;
        if (PaymentTerms.TryReadMaxCost(headers[PaymentTerms.MaxCreditsHeader].ToString(), out var maxCost) is { } dear) return dear;
        terms = new AnswerTerms(privacy, maxCost);
        return null;
    }

    /// <summary>As a row has them.</summary>
    /// <param name="privacy">The header's word; <see langword="null"/> for anybody's nodes.</param>
    /// <param name="maxCost">Microcredits; <see langword="null"/> for no limit.</param>
    public static AnswerTerms Of(string? privacy, long? maxCost)
        => PrivacyHeader.TryRead(privacy ?? string.Empty, out var known) is null
            ? new AnswerTerms(known, maxCost is { } most ? new Microcredits(most) : null)
            : throw new InvalidOperationException($"'{privacy}' is no privacy.");

    /// <summary>As a row has it; <see langword="null"/> for anybody's nodes.</summary>
    public string? PrivacyWord => Privacy is Privacy.Any ? null : Privacy.Word();
}
