using System.CommandLine;
using Federation.Silo.Cli;

var root = new RootCommand("federation-hub: pools contributors' GPUs into one OpenAI-compatible network.")
{
    RunCommand.Create(),
    AccountCommand.Create(),
    KeyCommand.Create(),
    UsageCommand.Create(),
    JoinTokenCommand.Create(),
    VerifyReceiptCommand.Create(),
    EpochCommand.Create(),
    McpCommand.Create(),
};
// Stopping is graceful, and takes as long as running answers may; the default would cut it off after two seconds.
return await root.Parse(args).InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromMinutes(5) });
