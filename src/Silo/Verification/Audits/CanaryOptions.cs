using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// What canaries ask. They take their shapes (fields, sampling, lengths, who speaks) from requests that clients of several other accounts than the node's have made lately, never a word of them; their words come from a grammar, and
/// from the operator's own prompts where there are some. An operator whose clients ask in a certain manner adds prompts like theirs: a node may know the grammar, it is in the source.
/// </summary>
internal sealed class CanaryOptions
{
    public const string SectionName = "Canaries";

    /// <summary>
    /// A text file with prompts, one a line, read when the hub starts; <c>{word}</c> and <c>{number}</c> in them are filled afresh each time, and every one should have a slot near its beginning. At most
    /// <see cref="PromptsFileBytesMax"/> bytes. Default none.
    /// </summary>
    public string? PromptsFile { get; set; }

    /// <summary>Share of canaries that ask what is in that file. Default 0.5.</summary>
    [Range(0, 1)]
    public double PromptsShare { get; set; } = 0.5;

    /// <summary>Accounts, the node's own not counted, that must have asked in a manner, and with a number, before canaries have it: one that few have used would tell them from work. Default 3 [uncalibrated].</summary>
    [Range(1, 1_000)]
    public int ShapeAccounts { get; set; } = 3;

    /// <summary>Longest conversation whose shape a canary takes, characters. Default 16 000.</summary>
    [Range(100, 1_000_000)]
    public int MaxPromptCharacters { get; set; } = 16_000;

    /// <summary>Shortest answer asked for, tokens: requests that allow less are no models for canaries, since their answers say little. Default 64.</summary>
    [Range(1, 4_096)]
    public int MinTokens { get; set; } = 64;

    /// <summary>Longest answer asked for where no client's request sets it, tokens. Default 256.</summary>
    [Range(1, 4_096)]
    public int MaxTokens { get; set; } = 256;

    /// <summary>Share of canaries at temperature 0 where no client's request sets it. Default 0.7.</summary>
    [Range(0, 1)]
    public double GreedyShare { get; set; } = 0.7;

    /// <summary>Largest file of prompts, bytes.</summary>
    public const int PromptsFileBytesMax = 4 << 20;
}

[OptionsValidator]
internal sealed partial class CanaryOptionsValidator : IValidateOptions<CanaryOptions>;
