using System.Diagnostics;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Npgsql;

namespace Federation.Bench;

/// <summary>Group commit against one transaction each, on the same database, turn by turn.</summary>
internal static class LedgerBench
{
    private const int Rounds = 5;
    private static readonly TimeSpan RoundLength = TimeSpan.FromSeconds(2);

    public static async Task<Table> RunAsync(string? postgres)
    {
        var table = new Table("database", "callers", "one transaction each, transfers/s", "group commit, transfers/s", "ratio");
        var data = Directory.CreateTempSubdirectory("federation-bench");
        await MeasureAsync(table, "SQLite", ["--Storage:DataDirectory", data.FullName]);
        data.Delete(recursive: true);
        if (postgres is null) return table;
        var database = $"bench_{Guid.NewGuid():N}";
        await using var server = NpgsqlDataSource.Create(postgres);
        await using (var create = server.CreateCommand($"CREATE DATABASE {database}")) await create.ExecuteNonQueryAsync();
        await MeasureAsync(table, "PostgreSQL", ["--Storage:Postgres", new NpgsqlConnectionStringBuilder(postgres) { Database = database }.ConnectionString]);
        NpgsqlConnection.ClearAllPools();
        await using (var drop = server.CreateCommand($"DROP DATABASE {database} WITH (FORCE)")) await drop.ExecuteNonQueryAsync();
        return table;
    }

    private static async Task MeasureAsync(Table table, string name, string[] storage)
    {
        using var alone = await StartAsync([.. storage, "--Ledger:BatchMax", "1"]);
        using var grouped = await StartAsync(storage);
        foreach (var callers in new[] { 1, 64, 256 })
        {
            var (single, group) = (new List<double>(), new List<double>());
            for (var round = 0; round < Rounds; round++)
            {
                single.Add(await RoundAsync(alone, callers));
                group.Add(await RoundAsync(grouped, callers));
            }
            var (one, many) = (Numbers.Median(single), Numbers.Median(group));
            table.Add(name, $"{callers}", Numbers.Rate(one), Numbers.Rate(many), Numbers.Ratio(many / one));
        }
        await alone.StopAsync();
        await grouped.StopAsync();
    }

    private static async Task<IHost> StartAsync(string[] settings)
    {
        var builder = Host.CreateApplicationBuilder(settings);
        builder.Logging.SetMinimumLevel(LogLevel.Error);
        builder.AddStorage();
        builder.AddLedger();
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }

    private static async Task<double> RoundAsync(IHost host, int callers)
    {
        var ledger = host.Services.GetRequiredService<ILedger>();
        var round = Guid.NewGuid().ToString("N")[..8];
        var accounts = Enumerable.Range(0, callers).Select(i => LedgerAccountId.Available($"bench-{callers}-{i}")).ToArray();
        foreach (var some in accounts.Chunk(LedgerUnit.PartsMax)) await ledger.SubmitAsync(new LedgerUnit { Open = [.. some] });
        var clock = Stopwatch.StartNew();
        var counts = await Task.WhenAll(accounts.Select((account, caller) => Task.Run(async () =>
        {
            var count = 0;
            for (; clock.Elapsed < RoundLength; count++)
            {
                var result = await ledger.SubmitAsync(Transfer.Post(
                    TransferId.Of($"{round}-{caller}-{count}"), LedgerAccountId.Treasury, account, new Microcredits(1), TransferReason.Grant));
                if (result.Status is not TransferStatus.Created) throw new InvalidOperationException($"The ledger said {result.Status}.");
            }
            return count;
        })));
        return counts.Sum() / clock.Elapsed.TotalSeconds;
    }
}
