using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Silo.Models;
using Federation.Silo.Nodes;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Grpc.Core;
using static Federation.Protocol.V1.HubMessage;

namespace Federation.Silo.Tests.Nodes;

public sealed class NodeSessionTests
{
    private const string Lease1 = "job_1.1";

    // -------------------------------------------------------------------------------------------------- the protocol

    public static TheoryData<string, NodeMessage[], StatusCode, string> Violations() => new()
    {
        { "a second hello", [new NodeMessage { Hello = new Hello() }], StatusCode.InvalidArgument, "a second hello" },
        { "an unknown lease", [Says.Accept("job_9.1")], StatusCode.PermissionDenied, "lease 'job_9.1' was not given to this node" },
        { "an unknown lease's head", [Says.Head("job_9.1")], StatusCode.PermissionDenied, "was not given" },
        { "an unknown lease's chunk", [Says.Chunk("", 0, "x")], StatusCode.PermissionDenied, "was not given" },
        { "an unknown lease's end", [Says.Done("job_9.1")], StatusCode.PermissionDenied, "was not given" },
        { "an unknown lease's failure", [Says.Failed("job_9.1")], StatusCode.PermissionDenied, "was not given" },
        { "an unknown lease's refusal", [Says.Refuse("job_9.1")], StatusCode.PermissionDenied, "was not given" },
        { "a second acceptance", [Says.Accept(Lease1), Says.Accept(Lease1)], StatusCode.InvalidArgument, "was accepted before" },
        { "no HTTP status", [Says.Head(Lease1, status: 0)], StatusCode.InvalidArgument, "status 0 is not an HTTP answer" },
        { "an informational status", [Says.Head(Lease1, status: 199)], StatusCode.InvalidArgument, "status 199" },
        { "a status beyond all", [Says.Head(Lease1, status: 600)], StatusCode.InvalidArgument, "status 600" },
        { "a huge status", [Says.Head(Lease1, status: uint.MaxValue)], StatusCode.InvalidArgument, "status 4294967295" },
        { "a second head", [Says.Head(Lease1), Says.Head(Lease1)], StatusCode.InvalidArgument, "a second head" },
        { "a chunk before the head", [Says.Chunk(Lease1, 0, "x")], StatusCode.InvalidArgument, "a chunk before the head" },
        { "an end before the head", [Says.Done(Lease1)], StatusCode.InvalidArgument, "the end of lease job_1.1 before its head" },
        { "a refusal after the head", [Says.Head(Lease1), Says.Refuse(Lease1)], StatusCode.InvalidArgument, "was refused after its head" },
        { "a first chunk that is not the first", [Says.Head(Lease1), Says.Chunk(Lease1, 1, "x")], StatusCode.InvalidArgument, "chunk 1 of lease job_1.1 is out of order" },
        { "a repeated chunk", [Says.Head(Lease1), Says.Chunk(Lease1, 0, "x"), Says.Chunk(Lease1, 0, "x")], StatusCode.InvalidArgument, "out of order" },
        { "a gap", [Says.Head(Lease1), Says.Chunk(Lease1, 0, "x"), Says.Chunk(Lease1, 2, "x")], StatusCode.InvalidArgument, "out of order" },
        { "an oversized chunk", [Says.Head(Lease1), Says.Chunk(Lease1, 0, new byte[1025])], StatusCode.ResourceExhausted, "a chunk of 1025 bytes; at most 1024" },
        { "more than the window", [Says.Head(Lease1), .. Enumerable.Range(0, 17).Select(index => Says.Chunk(Lease1, (ulong)index, new byte[1000]))], StatusCode.ResourceExhausted, "more than its window" },
        { "empty chunks without end", [Says.Head(Lease1), .. Enumerable.Range(0, 257).Select(index => Says.Chunk(Lease1, (ulong)index, ""))], StatusCode.ResourceExhausted, "more than its window" },
        { "a bundle of nothing", [Says.Bundle()], StatusCode.InvalidArgument, "a bundle of nothing" },
        { "a bundle in a bundle", [Says.Bundle(Says.Bundle(Says.Heartbeat()))], StatusCode.InvalidArgument, "a bundle in a bundle" },
        { "a bundled chunk before the head", [Says.Bundle(Says.Chunk(Lease1, 0, "x"), Says.Head(Lease1))], StatusCode.InvalidArgument, "a chunk before the head" },
        { "an unknown lease in a bundle", [Says.Bundle(Says.Head(Lease1), Says.Head("job_9.1"))], StatusCode.PermissionDenied, "lease 'job_9.1' was not given to this node" },
        { "an oversized chunk in a bundle", [Says.Bundle(Says.Head(Lease1), Says.Chunk(Lease1, 0, new byte[1025]))], StatusCode.ResourceExhausted, "a chunk of 1025 bytes; at most 1024" },
        { "a bundle of more than the window", [Says.Bundle([Says.Head(Lease1), .. Enumerable.Range(0, 17).Select(index => Says.Chunk(Lease1, (ulong)index, new byte[1000]))])], StatusCode.ResourceExhausted, "more than its window" },
        { "more in a bundle than may be said at once", [Says.Bundle([.. Enumerable.Repeat(Says.Heartbeat(), 2_001)])], StatusCode.ResourceExhausted, "messages a second" },
        { "more tokens than can be", [Says.Head(Lease1), Says.Done(Lease1, prompt: 1u << 31)], StatusCode.InvalidArgument, "token counts out of range" },
        { "a short commitment", [Says.Head(Lease1), Says.Done(Lease1, commitment: new byte[31])], StatusCode.InvalidArgument, "a commitment of 31 bytes" },
        { "a reveal nobody asked for", [Says.Reveal(Lease1, 1)], StatusCode.PermissionDenied, "a reveal of lease 'job_1.1', which nobody asked for" },
        { "a short receipt id", [Says.Signature(new byte[31], new byte[64])], StatusCode.InvalidArgument, "a receipt signature of the wrong length" },
        { "a short signature", [Says.Signature(new byte[32], new byte[63])], StatusCode.InvalidArgument, "wrong length" },
        { "an inventory without sense", [Says.Inventory(new Engine { Name = "" })], StatusCode.InvalidArgument, "an engine without a usable name" },
        { "too many slots", [Says.Inventory(uint.MaxValue, "llama")], StatusCode.InvalidArgument, "more than 1024 slots" },
    };

