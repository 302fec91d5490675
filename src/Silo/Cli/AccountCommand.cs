using System.CommandLine;
using System.Text.Json.Nodes;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub account …</c></summary>
internal static class AccountCommand
{
    public static Command Create()
    {
        var command = new Command("account", "Accounts: who owns credits.") { CreateOne(), List(), Show(), SetTier() };
        return command.WithHub();
    }

    private static Command CreateOne()
    {
        var name = new Argument<string>("name") { Description = "What people call it." };
        var tier = new Option<string>("--tier") { Description = "free, contributor, pro, unlimited or enterprise.", DefaultValueFactory = _ => "contributor" };
        var command = new Command("create", "Makes an account.") { name, tier };
        command.Sends(HttpMethod.Post, _ => "/v1/accounts", parsed => new JsonObject { ["name"] = parsed.GetValue(name), ["tier"] = parsed.GetValue(tier) });
        return command;
    }

    private static Command List()
    {
        var command = new Command("list", "Lists accounts.");
        command.Sends(HttpMethod.Get, _ => "/v1/accounts?limit=1000");
        return command;
    }

    private static Command Show()
    {
        var id = new Argument<string>("id") { Description = "acct_…" };
        var command = new Command("show", "Shows an account and what it has.") { id };
        command.Sends(HttpMethod.Get, parsed => $"/v1/account?account={Uri.EscapeDataString(parsed.GetValue(id)!)}");
        return command;
    }

    private static Command SetTier()
    {
        var id = new Argument<string>("id") { Description = "acct_…" };
        var tier = new Argument<string>("tier") { Description = "free, contributor, pro, unlimited or enterprise." };
        var command = new Command("tier", "Gives an account another tier; it counts at once.") { id, tier };
        command.Sends(HttpMethod.Post, parsed => $"/v1/accounts/{Uri.EscapeDataString(parsed.GetValue(id)!)}/tier", parsed => new JsonObject { ["tier"] = parsed.GetValue(tier) });
        return command;
    }
}
