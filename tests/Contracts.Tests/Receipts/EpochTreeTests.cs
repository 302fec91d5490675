using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.Protocol.Receipts;

namespace Federation.Contracts.Tests.Receipts;

public sealed class EpochTreeTests
{
    [Fact]
    public void The_root_is_that_of_RFC_6962_as_its_text_defines_it()
    {
        for (var count = 0; count <= 70; count++) Assert.Equal(ByTheText(Leaves(count).Select(Encode).ToArray()), EpochTree.Root(Leaves(count)));
    }

    [Fact]
    public void Every_leaf_is_proved_by_its_path_and_by_no_other()
    {
        for (var count = 1; count <= 33; count++)
        {
            var leaves = Leaves(count);
            var root = EpochTree.Root(leaves);
            for (var index = 0; index < count; index++)
            {
                var path = EpochTree.Path(leaves, index);
                Assert.True(EpochTree.Contains(root, count, index, leaves[index], path));
                Assert.False(EpochTree.Contains(root, count, index, leaves[index] with { RateMillionths = leaves[index].RateMillionths + 1 }, path));
                Assert.False(EpochTree.Contains(root, count, (index + 1) % count, leaves[index], path) && count > 1);
                Assert.False(EpochTree.Contains(root, count, index, leaves[index], path.Add(new byte[32])));
                if (!path.IsEmpty) Assert.False(EpochTree.Contains(root, count, index, leaves[index], path[..^1]));
                for (var step = 0; step < path.Length; step++)
                {
                    var bent = path.SetItem(step, [.. path[step].Select((value, at) => at == 5 ? (byte)(value ^ 1) : value)]);
                    Assert.False(EpochTree.Contains(root, count, index, leaves[index], bent));
                    Assert.False(EpochTree.Contains(root, count, index, leaves[index], path.SetItem(step, path[step][..^1])));
                }
            }
        }
    }

    [Fact]
    public void A_node_is_never_taken_for_a_leaf()
    {
        var leaves = Leaves(4);
        var root = EpochTree.Root(leaves);
        Assert.False(EpochTree.Contains(root, 2, 0, new EpochLeaf([.. EpochTree.Path(leaves, 2)[1]], 0), [EpochTree.Path(leaves, 0)[1]]));
        Assert.False(EpochTree.Contains(root, 4, -1, leaves[0], EpochTree.Path(leaves, 0)));
        Assert.False(EpochTree.Contains(root, 4, 0, default, EpochTree.Path(leaves, 0)));
    }

    [Fact]
    public void Order_and_uniqueness_are_not_left_to_the_caller()
    {
        var leaves = Leaves(3);
        Assert.Throws<ArgumentException>(() => EpochTree.Root([leaves[1], leaves[0]]));
        Assert.Throws<ArgumentException>(() => EpochTree.Root([leaves[0], leaves[0]]));
        Assert.Throws<ArgumentException>(() => EpochTree.Root([new EpochLeaf([1, 2], 0)]));
    }

    private static ImmutableArray<EpochLeaf> Leaves(int count) =>
        [.. Enumerable.Range(0, count).Select(i => SHA256.HashData(BitConverter.GetBytes(i))).OrderBy(Convert.ToHexStringLower, StringComparer.Ordinal).Select((id, i) => new EpochLeaf([.. id], i * 1_000))];

    private static byte[] Encode(EpochLeaf leaf)
    {
        var rate = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(rate, leaf.RateMillionths);
        return [.. leaf.Id, .. rate];
    }

    // MTH of RFC 6962 §2.1, word for word.
    private static byte[] ByTheText(byte[][] inputs)
    {
        if (inputs.Length == 0) return SHA256.HashData([]);
        if (inputs.Length == 1) return SHA256.HashData([0, .. inputs[0]]);
        var k = 1;
        while (k * 2 < inputs.Length) k *= 2;
        return SHA256.HashData([1, .. ByTheText(inputs[..k]), .. ByTheText(inputs[k..])]);
    }
}
