using System.Runtime.Intrinsics;
using Federation.Protocol.Challenges;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Contracts.Tests.Challenges;

/// <summary>The mathematics that every device must agree on. Constants come from another program, written from the description.</summary>
public sealed class ChallengeArithmeticTests
{
    private static readonly byte[] MatrixSeed = Convert.FromHexString("7cbfe97f7c0797d8dfa6c69f5844da3b381bc49db9dedeee3d8c1210b64a6896");
    private static readonly byte[] MemorySeed = Convert.FromHexString("2fcbd6882fa6c33ecb699572254e3beea0559a361243e4afa02a92500a82efd0");

    [Fact]
    public void Mixing_is_that_of_SplitMix64_on_every_width()
    {
        Assert.Equal(0xe220a8397b1dcdafUL, SplitMix64.Mix(0));
        Assert.Equal(0x910a2dec89025cc1UL, SplitMix64.Mix(1));
        var states = Enumerable.Range(0, 8).Select(i => (ulong)i * 0x0123_4567_89AB_CDEF).ToArray();
        Assert.Equal(states.Select(SplitMix64.Mix), Elements(SplitMix64.Mix(Vector512.Create(states))));
        Assert.Equal(states[..4].Select(SplitMix64.Mix), Elements(SplitMix64.Mix(Vector256.Create(states))));
    }

    [Fact]
    public void A_row_is_these_numbers_and_stays_so()
    {
        var row = new sbyte[64];
        ChallengeMatrix.FillRow(SeedChain.StreamKey(MatrixSeed), 5, row);
        Assert.Equal(new sbyte[] { -8, 5, -4, -3, -8, 4, -2, -5, -7, 1, 7, -8, -1, -1, 1, 4, -3, -3, 1, 7 }, row[..20]);
    }

    [Theory]
    [InlineData(64)]
    [InlineData(192)]
    [InlineData(1_024)]
    [InlineData(2_112)]
    public void The_words_of_a_row_and_its_entries_say_the_same(int size)
    {
        var (row, words) = (new sbyte[size], new ulong[size / ChallengeMatrix.EntriesPerWord]);
        ChallengeMatrix.FillRow(77, 3, row);
        ChallengeMatrix.FillWords(77, 3, words);
        for (var i = 0; i < size; i++)
        {
            var entry = (int)((words[i / 16] >> (4 * (i % 16))) & 15) - 8;
            Assert.Equal(entry, row[i]);
            Assert.Equal(entry + 8, ChallengeMatrix.Nibbles(words[i / 16])[i % 16]);
        }
    }

    [Fact]
    public void Entries_are_uniform_from_minus_8_to_7()
    {
        const int Size = 4_096;
        var (row, counts) = (new sbyte[Size], new int[16]);
        for (var i = 0; i < 64; i++)
        {
            ChallengeMatrix.FillRow(1, i, row);
            foreach (var entry in row) counts[entry + 8]++;
        }
        const double Expected = 64.0 * Size / 16;
        // χ² with 15 degrees of freedom is above 37.7 once in a thousand draws; the draw is fixed.
        Assert.InRange(counts.Sum(count => (count - Expected) * (count - Expected) / Expected), 0, 37.7);
    }

