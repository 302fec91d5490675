using System.Collections.Immutable;
using System.Formats.Cbor;
using System.Text;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>
/// What no honest hub says, to a real agent: it is refused in words, takes nothing of the machine, and the agent goes on serving. Each test ends with a lease that is answered.
/// </summary>
public sealed class HostileHubTests(AgentOfScriptedHub shared, ITestOutputHelper output) : ScriptedHubTest(shared, output)
{
    private const long Gigabyte = 1L << 30;

    // -------------------------------------------------------------------------------------------------- START, its shape

    [Theory]
    [InlineData("nothing")]
    [InlineData("noise")]
    [InlineData("cut by a byte")]
    [InlineData("cut in half")]
    [InlineData("a bit flipped")]
    [InlineData("another key's")]
    [InlineData("signed as a result")]
    [InlineData("far too long")]
    public async Task A_challenge_that_the_hub_did_not_sign_is_not_begun(string what)
    {
        var right = Sign(ChallengeMessage.Start, new StartFields(Line.Node, Hub.Id).ToBytes());
        using var other = SigningKey.Create();
        byte[] said = what switch
        {
            "nothing" => [],
            "noise" => Noise(200),
            "cut by a byte" => right[..^1],
            "cut in half" => right[..(right.Length / 2)],
            "a bit flipped" => [.. right[..60], (byte)(right[60] ^ 1), .. right[61..]],
            "another key's" => ChallengeCodec.Sign(right[..^SigningKey.SignatureBytes], ChallengeMessage.Start, bytes => other.Sign(bytes)),
            "signed as a result" => Sign(ChallengeMessage.Result, right[..^SigningKey.SignatureBytes]),
            _ => [.. right, .. new byte[200 * 1024]],
        };
        await SayAsync(start: said);
        await ExpectLogAsync("A challenge was not answered: The challenge is not signed by the hub.");
    }

    [Theory]
    [InlineData("cut")]
    [InlineData("followed by more")]
    [InlineData("an array")]
    [InlineData("of another version")]
    [InlineData("above 8 KiB")]
    public async Task Whatever_else_a_hub_signs_as_a_challenge_is_not_begun(string what)
    {
        var right = new StartFields(Line.Node, Hub.Id).ToBytes();
        await SayAsync(start: Sign(ChallengeMessage.Start, what switch
        {
            "cut" => right[..^1],
            "followed by more" => [.. right, 0],
            "an array" => [0x9f, .. right],
            "of another version" => (new StartFields(Line.Node, Hub.Id) with { Version = 2 }).ToBytes(),
            _ => [.. right, .. new byte[ChallengeCodec.MaxMessageBytes]],
        }));
        await ExpectLogAsync("A challenge was not answered: Not a start: ");
    }

    public static TheoryData<string, string> AbsurdStarts => new()
    {
        { "n = 2^31", "Not a start: A matrix has 64 to 16384 rows, a multiple of 64, not 2147483648." },
        { "n = -64", "Not a start: A matrix has 64 to 16384 rows, a multiple of 64, not -64." },
        { "n = 100", "Not a start: A matrix has 64 to 16384 rows, a multiple of 64, not 100." },
        { "n = 16384 and all rounds", "It takes 1536 MiB of memory; " },
        { "more hashes than anybody keeps", "Not a start: 8192 rounds of 16448 hashes are more than 134217728." },
        { "rounds 0", "Not a start: A challenge has 1 to 8192 rounds, not 0." },
        { "rounds 2^62", "Not a start: A challenge has 1 to 8192 rounds, not 4611686018427387904." },
        { "kind 9", "Not a start: There is no challenge of kind 9." },
        { "memory 2^62", "Not a start: A buffer has 65536 to 549755813888 bytes, a multiple of 65536, not 4611686018427387904." },
        { "memory beyond the machine's", "It takes 524416 MiB of memory; " },
        { "memory for hashes alone", "It takes 1025 MiB of memory; " },
        { "fill depth 2^31", "Not a start: The fill depth is 1 to 4096, not 2147483648." },
        { "fill depth of a matrix", "Not a start: Matrices have no fill depth; this one has 1." },
        { "a beacon of 31 bytes", "Not a start: Field 11 has 31 bytes, not 32." },
        { "a beacon of 4 KiB", "Not a start: Field 11 has 4096 bytes, not 32." },
        { "no nonce", "Not a start: Field 12 has 0 bytes, not 32." },
        { "a nonce of 33 bytes", "Not a start: Field 12 has 33 bytes, not 32." },
        { "epoch -1", "There is no slot 1 and no epoch -1." },
        { "epoch 2^62", "There is no slot 1 and no epoch 4611686018427387904." },
        { "slot 2^62", "There is no slot 4611686018427387904 and no epoch 1." },
        { "deadline 0", "Not a start: The deadline is 0 ms." },
        { "deadline 2^62", "A challenge may take 900000 ms, not 4611686018427387904." },
        { "another node", "The challenge is for node nd_" },
        { "another hub", "The challenge is of hub hb_" },
    };

