using System.Collections.Immutable;
using Federation.Protocol.Challenges;

namespace Federation.Silo.Verification.Challenges;

/// <summary>
/// Whether a proof shows what was committed to: the roots' hash, the chain of seeds, the paths, and every opened cell computed again. Pure: anybody with the messages comes to
/// the same answer.
/// </summary>
internal static class ProofCheck
{
    /// <summary>What is wrong with a proof, in a sentence; null: nothing.</summary>
    /// <param name="start">The challenge.</param>
    /// <param name="nodePublicKey">The node's key.</param>
    /// <param name="final">What the node committed to.</param>
    /// <param name="cells">What it was asked to show.</param>
    /// <param name="proof">What it shows.</param>
    /// <param name="cancellationToken">Stops it within a fraction of a second.</param>
    public static string? WhyWrong(
        ChallengeStart start, ReadOnlySpan<byte> nodePublicKey, ReadOnlySpan<byte> final, ImmutableArray<ChallengeCell> cells, ChallengeProof proof, CancellationToken cancellationToken)
    {
        var parameters = start.Parameters;
        if (!SeedChain.Final(proof.Roots.AsSpan()).AsSpan().SequenceEqual(final)) return "The roots of the rounds are not those that were committed to.";
        var first = SeedChain.First(start, nodePublicKey);
        var keys = RoundKeys(first, proof.Roots.AsSpan());
        // Cheap before dear: all paths, then the arithmetic.
        for (var i = 0; i < cells.Length; i++)
        {
            var (cell, opening) = (cells[i], proof.Openings[i]);
            if (!LeafTree.Contains(RootOf(proof, cell.Round), parameters.LeavesPerRound, cell.Index / LeafTree.BlockLeaves, opening.Block.AsSpan(), opening.Path.AsSpan()))
            {
                return $"{Name(parameters, cell)} does not belong to the root of its round.";
            }
        }
        var fixedKey = SeedChain.StreamKey(SeedChain.Fixed(first));
        var expected = parameters.Kind == ChallengeKind.Matrix
            ? MatrixVerifier.Hashes(fixedKey, keys, parameters, cells, cancellationToken)
            : MemoryVerifier.Hashes(fixedKey, keys, parameters, cells, cancellationToken);
        for (var i = 0; i < cells.Length; i++)
        {
            if (proof.Openings[i].Block[cells[i].Index % LeafTree.BlockLeaves] != expected[i]) return $"{Name(parameters, cells[i])} was committed to with a wrong result.";
        }
        return null;
    }

    /// <summary>The keys of all rounds, each from the seed that the roots before it lead to.</summary>
    private static ulong[] RoundKeys(byte[] seed, ReadOnlySpan<byte> roots)
    {
        var keys = new ulong[roots.Length / SeedChain.HashBytes];
        for (var round = 0; round < keys.Length; round++)
        {
            keys[round] = SeedChain.StreamKey(seed);
            seed = SeedChain.Next(seed, roots.Slice(round * SeedChain.HashBytes, SeedChain.HashBytes));
        }
        return keys;
    }

    private static ReadOnlySpan<byte> RootOf(ChallengeProof proof, int round) => proof.Roots.AsSpan(round * SeedChain.HashBytes, SeedChain.HashBytes);

    private static string Name(ChallengeParameters parameters, ChallengeCell cell)
        => $"{(parameters.Kind == ChallengeKind.Matrix ? "Row" : "Segment")} {cell.Index} of round {cell.Round}";
}
