using System.CommandLine;
using Federation.Silo.Cli;

var root = new RootCommand("federation-hub: pools contributors' GPUs into one OpenAI-compatible network.")
{
    RunCommand.Create(),
    AccountCommand.Create(),
    KeyCommand.Create(),
    JoinTokenCommand.Create(),
};
return await root.Parse(args).InvokeAsync();