    [Theory]
    [MemberData(nameof(AbsurdStarts))]
    public async Task A_challenge_that_asks_for_the_impossible_is_declined_in_words(string what, string words)
    {
        const long Huge = 1L << 62;
        var start = new StartFields(Line.Node, Hub.Id);
        var memory = start with { Kind = ChallengeKind.Memory, Size = Gigabyte, FillDepth = 1 };
        using var stranger = SigningKey.Create();
        start = what switch
        {
            "n = 2^31" => start with { Size = 1L << 31 },
            "n = -64" => start with { Size = -64 },
            "n = 100" => start with { Size = 100 },
            "n = 16384 and all rounds" => start with { Size = 16_384, Rounds = 8_192 },
            "rounds 0" => start with { Rounds = 0 },
            "rounds 2^62" => start with { Rounds = Huge },
            "kind 9" => start with { Kind = (ChallengeKind)9 },
            "more hashes than anybody keeps" => memory with { Size = 16_448L * ChallengeMemory.SegmentBytes, Rounds = 8_192 },
            "memory 2^62" => memory with { Size = Huge },
            "memory beyond the machine's" => memory with { Size = ChallengeParameters.MaxMemoryBytes },
            "memory for hashes alone" => memory with { Size = Gigabyte, Rounds = 8 },
            "fill depth 2^31" => memory with { FillDepth = 1L << 31 },
            "fill depth of a matrix" => start with { FillDepth = 1 },
            "a beacon of 31 bytes" => start with { BeaconBytes = 31 },
            "a beacon of 4 KiB" => start with { BeaconBytes = 4_096 },
            "no nonce" => start with { NonceBytes = 0 },
            "a nonce of 33 bytes" => start with { NonceBytes = 33 },
            "epoch -1" => start with { Epoch = -1 },
            "epoch 2^62" => start with { Epoch = Huge },
            "slot 2^62" => start with { Slot = Huge },
            "deadline 0" => start with { DeadlineMs = 0 },
            "deadline 2^62" => start with { DeadlineMs = Huge },
            "another node" => start with { Node = NodeId.FromPublicKey(stranger.PublicKey.Span) },
            _ => start with { Hub = HubId.FromPublicKey(stranger.PublicKey.Span) },
        };
        await SayAsync(start: Sign(ChallengeMessage.Start, start.ToBytes()));
        var declined = (await Line.NextAsync(NodeMessage.MessageOneofCase.ChallengeDecline)).ChallengeDecline;
        Assert.Equal(start.Id.ToArray(), declined.ChallengeId.ToByteArray());
        Assert.StartsWith(words, declined.Reason, StringComparison.Ordinal);
        await ExpectLogAsync($"A challenge was not answered: {words}");
    }

    // ------------------------------------------------------------------------------------------------- START, its moment

    [Fact]
    public async Task A_second_challenge_is_declined_while_the_first_goes_on()
    {
        var first = await BeginAsync();
        var second = new StartFields(Line.Node, Hub.Id);
        await SayAsync(start: Sign(ChallengeMessage.Start, second.ToBytes()));
        var declined = (await Line.NextAsync(NodeMessage.MessageOneofCase.ChallengeDecline)).ChallengeDecline;
        Assert.Equal(second.Id, ChallengeId.Read(declined.ChallengeId.Span));
        Assert.Equal("another challenge is not finished", declined.Reason);
        await FinishAsync(first);
    }

    [Fact]
    public async Task A_thousand_challenges_at_once_cost_no_more_than_one()
    {
        var first = await BeginAsync();
        var again = Sign(ChallengeMessage.Start, new StartFields(Line.Node, Hub.Id).ToBytes());
        for (var i = 0; i < 1_000; i++) await SayAsync(start: again);
        for (var i = 0; i < 1_000; i++) await Line.NextAsync(NodeMessage.MessageOneofCase.ChallengeDecline);
        await FinishAsync(first);
    }

    [Fact]
    public async Task A_challenge_whose_hub_hangs_up_is_left_and_the_next_connection_has_its_own()
    {
        await SayAsync(start: Sign(ChallengeMessage.Start, (new StartFields(Line.Node, Hub.Id) with { Size = 1_024, Rounds = 8_192, DeadlineMs = 600_000 }).ToBytes()));
        await ExpectLogAsync("(Matrix) begins");
        Line.End(StatusCode.Unavailable, "the hub is stopping");
        await ExpectLogAsync("A challenge was left unfinished");
        await WelcomeAsync();
        await FinishAsync(await BeginAsync());
    }

    // -------------------------------------------------------------------------------------------------------------- OPEN

