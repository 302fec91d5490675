using System.Collections.Immutable;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;

namespace Federation.Silo.Tests.Verification.Challenges;

/// <summary>A node that answers challenges the plain way, and may be told to lie.</summary>
internal sealed class TestNode(SigningKey key) : IDisposable
{
    public TestNode()
        : this(SigningKey.Create())
    {
    }

    public ReadOnlyMemory<byte> PublicKey => key.PublicKey;

    /// <summary>Computes all rounds.</summary>
    /// <param name="start">The challenge.</param>
    /// <param name="tamper">May change the hashes of a round before they are committed to.</param>
    /// <param name="seedOf">May change the seed of a round.</param>
    public TestWork Compute(ChallengeStart start, Action<int, ulong[]>? tamper = null, Func<int, byte[], byte[]>? seedOf = null)
    {
        var parameters = start.Parameters;
        var seed = SeedChain.First(start, PublicKey.Span);
        var shared = SeedChain.StreamKey(SeedChain.Fixed(seed));
        int[] all = [.. Enumerable.Range(0, parameters.LeavesPerRound)];
        var words = new ulong[parameters.Kind == ChallengeKind.Memory ? all.Length * ChallengeMemory.SegmentWords : 0];
        if (parameters.Kind == ChallengeKind.Memory) ChallengeMemory.Fill(shared, all, parameters.FillDepth, words);
        var rounds = new List<ulong[]>();
        var roots = new List<byte>();
        for (var round = 0; round < parameters.Rounds; round++)
        {
            if (seedOf is not null) seed = seedOf(round, seed);
            var key = SeedChain.StreamKey(seed);
            var hashes = new ulong[all.Length];
            if (parameters.Kind == ChallengeKind.Matrix) MatrixRows.Hash(shared, key, (int)parameters.Size, all, hashes, CancellationToken.None);
            else foreach (var segment in all) hashes[segment] = ChallengeMemory.Hash(words.AsSpan(segment * ChallengeMemory.SegmentWords, ChallengeMemory.SegmentWords), key);
            tamper?.Invoke(round, hashes);
            rounds.Add(hashes);
            var root = LeafTree.Root(hashes);
            roots.AddRange(root);
            seed = SeedChain.Next(seed, root);
        }
        return new TestWork(start, [.. rounds], [.. roots]);
    }

    public byte[] Commit(TestWork work) => Sign(ChallengeMessage.Commit, ChallengeCodec.Encode(work.Commit));

    public byte[] Prove(TestWork work, ImmutableArray<ChallengeCell> cells) => Sign(ChallengeMessage.Proof, ChallengeCodec.Encode(work.Prove(cells)));

    public byte[] Sign(ChallengeMessage kind, byte[] payload) => ChallengeCodec.Sign(payload, kind, bytes => key.Sign(bytes));

    public void Dispose() => key.Dispose();
}

/// <summary>A node's results of one challenge.</summary>
internal sealed record TestWork(ChallengeStart Start, ImmutableArray<ulong[]> Rounds, ImmutableArray<byte> Roots)
{
    public ChallengeCommit Commit => new() { Id = Start.Id, Final = [.. SeedChain.Final(Roots.AsSpan())], ElapsedMs = 1 };

    public ChallengeProof Prove(ImmutableArray<ChallengeCell> cells) => new() { Id = Start.Id, Roots = Roots, Openings = [.. cells.Select(Show)] };

    private ChallengeOpening Show(ChallengeCell cell)
    {
        var block = cell.Index / LeafTree.BlockLeaves;
        var leaves = Rounds[cell.Round];
        return new ChallengeOpening([.. leaves.AsSpan(block * LeafTree.BlockLeaves, LeafTree.BlockLength(leaves.Length, block))], [.. LeafTree.Path(leaves, block)]);
    }
}
