using System.Collections.Immutable;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>The operator's own prompts for canaries, as they were when the hub started.</summary>
internal sealed class CanaryPrompts
{
    /// <summary>Reads the file, if one is configured.</summary>
    /// <exception cref="OptionsValidationException">It cannot be read, is too large, or has no prompt in it.</exception>
    public CanaryPrompts(IOptions<CanaryOptions> options)
    {
        if (options.Value.PromptsFile is not { Length: > 0 } path) return;
        try
        {
            using var file = File.OpenRead(path);
            if (file.Length > CanaryOptions.PromptsFileBytesMax) throw Invalid($"has {file.Length} bytes; at most {CanaryOptions.PromptsFileBytesMax}");
            using var reader = new StreamReader(file);
            var lines = ImmutableArray.CreateBuilder<string>();
            while (reader.ReadLine() is { } line)
            {
                if (!string.IsNullOrWhiteSpace(line)) lines.Add(line.Trim());
            }
            if (lines.Count == 0) throw Invalid("has no prompt in it");
            Prompts = lines.ToImmutable();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw Invalid($"cannot be read: {exception.Message}");
        }

        OptionsValidationException Invalid(string why) => new(CanaryOptions.SectionName, typeof(CanaryOptions), [$"{CanaryOptions.SectionName}:{nameof(CanaryOptions.PromptsFile)} ({path}) {why}."]);
    }

    /// <summary>One prompt each; empty without a file.</summary>
    public ImmutableArray<string> Prompts { get; } = [];
}
