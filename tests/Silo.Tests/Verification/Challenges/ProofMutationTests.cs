using System.Collections.Immutable;
using Federation.Protocol.Challenges;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Challenges;

namespace Federation.Silo.Tests.Verification.Challenges;

/// <summary>P2 and P3 of the verification protocol: what is wrong is not accepted, and what is skipped is found as often as it should be.</summary>
public sealed class ProofMutationTests : IDisposable
{
    private static readonly ChallengeParameters Small = ChallengeParameters.Matrix(64, 5);

    private readonly TestNode _node = new();
    private readonly TestChallenges _hub;

    public ProofMutationTests() => _hub = new TestChallenges(new TestClock());

    public void Dispose()
    {
        _node.Dispose();
        _hub.Dispose();
    }

    public static TheoryData<string> Mutations => ["entry", "leaf", "path", "seed", "rounds", "rounds, committed to", "root", "root, committed to", "final", "signed commitment", "signed proof"];

    /// <summary>Each kind of lie once a time, in a cell that is opened; what is not opened is the draw's matter, below.</summary>
    [Theory]
    [MemberData(nameof(Mutations))]
    public void No_single_mutation_is_accepted(string what)
    {
        var random = new Random(2);
        var (start, work) = (Issue().Start, default(TestWork));
        for (var i = 0; i < Counts.Of(full: 10_000, quick: 200); i++)
        {
            // Another challenge now and then.
            if (i % 50 == 0) (start, work) = (Issue().Start, null);
            var sentence = WhyWrong(what, start, work ??= _node.Compute(start), random);
            Assert.False(string.IsNullOrEmpty(sentence), $"{what}, the {i}th");
        }
    }

    [Fact]
    public void The_same_without_a_mutation_is_accepted()
    {
        var start = Issue().Start;
        var work = _node.Compute(start);
        ImmutableArray<ChallengeCell> all = [.. Enumerable.Range(0, Small.Rounds).SelectMany(round => Enumerable.Range(0, 64).Select(index => new ChallengeCell(round, index)))];
        Assert.Null(Why(start, work.Commit, all, work.Prove(all)));
    }

    [Theory]
    [InlineData(0.05)]
    [InlineData(0.125)]
    [InlineData(0.2)]
    [InlineData(0.5)]
    public void Skipping_a_share_of_the_cells_passes_as_rarely_as_the_protocol_says(double share)
    {
        const int Cells = 16;
        var trials = Counts.Of(full: 200_000, quick: 20_000);
        var random = new Random(3);
        var secret = new byte[32];
        var passed = 0;
        for (var i = 0; i < trials; i++)
        {
            random.NextBytes(secret);
            // Which cells are skipped does not matter to a draw that nobody could foresee: the first ones are.
            var skipped = (int)(share * Small.Rounds * Small.LeavesPerRound);
            var drawn = ChallengeDraw.Cells(secret, new ChallengeId((UInt128)i), secret, Small, Cells);
            if (drawn.All(cell => (cell.Round * Small.LeavesPerRound) + cell.Index >= skipped)) passed++;
        }
        var expected = Math.Pow(1 - share, Cells);
        var sigma = Math.Sqrt(expected * (1 - expected) / trials);
        Assert.InRange(passed / (double)trials, expected - (3 * sigma), expected + (3 * sigma) + (1.0 / trials));
    }

    [Fact]
    public void A_skipped_cell_is_found_exactly_when_it_is_drawn()
    {
        var random = new Random(4);
        for (var i = 0; i < Counts.Of(full: 2_000, quick: 200); i++)
        {
            var session = _hub.Issue(_node, TestChallenges.Plan(Small, cells: 16));
            var skipped = Enumerable.Range(0, Small.Rounds).SelectMany(round => Enumerable.Range(0, 64).Select(index => new ChallengeCell(round, index))).Where(_ => random.NextDouble() < 0.05).ToHashSet();
            // The skipper fills in what it did not compute, and goes on from there.
            var work = _node.Compute(session.Start, (round, hashes) =>
            {
                foreach (var cell in skipped.Where(cell => cell.Round == round)) hashes[cell.Index] = (ulong)random.NextInt64();
            });
            var cells = CellsOf(session, session.TakeCommit(_node.Commit(work), 0));
            var outcome = session.TakeProof(_node.Prove(work, cells), 0).Verdict!.Outcome;
            Assert.Equal(cells.Any(skipped.Contains) ? ChallengeOutcome.Fraud : ChallengeOutcome.Passed, outcome);
        }
    }

    [Fact]
    public void Storing_half_of_the_buffer_and_making_the_rest_again_is_ten_times_slower_for_every_class()
    {
        var options = new ChallengeOptions();
        foreach (var hardware in new Silo.Verification.HardwareClassOptions().Classes)
        {
            var plan = ChallengePlan.Memory(hardware, options, (long)(hardware.MemoryGigabytes * 1e9) - options.MemoryReserveBytes);
            var fill = plan.Parameters.FillMixes / (hardware.GigamixesPerSecond * 1e9);
            var pass = plan.Parameters.Size / (hardware.GigabytesPerSecond * 1e9 * options.PassShare);
            var honest = fill + (plan.Parameters.Rounds * pass);
            Assert.Equal(honest, plan.Reference.TotalSeconds, 1e-6);
            // Half is filled once and read; the other half is filled in every pass, and its reading costs nothing.
            var cheating = (fill / 2) + (plan.Parameters.Rounds * ((pass / 2) + (fill / 2)));
            Assert.True(cheating >= 10 * honest, $"{hardware.Name}: {cheating / honest:F1} times");
        }
    }

