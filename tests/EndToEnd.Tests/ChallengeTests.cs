using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;
using Federation.Protocol.V1;
using Federation.Silo.Tests.Verification.Challenges;
using Google.Protobuf;
using Grpc.Core;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>
/// What no honest node says in a hardware challenge, on a real connection: what the node signed against itself is on record and bans it, what a network can do by itself
/// changes nothing, and nobody else notices.
/// </summary>
public sealed class ChallengeTests(ChallengingHub shared, ITestOutputHelper output) : SharedHubTest<ChallengingHub>(shared, output)
{
    /// <summary>Nearly as much as a message on the node link may have.</summary>
    private const int LongBytes = 900 * 1024;

    // ------------------------------------------------------------------------------------------------------ commitments

    [Theory]
    [InlineData("nothing")]
    [InlineData("noise")]
    [InlineData("cut by a byte")]
    [InlineData("cut in half")]
    [InlineData("a bit flipped")]
    [InlineData("another key's")]
    [InlineData("signed as a proof")]
    [InlineData("the hub's own request")]
    public async Task A_commitment_that_the_node_did_not_sign_is_fraud(string what)
    {
        var node = await ChallengedAsync();
        var right = node.Prover.Commit(node.Prover.Compute(node.Start));
        using var other = new TestNode();
        byte[] said = what switch
        {
            "nothing" => [],
            "noise" => Noise(200),
            "cut by a byte" => right[..^1],
            "cut in half" => right[..(right.Length / 2)],
            "a bit flipped" => [.. right[..30], (byte)(right[30] ^ 1), .. right[31..]],
            "another key's" => other.Commit(other.Compute(node.Start)),
            "signed as a proof" => node.Prover.Sign(ChallengeMessage.Proof, right[..^SigningKey.SignatureBytes]),
            _ => node.StartMessage.ToArray(),
        };
        await node.CommitAsync(said);
        await ExpectFraudAsync(node, "The commitment is not signed with the node's key.", said);
    }

    [Theory]
    [InlineData("noise")]
    [InlineData("cut")]
    [InlineData("too long")]
    [InlineData("far too long")]
    [InlineData("followed by more")]
    [InlineData("of another version")]
    [InlineData("of half a digest")]
    public async Task Whatever_else_a_node_signs_as_a_commitment_is_fraud(string what)
    {
        var node = await ChallengedAsync();
        var right = ChallengeCodec.Encode(node.Prover.Compute(node.Start).Commit);
        byte[] payload = what switch
        {
            "noise" => Noise(200),
            "cut" => right[..^1],
            "too long" => [.. right, .. new byte[ChallengeCodec.MaxMessageBytes]],
            "far too long" => [.. right, .. new byte[LongBytes]],
            "followed by more" => [.. right, 0],
            // A map of four, the key 1, the version.
            "of another version" => [.. right[..2], 2, .. right[3..]],
            _ => [.. right[..20], (byte)(right[20] ^ 0xff), .. right[21..^20]],
        };
        var said = node.Prover.Sign(ChallengeMessage.Commit, payload);
        await node.CommitAsync(said);
        await ExpectFraudAsync(node, "What the node signed as a commitment is none: ", said);
    }

    [Fact]
    public async Task Two_commitments_to_two_results_are_fraud()
    {
        var node = await ChallengedAsync();
        await node.CommitAsync(node.Prover.Commit(node.Prover.Compute(node.Start)));
        var second = node.Prover.Commit(node.Prover.Compute(node.Start, tamper: (_, hashes) => hashes[0]++));
        await node.CommitAsync(second);
        await ExpectFraudAsync(node, "The node committed to two results.", second);
    }

    // ----------------------------------------------------------------------------------------------------------- proofs

