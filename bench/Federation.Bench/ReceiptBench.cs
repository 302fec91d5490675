using System.Diagnostics;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;

namespace Federation.Bench;

/// <summary>Checking receipts on one thread, beside the two signatures that are in each.</summary>
internal static class ReceiptBench
{
    private const int Rounds = 5;
    private const int ReceiptsPerRound = 2_000;

    public static Table Run()
    {
        using var node = SigningKey.Create();
        using var hub = SigningKey.Create();
        var files = Enumerable.Range(1, ReceiptsPerRound).Select(number => Signed(node, hub, number)).ToArray();
        var forms = files.Select(file => file.ToCbor()).ToArray();
        var (whole, signatures) = (new List<double>(), new List<double>());
        for (var round = 0; round < Rounds; round++)
        {
            whole.Add(Measure(index => ReceiptCheck.Problems(ReceiptFile.Read(forms[index])).IsEmpty));
            signatures.Add(Measure(index => PublicKeys.Verify(files[index].NodePublicKey.AsSpan(), ReceiptCodec.NodeSigningBytes(files[index].Payload.AsSpan()), files[index].NodeSignature.AsSpan())
                && PublicKeys.Verify(
                    files[index].HubPublicKey.AsSpan(), ReceiptCodec.HubSigningBytes(files[index].Payload.AsSpan(), files[index].NodeSignature.AsSpan()), files[index].HubSignature.AsSpan())));
        }
        var (all, two) = (Numbers.Median(whole), Numbers.Median(signatures));
        var table = new Table("receipts, one thread", "per second", "ratio");
        table.Add("the two signatures alone", Numbers.Rate(two), Numbers.Ratio(1));
        table.Add("read from CBOR and checked in full", Numbers.Rate(all), Numbers.Ratio(all / two));
        return table;
    }

    private static double Measure(Func<int, bool> isGenuine)
    {
        var clock = Stopwatch.StartNew();
        for (var index = 0; index < ReceiptsPerRound; index++)
        {
            if (!isGenuine(index)) throw new InvalidOperationException($"Receipt {index} is not genuine.");
        }
        return ReceiptsPerRound / clock.Elapsed.TotalSeconds;
    }

    private static ReceiptFile Signed(SigningKey node, SigningKey hub, int number)
    {
        var payload = ReceiptCodec.Encode(new Receipt
        {
            Epoch = 1_760_400_004_400 / 3_600_000,
            Sequence = number,
            PreviousId = [.. Enumerable.Repeat((byte)(number == 1 ? 0 : 7), 32)],
            JobId = $"job_{number:x32}",
            Attempt = 1,
            Node = NodeId.FromPublicKey(node.PublicKey.Span),
            Hub = HubId.FromPublicKey(hub.PublicKey.Span),
            ClientHash = [.. new byte[32]],
            Model = "llama3:8b",
            ModelDigest = $"sha256:{new string('a', 64)}",
            RequestHash = [.. new byte[32]],
            OutputHash = [.. new byte[32]],
            PromptTokens = 1_000,
            CompletionTokens = 300,
            DispatchMs = 1_760_400_000_100,
            FirstMs = 1_760_400_000_400,
            LastMs = 1_760_400_004_400,
            HardwareClass = "rtx-4090-24gb",
            ReferenceMicroseconds = 3_600_000,
        });
        var nodeSignature = node.Sign(ReceiptCodec.NodeSigningBytes(payload));
        var hubSignature = hub.Sign(ReceiptCodec.HubSigningBytes(payload, nodeSignature));
        return new ReceiptFile([.. payload], [.. node.PublicKey.Span], [.. nodeSignature], [.. hub.PublicKey.Span], [.. hubSignature]);
    }
}
