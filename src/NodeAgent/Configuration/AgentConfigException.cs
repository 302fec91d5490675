namespace Federation.NodeAgent.Configuration;

/// <summary>One thing wrong in the settings.</summary>
/// <param name="Path">Where: <c>policy.schedule</c>, <c>engines.openai[1].url</c>; empty for the file as a whole.</param>
/// <param name="Message">What is wrong and how to put it right, for a person.</param>
public sealed record ConfigProblem(string Path, string Message)
{
    /// <inheritdoc/>
    public override string ToString() => Path.Length == 0 ? Message : $"{Path}: {Message}";
}

/// <summary>The settings are wrong. The message lists every problem, one to a line, and can be shown as it is.</summary>
public sealed class AgentConfigException : Exception
{
    /// <summary>Collects <paramref name="problems"/> of the file <paramref name="source"/>.</summary>
    public AgentConfigException(string source, IReadOnlyList<ConfigProblem> problems)
        : base($"{source} cannot be used:{string.Concat(problems.Select(problem => $"{Environment.NewLine}  - {problem}"))}")
    {
        Problems = problems;
    }

    /// <summary>All of them; never empty.</summary>
    public IReadOnlyList<ConfigProblem> Problems { get; }
}
