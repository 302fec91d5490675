using Federation.Bench;

// dotnet run -c Release -- gateway HUB NODE [ROWS] | hub | ledger [postgres connection string] | payments HUB [postgres connection string] | stack | receipts | proofs | priority | overhead | checks | agent FILE | calibrate MODELS IMPOSTOR [HONEST DISHONEST]
if (args is ["serve-engine" or "serve-pass-through", ..])
{
    var server = args is ["serve-pass-through", var upstream] ? PassThrough.Create(new Uri(upstream)) : FakeEngine.Create();
    await server.StartAsync();
    Console.WriteLine(FakeEngine.UrlOf(server));
    await server.WaitForShutdownAsync();
    return 0;
}
var table = args switch
{
    ["gateway", var hub, var node, .. var only] => await GatewayBench.RunAsync(hub, node, only),
    ["hub", var hub, var node] => await HubBench.RunAsync(hub, node),
    ["ledger", .. var postgres] => await LedgerBench.RunAsync(postgres.FirstOrDefault()),
    ["payments", var hub, .. var postgres] => await PaymentBench.RunAsync(hub, postgres.FirstOrDefault()),
    ["stack"] => await StackBench.RunAsync(),
    ["receipts"] => ReceiptBench.Run(),
    ["proofs"] => ProofBench.Run(),
    ["priority"] => await PriorityBench.RunAsync(),
    ["overhead", var hub, var node, var models] => await OverheadBench.RunAsync(hub, node, models),
    ["checks", var hub, var node, var models] => await ChecksBench.RunAsync(hub, node, models),
    ["agent", var file, var hub] => await AgentBench.RunAsync(file, hub),
    ["calibrate", var models, var impostor, .. var counts] => await CalibrateBench.RunAsync(models, impostor, Count(counts, 0, 2000), Count(counts, 1, 200)),
    _ => null,
};
if (table is null)
{
    Console.Error.WriteLine("usage: Federation.Bench gateway <federation-hub> <federation-node> [words of rows] | hub <federation-hub> <federation-node> | ledger [postgres] | payments <federation-hub> [postgres] | stack | receipts | proofs | priority | overhead <federation-hub> <federation-node> <models folder> | checks <federation-hub> <federation-node> <models folder> | agent <federation-node> <federation-hub> | calibrate <models folder> <impostor file> [honest audits] [dishonest audits]");
    return 2;
}
Console.WriteLine(table.ToMarkdown());
return 0;

static int Count(string[] counts, int index, int otherwise) => index < counts.Length ? int.Parse(counts[index], System.Globalization.CultureInfo.InvariantCulture) : otherwise;
