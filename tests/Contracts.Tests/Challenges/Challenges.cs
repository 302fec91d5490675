using System.Collections.Immutable;
using System.Text;
using Federation.Contracts.Tests.Identity;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;

namespace Federation.Contracts.Tests.Challenges;

/// <summary>One challenge's messages, and their bytes as another program, written from the description, made them.</summary>
internal static class Challenges
{
    public const string StartHex =
        "ad01010250000102030405060708090a0b0c0d0e0f030104782368625f30386433333530336565323764346331333035356430636566656335653733300578236e645f3731653035396639316363323133"
        + "346635623038393532366266396132396666061a0001e24007192000081901c209000a1a00077a100b5820000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0c5820646566"
        + "6768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182830d193a98";

    public const string CommitHex = "a401010250000102030405060708090a0b0c0d0e0f035820090909090909090909090909090909090909090909090909090909090909090904191394";

    public const string OpenHex = "a301010250000102030405060708090a0b0c0d0e0f03848218e4190d238218b4191e6a82181f191b9f821839191cde";

    public const string ProofHex =
        "a401010250000102030405060708090a0b0c0d0e0f0358400101010101010101010101010101010101010101010101010101010101010101020202020202020202020202020202020202020202020202"
        + "020202020202020204828258806400000000000000650000000000000066000000000000006700000000000000680000000000000069000000000000006a000000000000006b000000000000006c0000"
        + "00000000006d000000000000006e000000000000006f00000000000000700000000000000071000000000000007200000000000000730000000000000058400303030303030303030303030303030303"
        + "0303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303825880000000000000008001000000000000800200000000000080030000000000"
        + "00800400000000000080050000000000008006000000000000800700000000000080080000000000008009000000000000800a000000000000800b000000000000800c000000000000800d0000000000"
        + "00800e000000000000800f000000000000805840040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404"
        + "04040404";

    public const string ResultHex =
        "a901010250000102030405060708090a0b0c0d0e0f0301041a004c7b7905194e20061b000059d39e7f3b34076d7274782d343039302d32346762087824416c6c2031362063656c6c7320617265207269"
        + "6768742c20616e6420696e2074696d652e0958200505050505050505050505050505050505050505050505050505050505050505";

    public static readonly byte[] PublicKey = Convert.FromHexString(TestKeys.PublicHex);

    public static readonly ChallengeId Id = ChallengeId.Read(Counting(0, ChallengeId.Bytes).AsSpan());

    public static readonly ChallengeStart Start = new()
    {
        Id = Id,
        Parameters = ChallengeParameters.Matrix(8_192, 450),
        Hub = HubId.FromPublicKey(Encoding.ASCII.GetBytes("hub")),
        Node = NodeId.FromPublicKey(PublicKey),
        Slot = 123_456,
        Epoch = 490_000,
        Beacon = Counting(0, 32),
        Nonce = Counting(100, 32),
        DeadlineMs = 15_000,
    };

    public static readonly ChallengeCommit Commit = new() { Id = Id, Final = Repeated(9, 32), ElapsedMs = 5_012 };

    public static readonly ChallengeOpen Open = new() { Id = Id, Cells = [new(228, 3_363), new(180, 7_786), new(31, 7_071), new(57, 7_390)] };

    /// <summary>Of a challenge of two rounds of 64 rows: <see cref="ProofParameters"/>, <see cref="ProofCells"/>.</summary>
    public static readonly ChallengeProof Proof = new()
    {
        Id = Id,
        Roots = [.. Repeated(1, 32), .. Repeated(2, 32)],
        Openings = [new(Block(100), Repeated(3, 64)), new(Block(1UL << 63), Repeated(4, 64))],
    };

    public static readonly ChallengeParameters ProofParameters = ChallengeParameters.Matrix(64, 2);

    public static readonly ImmutableArray<ChallengeCell> ProofCells = [new(0, 3), new(1, 40)];

    public static readonly ChallengeResult Result = new()
    {
        Id = Id,
        Outcome = ChallengeOutcome.Passed,
        ElapsedMicroseconds = 5_012_345,
        RoundTripMicroseconds = 20_000,
        PerSecond = 98_765_432_109_876,
        HardwareClass = "rtx-4090-24gb",
        Sentence = "All 16 cells are right, and in time.",
        TranscriptHash = Repeated(5, 32),
    };

    public static ImmutableArray<byte> Repeated(byte value, int count) => [.. Enumerable.Repeat(value, count)];

    private static ImmutableArray<byte> Counting(int from, int count) => [.. Enumerable.Range(from, count).Select(value => (byte)value)];

    private static ImmutableArray<ulong> Block(ulong from) => [.. Enumerable.Range(0, LeafTree.BlockLeaves).Select(i => from + (ulong)i)];
}