    [Fact]
    public void A_row_hash_is_the_same_in_any_parts() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(300),
        Prop.ForAll(Arb.From(from row in Gen.ArrayOf(Gen.Choose(-16_384, 16_384), 128) from cut in Gen.Choose(0, 128) select (row, cut)), sample =>
        {
            var whole = ChallengeMatrix.RowHash(sample.row);
            var parts = unchecked(ChallengeMatrix.RowHash(sample.row.AsSpan(0, sample.cut)) + ChallengeMatrix.RowHash(sample.row.AsSpan(sample.cut), sample.cut));
            var naive = sample.row.Select((value, j) => SplitMix64.Mix((uint)value ^ ((ulong)j << 32))).Aggregate(0UL, (sum, hash) => unchecked(sum + hash));
            Assert.Equal(naive, whole);
            Assert.Equal(naive, parts);
        }));

    [Fact]
    public void A_whole_matrix_challenge_comes_out_as_it_did()
    {
        const int Size = 64;
        var start = Challenges.Start with { Parameters = ChallengeParameters.Matrix(Size, 3) };
        var seed = SeedChain.First(start, Challenges.PublicKey);
        Assert.Equal(MatrixSeed, seed);
        var a = Matrix(SeedChain.StreamKey(SeedChain.Fixed(seed)), Size);
        var roots = new List<byte>();
        for (var round = 0; round < 3; round++)
        {
            var b = Matrix(SeedChain.StreamKey(seed), Size);
            var hashes = Enumerable.Range(0, Size)
                .Select(i => ChallengeMatrix.RowHash(Enumerable.Range(0, Size).Select(j => Enumerable.Range(0, Size).Sum(k => a[i][k] * b[k][j])).ToArray()))
                .ToArray();
            var root = LeafTree.Root(hashes);
            if (round == 0)
            {
                Assert.Equal((0x376d9473ea100ab5UL, 0x351904f3c6973dcdUL), (hashes[0], hashes[63]));
                Assert.Equal("4bc9b7ae944f8bf04489d5157fff4534375fb6d0520fc312f60028fa4f2fcd36", Convert.ToHexStringLower(root));
            }
            roots.AddRange(root);
            seed = SeedChain.Next(seed, root);
        }
        Assert.Equal("ee325990dd1e9a8100a2fee8677f510d2b11452d91495227b849b63aef3c65c9", Convert.ToHexStringLower(SeedChain.Final([.. roots])));
    }

    [Fact]
    public void A_whole_memory_challenge_comes_out_as_it_did()
    {
        const int Segments = 17;
        var start = Challenges.Start with { Parameters = ChallengeParameters.Memory(Segments * ChallengeMemory.SegmentBytes, 2, 3) };
        var seed = SeedChain.First(start, Challenges.PublicKey);
        Assert.Equal(MemorySeed, seed);
        var words = new ulong[Segments * ChallengeMemory.SegmentWords];
        ChallengeMemory.Fill(SeedChain.StreamKey(SeedChain.Fixed(seed)), [.. Enumerable.Range(0, Segments)], 3, words);
        var roots = new List<byte>();
        for (var round = 0; round < 2; round++)
        {
            var key = SeedChain.StreamKey(seed);
            var hashes = Enumerable.Range(0, Segments).Select(s => ChallengeMemory.Hash(words.AsSpan(s * ChallengeMemory.SegmentWords, ChallengeMemory.SegmentWords), key)).ToArray();
            var root = LeafTree.Root(hashes);
            if (round == 0)
            {
                Assert.Equal((0x4494ac022212d353UL, 0xd1da53339b09f228UL), (hashes[0], hashes[16]));
                Assert.Equal("d2208dd70523f5775bc79d482d163a3ab14ef29765c0ccf15a8b6240bbf03712", Convert.ToHexStringLower(root));
            }
            roots.AddRange(root);
            seed = SeedChain.Next(seed, root);
        }
        Assert.Equal("cfdd38356d93d81a2449c19f762d8a8c4ba114c52c341b9110f3f48bfef8bb9c", Convert.ToHexStringLower(SeedChain.Final([.. roots])));
    }

    [Fact]
    public void A_segment_is_the_same_alone_and_among_others()
    {
        int[] segments = [5, 0, 900_000, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21];
        var together = new ulong[segments.Length * ChallengeMemory.SegmentWords];
        ChallengeMemory.Fill(99, segments, 2, together);
        for (var i = 0; i < segments.Length; i++)
        {
            var alone = new ulong[ChallengeMemory.SegmentWords];
            ChallengeMemory.Fill(99, segments.AsSpan(i, 1), 2, alone);
            Assert.Equal(alone, together.AsSpan(i * ChallengeMemory.SegmentWords, ChallengeMemory.SegmentWords).ToArray());
        }
    }

    // ----------------------------------------------------------------------------------------------------------- the tree

    [Theory]
    [InlineData(1, "51b09ceccfbec44595dd4241e6e2a693d279b72c899c8f60ec63524fe58b1d4f")]
    [InlineData(15, "a9255e41f5ed9dbdd98aaabbe873c00946aa3997ef4d4a1aabe89a8821a5ce5e")]
    [InlineData(16, "6c5cd90d058988110f778bc2e2585eb2986ebb6ec2c83cc8682d3540701a7533")]
    [InlineData(17, "0eec3903ef0606c25bde938f13cc1800e9302b658a8cc391d5c729019a2dd7fb")]
    [InlineData(33, "03ebe53af794402ff39354a9b55ec458306148c25f22733e56cd61dd57f0226f")]
    [InlineData(80, "1890576187b5e0292678e03f4489d89828e6864632d73b7e28e764aba0e53c5d")]
    [InlineData(1_000, "528421370c75d9a53cae2420d2dca8c2015fc31a287c07fb33eca61ca3248257")]
    public void A_root_is_these_bytes_and_stays_so(int leaves, string expected) => Assert.Equal(expected, Convert.ToHexStringLower(LeafTree.Root(Leaves(leaves))));

    [Fact]
    public void Every_block_of_every_tree_has_a_path_to_the_root()
    {
        for (var count = 1; count <= 600; count += count < 40 ? 1 : 37)
        {
            var leaves = Leaves(count);
            var root = LeafTree.Root(leaves);
            for (var block = 0; block < LeafTree.BlockCount(count); block++)
            {
                var content = leaves.AsSpan(block * LeafTree.BlockLeaves, LeafTree.BlockLength(count, block));
                var path = LeafTree.Path(leaves, block);
                Assert.Equal(LeafTree.PathLength(count, block) * 32, path.Length);
                Assert.True(LeafTree.Contains(root, count, block, content, path), $"{block} of {count}");
            }
        }
    }

    [Fact]
    public void Nothing_else_has() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(500),
        Prop.ForAll(Arb.From(from count in Gen.Choose(17, 2_000) from block in Gen.Choose(0, (count - 1) / 16) from bit in Gen.Choose(0, 63) from choice in Gen.Choose(0, 4) select (count, block, bit, choice)), sample =>
        {
            var (count, block, bit, choice) = sample;
            var leaves = Leaves(count);
            var (root, path) = (LeafTree.Root(leaves), LeafTree.Path(leaves, block));
            var content = leaves.AsSpan(block * LeafTree.BlockLeaves, LeafTree.BlockLength(count, block)).ToArray();
            switch (choice)
            {
                case 0: content[bit % content.Length] ^= 1UL << bit; break;
                case 1: path[bit % path.Length] ^= (byte)(1 << (bit % 8)); break;
                case 2: root[bit % root.Length] ^= (byte)(1 << (bit % 8)); break;
                case 3: block = block == 0 ? 1 : block - 1; break;
                default: path = path[..^32]; break;
            }
            Assert.False(LeafTree.Contains(root, count, block, content, path));
        }));

    // ---------------------------------------------------------------------------------------------------- chain and draw

    [Fact]
    public void Whatever_a_challenge_is_made_for_changes_its_seed()
    {
        var start = Challenges.Start;
        var other = Challenges.PublicKey.ToArray();
        other[^1] ^= 1;
        ChallengeStart[] starts =
        [
            start with { Beacon = start.Nonce }, start with { Nonce = start.Beacon }, start with { Slot = start.Slot + 1 },
            start with { Hub = Protocol.Identity.HubId.FromPublicKey(other) }, start with { Parameters = ChallengeParameters.Memory(ChallengeMemory.SegmentBytes, 1, 1) },
        ];
        var seeds = starts.Select(changed => Convert.ToHexString(SeedChain.First(changed, Challenges.PublicKey)))
            .Append(Convert.ToHexString(SeedChain.First(start, Challenges.PublicKey)))
            .Append(Convert.ToHexString(SeedChain.First(start, other)));
        Assert.Equal(starts.Length + 2, seeds.Distinct().Count());
    }

    [Fact]
    public void Every_bit_of_a_seed_counts_in_what_is_made_from_it()
    {
        var keys = Enumerable.Range(0, 256).Select(bit =>
        {
            var seed = MatrixSeed.ToArray();
            seed[bit / 8] ^= (byte)(1 << (bit % 8));
            return SeedChain.StreamKey(seed);
        });
        Assert.Equal(257, keys.Append(SeedChain.StreamKey(MatrixSeed)).Distinct().Count());
    }

    [Fact]
    public void The_draw_is_these_cells_and_stays_so()
        => Assert.Equal(Challenges.Open.Cells.AsEnumerable(), ChallengeDraw.Cells([.. Challenges.Repeated(7, 32)], Challenges.Id, Challenges.Commit.Final.AsSpan(), Challenges.Start.Parameters, 4));

    [Fact]
    public void The_draw_is_uniform_over_rounds_and_rows()
    {
        var parameters = ChallengeParameters.Matrix(64, 16);
        var (rounds, rows) = (new int[16], new int[64]);
        for (var i = 0; i < 200; i++)
        {
            foreach (var cell in ChallengeDraw.Cells([(byte)i], new ChallengeId((UInt128)i), Challenges.Commit.Final.AsSpan(), parameters, 64))
            {
                rounds[cell.Round]++;
                rows[cell.Index]++;
            }
        }
        // χ² is above these once in a thousand draws; the draw is fixed.
        Assert.InRange(rounds.Sum(count => Math.Pow(count - 800, 2) / 800), 0, 37.7);
        Assert.InRange(rows.Sum(count => Math.Pow(count - 200, 2) / 200), 0, 103.4);
    }

    private static ulong[] Leaves(int count) => [.. Enumerable.Range(1, count).Select(i => (ulong)i)];

    private static sbyte[][] Matrix(ulong key, int size) => [.. Enumerable.Range(0, size).Select(i =>
    {
        var row = new sbyte[size];
        ChallengeMatrix.FillRow(key, i, row);
        return row;
    })];

    private static IEnumerable<ulong> Elements(Vector512<ulong> vector) => Enumerable.Range(0, 8).Select(i => vector[i]);

    private static IEnumerable<ulong> Elements(Vector256<ulong> vector) => Enumerable.Range(0, 4).Select(i => vector[i]);
}
