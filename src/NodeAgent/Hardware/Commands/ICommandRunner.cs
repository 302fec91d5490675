namespace Federation.NodeAgent.Hardware.Commands;

/// <summary>Runs helper programs of vendors and operating systems: <c>nvidia-smi</c>, <c>sysctl</c>…</summary>
internal interface ICommandRunner
{
    /// <summary>
    /// Runs a program to its end. Null if it is not installed, could not be started, ran too long or printed too much; the program is
    /// then gone too.
    /// </summary>
    /// <param name="program">Its name, looked up as <see cref="ProcessCommandRunner"/> says; never a line for a shell.</param>
    /// <param name="arguments">Passed as they are, each as one argument.</param>
    /// <param name="cancellationToken">Ends the program.</param>
    Task<CommandOutput?> RunAsync(string program, IReadOnlyList<string> arguments, CancellationToken cancellationToken);
}

/// <summary>What a program left.</summary>
/// <param name="ExitCode">Zero by convention if all went well.</param>
/// <param name="Text">Its standard output.</param>
/// <param name="Errors">The beginning of what it wrote to standard error.</param>
internal sealed record CommandOutput(int ExitCode, string Text, string Errors = "")
{
    public bool Succeeded => ExitCode == 0;
}
