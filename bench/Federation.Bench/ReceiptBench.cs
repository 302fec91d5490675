using System.Collections.Immutable;
using System.Diagnostics;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;

namespace Federation.Bench;

/// <summary>Checking receipts on one thread, beside the two signatures that are in each.</summary>
internal static class ReceiptBench
{
    private const int Rounds = 5;
    private const int ReceiptsPerRound = 2_000;
    private const int BatchSize = 80;

    public static Table Run()
    {
        using var node = SigningKey.Create();
        using var hub = SigningKey.Create();
        var files = Enumerable.Range(1, ReceiptsPerRound).Chunk(BatchSize).SelectMany(numbers => Signed(node, hub, numbers)).ToArray();
        var forms = files.Select(file => file.ToCbor()).ToArray();
        var (whole, signatures) = (new List<double>(), new List<double>());
        for (var round = 0; round < Rounds; round++)
        {
            whole.Add(Measure(index => ReceiptCheck.Problems(ReceiptFile.Read(forms[index])).IsEmpty));
            signatures.Add(Measure(index => ReceiptSignature.Read(files[index].NodeSignature.AsSpan()).IsByNode(files[index].NodePublicKey.AsSpan(), files[index].Payload.AsSpan())
                && ReceiptSignature.Read(files[index].HubSignature.AsSpan()).IsByHub(files[index].HubPublicKey.AsSpan(), files[index].Payload.AsSpan(), files[index].NodeSignature.AsSpan())));
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

    /// <summary>A batch: one signature of the node, and one of the hub.</summary>
    private static IEnumerable<ReceiptFile> Signed(SigningKey node, SigningKey hub, int[] numbers)
    {
        byte[][] payloads = [.. numbers.Select(number => PayloadOf(node, hub, number))];
        ImmutableArray<byte>[] ids = [.. payloads.Select(payload => ReceiptCodec.IdOf(payload))];
        var byNode = ReceiptBatch.OfNode(ids);
        var nodeSignatures = byNode.Kept(node.Sign(byNode.SigningBytes));
        var byHub = ReceiptBatch.OfHub([.. ids.Zip(nodeSignatures)]);
        var hubSignatures = byHub.Kept(hub.Sign(byHub.SigningBytes));
        for (var i = 0; i < payloads.Length; i++)
            yield return new ReceiptFile([.. payloads[i]], [.. node.PublicKey.Span], [.. nodeSignatures[i]], [.. hub.PublicKey.Span], [.. hubSignatures[i]]);
    }

    private static byte[] PayloadOf(SigningKey node, SigningKey hub, int number) => ReceiptCodec.Encode(new Receipt
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
}
