using System.CommandLine;
using Federation.NodeAgent.Cli;

var root = new RootCommand("federation-node: lends this machine's models to a hub and earns credits for it.")
{
    JoinCommand.Create(),
    RunCommand.Create(),
    HardwareCommand.Create(),
    StatusCommand.Create(),
    PauseCommand.CreatePause(),
    PauseCommand.CreateResume(),
    ServiceCommand.Create(),
};
// Stopping is graceful, and takes as long as running answers may; the default would cut it off after two seconds.
return await root.Parse(args).InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromMinutes(5) });