    [Theory]
    [InlineData("nothing", "The proof is not signed with the node's key.")]
    [InlineData("cut by a byte", "The proof is not signed with the node's key.")]
    [InlineData("signed as a commitment", "The proof is not signed with the node's key.")]
    [InlineData("noise", "What the node signed as a proof is none: ")]
    [InlineData("cut", "What the node signed as a proof is none: ")]
    [InlineData("far too long", "What the node signed as a proof is none: ")]
    [InlineData("without a round", "What the node signed as a proof is none: ")]
    [InlineData("without a row", "What the node signed as a proof is none: ")]
    [InlineData("of other rounds", "The roots of the rounds are not those that were committed to.")]
    [InlineData("of a row made up", "Row ")]
    public async Task A_proof_that_is_none_is_fraud(string what, string finding)
    {
        var node = await ChallengedAsync();
        var work = node.Prover.Compute(node.Start);
        await node.CommitAsync(node.Prover.Commit(work));
        var proof = work.Prove(await node.OpenAsync());
        var right = ChallengeCodec.Encode(proof);
        var said = what switch
        {
            "nothing" => [],
            "cut by a byte" => node.Prover.Sign(ChallengeMessage.Proof, right)[..^1],
            "signed as a commitment" => node.Prover.Sign(ChallengeMessage.Commit, right),
            _ => node.Prover.Sign(ChallengeMessage.Proof, what switch
            {
                "noise" => Noise(200),
                "cut" => right[..^1],
                "far too long" => [.. right, .. new byte[LongBytes]],
                "without a round" => ChallengeCodec.Encode(proof with { Roots = proof.Roots[..^SeedChain.HashBytes] }),
                "without a row" => ChallengeCodec.Encode(proof with { Openings = proof.Openings[1..] }),
                "of other rounds" => ChallengeCodec.Encode(proof with { Roots = proof.Roots.SetItem(0, (byte)(proof.Roots[0] ^ 1)) }),
                _ => ChallengeCodec.Encode(proof with { Openings = proof.Openings.SetItem(0, proof.Openings[0] with { Block = proof.Openings[0].Block.SetItem(0, 1) }) }),
            }),
        };
        await node.ProveAsync(said);
        await ExpectFraudAsync(node, finding, said);
    }

