using System.Collections.Immutable;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>A request and its answer, as they went over the wire.</summary>
/// <param name="Outcome">The job.</param>
/// <param name="Engine">The engine of the node that answered.</param>
/// <param name="Request">The OpenAI body.</param>
/// <param name="Answer">The engine's bytes, in the pieces in which they came.</param>
internal sealed record KeptAnswer(JobOutcome Outcome, string Engine, ReadOnlyMemory<byte> Request, ImmutableArray<ReadOnlyMemory<byte>> Answer)
{
    private const int OverheadBytes = 512;
    private const int PieceOverheadBytes = 64;

    /// <summary>Memory it holds, bytes.</summary>
    public long Bytes { get; } = OverheadBytes + Request.Length + Answer.Sum(piece => (long)piece.Length + PieceOverheadBytes);
}

/// <summary>
/// Keeps answers until the beacon has said which are audited: in this process's memory alone, bounded, forgotten after a while. What a
/// restart or a flood pushes out cannot be audited; its receipts then earn no evidence and wait for others that do.
/// </summary>
/// <remarks>Safe for use by several threads.</remarks>
internal sealed class AnswerBuffer(IOptions<AuditOptions> options, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly Shelf _texts = new();
    // Vectors are a hundred times as many bytes for as much work: they would leave texts no room.
    private readonly Shelf _vectors = new();
    private readonly Dictionary<string, LinkedListNode<(string JobId, KeptAnswer Answer, long KeptAt)>> _byJob = new(StringComparer.Ordinal);

    /// <summary>Memory in use, bytes.</summary>
    public long Bytes
    {
        get
        {
            lock (_gate) return _texts.Bytes + _vectors.Bytes;
        }
    }

    /// <summary>Whether an answer that has grown to so many bytes may be kept; never, where nothing is audited.</summary>
    public bool Fits(long bytes) => options.Value.Enabled && bytes <= options.Value.MaxAnswerBytes;

    /// <summary>Keeps an answer, as <see cref="Fits"/> allows.</summary>
    public void Keep(KeptAnswer answer) => Keep(answer.Outcome.JobId, answer);

    /// <summary>Keeps a canary's answer in the place of a job's.</summary>
    public void Keep(string jobId, KeptAnswer answer)
    {
        if (!Fits(answer.Bytes)) return;
        lock (_gate)
        {
            Remove(jobId);
            var shelf = ShelfOf(answer);
            _byJob[jobId] = shelf.ByAge.AddLast((jobId, answer, time.GetTimestamp()));
            shelf.Bytes += answer.Bytes;
            Shorten(_texts, options.Value.BufferBytes);
            Shorten(_vectors, options.Value.VectorBufferBytes);
        }
    }

    /// <summary>The answer to audit for a job, its own or a canary's; <see langword="null"/> when it is not here.</summary>
    public KeptAnswer? Find(string jobId)
    {
        lock (_gate) return _byJob.TryGetValue(jobId, out var node) ? node.Value.Answer : null;
    }

    /// <summary>Some of the clients' answers that are here, by account: of each as many at most, however much it asked, and of so many accounts at most. Nobody sets by number what is drawn.</summary>
    public ImmutableArray<KeptAnswer> Draw(Func<KeptAnswer, bool> fits, int ofEach, int accountsMax, Random random)
    {
        var drawn = new Dictionary<string, (List<KeptAnswer> Answers, int Seen)>(StringComparer.Ordinal);
        lock (_gate)
        {
            foreach (var (jobId, answer, _) in _texts.ByAge.Concat(_vectors.ByAge))
            {
                // What is kept in another's place is a canary.
                if (jobId != answer.Outcome.JobId || !fits(answer)) continue;
                var account = answer.Outcome.AccountId;
                var (answers, seen) = drawn.TryGetValue(account, out var known) ? known : ([], 0);
                if (seen < ofEach) answers.Add(answer);
                else if (random.Next(seen + 1) is var place && place < ofEach) answers[place] = answer;
                drawn[account] = (answers, seen + 1);
            }
        }
        var accounts = drawn.Values.ToArray();
        random.Shuffle(accounts);
        return [.. accounts.Take(accountsMax).SelectMany(account => account.Answers)];
    }

    /// <summary>Its audit is over, or there will be none.</summary>
    public void Forget(string jobId)
    {
        lock (_gate) Remove(jobId);
    }

    private void Remove(string jobId)
    {
        if (!_byJob.Remove(jobId, out var node)) return;
        var shelf = ShelfOf(node.Value.Answer);
        shelf.ByAge.Remove(node);
        shelf.Bytes -= node.Value.Answer.Bytes;
    }

    private void Shorten(Shelf shelf, long bytesMax)
    {
        while (shelf.ByAge.First is { } oldest && (shelf.Bytes > bytesMax || time.GetElapsedTime(oldest.Value.KeptAt) > options.Value.KeepFor)) Remove(oldest.Value.JobId);
    }

    private Shelf ShelfOf(KeptAnswer answer) => answer.Outcome.Kind is JobKind.Embedding ? _vectors : _texts;

    private sealed class Shelf
    {
        public LinkedList<(string JobId, KeptAnswer Answer, long KeptAt)> ByAge { get; } = [];

        public long Bytes { get; set; }
    }
}
