using System.CommandLine;
using Federation.Protocol.Receipts;

namespace Federation.Silo.Cli;

/// <summary><c>federation-hub verify-receipt FILE</c>: offline.</summary>
internal static class VerifyReceiptCommand
{
    /// <summary>The receipt is genuine.</summary>
    public const int Genuine = 0;

    /// <summary>Something about it is wrong; each thing is a sentence on standard error.</summary>
    public const int Bad = 1;

    /// <summary>There is no receipt to look at: no file, or another kind of file.</summary>
    public const int Unreadable = 2;

    public static Command Create()
    {
        var file = new Argument<string>("file") { Description = "A receipt as GET /v1/receipts/{id} gives it, JSON or CBOR; - for standard input." };
        var command = new Command("verify-receipt", "Checks a receipt offline. Exit code 0: genuine; 1: bad, and why; 2: no receipt.") { file };
        command.SetAction((parsed, cancellationToken) => RunAsync(parsed.GetValue(file)!, cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(string path, CancellationToken cancellationToken)
    {
        ReceiptFile file;
        try
        {
            file = ReceiptFile.Read(await InputFile.ReadAsync(path, ReceiptFile.MaxBytes, cancellationToken));
        }
        catch (Exception exception) when (exception is FormatException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"federation-hub: {exception.Message}");
            return Unreadable;
        }
        var problems = ReceiptCheck.Problems(file);
        foreach (var problem in problems) Console.Error.WriteLine(problem);
        if (!problems.IsEmpty) return Bad;
        var receipt = ReceiptCodec.Decode(file.Payload.ToArray());
        Console.WriteLine($"Genuine. Receipt {Convert.ToHexStringLower(ReceiptCodec.IdOf(file.Payload.AsSpan()).AsSpan())}");
        Console.WriteLine($"Node {receipt.Node}, number {receipt.Sequence} of its chain; hub {receipt.Hub}");
        Console.WriteLine($"Job {receipt.JobId}: {receipt.Model}, {receipt.PromptTokens} prompt and {receipt.CompletionTokens} completion tokens, {DateTimeOffset.FromUnixTimeMilliseconds(receipt.LastMs):O}");
        Console.WriteLine($"Paid as {receipt.HardwareClass}: {receipt.ReferenceMicroseconds / 1e6:0.######} s of reference work");
        return Genuine;
    }
}
