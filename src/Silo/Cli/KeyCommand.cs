using System.CommandLine;
using System.Text.Json.Nodes;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub key …</c></summary>
internal static class KeyCommand
{
    public static Command Create()
    {
        var command = new Command("key", "API keys.") { CreateOne(), List(), Revoke() };
        return command.WithHub();
    }

    private static Command CreateOne()
    {
        var name = new Argument<string>("name") { Description = "What the key is for." };
        var account = new Option<string?>("--account") { Description = "Whose key; default: your own account's." };
        var scopes = new Option<string[]>("--scope") { Description = "inference, contribute, admin; may be given more than once.", AllowMultipleArgumentsPerToken = true };
        var command = new Command("create", "Makes a key and shows it, once.") { name, account, scopes };
        command.Sends(HttpMethod.Post, _ => "/v1/keys", parsed => new JsonObject
        {
            ["name"] = parsed.GetValue(name),
            ["account_id"] = parsed.GetValue(account),
            ["scopes"] = new JsonArray([.. (parsed.GetValue(scopes) ?? []).Select(scope => (JsonNode)scope)]),
        });
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