    [Theory]
    [InlineData("beacon")]
    [InlineData("nonce")]
    [InlineData("slot")]
    [InlineData("node")]
    [InlineData("guess")]
    public async Task Work_for_another_challenge_or_none_at_all_is_fraud_once_it_is_committed_to(string wrong)
    {
        var node = await ChallengedAsync();
        using var other = new TestNode();
        var work = wrong switch
        {
            "beacon" => node.Prover.Compute(node.Start with { Beacon = [.. new byte[32]] }),
            "nonce" => node.Prover.Compute(node.Start with { Nonce = [.. new byte[32]] }),
            "slot" => node.Prover.Compute(node.Start with { Slot = node.Start.Slot - 1 }),
            "node" => other.Compute(node.Start),
            _ => node.Prover.Compute(node.Start, tamper: (_, hashes) => new Random(1).NextBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(hashes.AsSpan()))),
        };
        await node.CommitAsync(node.Prover.Commit(work));
        var said = node.Prover.Prove(work, await node.OpenAsync());
        await node.ProveAsync(said);
        var seen = await ExpectFraudAsync(node, "Row ", said);
        Assert.EndsWith(" was committed to with a wrong result.", seen["finding"]!.ToString(), StringComparison.Ordinal);
        // Request, commitment, opening and proof: enough for anybody to come to the verdict again.
        Assert.Equal(4, seen["details"]!["messages"]!.AsArray().Count);
    }

    // -------------------------------------------------------------------------------------- what changes nothing at all

    [Fact]
    public async Task A_proof_before_its_commitment_is_refused_and_the_challenge_goes_on()
    {
        var node = await ChallengedAsync();
        var work = node.Prover.Compute(node.Start);
        await node.ProveAsync(node.Prover.Prove(work, [.. Enumerable.Repeat(new ChallengeCell(0, 0), 32)]));
        await node.FinishAsync(work);
    }

    [Fact]
    public async Task What_comes_twice_counts_once()
    {
        var node = await ChallengedAsync();
        var work = node.Prover.Compute(node.Start);
        var commit = node.Prover.Commit(work);
        await node.CommitAsync(commit);
        await node.CommitAsync(commit);
        var proof = node.Prover.Prove(work, await node.OpenAsync());
        await node.ProveAsync(proof);
        await node.ProveAsync(proof);
        await node.ExpectRightAsync();
        // What is left over of one challenge is no part of the next, and neither is a replay.
        await node.NextAsync();
        await node.CommitAsync(commit);
        await node.ProveAsync(proof);
        await node.FinishAsync(node.Prover.Compute(node.Start));
    }

    [Fact]
    public async Task A_commitment_to_another_nodes_challenge_is_refused_and_both_challenges_go_on()
    {
        var (one, other) = (await ChallengedAsync(), await ChallengedAsync());
        var work = one.Prover.Compute(one.Start);
        await other.CommitAsync(other.Prover.Sign(ChallengeMessage.Commit, ChallengeCodec.Encode(work.Commit)));
        await other.FinishAsync(other.Prover.Compute(other.Start));
        await one.FinishAsync(work);
    }

    [Fact]
    public async Task A_node_that_speaks_with_another_nodes_key_is_banned_and_the_other_is_not()
    {
        var (one, other) = (await ChallengedAsync(), await ChallengedAsync());
        var work = one.Prover.Compute(one.Start);
        var stolen = one.Prover.Commit(work);
        await other.CommitAsync(stolen);
        await ExpectFraudAsync(other, "The commitment is not signed with the node's key.", stolen);
        await one.FinishAsync(work);
    }

    [Fact]
    public async Task Declining_is_no_fault_and_nobody_declines_for_another()
    {
        var node = await ChallengedAsync();
        await node.DeclineAsync([.. new byte[ChallengeId.Bytes]]);
        await node.DeclineAsync([]);
        await node.DeclineAsync(Noise(100_000));
        await node.FinishAsync(node.Prover.Compute(node.Start));
        await node.NextAsync();
        await node.DeclineAsync(node.Start.Id.ToArray());
        var declined = node.Start.Id;
        await node.NextAsync();
        Assert.NotEqual(declined, node.Start.Id);
        Assert.Equal("probation", (await node.VerificationAsync())["standing"]!.ToString());
    }

    // ---------------------------------------------------------------------------------------------------------- windows

    [Fact]
    public async Task A_commitment_after_the_window_is_late_and_proves_nothing_whatever_else_is_said_meanwhile()
    {
        var node = await ChallengedAsync();
        var work = node.Prover.Compute(node.Start);
        using var talk = new CancellationTokenSource();
        var talking = TalkAsync(node, talk.Token);
        var result = await node.ResultAsync();
        await talk.CancelAsync();
        await talking;
        Assert.Equal((ChallengeOutcome.Late, 0L), (result.Outcome, result.PerSecond));
        Assert.StartsWith("No commitment came within", result.Sentence, StringComparison.Ordinal);
        await node.CommitAsync(node.Prover.Commit(work));
        await node.NextAsync();
        await node.FinishAsync(node.Prover.Compute(node.Start));
    }

    [Fact]
    public async Task A_proof_that_is_withheld_measures_nothing_and_three_times_is_on_record()
    {
        var node = await ChallengedAsync();
        for (var round = 0; round < 3; round++)
        {
            if (round > 0) await node.NextAsync();
            await node.CommitAsync(node.Prover.Commit(node.Prover.Compute(node.Start)));
            await node.OpenAsync();
            var result = await node.ResultAsync();
            Assert.Equal((ChallengeOutcome.Withheld, 0L), (result.Outcome, result.PerSecond));
            // A round is both kinds.
            await node.NextAsync();
            await node.FinishAsync(node.Prover.Compute(node.Start));
        }
        await Patience.UntilAsync(async () => (await node.VerificationAsync())["events"]!.AsArray().Count == 1, "the record of the three rounds");
        var happened = (await node.VerificationAsync())["events"]!.AsArray()[0]!;
        Assert.Equal(("challenge_too_slow", "probation"), (happened["evidence"]!.ToString(), happened["standing"]!.ToString()));
        Assert.Equal(
            "Nothing was measured, which leaves the class cpu, in 3 rounds. The node committed to a result and did not show it within 4.0 s.", happened["finding"]!.ToString());
    }

    // ----------------------------------------------------------------------------------------------------------- floods

    [Fact]
    public async Task A_flood_of_words_about_challenges_ends_the_connection()
    {
        var node = await ChallengedAsync();
        for (uint i = 0; i < 100_000 && await node.Line.TrySendAsync(new NodeMessage { Pong = new Pong { Number = i } }); i++)
        {
        }
        Assert.Equal(StatusCode.ResourceExhausted, (await node.Line.EndAsync()).StatusCode);
        Assert.Equal("probation", (await node.VerificationAsync())["standing"]!.ToString());
    }

    [Fact]
    public async Task A_proof_above_1_MiB_ends_the_connection_before_it_is_read()
    {
        var node = await ChallengedAsync();
        await node.CommitAsync(node.Prover.Commit(node.Prover.Compute(node.Start)));
        await node.OpenAsync();
        await node.Line.TrySendAsync(new NodeMessage { ChallengeProof = new Signed { Message = ByteString.CopyFrom(new byte[1 << 20]) } });
        await node.Line.ExpectEndAsync(StatusCode.ResourceExhausted, "message");
        Assert.Equal("probation", (await node.VerificationAsync())["standing"]!.ToString());
    }

    // ---------------------------------------------------------------------------------------------------------- details

    private static byte[] Noise(int length)
    {
        var noise = new byte[length];
        new Random(4711).NextBytes(noise);
        return noise;
    }

    private static async Task TalkAsync(Challenged node, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        try
        {
            while (await timer.WaitForNextTickAsync(stop)) await node.Line.TrySendAsync(new NodeMessage { Pong = new Pong { Number = uint.MaxValue } });
        }
        catch (OperationCanceledException)
        {
            // It has said enough.
        }
    }

    /// <summary>The node is banned, for this, and the record has the request and what it answered; gives the record.</summary>
    private static async Task<JsonNode> ExpectFraudAsync(Challenged node, string finding, byte[] said)
    {
        await node.Line.ExpectEndAsync(StatusCode.PermissionDenied, "the node is banned");
        var seen = await node.VerificationAsync();
        Assert.Equal("banned", seen["standing"]!.ToString());
        var happened = Assert.Single(seen["events"]!.AsArray())!;
        Assert.Equal(("challenge MM+MEM", "fraud"), (happened["kind"]!.ToString(), happened["evidence"]!.ToString()));
        Assert.StartsWith(finding, happened["finding"]!.ToString(), StringComparison.Ordinal);
        var messages = happened["details"]!["messages"]!.AsArray().Select(message => Convert.FromBase64String(message!.ToString())).ToArray();
        Assert.Equal(node.StartMessage.ToArray(), messages[0]);
        if (said.Length > 0) Assert.Equal(said, messages[^1]);
        return happened;
    }

    /// <summary>A node with a challenge to answer.</summary>
    private async Task<Challenged> ChallengedAsync()
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("owner");
        var (node, line, _) = await ConnectedNodeAsync(account);
        line.AnswerPings();
        var challenged = Keep(new Challenged(line, new TestNode(node.Key), node.Id.ToString(), Hub.Client(key)));
        await challenged.NextAsync();
        return challenged;
    }

    /// <summary>A node in a challenge, and its owner.</summary>
    private sealed class Challenged(NodeLine line, TestNode prover, string nodeId, HubClient owner) : IAsyncDisposable
    {
        public NodeLine Line => line;

        public TestNode Prover => prover;

        public ReadOnlyMemory<byte> StartMessage { get; private set; }

        public ChallengeStart Start { get; private set; } = null!;

        public async Task NextAsync()
        {
            StartMessage = await line.NextChallengeStartAsync();
            Start = ChallengeCodec.DecodeStart(StartMessage);
        }

        public Task CommitAsync(byte[] message) => line.SendAsync(new NodeMessage { ChallengeCommit = new Signed { Message = ByteString.CopyFrom(message) } });

        public Task ProveAsync(byte[] message) => line.SendAsync(new NodeMessage { ChallengeProof = new Signed { Message = ByteString.CopyFrom(message) } });

        public Task DeclineAsync(byte[] id) => line.SendAsync(new NodeMessage { ChallengeDecline = new ChallengeDecline { ChallengeId = ByteString.CopyFrom(id), Reason = "busy" } });

        public async Task<ImmutableArray<ChallengeCell>> OpenAsync() => ChallengeCodec.DecodeOpen(await line.NextChallengeOpenAsync(), Start.Parameters).Cells;

        public async Task<ChallengeResult> ResultAsync()
        {
            var message = await line.NextChallengeResultAsync();
            Assert.True(ChallengeCodec.IsSignedBy(line.Challenge.HubPublicKey.Span, ChallengeMessage.Result, message.Span));
            var result = ChallengeCodec.DecodeResult(message);
            Assert.Equal(Start.Id, result.Id);
            return result;
        }

        /// <summary>Goes on with the challenge as an honest node does.</summary>
        public async Task FinishAsync(TestWork work)
        {
            await CommitAsync(prover.Commit(work));
            await ProveAsync(prover.Prove(work, await OpenAsync()));
            await ExpectRightAsync();
        }

        /// <summary>Right, if slow: this node computes the plain way.</summary>
        public async Task ExpectRightAsync()
        {
            var result = await ResultAsync();
            Assert.True(result.Outcome is ChallengeOutcome.Passed or ChallengeOutcome.TooSlow, string.Create(CultureInfo.InvariantCulture, $"{result.Outcome}: {result.Sentence}"));
        }

        public async Task<JsonNode> VerificationAsync() => (await owner.GetAsync($"/v1/nodes/{nodeId}/verification")).Expect(HttpStatusCode.OK).Json;

        public ValueTask DisposeAsync()
        {
            owner.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
