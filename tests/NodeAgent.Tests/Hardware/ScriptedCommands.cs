using Federation.NodeAgent.Hardware.Commands;

namespace Federation.NodeAgent.Tests.Hardware;

/// <summary>Programs that print what a test says; those it does not mention are not installed.</summary>
internal sealed class ScriptedCommands : ICommandRunner
{
    private readonly List<(string Program, Func<IReadOnlyList<string>, bool> Matches, CommandOutput Output)> _script = [];

    public List<string> Calls { get; } = [];

    public ScriptedCommands Prints(string program, string text, int exitCode = 0, Func<IReadOnlyList<string>, bool>? when = null, string errors = "")
    {
        _script.Add((program, when ?? (_ => true), new CommandOutput(exitCode, text, errors)));
        return this;
    }

    public Task<CommandOutput?> RunAsync(string program, IReadOnlyList<string> arguments, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Calls.Add($"{program} {string.Join(' ', arguments)}");
        return Task.FromResult(_script.FirstOrDefault(entry => entry.Program == program && entry.Matches(arguments)).Output)!;
    }
}
