using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway.Rescue;
using Federation.Silo.Pricing;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Pricing;
using Federation.Silo.Verification.Accrual;
using Microsoft.Extensions.Logging.Abstractions;
using static Federation.Protocol.V1.HubMessage;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Gateway;

/// <summary>A node falls out in the middle of a stream, and another one goes on with it.</summary>
public sealed class RescueTests
{
    private const string Body = """{"model":"llama","stream":true,"max_tokens":9,"temperature":0,"seed":7,"stop":["\n"],"messages":[{"role":"user","content":"count"}]}""";
    private const string Role = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":11,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
    private const string End = "data: [DONE]\n\n";
    private const string Lease1 = "job_1.1";
    private const string Lease2 = "job_1~2.2";

    private static string Chunk(string text, string id = "c1", int created = 11)
        => $$$"""data: {"id":"{{{id}}}","object":"chat.completion.chunk","created":{{{created}}},"model":"m","choices":[{"index":0,"delta":{"content":{{{JsonSerializer.Serialize(text)}}}},"finish_reason":null}]}""" + "\n\n";

    private static string Finish(string reason, string id = "c1") => $$$"""data: {"id":"{{{id}}}","object":"chat.completion.chunk","created":11,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"{{{reason}}}"}]}""" + "\n\n";

    private static string Usage(int prompt, int completion) => $$$"""data: {"id":"c2","object":"chat.completion.chunk","created":22,"model":"m","choices":[],"usage":{"prompt_tokens":{{{prompt}}},"completion_tokens":{{{completion}}},"total_tokens":{{{prompt + completion}}}}}""" + "\n\n";

    private static string OtherRole => Role.Replace("c1", "c2", StringComparison.Ordinal);

    [Fact]
    public async Task The_same_stream_goes_on_from_another_node_without_a_token_lost_or_doubled()
    {
        await using var scene = new InferenceScene(body: Body);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        // The last event is cut in its middle: nobody has it.
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1") + Chunk(" 2") + Chunk(" 3")[..40]));
        await scene.ReceivesAsync(Chunk(" 2"));
        first.Break();
        var assign = (await second.NextAsync(MessageOneofCase.Assign)).Assign;
        second.Say(Says.Accept(Lease2), Says.Head(Lease2), Says.Chunk(Lease2, 0, OtherRole + Chunk(" 3", "c2", 22) + Chunk(" 4", "c2", 22) + Finish("stop", "c2") + Usage(14, 2) + End), Says.Done(Lease2, 14, 2));
        await scene.EndAsync();

        Assert.Equal("1 2 3 4", TextOf(scene.Received));
        var events = EventsOf(scene.Received);
        Assert.Equal(["c1"], events.Select(json => json["id"]!.ToString()).Distinct());
        Assert.Equal([11], events.Select(json => json["created"]!.GetValue<int>()).Distinct());
        Assert.Single(events, json => json["choices"]!.AsArray() is [{ } choice] && choice["delta"]!["role"] is not null);
        Assert.Equal("stop", Assert.Single(events.Select(FinishOf), reason => reason is not null));
        var usage = Assert.Single(events, json => json["usage"] is not null)["usage"]!;
        Assert.Equal((12, 4, 16), (usage["prompt_tokens"]!.GetValue<int>(), usage["completion_tokens"]!.GetValue<int>(), usage["total_tokens"]!.GetValue<int>()));
        Assert.EndsWith(End, scene.Received, StringComparison.Ordinal);
        Assert.DoesNotContain("error", scene.Received, StringComparison.Ordinal);
        Assert.Equal("nd_a", scene.Http.Response.Headers["x-federation-node"].Single());

        Assert.Equal((Lease2, "job_1~2", 2u), (assign.LeaseId, assign.JobId, assign.Attempt));
        var asked = JsonNode.Parse(assign.Body.Span)!;
        Assert.Equal(["1", " 2"], asked[Continuation.Field]!.AsArray().Select(piece => piece!.ToString()));
        Assert.Equal((7, 0, 7, "\n"), (asked["max_tokens"]!.GetValue<int>(), asked["temperature"]!.GetValue<int>(), asked["seed"]!.GetValue<int>(), asked["stop"]![0]!.ToString()));
        Assert.Equal("count", Assert.Single(asked["messages"]!.AsArray())!["content"]!.ToString());
        var wanted = scene.Pool.Asked.Last();
        Assert.Equal((true, "sha256:weights", "job_1~2.2"), (wanted.Continues, wanted.Digest, wanted.LeaseId));
    }

