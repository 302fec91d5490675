using System.CommandLine;
using System.Text.Json.Nodes;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub key …</c></summary>
internal static class KeyCommand
{
    public static Command Create()
    {
        var command = new Command("key", "API keys.") { CreateOne(), List(), Rotate(), Revoke() };
        return command.WithHub();
    }

    private static Command CreateOne()
    {
        var name = new Argument<string>("name") { Description = "What the key is for." };
        var account = new Option<string?>("--account") { Description = "Whose key; default: your own account's." };
        var scopes = new Option<string[]>("--scope") { Description = "inference, contribute, admin; may be given more than once.", AllowMultipleArgumentsPerToken = true };
        var expires = new Option<long?>("--expires") { Description = "Seconds the key lives; default: until it is revoked." };
        var models = new Option<string[]>("--model") { Description = "A model the key may use, or a pattern (llama*); may be given more than once. Default: all.", AllowMultipleArgumentsPerToken = true };
        var budget = new Option<decimal?>("--budget") { Description = "Credits the key may spend in each span of its budget." };
        var period = new Option<string?>("--budget-period") { Description = "day or month, UTC; default: month." };
        var requests = new Option<long?>("--requests-per-minute") { Description = "Limit of the key's own, beside its account's; jobs and batches do not count." };
        var tokens = new Option<long?>("--tokens-per-day") { Description = "Limit of the key's own, beside its account's." };
        var command = new Command("create", "Makes a key and shows it, once.") { name, account, scopes, expires, models, budget, period, requests, tokens };
        command.Sends(HttpMethod.Post, _ => "/v1/keys", parsed => new JsonObject
        {
            ["name"] = parsed.GetValue(name),
            ["account_id"] = parsed.GetValue(account),
            ["scopes"] = Words(parsed.GetValue(scopes)),
            ["expires_in_seconds"] = parsed.GetValue(expires),
            ["models"] = Words(parsed.GetValue(models)),
            ["budget_credits"] = parsed.GetValue(budget),
            ["budget_period"] = parsed.GetValue(period),
            ["requests_per_minute"] = parsed.GetValue(requests),
            ["tokens_per_day"] = parsed.GetValue(tokens),
        });
        return command;
    }

    private static JsonArray Words(string[]? words) => new([.. (words ?? []).Select(word => (JsonNode)word)]);

    private static Command Rotate()
    {
        var id = new Argument<string>("id") { Description = "key_…" };
        var grace = new Option<long?>("--grace") { Description = "Seconds the secret before still opens; 0: no longer. Default: one hour." };
        var command = new Command("rotate", "Gives a key a new secret and shows it, once.") { id, grace };
        command.Sends(HttpMethod.Post, parsed => $"/v1/keys/{Uri.EscapeDataString(parsed.GetValue(id)!)}/rotate", parsed => new JsonObject { ["grace_seconds"] = parsed.GetValue(grace) });
        return command;
    }

    private static Command List()
    {
        var account = new Option<string?>("--account") { Description = "Whose keys; default: your own account's." };
        var command = new Command("list", "Lists keys, without the keys themselves.") { account };
        command.Sends(HttpMethod.Get, parsed => $"/v1/keys?account={Uri.EscapeDataString(parsed.GetValue(account) ?? string.Empty)}");
        return command;
    }

    private static Command Revoke()
    {
        var id = new Argument<string>("id") { Description = "key_…" };
        var command = new Command("revoke", "Revokes a key for good.") { id };
        command.Sends(HttpMethod.Delete, parsed => $"/v1/keys/{Uri.EscapeDataString(parsed.GetValue(id)!)}", done: parsed => $"Key {parsed.GetValue(id)} is revoked: from now on it opens nothing.");
        return command;
    }
}
