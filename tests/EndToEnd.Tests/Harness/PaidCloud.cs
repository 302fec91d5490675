using System.Text.Json.Nodes;
using Microsoft.Data.Sqlite;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A hub that sells the answers of a cloud, to accounts that have something to pay with.</summary>
internal static class PaidCloud
{
    /// <summary>10 credits for a thousand tokens, in and out: microcredits for one.</summary>
    public const long PerToken = 10_000;

    /// <summary>Of a quick answer, prompt and completion.</summary>
    public const long AnswerTokens = 9;

    /// <summary>What a hub needs to sell the answers of this server under this model's name.</summary>
    /// <param name="name">The provider's.</param>
    /// <param name="url">Of its API.</param>
    /// <param name="models">What it is asked for.</param>
    public static Dictionary<string, string> Provider(string name, string url, params string[] models)
    {
        var settings = new Dictionary<string, string> { [$"Cloud__Providers__{name}__BaseUrl"] = url, [$"Cloud__Providers__{name}__Key"] = "sk-any" };
        for (var index = 0; index < models.Length; index++)
        {
            var prefix = $"Cloud__Providers__{name}__Models__{index}__";
            (settings[prefix + "Name"], settings[prefix + "Input"], settings[prefix + "Output"]) = (models[index], "10", "10");
        }
        return settings;
    }

    /// <summary>The key of a new account that has so many credits.</summary>
    public static async Task<string> RichAsync(HubProcess hub, long credits)
    {
        using var admin = hub.Client();
        var (account, key) = await admin.CreateAccountAsync("rich");
        // Nothing but money shall limit it.
        (await admin.PostAsync($"/v1/accounts/{account}/tier", new JsonObject { ["tier"] = "enterprise" })).Expect(System.Net.HttpStatusCode.OK);
        (await admin.PostAsync($"/v1/accounts/{account}/credits", new JsonObject { ["id"] = account, ["credits"] = credits, ["reason"] = "purchase" })).Expect(System.Net.HttpStatusCode.Created);
        return key;
    }

    /// <summary>Microcredits that are free to be spent, and those that are held.</summary>
    public static async Task<(long Available, long Held)> BalanceAsync(HubClient client)
    {
        var account = (await client.GetAsync("/v1/account")).Expect(System.Net.HttpStatusCode.OK).Json;
        return (account["available_microcredits"]!.GetValue<long>(), account["held_microcredits"]!.GetValue<long>());
    }

    /// <summary>The one number that a query gives on a hub's own SQLite.</summary>
    public static async Task<long> NumberAsync(HubProcess hub, string query)
    {
        SQLitePCL.Batteries_V2.Init();
        await using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = Path.Combine(hub.Data, "hub.db"), Mode = SqliteOpenMode.ReadOnly, Pooling = false }.ToString());
        await connection.OpenAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = query;
        return Convert.ToInt64(await command.ExecuteScalarAsync(), System.Globalization.CultureInfo.InvariantCulture);
    }
}
