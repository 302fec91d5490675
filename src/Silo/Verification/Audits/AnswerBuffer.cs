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
    // Outcome, hashes, and its places in the buffer.
    private const int OverheadBytes = 800;
    private const int PieceOverheadBytes = 64;

    /// <summary>Memory it holds, bytes.</summary>
    public long Bytes { get; } = OverheadBytes + Request.Length + Answer.Sum(piece => (long)piece.Length + PieceOverheadBytes);
}

/// <summary>
/// Keeps answers until the beacon has said which are audited: in this process's memory alone, bounded, forgotten after a while. Of more than memory holds a sample stays, each answer as likely as any other of the time they are kept
/// for, so that no part of a busy hour is safe from audits, and what is not in it need not be kept while it comes. What is not here cannot be audited; its receipts then earn no evidence and wait for others that do.
/// </summary>
/// <remarks>Each answer draws a lot; where memory is short the highest go. Safe for use by several threads.</remarks>
internal sealed class AnswerBuffer(IOptions<AuditOptions> options, Random random, TimeProvider time)
{
    /// <summary>The lot of what must stay: below all that are drawn.</summary>
    private const double Foremost = -1;

    private readonly Lock _gate = new();
    private readonly Shelf _texts = new(static options => options.BufferBytes);
    // Vectors are a hundred times as many bytes for as much work: they would leave texts no room.
    private readonly Shelf _vectors = new(static options => options.VectorBufferBytes);
    private readonly Dictionary<string, LinkedListNode<Place>> _byJob = new(StringComparer.Ordinal);
    private long _places;

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

    /// <summary>Draws the lot of an answer that begins.</summary>
    /// <param name="kind">What was asked.</param>
    /// <param name="requestBytes">How long the request is.</param>
    /// <param name="lot">From 0 to below 1, for <see cref="Keep(KeptAnswer, double)"/>.</param>
    /// <returns><see langword="false"/> when the answer would not stay: nobody need hold it.</returns>
    public bool TryDraw(JobKind kind, long requestBytes, out double lot)
    {
        lot = 1;
        if (!Fits(requestBytes)) return false;
        lot = random.NextDouble();
        lock (_gate)
        {
            var shelf = ShelfOf(kind);
            Shorten(shelf);
            return shelf.Bytes + requestBytes <= shelf.BytesMax(options.Value) || (shelf.ByLot.Max is { } last && lot < last.Value.Lot);
        }
    }

    /// <summary>Keeps an answer, as <see cref="Fits"/> allows, while its lot is low enough.</summary>
    public void Keep(KeptAnswer answer, double lot) => Keep(answer.Outcome.JobId, answer, lot);

    /// <summary>Keeps a canary's answer in the place of a job's, longer than any other.</summary>
    public void Keep(string jobId, KeptAnswer answer) => Keep(jobId, answer, Foremost);

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
            foreach (var (jobId, answer, _, _, _) in _texts.ByAge.Concat(_vectors.ByAge))
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

    private void Keep(string jobId, KeptAnswer answer, double lot)
    {
        if (!Fits(answer.Bytes)) return;
        lock (_gate)
        {
            Remove(jobId);
            var shelf = ShelfOf(answer.Outcome.Kind);
            _byJob[jobId] = shelf.Add(new Place(jobId, answer, lot, _places++, time.GetTimestamp()));
            Shorten(_texts);
            Shorten(_vectors);
        }
    }

    private void Remove(string jobId)
    {
        if (_byJob.Remove(jobId, out var node)) ShelfOf(node.Value.Answer.Outcome.Kind).Remove(node);
    }

    private void Shorten(Shelf shelf)
    {
        while (shelf.ByAge.First is { } oldest && time.GetElapsedTime(oldest.Value.KeptAt) > options.Value.KeepFor) Remove(oldest.Value.JobId);
        while (shelf.Bytes > shelf.BytesMax(options.Value)) Remove(shelf.ByLot.Max!.Value.JobId);
    }

    private Shelf ShelfOf(JobKind kind) => kind is JobKind.Embedding ? _vectors : _texts;

    /// <param name="JobId">Whose place it is.</param>
    /// <param name="Answer">The job's, or a canary's.</param>
    /// <param name="Lot">The highest go first.</param>
    /// <param name="Number">Of two equal lots the later place goes first.</param>
    /// <param name="KeptAt">Timestamp of this silo's clock.</param>
    private readonly record struct Place(string JobId, KeptAnswer Answer, double Lot, long Number, long KeptAt);

    private sealed class Shelf(Func<AuditOptions, long> bytesMax)
    {
        private static readonly Comparer<LinkedListNode<Place>> Order = Comparer<LinkedListNode<Place>>.Create(static (one, other) => (one.Value.Lot, one.Value.Number).CompareTo((other.Value.Lot, other.Value.Number)));

        public LinkedList<Place> ByAge { get; } = [];

        public SortedSet<LinkedListNode<Place>> ByLot { get; } = new(Order);

        public long Bytes { get; private set; }

        public long BytesMax(AuditOptions options) => bytesMax(options);

        public LinkedListNode<Place> Add(Place place)
        {
            var node = ByAge.AddLast(place);
            ByLot.Add(node);
            Bytes += place.Answer.Bytes;
            return node;
        }

        public void Remove(LinkedListNode<Place> node)
        {
            ByLot.Remove(node);
            ByAge.Remove(node);
            Bytes -= node.Value.Answer.Bytes;
        }
    }
}
