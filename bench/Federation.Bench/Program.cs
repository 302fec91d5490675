using Federation.Bench;

// dotnet run -c Release -- hub | ledger [postgres connection string] | stack | agent FILE
var table = args switch
{
    ["hub", var hub, var node] => await HubBench.RunAsync(hub, node),
    ["ledger", .. var postgres] => await LedgerBench.RunAsync(postgres.FirstOrDefault()),
    ["stack"] => await StackBench.RunAsync(),
    ["agent", var file, var hub] => await AgentBench.RunAsync(file, hub),
    _ => null,
};
if (table is null)
{
    Console.Error.WriteLine("usage: Federation.Bench hub <federation-hub> <federation-node> | ledger [postgres] | stack | agent <federation-node> <federation-hub>");
    return 2;
}
Console.WriteLine(table.ToMarkdown());
return 0;
