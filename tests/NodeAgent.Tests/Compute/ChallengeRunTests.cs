using System.Collections.Immutable;
using Federation.NodeAgent.Compute;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Tests.Configuration;
using Federation.NodeAgent.Tests.Engines;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;

namespace Federation.NodeAgent.Tests.Compute;

public sealed class ChallengeRunTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly SigningKey _hubKey = SigningKey.Create();
    private readonly NodeKey _key;
    private readonly ComputeTeam _team = new(threads: 2);
    private readonly CpuChallengeDevice _device;
    private readonly ManualTime _time = new();

    public ChallengeRunTests()
    {
        _key = NodeKey.LoadOrCreate(Path.Combine(_directory.Path, "node.key"));
        _device = new CpuChallengeDevice(_team, maxMemoryBytes: 64 << 20);
    }

    public static TheoryData<ChallengeKind> Kinds => [ChallengeKind.Matrix, ChallengeKind.Memory];

    public void Dispose()
    {
        _team.Dispose();
        _key.Dispose();
        _hubKey.Dispose();
        _directory.Dispose();
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_challenge_is_committed_to_and_every_cell_of_it_can_be_shown(ChallengeKind kind)
    {
        var parameters = kind == ChallengeKind.Matrix ? ChallengeParameters.Matrix(128, 3) : ChallengeParameters.Memory(37 * ChallengeMemory.SegmentBytes, 3, 2);
        var start = StartOf(parameters);
        using var run = Begin(start);
        Assert.Equal(0, run.RoundsDone);

        var message = run.Commit(CancellationToken.None);
        Assert.True(ChallengeCodec.IsSignedBy(_key.PublicKey.Span, ChallengeMessage.Commit, message));
        var commit = ChallengeCodec.DecodeCommit(message);
        Assert.Equal((start.Id, 3), (commit.Id, run.RoundsDone));

        var cells = Enumerable.Range(0, 3).SelectMany(round => Enumerable.Range(0, parameters.LeavesPerRound / 3).Select(i => new ChallengeCell(round, i * 3))).ToImmutableArray();
        var proofMessage = run.Prove(Open(start, cells));
        Assert.True(ChallengeCodec.IsSignedBy(_key.PublicKey.Span, ChallengeMessage.Proof, proofMessage));
        var proof = ChallengeCodec.DecodeProof(proofMessage, parameters, cells);

        Assert.Equal(commit.Final.AsEnumerable(), SeedChain.Final(proof.Roots.AsSpan()));
        var expected = Expected(start);
        for (var i = 0; i < cells.Length; i++)
        {
            var (cell, opening) = (cells[i], proof.Openings[i]);
            var root = proof.Roots.AsSpan(cell.Round * SeedChain.HashBytes, SeedChain.HashBytes);
            Assert.True(LeafTree.Contains(root, parameters.LeavesPerRound, cell.Index / LeafTree.BlockLeaves, opening.Block.AsSpan(), opening.Path.AsSpan()));
            Assert.Equal(expected[cell.Round][cell.Index], opening.Block[cell.Index % LeafTree.BlockLeaves]);
        }
    }

    [Fact]
    public void What_the_hub_did_not_sign_is_not_computed()
    {
        var start = StartOf(ChallengeParameters.Matrix(64, 1));
        using var other = SigningKey.Create();
        Assert.Contains("not signed", Refusal(ChallengeCodec.Sign(ChallengeCodec.Encode(start), ChallengeMessage.Start, bytes => other.Sign(bytes))), StringComparison.Ordinal);
        Assert.Contains("not signed", Refusal(new byte[10]), StringComparison.Ordinal);
        Assert.Contains("Not a start", Refusal(ChallengeCodec.Sign([1, 2, 3], ChallengeMessage.Start, bytes => _hubKey.Sign(bytes))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_challenge_for_another_node_or_of_another_hub_is_not_computed()
    {
        var start = StartOf(ChallengeParameters.Matrix(64, 1));
        Assert.Contains("for node", Refusal(Sign(start with { Node = NodeId.FromPublicKey(_hubKey.PublicKey.Span) })), StringComparison.Ordinal);
        Assert.Contains("of hub", Refusal(Sign(start with { Hub = HubId.FromPublicKey(_key.PublicKey.Span) })), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ChallengeRun.DeadlineMsMax + 1)]
    [InlineData(long.MaxValue)]
    public void A_challenge_without_a_sensible_end_is_not_computed(long deadlineMs)
        => Assert.Equal($"A challenge may take 900000 ms, not {deadlineMs}.", Refusal(Sign(StartOf(ChallengeParameters.Matrix(64, 1)) with { DeadlineMs = deadlineMs })));

    [Fact]
    public void The_hashes_that_are_kept_count_as_memory()
        => Assert.Equal("It takes 65 MiB of memory; 64 MiB may be used.", Refusal(Sign(StartOf(ChallengeParameters.Memory(64 << 20, 128, 1)))));

    [Fact]
    public void More_memory_than_may_be_used_is_refused_before_anything_is_taken()
    {
        Assert.Contains("64 MiB may be used", Refusal(Sign(StartOf(ChallengeParameters.Memory(1L << 30, 1, 1)))), StringComparison.Ordinal);
        Assert.Contains("64 MiB may be used", Refusal(Sign(StartOf(ChallengeParameters.Matrix(8_192, 1)))), StringComparison.Ordinal);
    }

    [Fact]
    public void The_steps_come_in_their_order_and_once()
    {
        var start = StartOf(ChallengeParameters.Matrix(64, 2));
        using var run = Begin(start);
        var open = Open(start, [new ChallengeCell(1, 63)]);
        Assert.Throws<ChallengeException>(() => run.Prove(open));
        run.Commit(CancellationToken.None);
        Assert.Throws<ChallengeException>(() => run.Commit(CancellationToken.None));
        Assert.NotEmpty(run.Prove(open));
        Assert.Throws<ChallengeException>(() => run.Prove(open));
    }

    [Fact]
    public void An_opening_that_is_not_the_hubs_or_not_this_challenges_shows_nothing()
    {
        var start = StartOf(ChallengeParameters.Matrix(64, 2));
        using var run = Begin(start);
        run.Commit(CancellationToken.None);
        var open = new ChallengeOpen { Id = start.Id, Cells = [new ChallengeCell(0, 0)] };

        Assert.Throws<ChallengeException>(() => run.Prove(ChallengeCodec.Sign(ChallengeCodec.Encode(open), ChallengeMessage.Open, bytes => _key.Sign(bytes))));
        Assert.Throws<ChallengeException>(() => run.Prove(Open(start with { Id = new ChallengeId(1) }, open.Cells)));
        Assert.Throws<ChallengeException>(() => run.Prove(Open(start, [new ChallengeCell(2, 0)])));
        Assert.NotEmpty(run.Prove(Open(start, open.Cells))); // the right one still can come
    }

    [Fact]
    public void Cancellation_stops_the_rounds()
    {
        var device = new CancellingDevice(_device, afterRounds: 5);
        var start = StartOf(ChallengeParameters.Matrix(64, 1_000));
        using var run = ChallengeRun.Begin(start, _hubKey.PublicKey, _key, device, _team, _time);
        Assert.ThrowsAny<OperationCanceledException>(() => run.Commit(device.Token));
        Assert.Equal(5, run.RoundsDone);
    }

    [Fact]
    public void The_deadline_stops_the_rounds()
    {
        var device = new CancellingDevice(_device, afterRounds: 5, () => _time.Advance(TimeSpan.FromMinutes(1)));
        var start = StartOf(ChallengeParameters.Matrix(64, 1_000));
        using var run = ChallengeRun.Begin(start, _hubKey.PublicKey, _key, device, _team, _time);
        Assert.Contains("too slow", Assert.Throws<ChallengeException>(() => run.Commit(CancellationToken.None)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_thread_that_fails_is_reported_and_the_team_goes_on()
    {
        Assert.Throws<InvalidOperationException>(() => _team.ForEach(100, i => throw new InvalidDataException($"{i}"), CancellationToken.None));
        var sum = 0;
        _team.ForEach(100, i => Interlocked.Add(ref sum, i), CancellationToken.None);
        Assert.Equal(4_950, sum);
    }

    private ChallengeRun Begin(ChallengeStart start) => Begin(Sign(start), start.Hub);

    private ChallengeRun Begin(byte[] message, HubId hub) => ChallengeRun.Begin(ChallengeRun.Read(message, hub, _hubKey.PublicKey, _key), _hubKey.PublicKey, _key, _device, _team, _time);

    private string Refusal(byte[] message) => Assert.Throws<ChallengeException>(() => Begin(message, HubId.FromPublicKey(_hubKey.PublicKey.Span))).Message;

    private ChallengeStart StartOf(ChallengeParameters parameters) => new()
    {
        Id = new ChallengeId(77),
        Parameters = parameters,
        Hub = HubId.FromPublicKey(_hubKey.PublicKey.Span),
        Node = NodeId.Parse(_key.NodeId),
        Slot = 5,
        Epoch = 6,
        Beacon = [.. Enumerable.Repeat((byte)7, 32)],
        Nonce = [.. Enumerable.Repeat((byte)8, 32)],
        DeadlineMs = 10_000,
    };

    private byte[] Sign(ChallengeStart start) => ChallengeCodec.Sign(ChallengeCodec.Encode(start), ChallengeMessage.Start, bytes => _hubKey.Sign(bytes));

    private byte[] Open(ChallengeStart start, ImmutableArray<ChallengeCell> cells)
        => ChallengeCodec.Sign(ChallengeCodec.Encode(new ChallengeOpen { Id = start.Id, Cells = cells }), ChallengeMessage.Open, bytes => _hubKey.Sign(bytes));

    /// <summary>The hashes of all rounds, computed the plain way.</summary>
    private ulong[][] Expected(ChallengeStart start)
    {
        var seed = SeedChain.First(start, _key.PublicKey.Span);
        var all = SeedChain.StreamKey(SeedChain.Fixed(seed));
        var rounds = new List<ulong[]>();
        for (var round = 0; round < start.Parameters.Rounds; round++)
        {
            var key = SeedChain.StreamKey(seed);
            var hashes = start.Parameters.Kind == ChallengeKind.Matrix ? MatrixRound(all, key, start.Parameters.LeavesPerRound) : MemoryRound(all, key, start.Parameters);
            rounds.Add(hashes);
            seed = SeedChain.Next(seed, LeafTree.Root(hashes));
        }
        return [.. rounds];
    }

    private static ulong[] MatrixRound(ulong first, ulong second, int size)
    {
        var (a, b) = (new sbyte[size], new sbyte[size]);
        var hashes = new ulong[size];
        for (var i = 0; i < size; i++)
        {
            ChallengeMatrix.FillRow(first, i, a);
            var products = new int[size];
            for (var k = 0; k < size; k++)
            {
                ChallengeMatrix.FillRow(second, k, b);
                for (var j = 0; j < size; j++) products[j] += a[k] * b[j];
            }
            hashes[i] = ChallengeMatrix.RowHash(products);
        }
        return hashes;
    }

    private static ulong[] MemoryRound(ulong buffer, ulong key, ChallengeParameters parameters)
    {
        var words = new ulong[ChallengeMemory.SegmentWords];
        return [.. Enumerable.Range(0, parameters.LeavesPerRound).Select(segment =>
        {
            var word = ChallengeMemory.SegmentKey(buffer, segment);
            for (var i = 0; i < words.Length; i++)
            {
                for (var step = 0; step < parameters.FillDepth; step++) word = SplitMix64.Mix(word);
                words[i] = word;
            }
            return words.Select((value, i) => SplitMix64.Mix(value ^ key ^ (ulong)i)).Aggregate(0UL, (sum, hash) => unchecked(sum + hash));
        })];
    }

    /// <summary>Something happens after so many rounds; by default, cancellation.</summary>
    private sealed class CancellingDevice : IChallengeDevice, IChallengeProver
    {
        private readonly IChallengeDevice _device;
        private readonly Action _happens;
        private readonly CancellationTokenSource _source = new();
        private int _roundsLeft;
        private IChallengeProver? _prover;

        public CancellingDevice(IChallengeDevice device, int afterRounds, Action? happens = null)
            => (_device, _roundsLeft, _happens) = (device, afterRounds, happens ?? _source.Cancel);

        public CancellationToken Token => _source.Token;

        public string Name => _device.Name;

        public string? WhyNot(ChallengeParameters parameters) => _device.WhyNot(parameters);

        public IChallengeProver Open(ChallengeParameters parameters)
        {
            _prover = _device.Open(parameters);
            return this;
        }

        public void Prepare(ulong key, CancellationToken cancellationToken) => _prover!.Prepare(key, cancellationToken);

        public void Round(ulong key, ulong[] leaves, CancellationToken cancellationToken)
        {
            if (_roundsLeft-- == 0) _happens();
            _prover!.Round(key, leaves, cancellationToken);
        }

        public void Dispose()
        {
            _prover?.Dispose();
            _source.Dispose();
        }
    }
}