    [Fact]
    public async Task An_opening_before_its_commitment_or_without_a_challenge_is_ignored()
    {
        var start = new StartFields(Line.Node, Hub.Id);
        await SayAsync(open: Open(start.Id, new ChallengeCell(0, 0)));
        await ExpectLogAsync("What the hub said of a challenge is ignored: no challenge waits for an opening");
        await FinishAsync(await BeginAsync());
    }

    [Theory]
    [InlineData("nothing", "The opening is not signed by the hub.")]
    [InlineData("cut", "The opening is not signed by the hub.")]
    [InlineData("another challenge's", "The opening is of ch_")]
    [InlineData("no cell", "Not an opening: Field 3 does not have 1 to 256 elements.")]
    [InlineData("a million cells", "Not an opening: it is ")]
    [InlineData("a claim of 2^31 cells", "Not an opening: ")]
    [InlineData("257 cells", "Not an opening: Field 3 does not have 1 to 256 elements.")]
    [InlineData("a round too many", "Not an opening: There is no cell 0 of round 2: 2 rounds have 128 each.")]
    [InlineData("row 2^31 - 1", "Not an opening: There is no cell 2147483647 of round 0: 2 rounds have 128 each.")]
    [InlineData("row -1", "Not an opening: There is no cell -1 of round 0: 2 rounds have 128 each.")]
    public async Task An_opening_that_is_none_shows_nothing_and_the_right_one_still_can_come(string what, string words)
    {
        var start = await BeginAsync();
        var right = Open(start.Id, new ChallengeCell(0, 0));
        await SayAsync(open: what switch
        {
            "nothing" => [],
            "cut" => right[..^1],
            "another challenge's" => Open(new ChallengeId(UInt128.One), new ChallengeCell(0, 0)),
            "no cell" => Cells(start.Id, 0, 0),
            "a million cells" => Cells(start.Id, 1_000_000, 50_000),
            "a claim of 2^31 cells" => Cells(start.Id, int.MaxValue, 1),
            "257 cells" => Cells(start.Id, 257, 257),
            "a round too many" => Open(start.Id, new ChallengeCell(2, 0)),
            "row 2^31 - 1" => Open(start.Id, new ChallengeCell(0, int.MaxValue)),
            _ => Open(start.Id, new ChallengeCell(0, -1)),
        });
        await ExpectLogAsync($"What the hub said of a challenge is ignored: {words}");
        await FinishAsync(start);
    }

    [Fact]
    public async Task An_opening_that_comes_twice_is_answered_once()
    {
        var start = await BeginAsync();
        var open = Open(start.Id, new ChallengeCell(1, 77), new ChallengeCell(0, 3));
        for (var i = 0; i < 50; i++) await SayAsync(open: open);
        await Line.NextAsync(NodeMessage.MessageOneofCase.ChallengeProof);
        await AssertServesAsync();
        Assert.Equal(0, Line.Count(message => message.ChallengeProof is not null));
    }

    // ------------------------------------------------------------------------------------------------------------ RESULT

    [Theory]
    [InlineData("nothing", "the result is not signed by the hub")]
    [InlineData("cut", "the result is not signed by the hub")]
    [InlineData("noise", "Not a result: ")]
    [InlineData("no outcome", "Not a result: There is no outcome 99.")]
    [InlineData("a long sentence", "Not a result: Field 8 has more than 300 characters.")]
    [InlineData("far too long", "Not a result: it is ")]
    [InlineData("of a challenge nobody knows", "the result is of ch_")]
    public async Task A_result_that_is_none_is_named_and_changes_nothing(string what, string words)
    {
        var right = new ChallengeResult
        {
            Id = new ChallengeId(4711),
            Outcome = ChallengeOutcome.Fraud,
            ElapsedMicroseconds = long.MaxValue,
            RoundTripMicroseconds = long.MinValue,
            PerSecond = long.MaxValue,
            HardwareClass = "cpu",
            Sentence = "Banned.\u001b[2J\nnode: the hub says so",
            TranscriptHash = [.. new byte[32]],
        };
        var payload = ChallengeCodec.Encode(right);
        await SayAsync(result: what switch
        {
            "nothing" => [],
            "cut" => Sign(ChallengeMessage.Result, payload)[..^1],
            "noise" => Sign(ChallengeMessage.Result, Noise(200)),
            "no outcome" => Sign(ChallengeMessage.Result, ChallengeCodec.Encode(right with { Outcome = (ChallengeOutcome)99 })),
            "a long sentence" => Sign(ChallengeMessage.Result, ChallengeCodec.Encode(right with { Sentence = new string('a', 301) })),
            "far too long" => Sign(ChallengeMessage.Result, [.. payload, .. new byte[100_000]]),
            _ => Sign(ChallengeMessage.Result, payload),
        });
        await ExpectLogAsync($"What the hub said of a challenge is ignored: {words}");
    }

