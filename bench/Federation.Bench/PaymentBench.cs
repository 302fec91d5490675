using System.Diagnostics;
using System.Text.Json.Nodes;
using Npgsql;

namespace Federation.Bench;

/// <summary>What a price adds to an answer: the same engine behind the hub as a cloud, once for nothing and once for credits, turn by turn.</summary>
internal static class PaymentBench
{
    private const int Rounds = 7;
    private const int ChatsPerRound = 200;

    /// <param name="hubFile">The hub's program.</param>
    /// <param name="postgres">A server to make a database on; none: SQLite alone.</param>
    public static async Task<Table> RunAsync(string hubFile, string? postgres)
    {
        var table = new Table("database", "free, p50", "priced, p50", "a hold and a settlement add", "goal");
        await using var engine = await FakeEngine.StartAsync();
        await MeasureAsync(table, "SQLite", hubFile, engine, null);
        if (postgres is null) return table;
        var database = $"bench_{Guid.NewGuid():N}";
        await using var server = NpgsqlDataSource.Create(postgres);
        await using (var create = server.CreateCommand($"CREATE DATABASE {database}")) await create.ExecuteNonQueryAsync();
        await MeasureAsync(table, "PostgreSQL", hubFile, engine, new NpgsqlConnectionStringBuilder(postgres) { Database = database }.ConnectionString);
        await using (var drop = server.CreateCommand($"DROP DATABASE {database} WITH (FORCE)")) await drop.ExecuteNonQueryAsync();
        return table;
    }

    private static async Task MeasureAsync(Table table, string name, string hubFile, FakeEngine engine, string? postgres)
    {
        var settings = new Dictionary<string, string> { ["Storage__Postgres"] = postgres ?? string.Empty };
        foreach (var (provider, credits) in new[] { ("free", "0"), ("priced", "10") })
        {
            settings[$"Cloud__Providers__{provider}__BaseUrl"] = $"{engine.Url}v1";
            settings[$"Cloud__Providers__{provider}__Keyless"] = "true";
            settings[$"Cloud__Providers__{provider}__Models__0__Name"] = provider;
            settings[$"Cloud__Providers__{provider}__Models__0__Theirs"] = FakeEngine.Model;
            settings[$"Cloud__Providers__{provider}__Models__0__Input"] = credits;
            settings[$"Cloud__Providers__{provider}__Models__0__Output"] = credits;
        }
        await using var federation = await Federation.StartAsync(hubFile, settings);
        using var http = federation.Client();
        (await http.PostAsJsonAsync("/v1/accounts/acct_operator/credits", new { id = "bench", credits = 1_000_000 })).EnsureSuccessStatusCode();
        var (free, priced) = (new List<double>(), new List<double>());
        // The first round warms up.
        for (var round = 0; round <= Rounds; round++)
        {
            var (one, other) = (await RoundAsync(http, "free"), await RoundAsync(http, "priced"));
            if (round == 0) continue;
            free.Add(one);
            priced.Add(other);
        }
        var paid = (await http.GetFromJsonAsync<JsonObject>("/v1/account"))!["available_microcredits"]!.GetValue<long>();
        if (paid == 1_000_000_000_000) throw new InvalidOperationException("Nothing was paid.");
        var added = Numbers.Median([.. free.Zip(priced, static (one, other) => other - one)]);
        table.Add(name, Numbers.Milliseconds(Numbers.Median(free)), Numbers.Milliseconds(Numbers.Median(priced)), $"+{Numbers.Milliseconds(added)}", "≤ 3 ms on PostgreSQL");
    }

    private static async Task<double> RoundAsync(HttpClient http, string model)
    {
        var times = new List<double>(ChatsPerRound);
        for (var i = 0; i < ChatsPerRound; i++)
        {
            var started = Stopwatch.GetTimestamp();
            using var response = await http.PostAsJsonAsync("/v1/chat/completions", new { model, max_tokens = 16, messages = new[] { new { role = "user", content = "Say hello." } } });
            response.EnsureSuccessStatusCode();
            await response.Content.ReadAsByteArrayAsync();
            times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
        return Numbers.Percentile(times, 0.5);
    }
}
