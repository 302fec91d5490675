using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Link;
using Federation.NodeAgent.Service;

namespace Federation.NodeAgent.Cli;

/// <summary>Turns what a command may fail with into one line that helps, and an exit code.</summary>
internal static class CommandGuard
{
    public static async Task<int> RunAsync(Func<Task<int>> command)
    {
        try
        {
            return await command().ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is AgentConfigException or NodeKeyException)
        {
            await Console.Error.WriteLineAsync($"federation-node: {exception.Message}").ConfigureAwait(false);
            return ServiceDefinition.ConfigurationErrorExitCode;
        }
        catch (Exception exception) when (exception is EnrolmentRefusedException or HubUnreachableException or ServiceException or IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            await Console.Error.WriteLineAsync($"federation-node: {exception.Message}").ConfigureAwait(false);
            return 1;
        }
    }
}
