// federation-ledger-crasher (sqlite DIRECTORY | postgres CONNECTION-STRING) RUN
//
// Writes one line to standard output for each unit of CrashUnit that the ledger acknowledged: its name. Never ends by itself.
using System.Diagnostics.Metrics;
using System.Globalization;
using Federation.LedgerCrasher;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

StorageOptions storage = args[0] == "postgres" ? new() { Postgres = args[1] } : new() { DataDirectory = args[1] };
var run = int.Parse(args[2], CultureInfo.InvariantCulture);

await using HubDatabase database = new(Options.Create(storage), TimeProvider.System, NullLogger<HubDatabase>.Instance);
await using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
await using SqlLedger ledger = new(
    database,
    Options.Create(new LedgerOptions()),
    TimeProvider.System,
    new LedgerInstruments(meters.GetRequiredService<IMeterFactory>()),
    NullLogger<SqlLedger>.Instance);
await database.MigrateAsync(CancellationToken.None);

using var output = TextWriter.Synchronized(new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true });
await Task.WhenAll(Enumerable.Range(0, CrashUnit.Workers).Select(WorkAsync));

async Task WorkAsync(int worker)
{
    for (var number = 0; ; number++)
    {
        CrashUnit unit = new(run, worker, number);
        var result = await ledger.SubmitAsync(unit.Make());
        if (!result.IsRecorded)
            throw new InvalidOperationException($"Unit {unit} was refused: {result.Status}.");
        await output.WriteLineAsync(unit.ToString());
    }
}