    [Theory]
    [MemberData(nameof(Violations))]
    public async Task A_violation_ends_the_session_with_a_status_that_names_it(string what, NodeMessage[] said, StatusCode code, string words)
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { MaxChunkBytes = 1024, WindowBytes = 16 * 1024 });
        var lease = node.Assign(Lease1);
        var other = node.Assign("job_2.1");
        node.Start().Say(said);

        var end = await node.EndAsync();

        Assert.True(end.StatusCode == code, $"{what}: {end}");
        Assert.Contains(words, end.Detail, StringComparison.Ordinal);
        // Whoever waits for the node hears at once, and nobody is sent to it any more.
        Assert.Equal(LeaseFailure.NodeLost, Assert.IsType<LeaseEvent.Failed>(await LastAsync(lease)).Reason);
        Assert.Equal(LeaseFailure.NodeLost, Assert.IsType<LeaseEvent.Failed>(await LastAsync(other)).Reason);
        Assert.Equal([PoolMember.IdOf(node.Session.SessionId, ScriptedSession.Engine)], node.Grains.Pool(ScriptedSession.Model).Withdrawn);
        Assert.Equal(AssignStatus.Gone, node.Session.TryAssign(ScriptedSession.Assignment("job_3.1"), out _));
        Assert.Equal(0, node.Session.RunningLeases);
    }

    [Fact]
    public async Task A_lease_goes_from_assignment_to_its_end_in_order()
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign(Lease1);
        node.Start();
        var assign = (await node.NextAsync(MessageOneofCase.Assign)).Assign;
        node.Say(Says.Accept(Lease1), Says.Head(Lease1, 200, "application/json"), Says.Chunk(Lease1, 0, "one"), Says.Chunk(Lease1, 1, "two"), Says.Done(Lease1, 3, 2, "stop", [9]));

        Assert.Equal((Lease1, "job_1", "chat", "llama", "ollama", true, 1u, 60_000u), (assign.LeaseId, assign.JobId, assign.Kind, assign.Model, assign.Engine, assign.Stream, assign.Attempt, assign.DeadlineMs));
        Assert.Equal(new LeaseEvent.Head(200, "application/json"), await lease.Events.ReadAsync().AsTask().WithinPatienceAsync());
        Assert.Equal("one"u8.ToArray(), Assert.IsType<LeaseEvent.Chunk>(await lease.Events.ReadAsync().AsTask().WithinPatienceAsync()).Data.ToArray());
        Assert.Equal("two"u8.ToArray(), Assert.IsType<LeaseEvent.Chunk>(await lease.Events.ReadAsync().AsTask().WithinPatienceAsync()).Data.ToArray());
        var done = Assert.IsType<LeaseEvent.Done>(await LastAsync(lease));
        Assert.Equal((3, 2, "stop"), (done.PromptTokens, done.CompletionTokens, done.FinishReason));
        Assert.Equal([9], done.OutputHash.ToArray());
        Assert.Equal(0, node.Session.RunningLeases);
    }

    [Fact]
    public async Task A_bundle_counts_as_its_messages_and_an_acceptance_may_be_left_out()
    {
        await using var node = new ScriptedSession();
        var (lease, other) = (node.Assign(Lease1), node.Assign("job_2.1"));
        node.Start().Say(Says.Bundle(Says.Head(Lease1, 200, "application/json"), Says.Head("job_2.1"), Says.Chunk(Lease1, 0, "one"), Says.Done(Lease1, 3, 2, "stop", [9]), Says.Failed("job_2.1")));

        Assert.Equal(new LeaseEvent.Failed(LeaseFailure.EngineError, "it broke"), await LastAsync(other));
        Assert.Equal(new LeaseEvent.Head(200, "application/json"), await lease.Events.ReadAsync().AsTask().WithinPatienceAsync());
        Assert.Equal("one"u8.ToArray(), Assert.IsType<LeaseEvent.Chunk>(await lease.Events.ReadAsync().AsTask().WithinPatienceAsync()).Data.ToArray());
        Assert.Equal([9], Assert.IsType<LeaseEvent.Done>(await LastAsync(lease)).OutputHash.ToArray());
        Assert.Equal(0, node.Session.RunningLeases);
    }

    [Theory]
    [InlineData(RefuseReason.NoSlot, LeaseRefusal.NoSlot)]
    [InlineData(RefuseReason.ModelGone, LeaseRefusal.ModelGone)]
    [InlineData(RefuseReason.Paused, LeaseRefusal.Paused)]
    [InlineData(RefuseReason.Draining, LeaseRefusal.Draining)]
    [InlineData((RefuseReason)99, LeaseRefusal.Unspecified)]
    public async Task A_refusal_reaches_the_consumer(RefuseReason said, LeaseRefusal heard)
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign(Lease1);
        node.Start().Say(Says.Refuse(Lease1, said));
        Assert.Equal(new LeaseEvent.Refused(heard), await LastAsync(lease));
    }

    [Theory]
    [InlineData(FailReason.EngineUnreachable, LeaseFailure.EngineUnreachable)]
    [InlineData(FailReason.EngineError, LeaseFailure.EngineError)]
    [InlineData(FailReason.Cancelled, LeaseFailure.GivenUp)]
    [InlineData(FailReason.Deadline, LeaseFailure.Deadline)]
    [InlineData((FailReason)99, LeaseFailure.Unspecified)]
    public async Task A_failure_reaches_the_consumer(FailReason said, LeaseFailure heard)
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign(Lease1);
        node.Start().Say(Says.Failed(Lease1, said));
        Assert.Equal(new LeaseEvent.Failed(heard, "it broke"), await LastAsync(lease));
    }

    [Fact]
    public async Task A_grant_lets_the_node_send_as_much_more()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { WindowBytes = 16 * 1024 });
        var lease = node.Assign(Lease1);
        node.Start().Say([Says.Head(Lease1), .. Enumerable.Range(0, 15).Select(index => Says.Chunk(Lease1, (ulong)index, new byte[1000]))]);
        await node.Session.Grant(Lease1, 1064);
        Assert.Equal(1064u, (await node.NextAsync(MessageOneofCase.Window)).Window.Bytes);
        node.Say(Says.Chunk(Lease1, 15, new byte[1000]), Says.Done(Lease1));
        Assert.IsType<LeaseEvent.Done>(await LastAsync(lease));
    }

    [Fact]
    public async Task A_cancelled_lease_is_over_and_what_was_on_its_way_is_ignored()
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign(Lease1);
        node.Start().Say(Says.Head(Lease1));
        await node.HeardAsync();
        await node.Session.Cancel(Lease1, "client_gone");

        Assert.Equal("client_gone", (await node.NextAsync(MessageOneofCase.Cancel)).Cancel.Reason);
        node.Say(Says.Chunk(Lease1, 0, "late"), Says.Done(Lease1));
        await node.HeardAsync();

        Assert.False(node.Running.IsCompleted);
        Assert.Equal(new LeaseEvent.Failed(LeaseFailure.Cancelled, "client_gone"), await LastAsync(lease));
    }

    [Fact]
    public async Task What_goes_on_after_a_leases_end_beyond_its_window_ends_the_session()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { WindowBytes = 16 * 1024 });
        node.Assign(Lease1);
        node.Start().Say(Says.Head(Lease1));
        await node.HeardAsync();
        await node.Session.Cancel(Lease1, "client_gone");
        node.Say([.. Enumerable.Range(0, 40).Select(index => Says.Chunk(Lease1, (ulong)index, new byte[1000]))]);
        var end = await node.EndAsync();
        Assert.Equal((StatusCode.ResourceExhausted, "lease job_1.1 goes on after its end"), (end.StatusCode, end.Detail));
    }

    [Fact]
    public async Task A_message_of_a_newer_agent_is_ignored()
    {
        await using var node = new ScriptedSession();
        node.Start().Say(new NodeMessage());
        await node.HeardAsync();
        Assert.False(node.Running.IsCompleted);
    }

    // --------------------------------------------------------------------------------------------------------- bounds

    [Fact]
    public async Task More_messages_than_the_budget_end_the_session()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { MessageBurst = 5, MessagesPerSecond = 2 });
        node.Start().Say([.. Enumerable.Range(0, 6).Select(_ => Says.Heartbeat())]);
        var end = await node.EndAsync();
        Assert.Equal((StatusCode.ResourceExhausted, "more than 2 messages a second"), (end.StatusCode, end.Detail));
    }

    [Fact]
    public async Task The_budget_fills_up_again_with_time()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { MessageBurst = 3, MessagesPerSecond = 2 });
        node.Start().Say(Says.Heartbeat(), Says.Heartbeat());
        await node.HeardAsync();
        node.Clock.Advance(TimeSpan.FromSeconds(1));
        node.Say(Says.Heartbeat());
        await node.HeardAsync();
        Assert.False(node.Running.IsCompleted);
    }

    [Fact]
    public async Task The_messages_of_its_leases_cost_a_node_nothing()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { MessageBurst = 1, MessagesPerSecond = 1 });
        var lease = node.Assign(Lease1);
        node.Start().Say([Says.Accept(Lease1), Says.Head(Lease1), .. Enumerable.Range(0, 500).Select(index => Says.Chunk(Lease1, (ulong)index, "x")), Says.Done(Lease1)]);
        Assert.IsType<LeaseEvent.Done>(await LastAsync(lease));
    }

    [Fact]
    public async Task A_silent_node_is_hung_up_on()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { Heartbeat = TimeSpan.FromSeconds(5), SilentHeartbeats = 3 });
        node.Start();
        await node.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(3));
        node.Clock.Advance(TimeSpan.FromSeconds(18));
        var end = await node.EndAsync();
        Assert.Equal((StatusCode.DeadlineExceeded, "no heartbeat for 18 s"), (end.StatusCode, end.Detail));
    }

    [Fact]
    public async Task A_node_that_lets_messages_pile_up_is_hung_up_on()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { MaxOutbound = 16 });
        node.TakesMessages = new TaskCompletionSource().Task;
        node.Start();
        for (var message = 0; message < 20; message++) await node.Session.OfferReceipts([[1]]);
        var end = await node.EndAsync();
        Assert.Equal((StatusCode.ResourceExhausted, "more than 16 messages wait for the node"), (end.StatusCode, end.Detail));
    }

    [Fact]
    public async Task A_message_that_is_being_written_when_the_hub_ends_the_session_is_not_given_up_at_once()
    {
        await using var node = new ScriptedSession();
        var taken = new TaskCompletionSource();
        node.TakesMessages = taken.Task;
        node.Assign(Lease1);
        node.Start().Say(Says.Accept("job_9.1"));
        await Eventually.TrueAsync(() => node.Session.Ended.IsCancellationRequested, "the session to end");

        taken.SetResult();

        Assert.Equal(Lease1, (await node.NextAsync(MessageOneofCase.Assign)).Assign.LeaseId);
        Assert.Equal(StatusCode.PermissionDenied, (await node.EndAsync()).StatusCode);
    }

    [Fact]
    public async Task A_node_that_takes_no_messages_does_not_hold_up_the_end_of_its_session()
    {
        await using var node = new ScriptedSession();
        node.TakesMessages = new TaskCompletionSource().Task;
        node.Assign(Lease1);
        node.Start().Say(Says.Accept("job_9.1"));
        await node.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(1));
        node.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(StatusCode.PermissionDenied, (await node.EndAsync()).StatusCode);
    }

    [Fact]
    public async Task Only_the_latest_pulls_are_remembered()
    {
        await using var node = new ScriptedSession(options: new NodeLinkOptions { MaxPulls = 3 });
        node.Start().Say([.. Enumerable.Range(0, 10).Select(index => new NodeMessage { PullProgress = new PullProgress { Engine = "ollama", Model = $"model {index}", CompletedBytes = ulong.MaxValue } })]);
        await Eventually.TrueAsync(() => node.Session.Report.Pulls.Any(pull => pull.Model == "model 9"), "the last pull");
        Assert.Equal(["model 7", "model 8", "model 9"], node.Session.Report.Pulls.Select(pull => pull.Model));
        Assert.All(node.Session.Report.Pulls, pull => Assert.Equal(long.MaxValue, pull.CompletedBytes));
    }

    // ---------------------------------------------------------------------------------------------- slots and leaving

    [Fact]
    public async Task An_engine_gets_as_many_leases_as_it_has_slots()
    {
        await using var node = new ScriptedSession(slots: 2);
        node.Assign("job_1.1");
        node.Assign("job_2.1");
        Assert.Equal(AssignStatus.NoSlot, node.Session.TryAssign(ScriptedSession.Assignment("job_3.1"), out _));
        Assert.Equal(AssignStatus.NoSlot, node.Session.TryAssign(ScriptedSession.Assignment("job_3.1", engine: "vllm"), out _));
        await node.Session.Cancel("job_1.1", "client_gone");
        node.Assign("job_3.1");
    }

    [Fact]
    public async Task Of_many_threads_that_assign_at_once_as_many_get_through_as_there_are_slots()
    {
        await using var node = new ScriptedSession(slots: 50);
        var sent = 0;
        Parallel.For(0, 400, index =>
        {
            if (node.Session.TryAssign(ScriptedSession.Assignment($"job_{index}.1"), out _) is AssignStatus.Sent) Interlocked.Increment(ref sent);
        });
        Assert.Equal((50, 50), (sent, node.Session.RunningLeases));
    }

    [Fact]
    public async Task A_pool_that_was_told_no_hears_of_the_next_free_slot_at_once()
    {
        await using var node = new ScriptedSession(slots: 1);
        var pool = node.Grains.Pool(ScriptedSession.Model);
        node.Assign(Lease1);
        Assert.Equal(AssignStatus.NoSlot, node.Session.TryAssign(ScriptedSession.Assignment("job_2.1"), out _));
        await node.Session.Cancel(Lease1, "client_gone");
        await Eventually.TrueAsync(() => !pool.Announced.IsEmpty, "the announcement");
        Assert.Equal((1, 1), (pool.Announced.Single().Slots, pool.Announced.Single().FreeSlots));
    }

    [Fact]
    public async Task A_node_that_leaves_finishes_what_runs_and_is_offered_to_nobody()
    {
        await using var node = new ScriptedSession(slots: 1);
        var pool = node.Grains.Pool(ScriptedSession.Model);
        var lease = node.Assign(Lease1);
        Assert.Equal(AssignStatus.NoSlot, node.Session.TryAssign(ScriptedSession.Assignment("job_2.1"), out _));
        node.Start().Say(new NodeMessage { Drain = new Drain { Reason = "bedtime" } });
        await Eventually.TrueAsync(() => !pool.Withdrawn.IsEmpty, "the withdrawal");
        var announced = pool.Announced.Count;

        Assert.Equal(AssignStatus.Gone, node.Session.TryAssign(ScriptedSession.Assignment("job_3.1"), out _));
        node.Say(Says.Head(Lease1), Says.Done(Lease1));

        Assert.IsType<LeaseEvent.Done>(await LastAsync(lease));
        await node.HeardAsync();
        Assert.Equal(announced, pool.Announced.Count);
    }

    [Fact]
    public async Task A_paused_node_is_announced_without_free_slots_and_takes_nothing()
    {
        await using var node = new ScriptedSession();
        node.Start().Say(Says.Paused());
        await node.HeardAsync();
        Assert.Equal(AssignStatus.NoSlot, node.Session.TryAssign(ScriptedSession.Assignment(), out _));
        Assert.Equal(0, node.Grains.Pool(ScriptedSession.Model).Announced.Last().FreeSlots);
        Assert.Equal((false, "the owner plays"), (node.Session.Report.AcceptsWork, node.Session.Report.WhyNot));

        node.Say(Says.Paused(false));
        await node.HeardAsync();
        node.Assign();
        Assert.Equal(2, node.Grains.Pool(ScriptedSession.Model).Announced.Last().FreeSlots);
    }

    [Fact]
    public async Task Each_engine_that_has_a_model_is_announced_and_the_one_that_lost_it_is_withdrawn()
    {
        await using var node = new ScriptedSession();
        var pool = node.Grains.Pool("mistral");
        node.Start().Say(Says.Inventory(Has("one"), Has("two"), Has("three")));
        await node.HeardAsync();
        Assert.Equal([("one", 1), ("two", 1), ("three", 1)], pool.Announced.TakeLast(3).Select(member => (member.Engine, member.FreeSlots)));
        Assert.Equal(3, pool.Announced.TakeLast(3).Select(member => member.Id).Distinct().Count());

        node.Say(Says.Inventory(Has("one"), new Engine { Name = "two", Kind = "openai", Slots = 1 }, Has("three")));
        await node.HeardAsync();
        Assert.Equal([PoolMember.IdOf(node.Session.SessionId, "two")], pool.Withdrawn);
        Assert.Equal(["one", "three"], pool.Announced.TakeLast(2).Select(member => member.Engine));

        static Engine Has(string name) => new() { Name = name, Kind = "openai", Slots = 1, Models = { new Model { Name = "mistral", Loaded = true } } };
    }

    [Fact]
    public async Task A_model_that_went_is_withdrawn_and_a_new_one_is_announced()
    {
        await using var node = new ScriptedSession();
        node.Start().Say(Says.Inventory(3, "mistral"));
        await node.HeardAsync();
        Assert.Equal([PoolMember.IdOf(node.Session.SessionId, ScriptedSession.Engine)], node.Grains.Pool(ScriptedSession.Model).Withdrawn);
        Assert.Equal((3, "mistral"), (node.Grains.Pool("mistral").Announced.Last().Slots, node.Grains.Pool("mistral").Announced.Last().Model.Name));
        Assert.Equal("mistral", Assert.Single(Assert.Single(node.Session.Report.Engines).Models).Name);
    }

    [Fact]
    public async Task Announcements_are_repeated_each_period_and_each_is_newer()
    {
        await using var node = new ScriptedSession(pool: new PoolOptions { AnnouncePeriod = TimeSpan.FromSeconds(1) });
        var pool = node.Grains.Pool(ScriptedSession.Model);
        node.Start();
        for (var period = 1; period <= 3; period++)
        {
            await Eventually.TrueAsync(() => pool.Announced.Count == period && node.Grains.Node.Reports.Count == period, $"announcement {period}");
            await node.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(1));
            node.Clock.Advance(TimeSpan.FromSeconds(1));
        }
        var versions = pool.Announced.Select(member => member.Version).ToArray();
        Assert.Equal(versions.Order().Distinct(), versions);
    }

    // --------------------------------------------------------------------------------------------- the node's grain

    [Fact]
    public async Task A_signed_receipt_is_answered_with_the_hubs_signature()
    {
        await using var node = new ScriptedSession();
        await node.Session.OfferReceipts([[1, 2, 3], [4]]);
        node.Start();
        Assert.Equal([[1, 2, 3], [4]], (await node.NextAsync(MessageOneofCase.ReceiptOffers)).ReceiptOffers.Payloads.Select(payload => payload.ToByteArray()));
        node.Say(Says.Signature(new byte[64], Id(1), Id(2)));
        var issued = (await node.NextAsync(MessageOneofCase.ReceiptsIssued)).ReceiptsIssued.Receipts;
        Assert.Equal([Id(1), Id(2)], issued.Select(receipt => receipt.ReceiptId.ToByteArray()));
        Assert.All(issued, receipt => Assert.Equal(42, receipt.CreditedMicrocredits));
        Assert.All(issued, receipt => Assert.Equal([1, 2, 3], receipt.HubSignature.ToByteArray()));
    }

    public static TheoryData<string, NodeMessage, string> HostileAnswers() => new()
    {
        { "nothing", Says.Answers([], []), "an answer about 0 receipts; 1 to 128 are offered at once" },
        { "too many", Says.Signature(new byte[64], [.. Enumerable.Range(0, 129).Select(Id)]), "an answer about 129 receipts; 1 to 128 are offered at once" },
        { "too many in all", Says.Answers(new byte[64], [.. Enumerable.Range(0, 128).Select(Id)], (Id(128), "no")), "an answer about 129 receipts; 1 to 128 are offered at once" },
        { "a short id", Says.Signature(new byte[64], Id(1), new byte[31]), "a receipt signature of the wrong length" },
        { "a long id", Says.Answers([], [], (new byte[33], "no")), "a receipt signature of the wrong length" },
        { "a short signature", Says.Signature(new byte[63], Id(1)), "a receipt signature of the wrong length" },
        { "a signature with a path", Says.Signature(new byte[68], Id(1)), "a receipt signature of the wrong length" },
        { "no signature", Says.Signature([], Id(1)), "a receipt signature of the wrong length" },
        { "a signature of nothing", Says.Answers(new byte[64], [], (Id(1), "no")), "a receipt signature of the wrong length" },
        { "signed twice", Says.Signature(new byte[64], Id(1), Id(2), Id(1)), "two answers about one receipt" },
        { "signed and objected to", Says.Answers(new byte[64], [Id(1)], (Id(1), "no")), "two answers about one receipt" },
    };

    [Theory]
    [MemberData(nameof(HostileAnswers))]
    public async Task An_answer_that_no_node_gives_ends_the_session_before_anybody_judges_it(string what, NodeMessage answer, string why)
    {
        await using var node = new ScriptedSession();
        node.Start().Say(answer);
        var end = await node.EndAsync();
        Assert.Equal((what, StatusCode.InvalidArgument, why), (what, end.StatusCode, end.Detail));
        Assert.Empty(node.Grains.Node.Answers);
    }

    [Fact]
    public async Task A_node_may_object_to_some_receipts_and_sign_the_rest()
    {
        await using var node = new ScriptedSession();
        node.Start().Say(Says.Answers(new byte[64], [Id(1), Id(2)], (Id(3), "not that one")));
        await node.NextAsync(MessageOneofCase.ReceiptsIssued);
        var answer = Assert.Single(node.Grains.Node.Answers);
        Assert.Equal([Id(1), Id(2)], answer.Agreed.Select(id => id.ToArray()));
        var objection = Assert.Single(answer.Objections);
        Assert.Equal(Id(3), objection.ReceiptId.ToArray());
        Assert.Equal("not that one", objection.Words);
    }

    [Fact]
    public async Task Answers_do_not_wait_behind_a_signature_that_waits_for_the_disk()
    {
        await using var node = new ScriptedSession();
        var onDisk = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.Grains.Node.BeforeSigning = onDisk.Task;
        var lease = node.Assign(Lease1);
        node.Start().Say(Says.Signature(new byte[64], Id(1)), Says.Head(Lease1), Says.Done(Lease1));
        Assert.IsType<LeaseEvent.Done>(await LastAsync(lease));

        onDisk.SetResult();
        await node.NextAsync(MessageOneofCase.ReceiptsIssued);
    }

    [Fact]
    public async Task What_a_node_signed_before_it_left_is_judged_all_the_same()
    {
        await using var node = new ScriptedSession();
        var onDisk = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.Grains.Node.BeforeSigning = onDisk.Task;
        // More than are judged at once, each of them asked for.
        for (var offer = 0; offer < 30; offer++) await node.Session.OfferReceipts([[1]]);
        node.Start().Say([.. Enumerable.Range(0, 30).Select(number => Says.Signature(new byte[64], Id(number)))]);
        await Eventually.TrueAsync(() => !node.Grains.Node.Answers.IsEmpty, "the first signature");
        node.HangUp();
        onDisk.SetResult();
        await node.Running.WithinPatienceAsync();
        Assert.Equal(30, node.Grains.Node.Answers.Count);
    }

    [Fact]
    public async Task An_objection_is_passed_on_in_fit_words_and_the_session_goes_on()
    {
        await using var node = new ScriptedSession();
        node.Grains.Node.Signing = () => new ReceiptSigning(ReceiptSigningStatus.Disputed, [], 0);
        node.Start().Say(Says.Objection(Id(1), "I did\0 more\n" + new string('!', 500)));
        await Eventually.TrueAsync(() => !node.Grains.Node.Answers.IsEmpty, "the objection");
        var answer = Assert.Single(node.Grains.Node.Answers);
        Assert.Empty(answer.Signature);
        var objection = Assert.Single(answer.Objections).Words;
        Assert.StartsWith("I did· more·!!!", objection, StringComparison.Ordinal);
        Assert.Equal(200, objection.Length);
        Assert.False(node.Running.IsCompleted);
    }

    [Theory]
    [InlineData(ReceiptSigningStatus.Unknown, StatusCode.PermissionDenied, "a receipt that was not offered")]
    [InlineData(ReceiptSigningStatus.WrongSignature, StatusCode.Unauthenticated, "that is not this node's")]
    public async Task A_signature_that_cannot_be_right_ends_the_session(ReceiptSigningStatus answer, StatusCode code, string words)
    {
        await using var node = new ScriptedSession();
        node.Grains.Node.Signing = () => new ReceiptSigning(answer, [], 0);
        node.Start().Say(Says.Signature(new byte[64], Id(1)));
        var end = await node.EndAsync();
        Assert.Equal(code, end.StatusCode);
        Assert.Contains(words, end.Detail, StringComparison.Ordinal);
    }

    public static TheoryData<Exception> PassingFailures() => new()
    {
        new StorageException(StorageFailure.Unavailable, "the database is away"),
        new StorageException(StorageFailure.OutcomeUnknown, "the commit's answer was lost"),
        new TimeoutException(),
        new OrleansException("a silo is gone"),
    };

    [Theory]
    [MemberData(nameof(PassingFailures))]
    public async Task While_the_database_or_a_silo_is_away_running_answers_go_on(Exception failure)
    {
        await using var node = new ScriptedSession();
        node.Grains.Node.Signing = () => throw failure;
        node.Grains.Pool(ScriptedSession.Model).Failure = failure;
        node.Grains.Pool("mistral").Failure = failure;
        var lease = node.Assign(Lease1);
        node.Start().Say(Says.Signature(new byte[64], Id(1)), Says.Inventory(2, "mistral"), Says.Paused(), Says.Head(Lease1), Says.Done(Lease1));
        Assert.IsType<LeaseEvent.Done>(await LastAsync(lease));
        await node.HeardAsync();
        Assert.False(node.Running.IsCompleted);
    }

    [Fact]
    public async Task A_grain_that_forgot_the_session_is_told_of_it_again()
    {
        await using var node = new ScriptedSession();
        node.Grains.Node.ReportAnswer = ReportStatus.NotConnected;
        node.Start();
        await Eventually.TrueAsync(() => !node.Grains.Node.Connections.IsEmpty, "the introduction");
        Assert.Equal(node.Session.SessionId, node.Grains.Node.Connections.First().SessionId);
    }

    [Fact]
    public async Task A_session_that_another_one_replaced_ends()
    {
        await using var node = new ScriptedSession();
        node.Grains.Node.ReportAnswer = ReportStatus.Superseded;
        var end = await node.Start().EndAsync();
        Assert.Equal((StatusCode.Aborted, "the node connected anew"), (end.StatusCode, end.Detail));
    }

    [Theory]
    [InlineData(SessionEnd.Superseded, StatusCode.Aborted, "the node connected anew")]
    [InlineData(SessionEnd.Banned, StatusCode.PermissionDenied, "the node is banned")]
    [InlineData(SessionEnd.Stopping, StatusCode.Unavailable, "the hub is stopping; dial again")]
    public async Task The_hub_says_why_it_hangs_up(SessionEnd reason, StatusCode code, string words)
    {
        await using var node = new ScriptedSession();
        node.Start();
        await node.Session.Close(reason);
        var end = await node.EndAsync();
        Assert.Equal((code, words), (end.StatusCode, end.Detail));
        Assert.True(node.Session.Ended.IsCancellationRequested);
    }

    [Fact]
    public async Task A_node_that_hangs_up_fails_its_leases_and_nobody_is_blamed()
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign(Lease1);
        node.Start().HangUp();
        await node.Running.WithinPatienceAsync();
        Assert.Equal(LeaseFailure.NodeLost, Assert.IsType<LeaseEvent.Failed>(await LastAsync(lease)).Reason);
        Assert.Null(node.Session.EndStatus);
    }

    [Fact]
    public async Task A_line_that_breaks_fails_its_leases()
    {
        await using var node = new ScriptedSession();
        var lease = node.Assign(Lease1);
        node.Start().Break();
        await node.Running.WithinPatienceAsync();
        Assert.Equal(LeaseFailure.NodeLost, Assert.IsType<LeaseEvent.Failed>(await LastAsync(lease)).Reason);
    }

    // -------------------------------------------------------------------------------------- consumers on other silos

    [Fact]
    public async Task A_consumer_on_another_silo_gets_all_events_in_order_and_one_batch_at_a_time()
    {
        await using var node = new ScriptedSession();
        var sink = new Sink();
        Assert.Equal(AssignStatus.Sent, await node.Session.Assign(ScriptedSession.Assignment(Lease1), sink));
        node.Start().Say([Says.Head(Lease1), .. Enumerable.Range(0, 200).Select(index => Says.Chunk(Lease1, (ulong)index, $"{index},")), Says.Done(Lease1)]);
        await sink.Ended.WithinPatienceAsync();
        var chunks = sink.Events.OfType<LeaseEvent.Chunk>().Select(chunk => System.Text.Encoding.UTF8.GetString(chunk.Data.Span));
        Assert.Equal(string.Concat(Enumerable.Range(0, 200).Select(index => $"{index},")), string.Concat(chunks));
        Assert.IsType<LeaseEvent.Head>(sink.Events[0]);
        Assert.IsType<LeaseEvent.Done>(sink.Events[^1]);
        Assert.Equal(1, sink.MostAtOnce);
    }

    [Fact]
    public async Task A_lease_whose_consumers_silo_is_gone_is_cancelled()
    {
        await using var node = new ScriptedSession();
        Assert.Equal(AssignStatus.Sent, await node.Session.Assign(ScriptedSession.Assignment(Lease1), new Sink { Failure = new OrleansException("a silo is gone") }));
        node.Start().Say(Says.Head(Lease1));
        Assert.Equal(Lease1, (await node.NextAsync(MessageOneofCase.Cancel)).Cancel.LeaseId);
        await Eventually.TrueAsync(() => node.Session.RunningLeases == 0, "the lease's end");
    }

    /// <summary>A receipt's id, by number.</summary>
    private static byte[] Id(int number) => [.. new byte[31], (byte)number];

    private static async Task<LeaseEvent> LastAsync(Lease lease)
    {
        LeaseEvent? last = null;
        await foreach (var item in lease.Events.ReadAllAsync(new CancellationTokenSource(Eventually.Patience).Token)) last = item;
        return last!;
    }

    private sealed class Sink : ILeaseSink
    {
        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _now;

        public Exception? Failure { get; init; }

        public List<LeaseEvent> Events { get; } = [];

        public int MostAtOnce { get; private set; }

        public Task Ended => _ended.Task;

        public async Task Take(LeaseEvents events)
        {
            if (Failure is not null) throw Failure;
            MostAtOnce = Math.Max(MostAtOnce, Interlocked.Increment(ref _now));
            await Task.Yield();
            Events.AddRange(events.Items);
            Interlocked.Decrement(ref _now);
            if (events.Items[^1] is LeaseEvent.Done or LeaseEvent.Failed) _ended.TrySetResult();
        }
    }
}
