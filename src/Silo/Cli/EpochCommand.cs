using System.CommandLine;
using System.Text.Json;
using Federation.Silo.Gateway;
using Federation.Silo.Verification.Epochs;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub epoch …</c>: what a hub says of an epoch, recomputed. Needs no key: all of it is public.</summary>
internal static class EpochCommand
{
    private const int PageSize = 10_000;

    public static Command Create()
    {
        var command = new Command("epoch", "Epochs: the hours whose receipts are rooted, and drawn for audits, together.") { Verify(), Save() };
        return command.WithHub();
    }

    private static Command Verify()
    {
        var which = new Argument<string>("epoch") { Description = "An epoch's number, asked of --hub; or a file that 'epoch save' wrote; - for standard input." };
        var command = new Command("verify", "Recomputes an epoch's root and its draw. Exit code 0: as the hub says; 1: not, and why; 2: no epoch to look at.") { which };
        command.SetAction((parsed, cancellationToken) => VerifyAsync(parsed, parsed.GetValue(which)!, cancellationToken));
        return command;
    }

    private static Command Save()
    {
        var epoch = new Argument<long>("epoch") { Description = "The epoch's number." };
        var command = new Command("save", "Prints an epoch and all its receipts, to be verified later or elsewhere.") { epoch };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            try
            {
                Console.WriteLine(JsonSerializer.Serialize(await FetchAsync(parsed, parsed.GetValue(epoch), cancellationToken), Answers.Options));
                return VerifyReceiptCommand.Genuine;
            }
            catch (Exception exception) when (exception is HttpRequestException or FormatException)
            {
                return Fail(exception.Message);
            }
        });
        return command;
    }

    private static async Task<int> VerifyAsync(ParseResult parsed, string which, CancellationToken cancellationToken)
    {
        EpochFile file;
        try
        {
            file = long.TryParse(which, out var epoch)
                ? await FetchAsync(parsed, epoch, cancellationToken)
                : EpochFile.Read(await InputFile.ReadAsync(which, EpochFile.MaxBytes, cancellationToken));
        }
        catch (Exception exception) when (exception is HttpRequestException or FormatException or IOException or UnauthorizedAccessException)
        {
            return Fail(exception.Message);
        }
        var problems = EpochCheck.Problems(file);
        foreach (var problem in problems) Console.Error.WriteLine(problem);
        if (!problems.IsEmpty) return VerifyReceiptCommand.Bad;
        Console.WriteLine($"Epoch {file.Epoch.Epoch} of {file.Epoch.HubId} is as the hub says: root {file.Epoch.Root}");
        Console.WriteLine($"{file.Receipts.Length} receipts, {file.Receipts.Count(receipt => receipt.Audited == true)} of them drawn for an audit by beacon {file.Epoch.Beacon}");
        return VerifyReceiptCommand.Genuine;
    }

    private static async Task<EpochFile> FetchAsync(ParseResult parsed, long epoch, CancellationToken cancellationToken)
    {
        using var http = HubClient.Open(parsed);
        var found = await GetAsync<EpochJson>(http, $"/v1/epochs/{epoch}", cancellationToken);
        var receipts = new List<EpochReceiptJson>();
        for (var after = string.Empty; ; after = receipts[^1].Id)
        {
            var page = (await GetAsync<PageJson>(http, $"/v1/epochs/{epoch}/receipts?limit={PageSize}&after={after}", cancellationToken)).Data;
            // A hub that repeats itself must not keep us here for ever.
            if (page.FirstOrDefault(receipt => receipt?.Id is not { Length: 64 }) is not null || (page.Length > 0 && string.CompareOrdinal(page[0].Id, after) <= 0)) throw new FormatException("The hub's list of receipts is not one.");
            receipts.AddRange(page);
            if (page.Length < PageSize) return new EpochFile(found, [.. receipts]);
        }
    }

    private static async Task<T> GetAsync<T>(HttpClient http, string path, CancellationToken cancellationToken)
        where T : class
    {
        using var response = await http.GetAsync(path, cancellationToken);
        var text = await response.Content.ReadAsStringAsync(cancellationToken);
        if (!response.IsSuccessStatusCode) throw new FormatException(HubClient.MessageOf(response, text));
        try
        {
            return JsonSerializer.Deserialize<T>(text, Answers.Options) ?? throw new FormatException($"The hub's answer to {path} is empty.");
        }
        catch (JsonException exception)
        {
            throw new FormatException($"The hub's answer to {path} is not what was asked for: {exception.Message}", exception);
        }
    }

    private static int Fail(string message)
    {
        Console.Error.WriteLine($"federation-hub: {message}");
        return VerifyReceiptCommand.Unreadable;
    }

    private sealed record PageJson(EpochReceiptJson[] Data);
}
