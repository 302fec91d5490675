using System.Collections.Frozen;

namespace Federation.NodeAgent.Engines.Builtin.Text;

/// <summary>Byte-pair encoding: of all neighbours in a word that have a merge, the best-ranked is merged first, until none is left.</summary>
/// <param name="merges">For a pair of tokens: its rank, lower is sooner, and the token it becomes.</param>
internal sealed class BytePairs(FrozenDictionary<(int Left, int Right), (int Rank, int Token)> merges)
{
    /// <summary>Merges the word's tokens in place; gives how many are left. Time grows with n log n, so a word may be any length.</summary>
    public int Merge(Span<int> tokens)
    {
        if (merges.Count == 0 || tokens.Length < 2)
        {
            return tokens.Length;
        }

        // Merged-away tokens are skipped through links; a candidate is stale when one of its two has changed since.
        var next = new int[tokens.Length];
        var previous = new int[tokens.Length];
        var candidates = new PriorityQueue<Candidate, (int Rank, int Position)>();
        for (var i = 0; i < tokens.Length; i++)
        {
            (previous[i], next[i]) = (i - 1, i + 1);
        }

        for (var i = 0; i + 1 < tokens.Length; i++)
        {
            Consider(candidates, tokens, i, i + 1);
        }

        while (candidates.TryDequeue(out var candidate, out _))
        {
            var (left, right) = (candidate.Left, candidate.Right);
            if (tokens[left] != candidate.LeftToken || tokens[right] != candidate.RightToken || next[left] != right)
            {
                continue;
            }

            tokens[left] = merges[(candidate.LeftToken, candidate.RightToken)].Token;
            tokens[right] = -1;
            next[left] = next[right];
            if (next[left] < tokens.Length)
            {
                previous[next[left]] = left;
                Consider(candidates, tokens, left, next[left]);
            }

            if (previous[left] >= 0)
            {
                Consider(candidates, tokens, previous[left], left);
            }
        }

        var count = 0;
        for (var i = 0; i < tokens.Length; i = next[i])
        {
            tokens[count++] = tokens[i];
        }

        return count;
    }

    private void Consider(PriorityQueue<Candidate, (int Rank, int Position)> candidates, Span<int> tokens, int left, int right)
    {
        if (merges.TryGetValue((tokens[left], tokens[right]), out var merge))
        {
            candidates.Enqueue(new Candidate(left, right, tokens[left], tokens[right]), (merge.Rank, left));
        }
    }

    private readonly record struct Candidate(int Left, int Right, int LeftToken, int RightToken);
}