    // ------------------------------------------------------------------------------------------------------------- audits

    [Fact]
    public async Task An_audit_of_an_answer_that_was_never_given_shows_nothing()
    {
        await Line.SendAsync(new HubMessage { AuditRequest = new AuditRequest { LeaseId = "ls_of_nobody", Positions = { 0, 1, 2 } } });
        var reveal = (await Line.NextAsync(NodeMessage.MessageOneofCase.AuditReveal)).AuditReveal;
        Assert.Equal(("ls_of_nobody", 0u, 0), (reveal.LeaseId, reveal.Count, reveal.Tokens.Count));
    }

    [Fact]
    public async Task An_audit_of_positions_out_of_order_twice_and_beyond_the_answer_shows_each_that_there_is_once()
    {
        var lease = await AssertServesAsync();
        await Line.SendAsync(new HubMessage { AuditRequest = new AuditRequest { LeaseId = lease.LeaseId, Positions = { 1, 0, uint.MaxValue, 0, 1, int.MaxValue, 1_000_000 } } });
        var reveal = (await Line.NextAsync(NodeMessage.MessageOneofCase.AuditReveal)).AuditReveal;
        Assert.Equal((uint)DemoHub.CompletionTokens, reveal.Count);
        Assert.Equal([1u, 0u], reveal.Tokens.Select(token => token.Position));
    }

    [Fact]
    public async Task An_audit_of_sixty_million_positions_ends_the_connection_before_it_is_read()
    {
        var lease = await AssertServesAsync();
        Agent.Process.ForgetPeak();
        await Line.TrySendRawAsync(RawLink.Frame(Audit(lease.LeaseId, 60_000_000)));
        await ExpectRedialAsync("The hub sent 60000");
    }

    [Fact]
    public async Task An_audit_hidden_behind_a_lease_is_no_longer_than_another()
    {
        var lease = new HubMessage { Assign = AgentOfScriptedHub.Lease(NextLeaseId()) }.ToByteArray();
        await Line.TrySendRawAsync(RawLink.Frame([.. lease, .. Audit("ls_of_nobody", 60_000_000)]));
        await ExpectRedialAsync("The hub sent 60000");
    }

    [Fact]
    public async Task A_flood_of_audits_is_answered_and_nobody_waits_for_it()
    {
        var lease = await AssertServesAsync();
        for (var i = 0; i < 5_000; i++) await Line.SendAsync(new HubMessage { AuditRequest = new AuditRequest { LeaseId = lease.LeaseId, Positions = { 0, 1 } } });
        await AssertServesAsync();
        for (var i = 0; i < 5_000; i++) await Line.NextAsync(NodeMessage.MessageOneofCase.AuditReveal);
    }

    // -------------------------------------------------------------------------------------------------------------- SCORE

    [Theory]
    [InlineData("cut", "The request cannot be read: it is not the JSON of a score request.")]
    [InlineData("nothing", "The request cannot be read: it is not the JSON of a score request.")]
    [InlineData("nested", "The request cannot be read: it is not the JSON of a score request.")]
    [InlineData("a kind of its own", "The request cannot be read: kind is neither chat nor completion.")]
    [InlineData("17 MiB", "The request cannot be read: it has more than 16777216 bytes.")]
    [InlineData("2 MiB to score", "The request cannot be read: answer_text has more than 1048576 bytes.")]
    [InlineData("65 offsets", "The request cannot be read: offsets are not at most 64 ascending places in the answer.")]
    [InlineData("offsets in disorder", "The request cannot be read: offsets are not at most 64 ascending places in the answer.")]
    [InlineData("an offset of 2^31 - 1", "The request cannot be read: offsets are not at most 64 ascending places in the answer.")]
    [InlineData("an offset below 0", "The request cannot be read: offsets are not at most 64 ascending places in the answer.")]
    [InlineData("top 2^31 - 1", "The request cannot be read: top is not 0 to 20.")]
    [InlineData("a temperature of 1e300", "The request cannot be read: sampler is out of its ranges.")]
    [InlineData("beyond the context", "Prompt and answer have ")]
    public async Task A_score_that_cannot_be_given_fails_in_words(string what, string words)
    {
        var score = new JsonObject
        {
            ["kind"] = "chat",
            ["model"] = AgentProcess.Model,
            ["request"] = JsonNode.Parse(Chats.Question(AgentProcess.Model, "17+25=", stream: false)),
            ["answer_text"] = "42",
            ["finish_reason"] = "stop",
        };
        switch (what)
        {
            case "a kind of its own": score["kind"] = "embedding"; break;
            case "17 MiB": score["padding"] = new string('a', 17 << 20); break;
            case "2 MiB to score": score["answer_text"] = new string('a', 2 << 20); break;
            case "65 offsets": score["answer_text"] = new string('a', 100); score["offsets"] = new JsonArray([.. Enumerable.Range(0, 65).Select(i => JsonValue.Create(i))]); break;
            case "offsets in disorder": score["offsets"] = new JsonArray(1, 0); break;
            case "an offset of 2^31 - 1": score["offsets"] = new JsonArray(0, int.MaxValue); break;
            case "an offset below 0": score["offsets"] = new JsonArray(int.MinValue); break;
            case "top 2^31 - 1": score["top"] = int.MaxValue; break;
            case "a temperature of 1e300": score["sampler"] = new JsonObject { ["temperature"] = 1e300 }; break;
            case "beyond the context": score["answer_text"] = string.Concat(Enumerable.Repeat("12+", 20_000)); break;
        }
        var body = what switch
        {
            "nothing" => [],
            "cut" => Encoding.UTF8.GetBytes(score.ToJsonString())[..^1],
            "nested" => Encoding.UTF8.GetBytes($"{{\"request\":{new string('[', 100_000)}"),
            _ => Encoding.UTF8.GetBytes(score.ToJsonString()),
        };
        var lease = AgentOfScriptedHub.Lease(NextLeaseId());
        (lease.Kind, lease.Body) = ("score", ByteString.CopyFrom(body));
        await Line.SendAsync(new HubMessage { Assign = lease });
        var failed = (await Line.NextAsync(message => message.Failed?.LeaseId == lease.LeaseId, "the failure of a score")).Failed;
        Assert.Equal(FailReason.EngineError, failed.Reason);
        Assert.StartsWith(words, failed.Detail, StringComparison.Ordinal);
    }

