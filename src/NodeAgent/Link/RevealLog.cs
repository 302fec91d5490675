using Federation.Protocol.V1;
using Federation.Protocol.Verification;
using Google.Protobuf;

namespace Federation.NodeAgent.Link;

/// <summary>
/// What this node committed to about its latest answers, token by token, should the hub want to see some of it. In memory alone, bounded in bytes; whatever is older than
/// <paramref name="keepFor"/> is forgotten. Safe for use by several threads.
/// </summary>
/// <param name="bytesMax">Memory for all answers; the oldest go first.</param>
/// <param name="keepFor">An epoch and the time its audits take: two hours at least.</param>
/// <param name="time">For their age.</param>
internal sealed class RevealLog(long bytesMax, TimeSpan keepFor, TimeProvider time)
{
    /// <summary>Tokens shown in one reveal at most, whatever the hub asks for.</summary>
    public const int PositionsMax = 1024;

    private const int OverheadBytes = 32;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Answer> _answers = new(StringComparer.Ordinal);
    private readonly Queue<Answer> _byAge = [];

    /// <summary>Memory in use, bytes.</summary>
    public long Bytes { get; private set; }

    /// <summary>Keeps an answer's tokens and gives the root that binds the node to them; empty for an answer that is too large to be kept, for which nothing must be promised.</summary>
    public byte[] Commit(string leaseId, IReadOnlyList<CommittedToken> tokens)
    {
        if (tokens.Count is 0 or > LogprobCommitment.TokensMax) return [];
        byte[][] encoded = [.. tokens.Select(LogprobCommitment.Encode)];
        var answer = new Answer(leaseId, encoded, encoded.Sum(token => (long)token.Length + OverheadBytes), time.GetTimestamp());
        if (answer.Bytes > bytesMax) return [];
        lock (_gate)
        {
            if (!_answers.TryAdd(leaseId, answer)) return [];
            _byAge.Enqueue(answer);
            Bytes += answer.Bytes;
            while (Bytes > bytesMax || time.GetElapsedTime(_byAge.Peek().KeptAt) > keepFor)
            {
                var oldest = _byAge.Dequeue();
                _answers.Remove(oldest.LeaseId);
                Bytes -= oldest.Bytes;
            }
        }
        return LogprobCommitment.Root(encoded);
    }

    /// <summary>The node's answer to a question; with nothing in it when the answer is forgotten, or was never given.</summary>
    public AuditReveal Reveal(AuditRequest request)
    {
        Answer? answer;
        lock (_gate) _answers.TryGetValue(request.LeaseId, out answer);
        var reveal = new AuditReveal { LeaseId = request.LeaseId };
        if (answer is null) return reveal;
        reveal.Count = (uint)answer.Tokens.Length;
        int[] positions = [.. request.Positions.Where(position => position < answer.Tokens.Length).Distinct().Take(PositionsMax).Select(position => (int)position)];
        foreach (var (position, path) in positions.Zip(LogprobCommitment.Prove(answer.Tokens, positions)))
            reveal.Tokens.Add(new RevealedToken { Position = (uint)position, Content = ByteString.CopyFrom(answer.Tokens[position]), Path = ByteString.CopyFrom(path) });
        return reveal;
    }

    private sealed record Answer(string LeaseId, byte[][] Tokens, long Bytes, long KeptAt);
}
