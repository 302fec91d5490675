using System.Diagnostics;
using System.Diagnostics.Metrics;
using Dapper;
using Federation.LedgerCrasher;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Tests.Storage;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Ledger;

/// <summary>
/// A process that does nothing but commit is killed in the middle of it, again and again, on the same database. Afterwards the
/// books must add up, everything it said it had written must be there, and nothing may be there by halves.
/// </summary>
public abstract class LedgerCrashTests(TestDatabase home)
{
    private const int Kills = 6;

    // Where in the stream of acknowledgements the process dies.
    private const int Seed = 20261120;

    [Fact]
    public async Task Killed_in_mid_commit_the_ledger_keeps_what_it_acknowledged_and_nothing_by_halves()
    {
        Random random = new(Seed);
        for (var run = 0; run < Kills; run++)
        {
            var acknowledged = await RunUntilKilledAsync(run, acknowledgements: random.Next(1, 600));

            await using var ledger = Reopen();
            Assert.Empty((await ledger.AuditAsync()).Findings);
            var written = await WrittenUnitsAsync();
            Assert.Empty(acknowledged.Except(written));
            Assert.Equal(run + 1, written.Select(unit => unit.Run).Distinct().Count());

            await SubmitAgainAsync(ledger, acknowledged);
            Assert.Empty((await ledger.AuditAsync()).Findings);
        }
    }

    protected abstract string[] CrasherArguments { get; }

    private async Task<HashSet<CrashUnit>> RunUntilKilledAsync(int run, int acknowledgements)
    {
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, "Federation.LedgerCrasher.dll"), .. CrasherArguments, $"{run}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var crasher = Process.Start(start)!;
        using CancellationTokenSource tooLong = new(TimeSpan.FromMinutes(2));
        var errors = crasher.StandardError.ReadToEndAsync(tooLong.Token);
        HashSet<CrashUnit> acknowledged = [];
        try
        {
            while (await crasher.StandardOutput.ReadLineAsync(tooLong.Token) is { } line)
            {
                acknowledged.Add(CrashUnit.Parse(line));
                if (acknowledged.Count == acknowledgements)
                    crasher.Kill();
            }
        }
        finally
        {
            // Also when the test itself fails: nobody else would end it.
            crasher.Kill();
            await crasher.WaitForExitAsync(CancellationToken.None);
        }

        Assert.True(acknowledged.Count >= acknowledgements, $"The process ended after {acknowledged.Count} acknowledgements: {await errors}");
        return acknowledged;
    }

    // Every unit of which anything was written, having made sure that all of it was.
    private async Task<HashSet<CrashUnit>> WrittenUnitsAsync()
    {
        var (transfers, rows) = await home.Database.ReadSnapshotAsync(
            async (connection, transaction) => (
                await connection.QueryAsync<(string Unit, long Count)>(
                    "SELECT reference, count(*) FROM ledger_transfers GROUP BY reference", transaction: transaction),
                await connection.QueryAsync<string>("SELECT id FROM jobs", transaction: transaction)),
            CancellationToken.None);
        var units = transfers.ToDictionary(entry => CrashUnit.Parse(entry.Unit), entry => entry.Count);

        Assert.All(units, entry => Assert.Equal(entry.Key.Make().Transfers.Length, entry.Value));
        Assert.Equal(units.Keys.ToHashSet(), rows.Select(CrashUnit.Parse).ToHashSet());
        return [.. units.Keys];
    }

    // What the killed process would do if it came back: ask again for what it was not answered.
    private static async Task SubmitAgainAsync(SqlLedger ledger, HashSet<CrashUnit> acknowledged)
    {
        foreach (var last in acknowledged.GroupBy(unit => unit.Worker).Select(units => units.MaxBy(unit => unit.Number)!))
        {
            var answered = await ledger.SubmitAsync(last.Make());
            Assert.All(answered.Transfers, transfer => Assert.Equal(TransferStatus.Exists, transfer.Status));

            // It was written or it was not; a server may even have finished it after its client died. But all of it, or nothing.
            var unanswered = await ledger.SubmitAsync((last with { Number = last.Number + 1 }).Make());
            Assert.True(unanswered.IsRecorded, $"{unanswered.Status}");
            Assert.Single(unanswered.Transfers.Select(transfer => transfer.Status).Distinct());
        }
    }

    private SqlLedger Reopen() => new(
        home.Open(),
        Options.Create(new LedgerOptions()),
        TimeProvider.System,
        new LedgerInstruments(new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<IMeterFactory>()),
        NullLogger<SqlLedger>.Instance);
}

public sealed class SqliteLedgerCrashTests(SqliteTestDatabase home) : LedgerCrashTests(home), IClassFixture<SqliteTestDatabase>
{
    private readonly string _directory = home.Options.DataDirectory;

    protected override string[] CrasherArguments => ["sqlite", _directory];
}

public sealed class PostgresLedgerCrashTests(PostgresTestDatabase home) : LedgerCrashTests(home), IClassFixture<PostgresTestDatabase>
{
    private readonly string _connectionString = home.Options.Postgres!;

    protected override string[] CrasherArguments => ["postgres", _connectionString];
}