    // -------------------------------------------------------------------------------------------------------------- leases

    [Theory]
    [InlineData("no id", RefuseReason.Unspecified, "the ids of a lease and its job have 1 to 128 characters")]
    [InlineData("an id of 129", RefuseReason.Unspecified, "the ids of a lease and its job have 1 to 128 characters")]
    [InlineData("a job's id of a megabyte", RefuseReason.Unspecified, "the ids of a lease and its job have 1 to 128 characters")]
    [InlineData("no kind", RefuseReason.ModelGone, "this agent knows no jobs of kind ''")]
    [InlineData("an unknown kind", RefuseReason.ModelGone, "this agent knows no jobs of kind 'shell'")]
    [InlineData("an unknown engine", RefuseReason.ModelGone, "engine 'cuda' has no model 'federation-demo'")]
    [InlineData("an unknown model", RefuseReason.ModelGone, "engine 'builtin' has no model '../../etc/passwd'")]
    public async Task A_lease_that_makes_no_sense_is_refused_in_words(string what, RefuseReason reason, string words)
    {
        var lease = AgentOfScriptedHub.Lease(NextLeaseId());
        switch (what)
        {
            case "no id": lease.LeaseId = string.Empty; break;
            case "an id of 129": lease.LeaseId = new string('a', 129); break;
            case "a job's id of a megabyte": lease.JobId = new string('a', 1 << 20); break;
            case "no kind": lease.Kind = string.Empty; break;
            case "an unknown kind": lease.Kind = "shell"; break;
            case "an unknown engine": lease.Engine = "cuda"; break;
            default: lease.Model = "../../etc/passwd"; break;
        }
        await ExpectRefusalAsync(lease, reason, words);
    }

    [Fact]
    public async Task A_lease_that_comes_twice_runs_once()
    {
        var lease = AgentOfScriptedHub.Lease(NextLeaseId());
        // Nothing of the answer goes out until the window opens.
        await WithoutWindowAsync();
        await Line.SendAsync(new HubMessage { Assign = lease });
        Assert.NotNull((await Line.NextAsync(message => message.Accept?.LeaseId == lease.LeaseId, "the lease's acceptance")).Accept);
        await ExpectRefusalAsync(lease, RefuseReason.NoSlot, "this lease runs already");
        for (var i = 0; i < 3; i++) await Line.SendAsync(new HubMessage { Window = new Window { LeaseId = lease.LeaseId, Bytes = uint.MaxValue } });
        await Line.NextAsync(message => message.Done?.LeaseId == lease.LeaseId, "the end of a lease");
        Line.End(StatusCode.OK, string.Empty);
        await WelcomeAsync();
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(uint.MaxValue)]
    public async Task A_lease_of_no_time_is_given_up_and_one_of_all_time_is_answered(uint deadlineMs)
    {
        var lease = AgentOfScriptedHub.Lease(NextLeaseId());
        (lease.DeadlineMs, lease.Attempt) = (deadlineMs, uint.MaxValue);
        await Line.SendAsync(new HubMessage { Assign = lease });
        var end = await Line.NextAsync(message => message.Done?.LeaseId == lease.LeaseId || message.Failed?.LeaseId == lease.LeaseId, "the end of a lease");
        Assert.Equal(deadlineMs == 0 ? FailReason.Cancelled : FailReason.Unspecified, end.Failed?.Reason ?? FailReason.Unspecified);
    }

