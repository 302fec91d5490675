using System.Collections.Immutable;
using System.IO.Enumeration;

namespace Federation.Silo.Accounts;

/// <summary>Names of models with * for any characters and ? for one.</summary>
internal static class ModelPatterns
{
    private const string LatestTag = ":latest";

    /// <summary>Whether one of the patterns matches the name, which may do without its ":latest".</summary>
    public static bool Match(ImmutableArray<string> patterns, string model)
    {
        foreach (var pattern in patterns)
        {
            if (FileSystemName.MatchesSimpleExpression(pattern, model, ignoreCase: false)) return true;
            if (model.EndsWith(LatestTag, StringComparison.Ordinal) && FileSystemName.MatchesSimpleExpression(pattern, model.AsSpan(0, model.Length - LatestTag.Length), ignoreCase: false)) return true;
        }
        return false;
    }
}
