using System.Diagnostics;
using Federation.NodeAgent.Compute;
using Federation.NodeAgent.Configuration;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Challenges;

namespace Federation.Bench;

/// <summary>What the hub's check of a challenge costs on one thread: the agent's own commitment and proof, from the message to the verdict.</summary>
internal static class ProofBench
{
    private const int Rounds = 5;
    private const int Products = 16;

    public static Table Run()
    {
        var table = new Table("checking a proof, one thread, median of 5", "measured", "goal");
        var options = new ChallengeOptions();
        var cpu = new HardwareClassOptions().Classes.Single(hardware => hardware.Name == "cpu");
        foreach (var (what, parameters, cells, goal) in new[]
        {
            ($"MM, n = 4096, {options.PeriodicCells} rows of {Products} rounds", ChallengeParameters.Matrix(4_096, Products), options.PeriodicCells, "≤ 1 s"),
            ($"MM, n = 4096, {options.EnrolmentCells} rows of {Products} rounds", ChallengeParameters.Matrix(4_096, Products), options.EnrolmentCells, "≤ 1 s"),
            ($"MM as a CPU has it, n = 1024, {options.EnrolmentCells} rows", ChallengePlan.Matrix(cpu, options, options.EnrolmentCells).Parameters, options.EnrolmentCells, string.Empty),
            ($"MEM as a CPU has it, 64 MiB, {options.MemoryCells} segments", ChallengePlan.Memory(cpu, options, 64L << 20).Parameters, options.MemoryCells, string.Empty),
        })
        {
            var times = Enumerable.Range(0, Rounds).Select(round => Measure(parameters, cpu, options, cells, round)).ToArray();
            table.Add(what, Numbers.Milliseconds(Numbers.Median(times)), goal);
        }
        return table;
    }

    private static double Measure(ChallengeParameters parameters, HardwareClass hardware, ChallengeOptions options, int cells, int round)
    {
        var folder = Directory.CreateTempSubdirectory("federation-bench");
        try
        {
            using var hub = SigningKey.Create();
            using var node = NodeKey.LoadOrCreate(Path.Combine(folder.FullName, "node.key"));
            using var team = new ComputeTeam();
            var hubId = HubId.FromPublicKey(hub.PublicKey.Span);
            var context = new ChallengeContext(hubId, bytes => hub.Sign(bytes), new byte[32], new UsedChallenges(1_000), options, TimeProvider.System);
            // Nothing is late here: it is the check that is timed.
            var plan = new ChallengePlan(parameters, hardware, TimeSpan.FromMinutes(5), TimeSpan.FromMinutes(5), cells);
            var session = ChallengeSession.TryIssue(
                context, plan, new ChallengeTarget(node.PublicKey, TimeSpan.Zero), new ChallengeSeed(new ChallengeId((UInt128)round + 1), round, 1, [.. new byte[32]], [.. new byte[32]]), Stopwatch.GetTimestamp())!;
            using var run = ChallengeRun.Begin(ChallengeRun.Read(session.StartMessage, hubId, hub.PublicKey, node), hub.PublicKey, node, new CpuChallengeDevice(team, 1L << 32), team, TimeProvider.System);
            var open = session.TakeCommit(run.Commit(CancellationToken.None), TimeProvider.System.GetTimestamp());
            var proof = run.Prove(open.Reply);
            var arrived = TimeProvider.System.GetTimestamp();
            var verdict = session.TakeProof(proof, arrived).Verdict;
            var elapsed = TimeProvider.System.GetElapsedTime(arrived).TotalMilliseconds;
            return verdict is { Outcome: ChallengeOutcome.Passed or ChallengeOutcome.TooSlow } ? elapsed : throw new InvalidOperationException(verdict?.Result.Sentence ?? "The proof was refused.");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