    [Fact]
    public async Task Words_about_leases_that_nobody_has_change_nothing()
    {
        foreach (var id in new[] { string.Empty, "ls_of_nobody", new string('a', 100_000) })
        {
            await Line.SendAsync(new HubMessage { Cancel = new Cancel { LeaseId = id, Reason = "client_gone" } });
            await Line.SendAsync(new HubMessage { Window = new Window { LeaseId = id, Bytes = uint.MaxValue } });
        }
        await Line.SendAsync(new HubMessage());
        await Line.SendAsync(new HubMessage { Welcome = new Welcome() });
        await Line.SendAsync(new HubMessage { Challenge = Line.RightChallenge() });
    }

    // ------------------------------------------------------------------------------------------------------------ receipts

    [Theory]
    [InlineData("nothing")]
    [InlineData("noise")]
    [InlineData("a hundred thousand bytes")]
    public async Task A_receipt_that_is_none_is_not_signed(string what)
    {
        // Before it what no hub offers: no receipt at all, and more than a batch has.
        await Line.SendAsync(new HubMessage { ReceiptOffers = new ReceiptOffers() });
        await Line.SendAsync(new HubMessage { ReceiptOffers = new ReceiptOffers { Payloads = { Enumerable.Repeat(ByteString.Empty, 100_000) } } });
        await Line.SendAsync(new HubMessage { ReceiptOffers = new ReceiptOffers { Payloads = { ByteString.CopyFrom(what switch { "nothing" => [], "noise" => Noise(400), _ => new byte[100_000] }) } } });
        var answer = (await Line.NextAsync(NodeMessage.MessageOneofCase.ReceiptAnswers)).ReceiptAnswers;
        Assert.Empty(answer.Signature);
        Assert.Empty(answer.Signed);
        Assert.NotEmpty(Assert.Single(answer.Objections).Objection);
    }

    [Theory]
    [InlineData(0, long.MaxValue)]
    [InlineData(31, 1)]
    [InlineData(32, long.MaxValue)]
    [InlineData(32, -1)]
    [InlineData(100_000, 1)]
    public async Task Credits_for_a_receipt_that_the_node_did_not_sign_are_not_counted(int idBytes, long microcredits)
    {
        for (var i = 0; i < 2; i++) await Line.SendAsync(new HubMessage { ReceiptsIssued = new ReceiptsIssued { Receipts = { new IssuedReceipt { ReceiptId = ByteString.CopyFrom(new byte[idBytes]), HubSignature = ByteString.CopyFrom(new byte[64]), CreditedMicrocredits = microcredits } } } });
        await ExpectLogAsync($"The hub issued a receipt over {microcredits} µcr that this node did not sign, or has already: ignored");
    }

    // -------------------------------------------------------------------------------------------------------------- models

    [Fact]
    public async Task Models_that_cannot_be_fetched_are_refused_in_words_however_many()
    {
        for (var i = 0; i < 1_000; i++) await Line.SendAsync(new HubMessage { PullModel = new PullModel { Engine = i % 2 == 0 ? "builtin" : new string('e', 200), Model = i % 3 == 0 ? string.Empty : "../../etc/passwd" } });
        for (var i = 0; i < 1_000; i++)
        {
            var progress = (await Line.NextAsync(NodeMessage.MessageOneofCase.PullProgress)).PullProgress;
            Assert.True(progress is { Finished: false, Error.Length: > 0 and < 500 }, $"{progress}");
        }
    }

    [Fact]
    public async Task A_flood_of_pings_is_answered()
    {
        for (uint i = 0; i < 5_000; i++) await Line.SendAsync(new HubMessage { Ping = new Ping { Number = i } });
        for (var i = 0; i < 5_000; i++) await Line.NextAsync(NodeMessage.MessageOneofCase.Pong);
    }

    // ------------------------------------------------------------------------------------------------------ the connection

