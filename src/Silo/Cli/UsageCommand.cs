using System.CommandLine;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub usage</c></summary>
internal static class UsageCommand
{
    public static Command Create()
    {
        var account = new Option<string?>("--account") { Description = "Whose usage; default: your own account's." };
        var start = new Option<string?>("--start") { Description = "The first day, such as 2026-11-01, UTC; default: 30 days ago." };
        var end = new Option<string?>("--end") { Description = "The last day; default: today." };
        var by = new Option<string?>("--by") { Description = "day, model, key, or some of them with commas.", DefaultValueFactory = _ => "day" };
        var csv = new Option<bool>("--csv") { Description = "CSV in the place of JSON." };
        var command = new Command("usage", "Shows what an account used.") { account, start, end, by, csv };
        command.Sends(
            HttpMethod.Get,
            parsed => $"/v1/usage?limit=1000&format={(parsed.GetValue(csv) ? "csv" : "json")}&group_by={Escaped(parsed, by)}&account={Escaped(parsed, account)}&start_date={Escaped(parsed, start)}&end_date={Escaped(parsed, end)}");
        return command.WithHub();
    }

    private static string Escaped(ParseResult parsed, Option<string?> option) => Uri.EscapeDataString(parsed.GetValue(option) ?? string.Empty);
}
