using System.Security.Cryptography;
using System.Text;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Pricing;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Pricing;
using Federation.Silo.Verification.Accrual;
using Microsoft.Extensions.Logging.Abstractions;
using static Federation.Protocol.V1.HubMessage;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Gateway;

public sealed class InferenceRunTests
{
    private const string Lease1 = "job_1.1";
    private const string Lease2 = "job_1.2";
    private const string Event1 = "data: {\"choices\":[{\"delta\":{\"content\":\"4\"}}]}\n\n";
    private const string Event2 = ": a comment\r\ndata:   {\"choices\":[{\"delta\":{\"content\":\"2\"}, \"finish_reason\":\"stop\"}]}\r\n\r\n";
    private const string Usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n";
    private const string End = "data: [DONE]\n\n";
    private const string Whole = """{ "choices":[{"message":{"content":"42"},"finish_reason":"stop"}], "usage":{"prompt_tokens":9,"completion_tokens":1} }""";

    // ----------------------------------------------------------------------------------------------------- the answer

    [Fact]
    public async Task A_streams_bytes_reach_the_client_as_the_engine_wrote_them_however_they_were_cut()
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        var stream = Event1 + Event2 + Usage + End;
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Accept(Lease1), Says.Head(Lease1));
        for (var index = 0; index < stream.Length; index++) node.Say(Says.Chunk(Lease1, (ulong)index, stream[index..(index + 1)]));
        node.Say(Says.Done(Lease1));
        await scene.EndAsync();

        Assert.Equal(stream, scene.Received);
        Assert.Equal((200, "text/event-stream; charset=utf-8"), (scene.Http.Response.StatusCode, scene.Http.Response.ContentType));
        Assert.Equal(("nd_a", "1", "no"), (
            scene.Http.Response.Headers["x-federation-node"].Single(), scene.Http.Response.Headers["x-federation-attempts"].Single(), scene.Http.Response.Headers["x-accel-buffering"].Single()));
        Assert.Equal([(Lease1, LeaseEnd.Finished)], scene.Pool.Released);
        var outcome = Assert.Single(scene.Grains.Jobs.Settled);
        Assert.Equal((JobStatus.Succeeded, 9L, 2L, "stop", 1, "nd_a"), (outcome.Status, outcome.PromptTokens, outcome.CompletionTokens, outcome.FinishReason, outcome.Attempt, outcome.NodeId));
        Assert.Equal(("acct_ann", "key_1", "llama", "sha256:weights", 1_000L), (outcome.AccountId, outcome.KeyId, outcome.Model, outcome.ModelDigest, outcome.ModelSizeBytes));
        Assert.Equal(ScriptedSession.DeterminismClass, outcome.DeterminismClass);
        Assert.Equal(SHA256.HashData(Encoding.UTF8.GetBytes(stream)), outcome.OutputHash.ToArray());
        Assert.Equal(SHA256.HashData(scene.Request.Body.Span), outcome.RequestHash.ToArray());
    }

    [Fact]
    public async Task The_end_is_held_back_until_the_nodes_own_end_is_here()
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1 + Event2 + End + ": goodbye\n\n"));
        await scene.ReceivesAsync(Event2);
        Assert.Equal(Event1 + Event2, scene.Received);

        node.Say(Says.Done(Lease1));
        await scene.EndAsync();
        Assert.Equal(Event1 + Event2 + End + ": goodbye\n\n", scene.Received);
    }

    [Fact]
    public async Task A_client_that_pays_nothing_does_not_wait_for_the_disk_but_a_stop_of_the_hub_does()
    {
        await using var scene = new InferenceScene();
        var onDisk = new TaskCompletionSource();
        scene.Grains.Jobs.BeforeSettling = _ => onDisk.Task;
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1 + End), Says.Done(Lease1));
        await scene.EndAsync();

        Assert.Equal(Event1 + End, scene.Received);
        Assert.False(scene.Settled.IsCompleted);
        onDisk.SetResult();
        await scene.Settled.WithinPatienceAsync();
        Assert.Single(scene.Grains.Jobs.Settled);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_client_that_pays_has_the_end_when_it_is_paid_and_nothing_is_paid_beyond_what_came(bool isWhole)
    {
        await using var scene = new InferenceScene(stream: !isWhole);
        var books = new BookLedger(scene.Clock);
        var payments = new Payments(books, Create(new PricingOptions()), Create(scene.Options), Create(new AccrualOptions()), scene.Clock, NullLogger<Payments>.Instance);
        var purse = LedgerAccountId.Available("acct_ann");
        await books.SubmitAsync(new LedgerUnit { Open = [purse], Transfers = [Transfer.Post(TransferId.Of("give"), LedgerAccountId.Treasury, purse, new Microcredits(10_000_000), TransferReason.Grant)] });
        var payment = payments.Begin(InferenceScene.JobId, "acct_ann", RequestTokens.Exactly(20, 100), PaymentTerms.Usual);
        Assert.Null(await payment.HoldAsync(Price.FromCredits(10, 10), LedgerAccountId.Treasury, default));
        scene.Request = scene.Request with { Payment = payment };
        var onDisk = new TaskCompletionSource();
        scene.Grains.Jobs.BeforeSettling = async outcome =>
        {
            await onDisk.Task;
            Assert.True(await payments.SettleAsync(outcome));
        };
        var node = scene.GrantNext();
        scene.Start();
        var assign = (await node.NextAsync(MessageOneofCase.Assign)).Assign;
        // The node is asked for no more than is held for.
        Assert.Contains("\"max_tokens\":100,", assign.Body.ToStringUtf8(), StringComparison.Ordinal);
        if (isWhole) node.Say(Says.Head(Lease1, contentType: "application/json"), Says.Chunk(Lease1, 0, Whole), Says.Done(Lease1));
        else node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1 + Event2 + Usage + End), Says.Done(Lease1));
        if (!isWhole) await scene.ReceivesAsync(Usage);
        Assert.DoesNotContain(isWhole ? "42" : "[DONE]", scene.Received, StringComparison.Ordinal);

        onDisk.SetResult();
        await scene.EndAsync();
        Assert.Contains(isWhole ? "42" : "[DONE]", scene.Received, StringComparison.Ordinal);
        // Nine tokens of the prompt, and one or two of the answer.
        var paid = isWhole ? 100_000 : 110_000;
        Assert.Equal(10_000_000 - paid, books.State.Accounts[purse].Available.Value);
        Assert.True(books.State.Accounts[purse].DebitsPending.IsZero);
        Assert.Equal(paid, books.Jobs[InferenceScene.JobId].Price);
    }

    [Fact]
    public async Task A_client_that_leaves_before_the_last_byte_of_a_whole_answer_is_settled_for_once()
    {
        await using var scene = new InferenceScene();
        scene.Grains.Jobs.BeforeSettling = _ =>
        {
            scene.Leave();
            return Task.CompletedTask;
        };
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1 + End), Says.Done(Lease1));
        await scene.EndAsync();

        Assert.Equal(JobStatus.Succeeded, Assert.Single(scene.Grains.Jobs.Settled).Status);
    }

    [Theory]
    [InlineData("")]
    [InlineData(End)]
    public async Task An_event_that_no_blank_line_ends_is_counted_and_keeps_its_place(string before)
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        var stream = Event1 + before + Usage.TrimEnd('\n');
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, stream), Says.Done(Lease1));
        await scene.EndAsync();
        Assert.Equal(stream, scene.Received);
        Assert.Equal((9, 2), (scene.Grains.Jobs.Settled.Single().PromptTokens, scene.Grains.Jobs.Settled.Single().CompletionTokens));
    }

    [Fact]
    public async Task An_answer_that_is_not_a_stream_is_passed_on_whole()
    {
        await using var scene = new InferenceScene(stream: false);
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1, 200, "application/json"), Says.Chunk(Lease1, 0, Whole[..10]), Says.Chunk(Lease1, 1, Whole[10..]));
        await node.HeardAsync();
        Assert.Empty(scene.Received);
        node.Say(Says.Done(Lease1));
        await scene.EndAsync();
        Assert.Equal((Whole, 200, "application/json", Whole.Length), (scene.Received, scene.Http.Response.StatusCode, scene.Http.Response.ContentType, scene.Http.Response.ContentLength));
        Assert.Equal((9, 1, "stop"), (scene.Grains.Jobs.Settled.Single().PromptTokens, scene.Grains.Jobs.Settled.Single().CompletionTokens, scene.Grains.Jobs.Settled.Single().FinishReason));
    }

    [Fact]
    public async Task The_engines_own_words_about_a_bad_request_reach_the_client_and_cost_nothing()
    {
        const string words = """{"error":{"message":"too many tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}""";
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1, 400, "application/json; charset=utf-8"), Says.Chunk(Lease1, 0, words), Says.Done(Lease1));
        await scene.EndAsync();
        Assert.Equal((words, 400, "application/json"), (scene.Received, scene.Http.Response.StatusCode, scene.Http.Response.ContentType));
        Assert.Empty(scene.Grains.Jobs.Settled);
    }

    [Theory]
    [InlineData("<html>no</html>")]
    [InlineData("""{"detail":"no"}""")]
    [InlineData("")]
    public async Task Words_that_no_client_could_parse_are_replaced(string words)
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1, 404, "text/html"), Says.Chunk(Lease1, 0, words), Says.Done(Lease1));
        await scene.EndAsync();
        Assert.Equal(400, scene.Http.Response.StatusCode);
        Assert.Contains("The engine refused the request with status 404.", scene.Received, StringComparison.Ordinal);
        Assert.DoesNotContain("html", scene.Received, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_node_is_told_to_go_on_as_the_client_takes_its_answer()
    {
        await using var scene = new InferenceScene(configure: options => options.GrantAt = 2_000);
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say([Says.Head(Lease1), .. Enumerable.Range(0, 4).Select(index => Says.Chunk(Lease1, (ulong)index, $": {new string('x', 934)}\n\n"))]);
        // 938 bytes and 64 for the chunk itself, twice.
        Assert.Equal(2_004u, (await node.NextAsync(MessageOneofCase.Window)).Window.Bytes);
        Assert.Equal(2_004u, (await node.NextAsync(MessageOneofCase.Window)).Window.Bytes);
    }

    [Fact]
    public async Task A_node_is_not_paid_for_tokens_it_only_claims()
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(
            Says.Head(Lease1),
            Says.Chunk(Lease1, 0, Event1 + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000000,\"completion_tokens\":1000000}}\n\n" + End),
            Says.Done(Lease1, 2_000_000, 2_000_000));
        await scene.EndAsync();
        var outcome = scene.Grains.Jobs.Settled.Single();
        Assert.Equal((scene.Request.Body.Length, 17L), (outcome.PromptTokens, outcome.CompletionTokens));
    }

    // -------------------------------------------------------------------------------------------- before the first byte

    public static TheoryData<string, NodeMessage[], LeaseEnd> Failures() => new()
    {
        { "it refused", [Says.Refuse(Lease1)], LeaseEnd.Finished },
        { "it is paused", [Says.Refuse(Lease1, RefuseReason.Paused)], LeaseEnd.Finished },
        { "it failed", [Says.Failed(Lease1)], LeaseEnd.EngineFailed },
        { "its engine is away", [Says.Accept(Lease1), Says.Failed(Lease1, FailReason.EngineUnreachable)], LeaseEnd.EngineFailed },
        { "its engine answered 500", [Says.Head(Lease1, 500)], LeaseEnd.EngineFailed },
        { "its engine answered 503", [Says.Head(Lease1, 503), Says.Chunk(Lease1, 0, "{}"), Says.Done(Lease1)], LeaseEnd.EngineFailed },
        { "its engine is overloaded", [Says.Head(Lease1, 429)], LeaseEnd.EngineFailed },
        { "it failed after the head", [Says.Head(Lease1), Says.Failed(Lease1)], LeaseEnd.EngineFailed },
        { "it failed in the middle of the first event", [Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1[..20]), Says.Failed(Lease1)], LeaseEnd.EngineFailed },
        { "its first event has no end", [Says.Head(Lease1), Says.Chunk(Lease1, 0, new string('x', 1_500)), Says.Chunk(Lease1, 1, new string('x', 1_500))], LeaseEnd.EngineFailed },
        { "it broke the protocol", [Says.Head(Lease1), Says.Head(Lease1)], LeaseEnd.NodeLost },
        { "it ended before it began", [Says.Done(Lease1)], LeaseEnd.NodeLost },
    };

    public static TheoryData<string, NodeMessage[], string?> Departures() => new()
    {
        { "it gave the lease up", [Says.Accept(Lease1), Says.Failed(Lease1)], "The node took job job_1 and did not end it: EngineError: it broke." },
        { "it says that somebody cancelled", [Says.Failed(Lease1, FailReason.Cancelled)], "The node took job job_1 and did not end it: GivenUp: it broke." },
        { "it gave the lease up in mid-stream", [Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1), Says.Failed(Lease1)], "The node took job job_1 and did not end it: EngineError: it broke." },
        { "it broke the protocol", [Says.Head(Lease1), Says.Head(Lease1)], "The node took job job_1 and did not end it: NodeLost: the node's connection is gone." },
        { "it said no beforehand", [Says.Refuse(Lease1, RefuseReason.Paused)], null },
        { "its engine says no", [Says.Head(Lease1, 503), Says.Done(Lease1)], null },
        { "it answered", [Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1 + End), Says.Done(Lease1)], null },
    };

    [Theory]
    [MemberData(nameof(Departures))]
    public async Task What_a_node_took_and_gave_up_is_told_of_it_and_nothing_else(string why, NodeMessage[] said, string? finding)
    {
        await using var scene = new InferenceScene(configure: options => options.MaxNodes = 1);
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(said);
        await scene.EndAsync();
        Assert.True(finding == scene.Grains.Node.Abandoned.Select(told => told.Finding).SingleOrDefault(), $"{why}: {string.Join(", ", scene.Grains.Node.Abandoned)}");
        if (finding is not null) Assert.Equal(("job_1", ScriptedSession.DeterminismClass), (scene.Grains.Node.Abandoned.Single().JobId, scene.Grains.Node.Abandoned.Single().DeterminismClass));
    }

    [Fact]
    public async Task A_node_that_falls_silent_has_given_up_and_one_whose_client_or_hub_leaves_has_not()
    {
        await using (var scene = new InferenceScene(configure: options => (options.MaxNodes, options.SilenceTimeout) = (1, TimeSpan.FromSeconds(7))))
        {
            var node = scene.GrantNext();
            scene.Start();
            await node.NextAsync(MessageOneofCase.Assign);
            node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1));
            await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(7));
            scene.Clock.Advance(TimeSpan.FromSeconds(7));
            await scene.EndAsync();
            Assert.EndsWith("it fell silent.", scene.Grains.Node.Abandoned.Single().Finding, StringComparison.Ordinal);
        }
        await using (var scene = new InferenceScene())
        {
            var node = scene.GrantNext();
            scene.Start();
            await node.NextAsync(MessageOneofCase.Assign);
            scene.Leave();
            await scene.EndAsync();
            Assert.Empty(scene.Grains.Node.Abandoned);
        }
        await using (var scene = new InferenceScene(configure: options => options.MaxNodes = 1))
        {
            var node = scene.GrantNext();
            scene.Start();
            await node.NextAsync(MessageOneofCase.Assign);
            await node.Session.Close(Federation.Contracts.Nodes.SessionEnd.Stopping);
            await scene.EndAsync();
            Assert.Empty(scene.Grains.Node.Abandoned);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_slow_node_whose_answer_the_hub_would_not_wait_for_is_not_marked(bool stream)
    {
        await using var scene = new InferenceScene(stream, options => (options.MaxNodes, options.FirstByteTimeout) = (1, TimeSpan.FromSeconds(7)));
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Accept(Lease1));
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(7));
        scene.Clock.Advance(TimeSpan.FromSeconds(7));
        await scene.EndAsync();
        // What the agent says of a lease that the hub had ended.
        node.Say(Says.Failed(Lease1, FailReason.Cancelled));
        await node.HeardAsync();
        Assert.Equal(502, scene.Http.Response.StatusCode);
        Assert.Empty(scene.Grains.Node.Abandoned);
    }

    [Theory]
    [MemberData(nameof(Failures))]
    public async Task A_node_that_fails_before_the_clients_first_byte_is_replaced_unseen(string why, NodeMessage[] said, LeaseEnd end)
    {
        await using var scene = new InferenceScene(configure: options => options.MaxEventBytes = 2_000);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(said);
        var assign = (await second.NextAsync(MessageOneofCase.Assign)).Assign;
        second.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, Event1 + End), Says.Done(Lease2));
        await scene.EndAsync();

        Assert.True(scene.Received == Event1 + End, $"{why}: the client saw {scene.Received}");
        Assert.Equal((Lease2, 2u), (assign.LeaseId, assign.Attempt));
        Assert.Equal("2", scene.Http.Response.Headers["x-federation-attempts"].Single());
        Assert.Equal([(Lease1, end), (Lease2, LeaseEnd.Finished)], scene.Pool.Released);
        // An engine fails for itself, a connection with all that are behind it.
        Assert.Equal(end is LeaseEnd.EngineFailed ? first.Member.Id : first.Member.SessionId, Assert.Single(scene.Pool.Asked.Last().Excluded));
        // The first node is not paid, and the job is settled once.
        Assert.Equal(("nd_b", 2), (scene.Grains.Jobs.Settled.Single().NodeId, scene.Grains.Jobs.Settled.Single().Attempt));
    }

    [Fact]
    public async Task A_whole_answer_may_fail_to_its_last_byte_and_the_client_sees_nothing()
    {
        await using var scene = new InferenceScene(stream: false);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1, 200, "application/json"), Says.Chunk(Lease1, 0, Whole), Says.Failed(Lease1));
        await second.NextAsync(MessageOneofCase.Assign);
        second.Say(Says.Head(Lease2, 200, "application/json"), Says.Chunk(Lease2, 0, Whole), Says.Done(Lease2));
        await scene.EndAsync();
        Assert.Equal(Whole, scene.Received);
        Assert.Single(scene.Grains.Jobs.Settled);
    }

    [Fact]
    public async Task A_whole_answer_beyond_the_limit_is_tried_elsewhere()
    {
        await using var scene = new InferenceScene(stream: false, options => options.MaxAnswerBytes = 2_000);
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        first.Say(Says.Head(Lease1, 200, "application/json"), Says.Chunk(Lease1, 0, new string(' ', 1_500)), Says.Chunk(Lease1, 1, new string(' ', 501)));
        Assert.Equal("oversized answer", (await first.NextAsync(MessageOneofCase.Cancel)).Cancel.Reason);
        await second.NextAsync(MessageOneofCase.Assign);
        second.Say(Says.Head(Lease2, 200, "application/json"), Says.Chunk(Lease2, 0, Whole), Says.Done(Lease2));
        await scene.EndAsync();
        Assert.Equal(Whole, scene.Received);
    }

    [Fact]
    public async Task A_node_without_a_slot_is_not_held_against_it()
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Refuse(Lease1, RefuseReason.NoSlot));
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, Event1 + End), Says.Done(Lease2));
        await scene.EndAsync();
        Assert.Equal([(Lease1, LeaseEnd.NoSlot), (Lease2, LeaseEnd.Finished)], scene.Pool.Released);
        Assert.Empty(scene.Pool.Asked.Last().Excluded);
        Assert.Equal(Event1 + End, scene.Received);
    }

    [Fact]
    public async Task A_slot_the_session_does_not_have_costs_no_message()
    {
        await using var scene = new InferenceScene();
        var (full, free) = (scene.GrantNext("a"), scene.GrantNext("b"));
        full.Assign("other.1");
        full.Assign("other.2");
        scene.Start();
        await free.NextAsync(MessageOneofCase.Assign);
        Assert.Equal([(Lease1, LeaseEnd.NoSlot)], scene.Pool.Released);
    }

    [Fact]
    public async Task A_node_that_says_nothing_is_replaced_after_its_time()
    {
        await using var scene = new InferenceScene(configure: options => options.FirstByteTimeout = TimeSpan.FromSeconds(7));
        var (first, second) = (scene.GrantNext("a"), scene.GrantNext("b"));
        scene.Start();
        await first.NextAsync(MessageOneofCase.Assign);
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(7));
        scene.Clock.Advance(TimeSpan.FromSeconds(7));
        Assert.Equal("deadline", (await first.NextAsync(MessageOneofCase.Cancel)).Cancel.Reason);
        await second.NextAsync(MessageOneofCase.Assign);
        second.Say(Says.Head(Lease2), Says.Chunk(Lease2, 0, Event1 + End), Says.Done(Lease2));
        await scene.EndAsync();
        Assert.Equal(Event1 + End, scene.Received);
    }

    [Fact]
    public async Task After_as_many_nodes_as_allowed_the_client_hears_that_none_could()
    {
        await using var scene = new InferenceScene(configure: options => options.MaxNodes = 3);
        var nodes = new[] { scene.GrantNext("a"), scene.GrantNext("b"), scene.GrantNext("c") };
        scene.Start();
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            await nodes[attempt - 1].NextAsync(MessageOneofCase.Assign);
            nodes[attempt - 1].Say(Says.Failed($"job_1.{attempt}"));
        }
        await scene.EndAsync();
        Assert.Equal(502, scene.Http.Response.StatusCode);
        Assert.Contains("no_node_answered", scene.Received, StringComparison.Ordinal);
        Assert.Equal(3, scene.Pool.Asked.Count);
        Assert.Empty(scene.Grains.Jobs.Settled);
    }

    [Fact]
    public async Task Of_a_node_whose_engines_are_all_dead_no_more_are_tried_than_nodes_would_be()
    {
        await using var scene = new InferenceScene(configure: options => options.MaxNodes = 3);
        var node = scene.Node("a");
        var engines = Enumerable.Range(0, 6).Select(number =>
        {
            var engine = new Engine { Name = $"gpu{number}", Kind = "ollama", Slots = 1 };
            engine.Models.Add(new Model { Name = ScriptedSession.Model });
            return engine;
        }).ToArray();
        node.Say(Says.Inventory(engines));
        await node.HeardAsync();
        foreach (var engine in engines) scene.Pool.ThenGrant(node.Member with { Engine = engine.Name });
        scene.Start();
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            Assert.Equal($"gpu{attempt - 1}", (await node.NextAsync(MessageOneofCase.Assign)).Assign.Engine);
            node.Say(Says.Failed($"job_1.{attempt}"));
        }
        await scene.EndAsync();
        Assert.Contains("no_node_answered", scene.Received, StringComparison.Ordinal);
        Assert.Equal(["", "ns_a/gpu0", "ns_a/gpu0 ns_a/gpu1"], scene.Pool.Asked.Select(asked => string.Join(' ', asked.Excluded)));
    }

    [Theory]
    [InlineData(LeaseGrantStatus.TimedOut, 503, "overloaded", "No node was free")]
    [InlineData(LeaseGrantStatus.QueueFull, 503, "overloaded", "Too many requests wait")]
    [InlineData(LeaseGrantStatus.NoNode, 502, "no_node_answered", "No node that has the model could answer")]
    public async Task Without_a_lease_the_client_hears_why(LeaseGrantStatus status, int http, string code, string words)
    {
        await using var scene = new InferenceScene();
        scene.Pool.ThenRefuse(status, TimeSpan.FromSeconds(17));
        await scene.Start().EndAsync();
        Assert.Equal(http, scene.Http.Response.StatusCode);
        Assert.Contains(code, scene.Received, StringComparison.Ordinal);
        Assert.Contains(words, scene.Received, StringComparison.Ordinal);
        Assert.Equal(http == 503 ? "17" : "1", scene.Http.Response.Headers.RetryAfter.Single());
        Assert.Empty(scene.Pool.Released);
    }

    [Fact]
    public async Task A_pool_that_moves_to_another_silo_is_asked_again()
    {
        await using var scene = new InferenceScene();
        scene.Pool.Then((_, _) => throw new OrleansException("its silo is gone")).Then((_, _) => throw new TimeoutException());
        var node = scene.GrantNext();
        scene.Start();
        for (var again = 0; again < 2; again++)
        {
            await scene.Clock.UntilWaitedForAsync(TimeSpan.FromMilliseconds(200));
            scene.Clock.Advance(TimeSpan.FromMilliseconds(200));
        }
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1 + End), Says.Done(Lease1));
        await scene.EndAsync();
        Assert.Equal(Event1 + End, scene.Received);
        Assert.Equal(["job_1.1", "job_1.1", "job_1.1"], scene.Pool.Asked.Select(ask => ask.LeaseId));
        Assert.Equal(scene.PoolOptions.Patience - TimeSpan.FromMilliseconds(400), scene.Pool.Asked.Last().Patience);
    }

    // ---------------------------------------------------------------------------------------------- after the first byte

    [Fact]
    public async Task A_node_lost_in_mid_answer_ends_the_stream_with_an_error_event_and_is_paid_for_what_came()
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1));
        await scene.ReceivesAsync(Event1);
        node.HangUp();
        await scene.EndAsync();

        Assert.StartsWith(Event1 + "data: {\"error\":{", scene.Received, StringComparison.Ordinal);
        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        Assert.EndsWith("\n\n", scene.Received, StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", scene.Received, StringComparison.Ordinal);
        Assert.Equal([(Lease1, LeaseEnd.NodeLost)], scene.Pool.Released);
        var outcome = scene.Grains.Jobs.Settled.Single();
        Assert.Equal((JobStatus.Failed, 1L), (outcome.Status, outcome.CompletionTokens));
    }

    [Theory]
    [InlineData("it breaks off")]
    [InlineData("its client leaves")]
    [InlineData("it ends")]
    public async Task Whatever_is_paid_may_be_audited(string how)
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1));
        await scene.ReceivesAsync(Event1);
        Assert.True(scene.Room.Taken > Event1.Length);
        if (how == "it breaks off") node.Say(Says.Failed(Lease1));
        else if (how == "it ends") node.Say(Says.Done(Lease1));
        else scene.Leave();
        await scene.EndAsync();
        var kept = scene.Audited.Find(InferenceScene.JobId)!;
        Assert.Equal(scene.Grains.Jobs.Settled.Single(), kept.Outcome);
        Assert.Equal(new Federation.Silo.Verification.Audits.AnswerText("4", string.Empty), Federation.Silo.Verification.Audits.AnswerText.Read(kept.Answer, default));
        Assert.Equal(0, scene.Room.Taken);
    }

    [Fact]
    public async Task Vectors_may_be_audited_too_and_are_remembered_apart_from_text()
    {
        const string Body = """{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"usage":{"prompt_tokens":2,"total_tokens":2}}""";
        await using var scene = new InferenceScene(stream: false, body: """{"model":"llama","input":"hi"}""", kind: JobKind.Embedding);
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1, contentType: "application/json"), Says.Chunk(Lease1, 0, Body), Says.Done(Lease1));
        await scene.EndAsync();
        var kept = scene.Audited.Find(InferenceScene.JobId)!;
        Assert.Equal(scene.Grains.Jobs.Settled.Single(), kept.Outcome);
        Assert.Equal(((long)scene.Request.Body.Length, 0L), (kept.Outcome.RequestBytes, kept.Outcome.TextBytes));
        Assert.Equal((JobKind.Embedding, 2L, "sha256:weights+embedding/ollama/1/cuda/sm_89/np2"), (kept.Outcome.Kind, kept.Outcome.PromptTokens, kept.Outcome.DeterminismClass));
        Assert.Equal(Body, Encoding.UTF8.GetString(kept.Answer.Single().Span));
    }

    [Fact]
    public async Task An_event_beyond_the_limit_in_mid_answer_ends_the_stream()
    {
        await using var scene = new InferenceScene(configure: options => options.MaxEventBytes = 2_000);
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1), Says.Chunk(Lease1, 1, new string('x', 2_001)));
        Assert.Equal("oversized event", (await node.NextAsync(MessageOneofCase.Cancel)).Cancel.Reason);
        await scene.EndAsync();
        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        Assert.DoesNotContain("xxx", scene.Received, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_that_falls_silent_in_mid_answer_ends_the_stream()
    {
        await using var scene = new InferenceScene(configure: options => (options.SilenceTimeout, options.FirstByteTimeout) = (TimeSpan.FromSeconds(9), TimeSpan.FromSeconds(7)));
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1));
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(9));
        scene.Clock.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal("deadline", (await node.NextAsync(MessageOneofCase.Cancel)).Cancel.Reason);
        await scene.EndAsync();
        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_answer_that_takes_too_long_in_all_ends_although_it_goes_on()
    {
        await using var scene = new InferenceScene(configure: options => options.AnswerTimeout = TimeSpan.FromSeconds(20));
        var node = scene.GrantNext();
        scene.Start();
        Assert.Equal(20_000u, (await node.NextAsync(MessageOneofCase.Assign)).Assign.DeadlineMs);
        node.Say(Says.Head(Lease1));
        for (ulong chunk = 0; chunk < 4; chunk++)
        {
            var said = $$$"""data: {"choices":[{"delta":{"content":"{{{chunk}}}"}}]}""" + "\n\n";
            node.Say(Says.Chunk(Lease1, chunk, said));
            await scene.ReceivesAsync(said);
            node.Say(Says.Heartbeat());
            await node.HeardAsync();
            scene.Clock.Advance(TimeSpan.FromSeconds(6));
        }
        await scene.EndAsync();
        Assert.Contains("stream_interrupted", scene.Received, StringComparison.Ordinal);
        Assert.Equal(JobStatus.Failed, scene.Grains.Jobs.Settled.Single().Status);
    }

    // ----------------------------------------------------------------------------------------------- the client's leaving

    [Fact]
    public async Task A_client_that_leaves_in_mid_answer_stops_the_node_and_the_node_is_paid_for_what_came()
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1));
        await scene.ReceivesAsync(Event1);
        scene.Leave();
        Assert.Equal("client_gone", (await node.NextAsync(MessageOneofCase.Cancel)).Cancel.Reason);
        await scene.EndAsync();

        var outcome = scene.Grains.Jobs.Settled.Single();
        Assert.Equal((JobStatus.Cancelled, 1L), (outcome.Status, outcome.CompletionTokens));
        Assert.Equal(SHA256.HashData(Encoding.UTF8.GetBytes(Event1)), outcome.OutputHash.ToArray());
        Assert.Equal([(Lease1, LeaseEnd.Finished)], scene.Pool.Released);
    }

    [Fact]
    public async Task A_client_that_leaves_before_the_first_byte_stops_the_node_and_nothing_is_settled()
    {
        await using var scene = new InferenceScene();
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        scene.Leave();
        Assert.Equal("client_gone", (await node.NextAsync(MessageOneofCase.Cancel)).Cancel.Reason);
        await scene.EndAsync();
        Assert.Empty(scene.Grains.Jobs.Settled);
        Assert.Equal([(Lease1, LeaseEnd.Finished)], scene.Pool.Released);
        Assert.Single(scene.Pool.Asked);
    }

    [Fact]
    public async Task A_client_that_leaves_while_it_waits_gives_back_the_lease_it_may_have_been_given()
    {
        await using var scene = new InferenceScene();
        scene.Pool.Then(async (_, cancellationToken) =>
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            throw new InvalidOperationException("Not reached.");
        });
        scene.Start();
        scene.Leave();
        await scene.EndAsync();
        Assert.Equal([(Lease1, LeaseEnd.Finished)], scene.Pool.Released);
        Assert.Empty(scene.Received);
    }

    [Fact]
    public async Task A_client_that_left_in_the_moment_of_the_grant_takes_no_slot()
    {
        await using var scene = new InferenceScene();
        var node = scene.Node("a");
        scene.Pool.Then((request, _) =>
        {
            scene.Leave();
            return Task.FromResult(LeaseGrant.On(request.LeaseId, node.Member));
        });
        await scene.Start().EndAsync();
        Assert.Equal([(Lease1, LeaseEnd.Finished)], scene.Pool.Released);
        Assert.Equal(0, node.Session.RunningLeases);
    }

    // ----------------------------------------------------------------------------------------------------- settlements

    [Fact]
    public async Task While_the_database_is_away_the_client_has_its_answer_and_the_settlement_is_made_up_for()
    {
        await using var scene = new InferenceScene();
        var away = true;
        var asked = 0;
        scene.Grains.Jobs.BeforeSettling = _ =>
        {
            asked++;
            return away ? throw new StorageException(StorageFailure.Unavailable, "away") : Task.CompletedTask;
        };
        await scene.Settlements.StartAsync(CancellationToken.None);
        var node = scene.GrantNext();
        scene.Start();
        await node.NextAsync(MessageOneofCase.Assign);
        node.Say(Says.Head(Lease1), Says.Chunk(Lease1, 0, Event1 + End), Says.Done(Lease1));
        await scene.EndAsync();
        Assert.Equal(Event1 + End, scene.Received);

        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(1));
        Assert.False(scene.Settled.IsCompleted, "A hub that stops would not wait for it.");
        away = false;
        scene.Clock.Advance(TimeSpan.FromSeconds(1));
        await scene.Settled.WithinPatienceAsync();
        Assert.Equal((JobStatus.Succeeded, "job_1"), (scene.Grains.Jobs.Settled.Single().Status, scene.Grains.Jobs.Settled.Single().JobId));
        Assert.Equal(3, asked);
        await scene.Settlements.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Settlements_that_wait_are_bounded()
    {
        await using var scene = new InferenceScene(configure: options => options.MaxUnsettled = 2);
        scene.Grains.Jobs.BeforeSettling = _ => throw new TimeoutException();
        for (var job = 0; job < 2; job++)
        {
            Assert.False(scene.Settlements.IsFull);
            Assert.False((await scene.Settlements.KeepAsync(OutcomeOf($"job_{job}"))).IsCompleted);
        }
        Assert.True(scene.Settlements.IsFull);
        await scene.Settlements.SettleAsync(OutcomeOf("job_3")).WithinPatienceAsync();
        Assert.True(scene.Settlements.IsFull);
    }

    [Fact]
    public async Task A_settlement_that_can_never_be_made_is_not_tried_for_ever()
    {
        await using var scene = new InferenceScene();
        scene.Grains.Jobs.BeforeSettling = _ => throw new StorageException(StorageFailure.Rejected, "no");
        await scene.Settlements.SettleAsync(OutcomeOf("job_1"));
        Assert.False(scene.Settlements.IsFull);
    }

    [Fact]
    public async Task An_attempt_that_came_too_late_is_not_tried_again()
    {
        await using var scene = new InferenceScene();
        scene.Grains.Jobs.OnRecord = 7;
        await scene.Settlements.SettleAsync(OutcomeOf("job_1") with { HoldId = "hold_1" });
        Assert.Single(scene.Grains.Jobs.Settled);
    }

    internal static JobOutcome OutcomeOf(string jobId) => new(
        jobId, 1, "acct_ann", "key_1", Federation.Protocol.OpenAi.JobKind.Chat, "llama", "", 0, "nd_a", JobStatus.Succeeded, "stop", 10, 20, [.. new byte[32]], [.. new byte[32]], 1_000, 2_000, 3_000, 4_000, "dc");
}