    [Theory]
    [InlineData("no nonce", "The hub's nonce has 0 bytes, not 32.")]
    [InlineData("a nonce of 31 bytes", "The hub's nonce has 31 bytes, not 32.")]
    [InlineData("a nonce of 200 kB", "The hub's nonce has 200000 bytes, not 32.")]
    [InlineData("another key", "This is not the hub the node joined (hb_")]
    [InlineData("no key", "This is not the hub the node joined (hb_")]
    [InlineData("a welcome instead", "The hub did not begin with a challenge.")]
    [InlineData("a second challenge", "The hub did not say welcome.")]
    [InlineData("chunks of nothing", "The hub wants chunks of 0 bytes; ")]
    [InlineData("a heartbeat in 49 days", "The hub wants a heartbeat every 4294967295 ms")]
    public async Task A_greeting_that_is_none_ends_the_connection_and_the_agent_dials_again(string what, string words)
    {
        Line.End(StatusCode.OK, string.Empty);
        var line = await Hub.NextLineAsync();
        using var other = SigningKey.Create();
        if (what == "a welcome instead") await line.TrySendAsync(new HubMessage { Welcome = HubLine.RightWelcome() });
        else
        {
            await line.ChallengeAsync(challenge =>
            {
                challenge.Nonce = what switch { "no nonce" => ByteString.Empty, "a nonce of 31 bytes" => ByteString.CopyFrom(new byte[31]), "a nonce of 200 kB" => ByteString.CopyFrom(new byte[200_000]), _ => challenge.Nonce };
                challenge.HubPublicKey = what switch { "another key" => ByteString.CopyFrom(other.PublicKey.Span), "no key" => ByteString.Empty, _ => challenge.HubPublicKey };
            });
        }
        if (what is "a second challenge" or "chunks of nothing" or "a heartbeat in 49 days")
        {
            await line.HelloAsync();
            var welcome = HubLine.RightWelcome();
            if (what == "chunks of nothing") welcome.MaxChunkBytes = 0;
            else welcome.HeartbeatMs = uint.MaxValue;
            await line.TrySendAsync(what == "a second challenge" ? new HubMessage { Challenge = line.RightChallenge() } : new HubMessage { Welcome = welcome });
        }
        await ExpectRedialAsync(words);
    }

    [Theory]
    [InlineData("noise")]
    [InlineData("a length beyond its end")]
    [InlineData("a frame of 2 GiB")]
    [InlineData("a frame beyond 64 MiB")]
    [InlineData("half a frame")]
    [InlineData("compressed")]
    public async Task Bytes_that_are_no_message_end_the_connection_and_the_agent_dials_again(string what)
    {
        await Line.TrySendRawAsync(what switch
        {
            "noise" => RawLink.Frame(Noise(200)),
            "a length beyond its end" => RawLink.Frame([0x1a, 0xff, 0xff, 0xff, 0x7f, 1]),
            "a frame of 2 GiB" => RawLink.Frame(new byte[100], claimedLength: int.MaxValue),
            "a frame beyond 64 MiB" => RawLink.Frame(new byte[100], claimedLength: (64 << 20) + 1),
            "half a frame" => RawLink.Frame(new byte[10], claimedLength: 100),
            _ => RawLink.Frame(new byte[10], compressed: true),
        });
        if (what == "half a frame") Line.End(StatusCode.OK, string.Empty);
        await ExpectRedialAsync(string.Empty);
    }

    [Theory]
    [InlineData(StatusCode.Internal)]
    [InlineData(StatusCode.OK)]
    [InlineData((StatusCode)999)]
    public async Task However_the_hub_hangs_up_the_agent_dials_again(StatusCode status)
    {
        Line.End(status, "go away \u0000\u001b[2J\n now");
        await ExpectLogAsync("Dialling again in");
        await WelcomeAsync();
    }

    [Theory]
    [InlineData("file:///etc/passwd")]
    [InlineData("ftp://127.0.0.1/")]
    [InlineData("nowhere")]
    [InlineData("http://")]
    public async Task A_hub_that_says_nodes_dial_somewhere_impossible_is_asked_again(string url)
    {
        Hub.ClaimedNodeLink = url;
        Line.End(StatusCode.OK, string.Empty);
        await ExpectLogAsync("answers, but not as a hub.");
        Hub.ClaimedNodeLink = null;
        await WelcomeAsync();
    }

    // ------------------------------------------------------------------------------------------------------------- details

    private static byte[] Noise(int length)
    {
        var noise = new byte[length];
        new Random(4711).NextBytes(noise);
        return noise;
    }

    /// <summary>An audit of so many positions, a byte each.</summary>
    private static byte[] Audit(string leaseId, int positions)
    {
        return Field(HubMessage.AuditRequestFieldNumber, [.. new AuditRequest { LeaseId = leaseId }.ToByteArray(), .. Field(AuditRequest.PositionsFieldNumber, new byte[positions])]);

        static byte[] Field(int number, byte[] content)
        {
            var head = new MemoryStream();
            var output = new CodedOutputStream(head);
            output.WriteTag(number, WireFormat.WireType.LengthDelimited);
            output.WriteLength(content.Length);
            output.Flush();
            return [.. head.ToArray(), .. content];
        }
    }

    private byte[] Sign(ChallengeMessage kind, byte[] payload) => ChallengeCodec.Sign(payload, kind, bytes => Hub.Key.Sign(bytes));

    private byte[] Open(ChallengeId id, params ImmutableArray<ChallengeCell> cells) => Sign(ChallengeMessage.Open, ChallengeCodec.Encode(new ChallengeOpen { Id = id, Cells = cells }));