    [Fact]
    public void Giving_up_a_check_decides_nothing()
    {
        var session = _hub.Issue(_node, TestChallenges.Plan(Small));
        var work = _node.Compute(session.Start);
        var cells = CellsOf(session, session.TakeCommit(_node.Commit(work), 0));
        Assert.ThrowsAny<OperationCanceledException>(() => session.TakeProof(_node.Prove(work, cells), 0, new CancellationToken(canceled: true)));
        Assert.Equal(ChallengeOutcome.Passed, session.TakeProof(_node.Prove(work, cells), 0).Verdict!.Outcome);
    }

    /// <summary>Tells one lie and says what is found wrong with it; null or empty: nothing.</summary>
    private string? WhyWrong(string what, ChallengeStart start, TestWork honest, Random random)
    {
        var (round, index) = (random.Next(Small.Rounds), random.Next(Small.LeavesPerRound));
        ImmutableArray<ChallengeCell> cells = [new(random.Next(Small.Rounds), random.Next(Small.LeavesPerRound)), new(round, index)];
        var proof = honest.Prove(cells);
        var told = proof.Openings[1];
        switch (what)
        {
            case "entry":
                var lie = _node.Compute(start, (at, hashes) =>
                {
                    if (at == round) hashes[index] = unchecked(hashes[index] + OtherEntry(honest, round, index, random));
                });
                return Why(start, lie.Commit, cells, lie.Prove(cells));
            case "leaf":
                var place = random.Next(told.Block.Length);
                told = told with { Block = told.Block.SetItem(place, told.Block[place] ^ (1UL << random.Next(64))) };
                return Why(start, honest.Commit, cells, proof with { Openings = proof.Openings.SetItem(1, told) });
            case "path":
                return Why(start, honest.Commit, cells, proof with { Openings = proof.Openings.SetItem(1, told with { Path = Flipped(told.Path, random) }) });
            case "seed":
                var elsewhere = _node.Compute(start, seedOf: (at, seed) => at == round ? [.. Flipped([.. seed], random)] : seed);
                return Why(start, elsewhere.Commit, cells, elsewhere.Prove(cells));
            case "rounds" or "rounds, committed to":
                var roots = honest.Roots.Chunk(SeedChain.HashBytes).ToArray();
                var other = (round + 1 + random.Next(Small.Rounds - 1)) % Small.Rounds;
                (roots[round], roots[other]) = (roots[other], roots[round]);
                return WithRoots([.. roots.SelectMany(root => root)]);
            case "root" or "root, committed to":
                var bit = (round * SeedChain.HashBytes * 8) + random.Next(SeedChain.HashBytes * 8);
                return WithRoots(honest.Roots.SetItem(bit / 8, (byte)(honest.Roots[bit / 8] ^ (1 << (bit % 8)))));
            case "final":
                return Why(start, honest.Commit with { Final = Flipped(honest.Commit.Final, random) }, cells, proof);
            default:
                var session = Issue();
                var work = _node.Compute(session.Start);
                var commit = _node.Commit(work);
                if (what == "signed commitment") return Sentence(session.TakeCommit(Flipped([.. commit], random).ToArray(), 0));
                var opened = CellsOf(session, session.TakeCommit(commit, 0));
                return Sentence(session.TakeProof(Flipped([.. _node.Prove(work, opened)], random).ToArray(), 0));
        }

        string? WithRoots(ImmutableArray<byte> roots) => Why(
            start, what.EndsWith("committed to", StringComparison.Ordinal) ? (honest with { Roots = roots }).Commit : honest.Commit, cells, proof with { Roots = roots });
    }

    /// <summary>What a row's hash changes by when one element of C does.</summary>
    private ulong OtherEntry(TestWork work, int round, int row, Random random)
    {
        var seed = SeedChain.First(work.Start, _node.PublicKey.Span);
        var (a, b) = (new sbyte[64], new sbyte[64]);
        ChallengeMatrix.FillRow(SeedChain.StreamKey(SeedChain.Fixed(seed)), row, a);
        for (var at = 0; at < round; at++) seed = SeedChain.Next(seed, work.Roots.AsSpan(at * SeedChain.HashBytes, SeedChain.HashBytes));
        var column = random.Next(64);
        var element = 0;
        for (var k = 0; k < 64; k++)
        {
            ChallengeMatrix.FillRow(SeedChain.StreamKey(seed), k, b);
            element += a[k] * b[column];
        }
        return unchecked(Hash(element + (random.Next(2) == 0 ? 1 : -1)) - Hash(element));

        ulong Hash(int value) => SplitMix64.Mix(unchecked((uint)value) ^ ((ulong)column << 32));
    }

    private string? Why(ChallengeStart start, ChallengeCommit commit, ImmutableArray<ChallengeCell> cells, ChallengeProof proof)
        => ProofCheck.WhyWrong(start, _node.PublicKey.Span, commit.Final.AsSpan(), cells, proof, CancellationToken.None);

    private ChallengeSession Issue() => _hub.Issue(_node, TestChallenges.Plan(Small));

    private static string? Sentence(ChallengeStep step) => step.Verdict is { IsFraud: true } verdict ? verdict.Result.Sentence : null;

    private static ImmutableArray<byte> Flipped(ImmutableArray<byte> bytes, Random random)
    {
        var bit = random.Next(bytes.Length * 8);
        return bytes.SetItem(bit / 8, (byte)(bytes[bit / 8] ^ (1 << (bit % 8))));
    }

    private static ImmutableArray<ChallengeCell> CellsOf(ChallengeSession session, ChallengeStep step) => ChallengeCodec.DecodeOpen(step.Reply, session.Start.Parameters).Cells;
}
