using System.CommandLine;
using Federation.NodeAgent.Cli;

// What an engine says goes on to the hub on the thread that hears of it: for each token a change of thread costs more than the rest of its way. Nothing that follows a read waits for a disk; who doubts it sets 0.
// The runtime knows no other way to ask for it, and looks before the first socket is opened.
const string InlineSockets = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";
if (Environment.GetEnvironmentVariable(InlineSockets) is null) Environment.SetEnvironmentVariable(InlineSockets, "1");

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
