using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>What canaries ask. An operator whose clients ask other things adds prompts like theirs.</summary>
internal sealed class CanaryOptions
{
    public const string SectionName = "Canaries";

    /// <summary>Templates of prompts; <c>{number}</c> and <c>{word}</c> are filled afresh each time. Every one should have a slot near its beginning.</summary>
    [MinLength(1)]
    public List<string> Prompts { get; set; } =
    [
        "{number}+{number}=",
        "{word} {word}: write the two words in reverse.",
        "My project is called {word}. Suggest three names for its parts and say why.",
        "Explain to {word}, who is {number} days into learning to program, what a queue is.",
        "Summarise in two sentences: {word} sold {number} loaves on Monday and {number} on Tuesday, then rested.",
        "Write a short letter from {word} to {word} about a garden with {number} trees.",
        "List {number} divided by 2 as a word, then count down from it.",
        "What could go wrong when {word} stores {number} files in one folder?",
    ];

    /// <summary>Shortest answer asked for, tokens. Default 64.</summary>
    [Range(1, 4_096)]
    public int MinTokens { get; set; } = 64;

    /// <summary>Longest answer asked for, tokens. Default 256.</summary>
    [Range(1, 4_096)]
    public int MaxTokens { get; set; } = 256;

    /// <summary>Share of canaries at temperature 0. Default 0.7.</summary>
    [Range(0, 1)]
    public double GreedyShare { get; set; } = 0.7;
}

[OptionsValidator]
internal sealed partial class CanaryOptionsValidator : IValidateOptions<CanaryOptions>;
