using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;

namespace Federation.Contracts.Tests.Receipts;

/// <summary>P2 and P6 for batches: one signature convinces of each receipt in it, and of nothing else.</summary>
public sealed class ReceiptBatchTests : IDisposable
{
    private const int Seed = 20261122;

    private readonly SigningKey _node = SigningKey.Create();
    private readonly SigningKey _hub = SigningKey.Create();

    public void Dispose()
    {
        _node.Dispose();
        _hub.Dispose();
    }

    // From the description alone: agents that are out there sign exactly these bytes.
    [Fact]
    public void What_is_signed_is_the_number_and_the_root_as_RFC_6962_defines_it()
    {
        for (var count = 1; count <= ReceiptBatch.CountMax; count++)
        {
            var ids = Payloads(count).Select(SHA256.HashData).ToArray();
            var kept = ids.Select((_, index) => Encoding.UTF8.GetBytes($"signature {index}")).ToArray();
            Assert.Equal(Signed("cf1/receipt-batch\0", ids), ReceiptBatch.OfNode([.. ids.Select(id => id.ToImmutableArray())]).SigningBytes);
            Assert.Equal(
                Signed("cf1/receipt-batch-issued\0", [.. ids.Zip(kept, (id, signature) => (byte[])[.. id, .. signature])]),
                ReceiptBatch.OfHub([.. ids.Zip(kept, (id, signature) => (id.ToImmutableArray(), signature))]).SigningBytes);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(85)]
    [InlineData(ReceiptBatch.CountMax)]
    public void Every_receipt_of_a_batch_is_proved_at_its_place_and_at_no_other(int count)
    {
        var payloads = Payloads(count);
        var (byNode, byHub) = Sign(payloads);
        for (var index = 0; index < count; index++)
        {
            var signature = ReceiptSignature.Read(byNode[index]);
            Assert.Equal((index, count), (signature.Index, signature.Count));
            Assert.Equal(byNode[index], signature.ToBytes());
            Assert.True(signature.IsByNode(_node.PublicKey.Span, payloads[index]));
            Assert.True(ReceiptSignature.Read(byHub[index]).IsByHub(_hub.PublicKey.Span, payloads[index], byNode[index]));
            Assert.False(signature.IsByHub(_node.PublicKey.Span, payloads[index], byNode[index]));
            Assert.False(ReceiptSignature.Read(byHub[index]).IsByNode(_hub.PublicKey.Span, payloads[index]));
            if (count == 1) continue;
            var other = (index + 1) % count;
            Assert.False(signature.IsByNode(_node.PublicKey.Span, payloads[other]));
            Assert.False(ReceiptSignature.Read(byHub[index]).IsByHub(_hub.PublicKey.Span, payloads[index], byNode[other]));
        }
    }

    [Fact]
    public void No_bit_of_what_a_receipt_keeps_can_change()
    {
        var payloads = Payloads(11);
        var (byNode, byHub) = Sign(payloads);
        // The last one goes up without siblings, so that its path is another than the others'.
        foreach (var index in new[] { 0, 6, 10 })
        {
            for (var bit = 0; bit < byNode[index].Length * 8; bit++)
            {
                var changed = Flipped(byNode[index], bit);
                Assert.False(IsByNode(changed, payloads[index]));
                Assert.False(IsByHub(byHub[index], payloads[index], changed));
            }
            for (var bit = 0; bit < byHub[index].Length * 8; bit++) Assert.False(IsByHub(Flipped(byHub[index], bit), payloads[index], byNode[index]));
            for (var bit = 0; bit < payloads[index].Length * 8; bit++) Assert.False(IsByNode(byNode[index], Flipped(payloads[index], bit)));
        }
    }

    // P2: 10^5 with FEDERATION_TESTS_FULL=1.
    [Fact]
    public void No_mutation_of_a_batch_is_accepted()
    {
        var random = new Random(Seed);
        var mutations = Environment.GetEnvironmentVariable("FEDERATION_TESTS_FULL") == "1" ? 100_000 : 5_000;
        for (var batch = 0; batch < mutations / 500; batch++)
        {
            var payloads = Payloads(random.Next(1, ReceiptBatch.CountMax + 1));
            var (byNode, _) = Sign(payloads);
            for (var mutation = 0; mutation < 500; mutation++)
            {
                var index = random.Next(payloads.Length);
                var genuine = byNode[index];
                byte[] changed = random.Next(7) switch
                {
                    0 => Flipped(genuine, random.Next(genuine.Length * 8)),
                    1 => [.. genuine[..64], .. Place(random.Next(0, 200), random.Next(0, 200)), .. genuine[68..]],
                    2 => [.. genuine[..^random.Next(1, genuine.Length)]],
                    3 => [.. genuine, .. Noise(random, random.Next(1, 100))],
                    4 => [.. genuine[..68], .. Noise(random, genuine.Length - 68)],
                    5 => [.. Noise(random, 64), .. genuine[64..]],
                    _ => [.. byNode[random.Next(byNode.Length)]],
                };
                if (changed.AsSpan().SequenceEqual(genuine)) continue;
                Assert.False(IsByNode(changed, payloads[index]), $"seed {Seed}, batch {batch}, mutation {mutation}");
            }
        }
    }

    [Fact]
    public void A_batch_of_nothing_of_too_many_or_of_what_is_no_id_is_not_signed()
    {
        Assert.Throws<ArgumentException>(() => ReceiptBatch.OfNode([]));
        Assert.Throws<ArgumentException>(() => ReceiptBatch.OfNode([.. Enumerable.Repeat(Receipts.Hash(1), ReceiptBatch.CountMax + 1)]));
        Assert.Throws<ArgumentException>(() => ReceiptBatch.OfNode([[1, 2, 3]]));
        Assert.Throws<ArgumentException>(() => ReceiptBatch.OfHub([]));
        Assert.Throws<ArgumentException>(() => ReceiptBatch.OfHub([(Receipts.Hash(1), new byte[ReceiptSignature.BytesMax + 1])]));
    }

    private bool IsByNode(byte[] kept, byte[] payload) => IsRight(kept, signature => signature.IsByNode(_node.PublicKey.Span, payload));

    private bool IsByHub(byte[] kept, byte[] payload, byte[] byNode) => IsRight(kept, signature => signature.IsByHub(_hub.PublicKey.Span, payload, byNode));

    private static bool IsRight(byte[] kept, Func<ReceiptSignature, bool> isRight)
    {
        try
        {
            return isRight(ReceiptSignature.Read(kept));
        }
        catch (FormatException)
        {
            return false;
        }
    }

    private (ImmutableArray<byte[]> ByNode, ImmutableArray<byte[]> ByHub) Sign(byte[][] payloads)
    {
        ImmutableArray<byte>[] ids = [.. payloads.Select(payload => ReceiptCodec.IdOf(payload))];
        var batch = ReceiptBatch.OfNode(ids);
        var byNode = batch.Kept(_node.Sign(batch.SigningBytes));
        var issued = ReceiptBatch.OfHub([.. ids.Zip(byNode)]);
        return (byNode, issued.Kept(_hub.Sign(issued.SigningBytes)));
    }

    private static byte[][] Payloads(int count) => [.. Enumerable.Range(0, count).Select(number => Encoding.UTF8.GetBytes($"receipt {number} of {count}"))];

    private static byte[] Flipped(byte[] bytes, int bit)
    {
        var changed = bytes.ToArray();
        changed[bit / 8] ^= (byte)(1 << (bit % 8));
        return changed;
    }

    private static byte[] Place(int index, int count)
    {
        var place = new byte[4];
        BinaryPrimitives.WriteUInt16BigEndian(place, (ushort)index);
        BinaryPrimitives.WriteUInt16BigEndian(place.AsSpan(2), (ushort)count);
        return place;
    }

    private static byte[] Noise(Random random, int length)
    {
        var noise = new byte[length];
        random.NextBytes(noise);
        return noise;
    }

    private static byte[] Signed(string domain, byte[][] contents) => [.. Encoding.ASCII.GetBytes(domain), 0, 0, 0, (byte)contents.Length, .. ByTheText(contents)];

    // MTH of RFC 6962 §2.1, word for word.
    private static byte[] ByTheText(byte[][] inputs)
    {
        if (inputs.Length == 1) return SHA256.HashData([0, .. inputs[0]]);
        var k = 1;
        while (k * 2 < inputs.Length) k *= 2;
        return SHA256.HashData([1, .. ByTheText(inputs[..k]), .. ByTheText(inputs[k..])]);
    }
}