    [Fact]
    public async Task Both_nodes_have_a_record_of_what_they_delivered_and_an_audit_of_the_second_knows_what_the_first_had_said()
    {
        await using var scene = new InferenceScene(body: Body);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1") + Chunk(" 2")));
        await scene.ReceivesAsync(Chunk(" 2"));
        first.Break();
        var body = (await second.NextAsync(MessageOneofCase.Assign)).Assign.Body.ToByteArray();
        second.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, OtherRole + Chunk(" 3", "c2") + Usage(14, 1) + End), Says.Done(Lease2));
        await scene.EndAsync();
        await scene.Settled.WithinPatienceAsync();

        Assert.Equal(
            [("job_1", 1, "nd_a", JobStatus.Failed, 0L, 2L, 0L), ("job_1~2", 2, "nd_b", JobStatus.Succeeded, 14L, 1L, 2L)],
            scene.Grains.Jobs.Settled.OrderBy(outcome => outcome.Attempt).Select(outcome
                => (outcome.JobId, outcome.Attempt, outcome.NodeId, outcome.Status, outcome.PromptTokens, outcome.CompletionTokens, outcome.CarriedTokens)));
        var kept = scene.Audited.Find("job_1~2")!;
        Assert.Equal((Encoding.UTF8.GetString(body), " 3"), (Encoding.UTF8.GetString(kept.Request.Span), Federation.Silo.Verification.Audits.AnswerText.Read(kept.Answer, default)!.Text));
        Assert.Equal(System.Security.Cryptography.SHA256.HashData(body), kept.Outcome.RequestHash.ToArray());
        Assert.Equal("1 2", Federation.Silo.Verification.Audits.AnswerText.Read(scene.Audited.Find("job_1")!.Answer, default)!.Text);
        Assert.Equal([(Lease1, LeaseEnd.NodeLost), (Lease2, LeaseEnd.Finished)], scene.Pool.Released);
    }

    [Theory]
    [InlineData(9, 160_000)] // Two tokens of the first; twelve of the prompt and two of the second.
    [InlineData(null, 160_000)]
    public async Task A_stream_that_is_paid_for_goes_on_too_and_pays_each_part_out_of_what_was_held(int? limit, long paid)
    {
        await using var scene = new InferenceScene(body: limit is null ? Body.Replace("\"max_tokens\":9,", "", StringComparison.Ordinal) : Body);
        var (books, purse, payment) = await PayAsync(scene, RequestTokens.Exactly(20, limit));
        var held = payment.HeldMicrocredits;
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        var limits = new List<int> { LimitOf((await first.NextAsync(MessageOneofCase.Assign)).Assign) };
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1") + Chunk(" 2")));
        await scene.ReceivesAsync(Chunk(" 2"));
        first.Break();
        limits.Add(LimitOf((await second.NextAsync(MessageOneofCase.Assign)).Assign));
        // As much is held as before, but for what the first part has been paid.
        Assert.Equal(held, 10_000_000 - books.State.Accounts[purse].Available.Value);
        second.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, OtherRole + Chunk(" 3", "c2") + Chunk(" 4", "c2") + Finish("stop", "c2") + Usage(14, 2) + End), Says.Done(Lease2, 14, 2));
        await scene.EndAsync();
        await scene.Settled.WithinPatienceAsync();
        await payment.ReleaseAsync();

        Assert.Equal("1 2 3 4", TextOf(scene.Received));
        // Nobody is asked for more tokens than are held for.
        Assert.Equal(limits[0] - 2, limits[1]);
        Assert.Equal((10_000_000 - paid, 0), (books.State.Accounts[purse].Available.Value, books.State.Accounts[purse].DebitsPending.Value));
        Assert.Equal((20_000, paid - 20_000), (books.Jobs["job_1"].Price, books.Jobs["job_1~2"].Price));
    }

    [Fact]
    public async Task A_paid_stream_that_nobody_can_go_on_with_costs_what_came()
    {
        await using var scene = new InferenceScene(configure: options => options.MaxNodes = 1, body: Body);
        var left = await LeftAfterBreakAsync(scene, Role + Chunk("1") + Chunk(" 2"));

        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        Assert.Equal((10_000_000 - 20_000, 0), left);
    }

    /// <summary>Runs a paid stream whose one node says this and breaks off; what its account has then, free and held.</summary>
    private static async Task<(long Available, long Held)> LeftAfterBreakAsync(InferenceScene scene, string said)
    {
        var (books, purse, payment) = await PayAsync(scene, RequestTokens.Exactly(20, 9));
        var node = scene.GrantNext("a");
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, said));
        await scene.ReceivesAsync(said);
        node.Break();
        await scene.EndAsync();
        await scene.Settled.WithinPatienceAsync();
        await payment.ReleaseAsync();
        return (books.State.Accounts[purse].Available.Value, books.State.Accounts[purse].DebitsPending.Value);
    }

    /// <summary>Has the request cost a hundredth of a credit a token, which its account can pay.</summary>
    private static async Task<(BookLedger Books, LedgerAccountId Purse, Payment Payment)> PayAsync(InferenceScene scene, RequestTokens tokens)
    {
        var books = new BookLedger(scene.Clock);
        var payments = new Payments(books, Create(new PricingOptions()), Create(scene.Options), Create(new AccrualOptions()), scene.Clock, NullLogger<Payments>.Instance);
        var purse = LedgerAccountId.Available("acct_ann");
        await books.SubmitAsync(new LedgerUnit { Open = [purse], Transfers = [Transfer.Post(TransferId.Of("give"), LedgerAccountId.Treasury, purse, new Microcredits(10_000_000), TransferReason.Grant)] });
        var payment = payments.Begin(InferenceScene.JobId, "acct_ann", tokens, PaymentTerms.Usual);
        Assert.Null(await payment.HoldAsync(Price.FromCredits(10, 10), LedgerAccountId.Treasury, default));
        scene.Request = scene.Request with { Payment = payment };
        scene.Grains.Jobs.BeforeSettling = async outcome => Assert.True(await payments.SettleAsync(outcome));
        return (books, purse, payment);
    }

    private static int LimitOf(Assign assign) => JsonNode.Parse(assign.Body.Span)!["max_tokens"]!.GetValue<int>();

    [Fact]
    public async Task Wherever_a_stream_is_cut_its_client_reads_the_same_text()
    {
        string[] words = ["one", " täe", " \"q\"", " 🦊", "\\", " end"];
        var bytes = Encoding.UTF8.GetBytes(Role + string.Concat(words.Select(word => Chunk(word))) + Finish("stop") + End);
        // Every seventh byte, with what lies between events among them: a prime, so that all kinds of places come up.
        for (var cut = 1; cut < bytes.Length; cut += 7)
        {
            await using var scene = new InferenceScene(body: Body);
            var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
            scene.Start();
            await first.NextAsync(MessageOneofCase.Assign);
            first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, bytes[..cut]));
            await first.HeardAsync();
            first.HangUp();
            var answering = AnswerRestAsync(second, words);
            await scene.EndAsync();
            Assert.True(string.Concat(words) == TextOf(scene.Received), $"Cut after {cut} of {bytes.Length} bytes, the client read {TextOf(scene.Received)}");
            Assert.Single(EventsOf(scene.Received).Select(FinishOf), reason => reason is not null);
            Assert.Equal(1, scene.Received.Split(End).Length - 1);
            // Where all had been said, nobody asked it.
            if (scene.Pool.Asked.Count > 1) await answering.WithinPatienceAsync();
        }
    }

    /// <summary>A node that says of some words those that are missing, if it is asked at all.</summary>
    private static async Task AnswerRestAsync(ScriptedSession node, string[] words)
    {
        var assign = (await node.NextAsync(MessageOneofCase.Assign)).Assign;
        var said = JsonNode.Parse(assign.Body.Span)![Continuation.Field]?.AsArray().Count ?? 0;
        node.Say(Says.Head(assign.LeaseId), Says.Chunk(assign.LeaseId, 0, OtherRole + string.Concat(words.Skip(said).Select(word => Chunk(word, "c2"))) + Finish("stop", "c2") + End), Says.Done(assign.LeaseId));
    }

    [Fact]
    public async Task An_answer_survives_as_many_nodes_as_allowed_and_no_more()
    {
        await using var scene = new InferenceScene(configure: options => (options.MaxRescues, options.MaxNodes) = (2, 9), body: Body);
        ScriptedSession[] nodes = [scene.GrantNext("a"), scene.GrantNext("b"), scene.GrantNext("c")];
        scene.Start();
        for (var number = 1; number <= 3; number++)
        {
            var assign = (await nodes[number - 1].NextAsync(MessageOneofCase.Assign)).Assign;
            Assert.Equal(number - 1, JsonNode.Parse(assign.Body.Span)![Continuation.Field]?.AsArray().Count ?? 0);
            nodes[number - 1].Say(Says.Head(assign.LeaseId), Says.Chunk(assign.LeaseId, 0, Role + Chunk($" {number}")));
            await scene.ReceivesAsync($"\" {number}\"");
            nodes[number - 1].Break();
        }
        await scene.EndAsync();
        Assert.Equal(" 1 2 3", TextOf(scene.Received));
        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        Assert.Equal(["job_1", "job_1~2", "job_1~3"], scene.Grains.Jobs.Settled.Select(outcome => outcome.JobId).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Where_only_the_role_was_said_another_node_begins_anew_whatever_was_asked()
    {
        const string tools = """{"model":"llama","stream":true,"tools":[{"type":"function"}],"messages":[{"role":"user","content":"count"}]}""";
        await using var scene = new InferenceScene(body: tools);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role));
        await scene.ReceivesAsync(Role);
        first.Break();
        var assign = (await second.NextAsync(MessageOneofCase.Assign)).Assign;
        Assert.Equal((tools, "job_1", "job_1.2"), (assign.Body.ToStringUtf8(), assign.JobId, assign.LeaseId));
        second.Say(Says.Head("job_1.2"), Says.Chunk("job_1.2", 0, OtherRole + Chunk("1", "c2", 22) + End), Says.Done("job_1.2"));
        await scene.EndAsync();
        Assert.Equal(Role + Chunk("1") + End, scene.Received);
        Assert.Equal(("nd_b", 2), (scene.Grains.Jobs.Settled.Single().NodeId, scene.Grains.Jobs.Settled.Single().Attempt));
    }

    [Theory]
    [InlineData("\"tools\":[{\"type\":\"function\"}]")]
    [InlineData("\"response_format\":{\"type\":\"json_object\"}")]
    [InlineData("\"n\":2")]
    [InlineData("\"logprobs\":true")]
    [InlineData("\"continue_final_message\":true")]
    [InlineData("\"federation_continues\":[\"so\"]")]
    public async Task What_no_engine_could_go_on_with_ends_with_an_error_event(string field)
    {
        await using var scene = new InferenceScene(body: $$$"""{"model":"llama",{{{field}}},"messages":[{"role":"user","content":"count"}]}""");
        await AssertInterruptedAsync(scene, Role + Chunk("1"));
    }

    [Theory]
    [InlineData("""{"index":0,"delta":{"reasoning_content":"hm"}}""")]
    [InlineData("""{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}""")]
    [InlineData("""{"index":1,"delta":{"content":"x"}}""")]
    [InlineData("""{"index":0,"delta":{"content":"\ud83e"}}""")]
    [InlineData("""{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"token":"x"}]}}""")]
    public async Task What_is_no_plain_text_ends_with_an_error_event(string choice)
    {
        await using var scene = new InferenceScene(body: Body);
        await AssertInterruptedAsync(scene, Role + $$$"""data: {"choices":[{{{choice}}}]}""" + "\n\n");
    }

    [Fact]
    public async Task An_answer_larger_than_what_is_kept_ends_with_an_error_event()
    {
        await using var scene = new InferenceScene(configure: options => options.RescueBytes = 300, body: Body);
        await AssertInterruptedAsync(scene, Role + Chunk("1") + Chunk(" 2") + Chunk(" 3"));
    }

    [Fact]
    public async Task An_answer_that_finds_no_room_beside_others_goes_on_but_is_neither_rescued_nor_audited()
    {
        await using var scene = new InferenceScene(configure: options => options.MaxKeptBytes = 1_000, body: Body);
        Assert.True(scene.Room.Of("acct_other").TryTake(700));
        await AssertInterruptedAsync(scene, Role + Chunk("1") + Chunk(" 2") + Chunk(" 3"));
        Assert.Null(scene.Audited.Find(InferenceScene.JobId));
        Assert.Equal(700, scene.Room.Taken);
    }

    [Fact]
    public async Task No_more_is_kept_of_all_answers_together_than_there_is_room_for()
    {
        var room = new PieceRoom(Create(new Federation.Silo.Gateway.GatewayOptions { MaxKeptBytes = 1_000 }));
        await Task.WhenAll(Enumerable.Range(1, 8).Select(seed => Task.Run(() =>
        {
            var random = new Random(seed);
            for (var step = 0; step < 1_000; step++)
            {
                var share = room.Of($"acct_{random.Next(3)}");
                var bytes = random.Next(1, 400);
                var isTaken = share.TryTake(bytes);
                // Whoever is refused has its own in the count for a moment.
                if (isTaken) Assert.InRange(room.Taken, bytes, 1_000 + (8 * 400));
                share.Leave(isTaken ? bytes : 0);
            }
        })));
        Assert.Equal((0L, 0), (room.Taken, room.Shares));
        var last = room.Of("acct_ann");
        Assert.True(last.TryTake(1_000));
        Assert.False(last.TryTake(1));
        Assert.Equal(1_000, room.Taken);
    }

    [Fact]
    public void An_account_with_many_long_streams_takes_its_share_of_the_room_and_leaves_the_rest_to_others()
    {
        var room = new PieceRoom(Create(new Federation.Silo.Gateway.GatewayOptions { MaxKeptBytes = 1_000, MaxKeptBytesPerAccount = 300 }));
        PieceRoom.Share[] greedy = [.. Enumerable.Range(0, 64).Select(_ => room.Of("acct_ann"))];
        Assert.Equal(3, greedy.Count(stream => stream.TryTake(100)));
        var other = room.Of("acct_bob");
        Assert.True(other.TryTake(250));
        Assert.Equal((550L, 2), (room.Taken, room.Shares));

        // What one of them gives back is its account's again, and a stream that has left takes nothing with it that it did not take.
        greedy[0].Leave(100);
        Assert.True(greedy[63].TryTake(100));
        Assert.False(greedy[63].TryTake(1));
        for (var stream = 1; stream < greedy.Length; stream++) greedy[stream].Leave(stream is 1 or 2 or 63 ? 100 : 0);
        Assert.Equal((250L, 1), (room.Taken, room.Shares));
        other.Leave(250);
        Assert.Equal((0L, 0), (room.Taken, room.Shares));
    }

    [Fact]
    public async Task An_answer_of_an_account_that_has_its_share_of_the_room_already_is_not_kept_however_much_is_left()
    {
        await using var scene = new InferenceScene(configure: options => options.MaxKeptBytesPerAccount = 1_000, body: Body);
        Assert.True(scene.Room.Of("acct_ann").TryTake(700));
        await AssertInterruptedAsync(scene, Role + Chunk("1") + Chunk(" 2") + Chunk(" 3"));
        Assert.Equal((700L, 1), (scene.Room.Taken, scene.Room.Shares));
    }

    public static TheoryData<string, long, string> Wordless() => new()
    {
        { "all is kept", 64 << 20, Usage(1_000_000, 1_000_000) },
        { "no room", 0, Usage(1_000_000, 1_000_000) },
        { "no room, and a role", 0, Role + Usage(1_000_000, 1_000_000) },
        { "an error and no text", 64 << 20, "data: {\"error\":{\"message\":\"no\"},\"usage\":{\"prompt_tokens\":1000000,\"completion_tokens\":1000000}}\n\n" },
    };

    [Theory]
    [MemberData(nameof(Wordless))]
    public async Task A_node_that_says_no_word_and_breaks_off_is_not_paid_whether_what_it_said_was_kept_or_not(string why, long room, string said)
    {
        await using var scene = new InferenceScene(configure: options => (options.MaxNodes, options.MaxKeptBytes) = (1, room), body: Body);
        var left = await LeftAfterBreakAsync(scene, said);

        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        Assert.True(scene.Grains.Jobs.Settled.IsEmpty, why);
        Assert.Equal((10_000_000L, 0L), left);
    }

    [Fact]
    public async Task A_node_whose_words_found_no_room_is_paid_for_them()
    {
        await using var scene = new InferenceScene(configure: options => (options.MaxNodes, options.MaxKeptBytes) = (1, 0), body: Body);
        Assert.Equal((10_000_000L - 20_000, 0L), await LeftAfterBreakAsync(scene, Role + Chunk("1") + Chunk(" 2")));
    }

    [Fact]
    public async Task An_engine_that_gives_an_empty_reason_with_every_piece_has_not_ended()
    {
        var piece = Chunk("1").Replace("\"finish_reason\":null", "\"finish_reason\":\"\"", StringComparison.Ordinal);
        await using var scene = new InferenceScene(body: Body);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, piece));
        await scene.ReceivesAsync(piece);
        first.Break();
        await second.NextAsync(MessageOneofCase.Assign);
        second.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, Chunk(" 2", "c2", 22) + End), Says.Done(Lease2));
        await scene.EndAsync();
        Assert.Equal(piece + Chunk(" 2") + End, scene.Received);
    }

    [Theory]
    [InlineData("federation_continues", true)]
    [InlineData("federation\\u005fcontinues", true)]
    [InlineData("metadata", false)]
    public void That_a_request_goes_on_with_anothers_answer_is_seen_however_it_is_spelt(string field, bool goesOn)
    {
        var body = Encoding.UTF8.GetBytes($$$"""{"model":"llama","messages":[{"role":"user","content":"federation_continues"}],"{{{field}}}":{"a":"b"}}""");
        Assert.True(Federation.Silo.Gateway.RequestHead.TryRead(body, JobKind.Chat, out var head, out _));
        Assert.Equal(goesOn, head.GoesOn);
    }

    private static async Task AssertInterruptedAsync(InferenceScene scene, string said)
    {
        var first = scene.GrantNext("a");
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, said));
        await scene.ReceivesAsync(said);
        first.Break();
        await scene.EndAsync();
        Assert.StartsWith(said + "data: {\"error\":{", scene.Received, StringComparison.Ordinal);
        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        Assert.Single(scene.Pool.Asked);
    }

    [Fact]
    public async Task A_stream_whose_limit_was_reached_just_before_its_node_was_lost_is_whole()
    {
        await using var scene = new InferenceScene(body: Body.Replace("\"max_tokens\":9", "\"max_tokens\":2", StringComparison.Ordinal));
        var node = scene.GrantNext("a");
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1") + Chunk(" 2")));
        await scene.ReceivesAsync(Chunk(" 2"));
        node.Break();
        await scene.EndAsync();
        Assert.Equal(("1 2", "length", "c1"), (TextOf(scene.Received), FinishOf(EventsOf(scene.Received)[^1]), EventsOf(scene.Received)[^1]["id"]!.ToString()));
        Assert.EndsWith(End, scene.Received, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData(End)]
    public async Task A_stream_that_lacks_only_its_end_is_given_one(string end)
    {
        await using var scene = new InferenceScene(body: Body);
        var node = scene.GrantNext("a");
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1") + Finish("stop") + end));
        await scene.ReceivesAsync(Finish("stop"));
        await node.HeardAsync();
        node.Break();
        await scene.EndAsync();
        Assert.Equal(Role + Chunk("1") + Finish("stop") + End, scene.Received);
    }

    [Fact]
    public async Task A_node_that_cannot_go_on_is_replaced_by_one_that_can_and_its_words_of_refusal_reach_nobody()
    {
        await using var scene = new InferenceScene(body: Body);
        ScriptedSession[] nodes = [scene.GrantNext("a"), scene.GrantNext("b"), scene.GrantNext("c")];
        scene.Start();
        await nodes[0].NextAsync(MessageOneofCase.Assign);
        nodes[0].Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1")));
        await scene.ReceivesAsync(Chunk("1"));
        nodes[0].Break();
        await nodes[1].NextAsync(MessageOneofCase.Assign);
        nodes[1].Say(Says.Head(Lease2, 400, "application/json"), Says.Chunk(Lease2, 0, "{\"error\":{\"message\":\"no\"}}"), Says.Done(Lease2));
        await nodes[2].NextAsync(MessageOneofCase.Assign);
        nodes[2].Say(Says.Head("job_1~2.3"), Says.Chunk("job_1~2.3", 0, Chunk(" 2", "c3") + End), Says.Done("job_1~2.3"));
        await scene.EndAsync();
        Assert.Equal(Role + Chunk("1") + Chunk(" 2") + End, scene.Received);
    }

    [Fact]
    public async Task A_node_that_falls_silent_in_mid_answer_is_replaced_and_what_it_says_later_is_not_paid()
    {
        await using var scene = new InferenceScene(configure: options => (options.SilenceTimeout, options.FirstByteTimeout) = (TimeSpan.FromSeconds(9), TimeSpan.FromSeconds(7)), body: Body);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1")));
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(9));
        scene.Clock.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal("deadline", (await first.NextAsync(MessageOneofCase.Cancel)).Cancel.Reason);
        await second.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Chunk(Lease1, 1, Chunk(" late") + End), Says.Done(Lease1, 12, 9));
        await first.HeardAsync();
        second.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, Chunk(" 2", "c2") + End), Says.Done(Lease2));
        await scene.EndAsync();
        Assert.Equal(Role + Chunk("1") + Chunk(" 2") + End, scene.Received);
        Assert.Equal([1L, 1L], scene.Grains.Jobs.Settled.Select(outcome => outcome.CompletionTokens));
        Assert.False(first.Running.IsCompleted);
    }

    [Fact]
    public async Task A_node_that_said_it_would_leave_has_abandoned_nothing()
    {
        await using var scene = new InferenceScene(body: Body);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1")), new NodeMessage { Drain = new Drain { Reason = "the machine is needed" } });
        await scene.ReceivesAsync(Chunk("1"));
        first.HangUp();
        await second.NextAsync(MessageOneofCase.Assign);
        second.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, Chunk(" 2", "c2") + End), Says.Done(Lease2));
        await scene.EndAsync();
        Assert.Equal("1 2", TextOf(scene.Received));
        Assert.Empty(scene.Grains.Node.Abandoned);
        Assert.Equal((Lease1, LeaseEnd.NodeLost), scene.Pool.Released.First());
    }

    [Fact]
    public async Task A_completion_goes_on_too()
    {
        const string body = """{"model":"llama","stream":true,"max_tokens":5,"prompt":"1 2"}""";
        static string Text(string text, string id = "t1") => $$$"""data: {"id":"{{{id}}}","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"{{{text}}}","finish_reason":null,"logprobs":null}]}""" + "\n\n";
        await using var scene = new InferenceScene(body: body, kind: JobKind.Completion);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Text(" 3")));
        await scene.ReceivesAsync(Text(" 3"));
        first.Break();
        var asked = JsonNode.Parse((await second.NextAsync(MessageOneofCase.Assign)).Assign.Body.Span)!;
        Assert.Equal(("1 2", 4, " 3"), (asked["prompt"]!.ToString(), asked["max_tokens"]!.GetValue<int>(), asked[Continuation.Field]!.AsArray().Single()!.ToString()));
        second.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, Text(" 4", "t2") + End), Says.Done(Lease2));
        await scene.EndAsync();
        Assert.Equal(Text(" 3") + Text(" 4") + End, scene.Received);
    }

    [Fact]
    public async Task A_client_that_leaves_while_a_node_is_looked_for_is_no_fault_of_anybodys()
    {
        await using var scene = new InferenceScene(body: Body);
        var first = scene.GrantNext("a");
        scene.Pool.Then(async (_, cancellationToken) =>
        {
            scene.Leave();
            await Task.Delay(Timeout.Infinite, cancellationToken);
            throw new InvalidOperationException("Not reached.");
        });
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Role + Chunk("1")));
        await scene.ReceivesAsync(Chunk("1"));
        first.Break();
        await scene.EndAsync();
        Assert.Equal((Lease2, LeaseEnd.Finished), scene.Pool.Released.Last());
        Assert.Equal(1L, scene.Grains.Jobs.Settled.Single().CompletionTokens);
    }

    private static List<JsonNode> EventsOf(string stream)
        => [.. stream.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => JsonNode.Parse(line["data: ".Length..])!)];

    private static string TextOf(string stream) => string.Concat(EventsOf(stream).Select(json => (json["choices"] as JsonArray) is [{ } choice] ? choice["delta"]?["content"]?.ToString() : null));

    private static string? FinishOf(JsonNode json) => json["choices"] is JsonArray { Count: 1 } choices ? choices[0]!["finish_reason"]?.ToString() : null;
}
