using System.CommandLine;
using System.Text.Json.Nodes;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub join-token …</c></summary>
internal static class JoinTokenCommand
{
    public static Command Create()
    {
        var command = new Command("join-token", "Tokens that let a contributor's machine join.") { CreateOne() };
        return command.WithHub();
    }

    private static Command CreateOne()
    {
        var account = new Option<string?>("--account") { Description = "Who will own the node; default: your own account." };
        var expires = new Option<long?>("--expires") { Description = "Seconds the token lives; default: one hour." };
        var command = new Command("create", "Makes a token, good for one node.") { account, expires };
        command.Sends(HttpMethod.Post, _ => "/v1/join-tokens", parsed => new JsonObject
        {
            ["account_id"] = parsed.GetValue(account),
            ["expires_in_seconds"] = parsed.GetValue(expires),
        });
        return command;
    }
}
