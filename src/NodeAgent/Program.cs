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
return await root.Parse(args).InvokeAsync();