    /// <summary>An opening that claims so many cells and has so many.</summary>
    private byte[] Cells(ChallengeId id, int claimed, int cells)
    {
        // A map of three: the version, the id, and an array whose length stands in four bytes.
        byte[] head = [0xa3, 1, 1, 2, 0x50, .. id.ToArray(), 3, 0x9a, (byte)(claimed >> 24), (byte)(claimed >> 16), (byte)(claimed >> 8), (byte)claimed];
        // Canonically, a short length has fewer.
        if (claimed < 24) head = [.. head[..^5], (byte)(0x80 | claimed)];
        else if (claimed <= ushort.MaxValue) head = [.. head[..^5], 0x99, .. head[^2..]];
        return Sign(ChallengeMessage.Open, [.. head, .. Enumerable.Repeat<byte[]>([0x82, 0, 0], cells).SelectMany(cell => cell)]);
    }

    private async Task SayAsync(byte[]? start = null, byte[]? open = null, byte[]? result = null)
        => await Line.SendAsync(start is not null ? new HubMessage { ChallengeStart = new Signed { Message = ByteString.CopyFrom(start) } }
            : open is not null ? new HubMessage { ChallengeOpen = new Signed { Message = ByteString.CopyFrom(open) } }
            : new HubMessage { ChallengeResult = new Signed { Message = ByteString.CopyFrom(result!) } });

    /// <summary>An honest challenge, committed to.</summary>
    private async Task<StartFields> BeginAsync()
    {
        var start = new StartFields(Line.Node, Hub.Id);
        await SayAsync(start: Sign(ChallengeMessage.Start, start.ToBytes()));
        var message = (await Line.NextAsync(NodeMessage.MessageOneofCase.ChallengeCommit)).ChallengeCommit.Message.Memory;
        Assert.True(ChallengeCodec.IsSignedBy(Hub.NodeKey.Span, ChallengeMessage.Commit, message.Span));
        Assert.Equal(start.Id, ChallengeCodec.DecodeCommit(message).Id);
        return start;
    }

    /// <summary>Goes on with a challenge as an honest hub does, and checks that the agent shows what it is asked for.</summary>
    private async Task FinishAsync(StartFields start)
    {
        ImmutableArray<ChallengeCell> cells = [new(1, 127), new(0, 5)];
        await SayAsync(open: Open(start.Id, cells));
        var message = (await Line.NextAsync(NodeMessage.MessageOneofCase.ChallengeProof)).ChallengeProof.Message.Memory;
        Assert.True(ChallengeCodec.IsSignedBy(Hub.NodeKey.Span, ChallengeMessage.Proof, message.Span));
        Assert.Equal(start.Id, ChallengeCodec.DecodeProof(message, ChallengeParameters.Matrix(start.Size, start.Rounds), cells).Id);
    }

    /// <summary>A new connection on which no lease may send anything before it is told to.</summary>
    private async Task WithoutWindowAsync()
    {
        Line.End(StatusCode.OK, string.Empty);
        await WelcomeAsync(new Welcome { HeartbeatMs = 1_000, InitialWindowBytes = 0, MaxChunkBytes = 64 * 1024 });
    }

    /// <summary>A start as it travels, each number whatever a test wants it to be.</summary>
    private sealed record StartFields(NodeId Node, HubId Hub)
    {
        private static int _ids;

        public ChallengeId Id { get; } = new((UInt128)Interlocked.Increment(ref _ids) << 64);

        public int Version { get; init; } = 1;

        public ChallengeKind Kind { get; init; } = ChallengeKind.Matrix;

        public long Slot { get; init; } = 1;

        public long Size { get; init; } = 128;

        public long Rounds { get; init; } = 2;

        public long FillDepth { get; init; }

        public long Epoch { get; init; } = 1;

        public int BeaconBytes { get; init; } = SeedChain.HashBytes;

        public int NonceBytes { get; init; } = SeedChain.HashBytes;

        public long DeadlineMs { get; init; } = 60_000;

        public byte[] ToBytes()
        {
            var cbor = new CborWriter(CborConformanceMode.Canonical);
            var key = 0;
            cbor.WriteStartMap(13);
            Field().WriteInt32(Version);
            Field().WriteByteString(Id.ToArray());
            Field().WriteInt64((long)Kind);
            Field().WriteTextString(Hub.ToString());
            Field().WriteTextString(Node.ToString());
            foreach (var number in new[] { Slot, Size, Rounds, FillDepth, Epoch }) Field().WriteInt64(number);
            Field().WriteByteString(new byte[BeaconBytes]);
            Field().WriteByteString(new byte[NonceBytes]);
            Field().WriteInt64(DeadlineMs);
            cbor.WriteEndMap();
            return cbor.Encode();

            CborWriter Field()
            {
                cbor.WriteInt32(++key);
                return cbor;
            }
        }
    }
}
