using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.Identity;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Receipts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Standings;

namespace Federation.Silo.Tests.Nodes;

public abstract class NodeGrainTests(TestDatabase database)
{
    // -------------------------------------------------------------------------------------------------------- booking

    [Fact]
    public async Task Many_jobs_at_once_are_booked_in_few_commits_and_one_unbroken_chain()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var before = hub.Ledger.Commits;

        await Task.WhenAll(Enumerable.Range(0, 200).Select(job => node.Grain.Book(OutcomeOf(node, $"many_{job}")))).WithinPatienceAsync();

        var chain = await AssertChainAsync(hub, node);
        Assert.Equal(Enumerable.Range(0, 200).Select(job => $"many_{job}").Order(), chain.Select(receipt => receipt.JobId).Order());
        Assert.InRange(hub.Ledger.Commits - before, 1, 60);
    }

    [Fact]
    public async Task A_receipt_says_what_was_done()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        await node.ConnectAsync();
        var outcome = OutcomeOf(node, "said", prompt: 12, completion: 345);

        await node.Grain.Book(outcome);

        var receipt = Assert.Single(await AssertChainAsync(hub, node));
        Assert.Equal((outcome.JobId, outcome.Attempt, outcome.Model, outcome.ModelDigest), (receipt.JobId, receipt.Attempt, receipt.Model, receipt.ModelDigest));
        Assert.Equal((12L, 345L, outcome.DispatchMs, outcome.FirstMs, outcome.LastMs), (receipt.PromptTokens, receipt.CompletionTokens, receipt.DispatchMs, receipt.FirstMs, receipt.LastMs));
        Assert.Equal((node.Id, hub.Identity.Id, outcome.LastMs / 3_600_000), (receipt.Node.ToString(), receipt.Hub, receipt.Epoch));
        Assert.Equal(outcome.RequestHash.ToArray(), receipt.RequestHash.ToArray());
        Assert.Equal(outcome.OutputHash.ToArray(), receipt.OutputHash.ToArray());
        Assert.Equal("cpu", receipt.HardwareClass);
        // The client's account is not to be read from what a node keeps.
        Assert.DoesNotContain(outcome.AccountId, System.Text.Encoding.Latin1.GetString(ReceiptCodec.Encode(receipt)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_chain_goes_on_where_an_earlier_activation_left_it()
    {
        TestNode node;
        await using (var hub = await TestHub.StartAsync(database))
        {
            node = await hub.EnrolAsync();
            await node.Grain.Book(OutcomeOf(node, "earlier_1"));
            await node.Grain.Book(OutcomeOf(node, "earlier_2"));
        }
        await using var later = await TestHub.StartAsync(database);
        await later.Grains.GetGrain<INodeGrain>(node.Id).Book(OutcomeOf(node, "later"));
        Assert.Equal(["earlier_1", "earlier_2", "later"], (await AssertChainAsync(later, node, hubChanges: true)).Select(receipt => receipt.JobId));
    }

    [Fact]
    public async Task Booking_again_changes_nothing_even_with_others_in_between_and_after_a_restart()
    {
        TestNode node;
        JobOutcome outcome;
        await using (var hub = await TestHub.StartAsync(database))
        {
            node = await hub.EnrolAsync();
            outcome = OutcomeOf(node, "again");
            await node.Grain.Book(outcome);
            await node.Grain.Book(OutcomeOf(node, "other_1"));
            await node.Grain.Book(outcome);
            await Task.WhenAll(node.Grain.Book(outcome), node.Grain.Book(OutcomeOf(node, "other_2")), node.Grain.Book(outcome));
        }
        await using var later = await TestHub.StartAsync(database);
        await Task.WhenAll(later.Grains.GetGrain<INodeGrain>(node.Id).Book(outcome), later.Grains.GetGrain<INodeGrain>(node.Id).Book(OutcomeOf(node, "other_3")));
        Assert.Equal(["again", "other_1", "other_2", "other_3"], (await AssertChainAsync(later, node, hubChanges: true)).Select(receipt => receipt.JobId));
    }

    [Fact]
    public async Task After_a_commit_whose_outcome_is_unknown_the_job_is_booked_once_whoever_came_in_between()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var doubtful = OutcomeOf(node, "doubtful");
        hub.Ledger.Faults = _ => Fault.After;
        Assert.Equal(StorageFailure.OutcomeUnknown, (await Assert.ThrowsAsync<StorageException>(() => node.Grain.Book(doubtful))).Failure);
        hub.Ledger.Faults = _ => Fault.None;

        await node.Grain.Book(OutcomeOf(node, "between"));
        await Task.WhenAll(node.Grain.Book(OutcomeOf(node, "beside")), node.Grain.Book(doubtful));

        Assert.Equal(["beside", "between", "doubtful"], (await AssertChainAsync(hub, node)).Select(receipt => receipt.JobId).Order());
    }

    [Fact]
    public async Task Of_two_activations_that_both_live_neither_loses_what_it_books()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        await node.Grain.Book(OutcomeOf(node, "two_first"));
        await using var other = await TestHub.StartAsync(database);
        await other.Grains.GetGrain<INodeGrain>(node.Id).Book(OutcomeOf(node, "two_second"));
        await Task.WhenAll(node.Grain.Book(OutcomeOf(node, "two_third_1")), node.Grain.Book(OutcomeOf(node, "two_third_2")));
        await other.Grains.GetGrain<INodeGrain>(node.Id).Book(OutcomeOf(node, "two_fourth"));
        Assert.Equal(["two_first", "two_fourth", "two_second", "two_third_1", "two_third_2"], (await AssertChainAsync(hub, node, hubChanges: true)).Select(receipt => receipt.JobId).Order());
    }

    [Fact]
    public async Task A_commit_that_failed_leaves_no_gap()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        await node.Grain.Book(OutcomeOf(node, "before_it"));
        hub.Ledger.Faults = _ => Fault.Before;
        await Assert.ThrowsAsync<StorageException>(() => node.Grain.Book(OutcomeOf(node, "failed")));
        hub.Ledger.Faults = _ => Fault.None;
        await node.Grain.Book(OutcomeOf(node, "after_it"));
        Assert.Equal(["before_it", "after_it"], (await AssertChainAsync(hub, node)).Select(receipt => receipt.JobId));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Whatever_commits_fail_every_job_is_booked_once_and_the_chain_is_whole(int seed)
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var random = new Random(seed);
        var faults = Enumerable.Range(0, 1_000).Select(_ => (Fault)random.Next(3)).ToArray();
        hub.Ledger.Faults = commit => faults[commit % faults.Length];

        // As a settlement does: again and again until it is on disk.
        await Task.WhenAll(Enumerable.Range(0, 60).Select(job => BookUntilDoneAsync(OutcomeOf(node, $"faulty_{seed}_{job}")))).WithinPatienceAsync();

        var chain = await AssertChainAsync(hub, node);
        Assert.Equal(Enumerable.Range(0, 60).Select(job => $"faulty_{seed}_{job}").Order(), chain.Select(receipt => receipt.JobId).Order());

        async Task BookUntilDoneAsync(JobOutcome outcome)
        {
            while (true)
            {
                try
                {
                    await node.Grain.Book(outcome);
                    return;
                }
                catch (StorageException exception) when (exception.IsTransient)
                {
                    await Task.Yield();
                }
            }
        }
    }

    [Fact]
    public async Task A_job_without_tokens_is_on_record_and_earns_nothing()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        await node.Grain.Book(OutcomeOf(node, "empty", prompt: 0, completion: 0));
        Assert.Empty(await AssertChainAsync(hub, node));
        var status = await hub.Database.ReadAsync(connection => connection.QuerySingleAsync<string>("SELECT status FROM jobs WHERE id = 'empty'"), CancellationToken.None);
        Assert.Equal("completed", status);
    }

    [Fact]
    public async Task Pay_follows_the_tokens_and_not_the_clock()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var quick = OutcomeOf(node, "quick");
        foreach (var (job, factor) in new[] { ("slow", 10L), ("slower", 1_000L), ("odd", -3L) })
        {
            await node.Grain.Book(quick with { JobId = job, FirstMs = quick.DispatchMs + (factor * 1_000), LastMs = quick.DispatchMs + (factor * 9_000) });
        }
        await node.Grain.Book(quick);
        var chain = await AssertChainAsync(hub, node);
        Assert.Equal(4, chain.Length);
        Assert.Single(chain.Select(receipt => receipt.ReferenceMicroseconds).Distinct());
        Assert.Single((await CreditsAsync(hub, node)).Distinct());
    }

    [Fact]
    public async Task A_tier_multiplies_what_its_nodes_earn()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (usual, unlimited) = (await hub.EnrolAsync(Tier.Pro), await hub.EnrolAsync(Tier.Unlimited));
        await usual.Grain.Book(OutcomeOf(usual, "usual"));
        await unlimited.Grain.Book(OutcomeOf(unlimited, "unlimited"));
        Assert.Equal(2 * (await CreditsAsync(hub, usual)).Single(), (await CreditsAsync(hub, unlimited)).Single(), 1.0);
    }

    [Fact]
    public async Task A_models_size_is_paid_as_far_as_others_who_are_trusted_say_the_same()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, other) = (await hub.EnrolAsync(), await hub.EnrolAsync());
        await node.Grain.Book(OutcomeOf(node, "bound") with { ModelSizeBytes = 4L << 30 });
        await node.Grain.Book(OutcomeOf(node, "boast") with { ModelSizeBytes = 1L << 44 });
        await node.Grain.Book(OutcomeOf(node, "honest"));
        // Who is not trusted vouches for nothing; nor does a node of one's own.
        await other.ConnectAsync(Vouching(2L << 30));
        await node.ConnectAsync(Vouching(1L << 30));
        await node.Grain.SetStanding(Standing.Trusted);
        await node.Grain.Book(OutcomeOf(node, "unvouched"));
        await other.Grain.SetStanding(Standing.Trusted);
        await node.Grain.Book(OutcomeOf(node, "vouched") with { ModelSizeBytes = 1L << 44 });
        await node.Grain.Book(OutcomeOf(node, "exact") with { ModelSizeBytes = 2L << 30 });

        var chain = (await AssertChainAsync(hub, node)).ToDictionary(receipt => receipt.JobId, receipt => receipt.ReferenceMicroseconds);
        Assert.Equal(chain["bound"], chain["boast"]);
        Assert.Equal(chain["honest"], chain["unvouched"]);
        Assert.Equal(chain["exact"], chain["vouched"]);
        Assert.True(chain["exact"] < chain["honest"]);
        // Another class is paid by the same bytes.
        var bytes = await hub.Database.ReadAsync(
            async connection => (await connection.QueryAsync<(string Job, long Bytes)>("SELECT reference, model_bytes FROM earnings WHERE node_id = @Id", new { node.Id })).ToDictionary(row => row.Job, row => row.Bytes),
            CancellationToken.None);
        Assert.Equal((4L << 30, 2L << 30), (bytes["boast"], bytes["vouched"]));

        static NodeReport Vouching(long bytes)
            => new("1.0", [], [new EngineReport("ollama", "ollama", "1", 2, [new ModelReport("llama3:8b", "sha256:abcd", bytes, true, 0, [], "")])], 0, true, "", []);
    }

    // -------------------------------------------------------------------------------------------------------- signing

    [Fact]
    public async Task A_signature_puts_the_pay_on_the_owners_pending_balance_once()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payload) = await BookedAsync(hub, "signed");
        var credited = (await CreditsAsync(hub, node)).Single();
        Assert.True(credited > 0);
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));

        var signature = Sign(node, payload);
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => SignAsync(node, payload, signature)));

        Assert.All(answers, answer => Assert.Equal((ReceiptSigningStatus.Issued, credited), (answer.Status, answer.CreditedMicrocredits)));
        Assert.All(answers, answer => Assert.True(IsByHub(hub, answer.HubSignature, payload, TestNode.Kept(signature, payload)[0])));
        Assert.Equal(credited, await hub.PendingOfAsync(node.AccountId));
        // Another signature of the same key over the same receipt is as good, and is paid no second time.
        Assert.Equal(ReceiptSigningStatus.Issued, (await SignAsync(node, payload, Sign(node, payload))).Status);
        Assert.Equal(credited, await hub.PendingOfAsync(node.AccountId));
        Assert.Empty((await hub.Ledger.AuditAsync()).Findings);
    }

    [Theory]
    [InlineData("zeros")]
    [InlineData("thiefs")]
    [InlineData("domainless")]
    [InlineData("hubs")]
    [InlineData("others")]
    [InlineData("alone")]
    [InlineData("of two")]
    public async Task A_signature_that_is_not_the_nodes_bans_it_and_earns_nothing_any_more(string wrong)
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payload) = await BookedAsync(hub, $"forged_{wrong}");
        using var thief = SigningKey.Create();
        var signature = wrong switch
        {
            "zeros" => new byte[64],
            "thiefs" => thief.Sign(ReceiptBatch.OfNode([ReceiptCodec.IdOf(payload)]).SigningBytes),
            "domainless" => node.Key.Sign(payload),
            "hubs" => node.Key.Sign(ReceiptBatch.OfHub([(ReceiptCodec.IdOf(payload), [])]).SigningBytes),
            "others" => Sign(node, [.. payload, 0]),
            "alone" => node.Key.Sign(ReceiptCodec.NodeSigningBytes(payload)),
            _ => node.Sign(payload, [.. payload, 0]),
        };
        Assert.Equal(ReceiptSigningStatus.WrongSignature, (await SignAsync(node, payload, signature)).Status);
        Assert.Equal(Standing.Banned, (await node.Grain.GetView())!.Standing);
        Assert.Equal(ReceiptSigningStatus.Unknown, (await SignAsync(node, payload, Sign(node, payload))).Status);
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
    }

    [Fact]
    public async Task An_old_signature_under_a_new_receipt_forfeits_what_is_pending()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, first) = await BookedAsync(hub, "replayed_1");
        var signature = Sign(node, first);
        await SignAsync(node, first, signature);
        Assert.True(await hub.PendingOfAsync(node.AccountId) > 0);
        await node.Grain.Book(OutcomeOf(node, "replayed_2"));
        var second = ReceiptCodec.Encode((await AssertChainAsync(hub, node))[^1]);
        Assert.Equal(ReceiptSigningStatus.WrongSignature, (await SignAsync(node, second, signature)).Status);
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
        // The same one again says what it said before.
        Assert.Equal(ReceiptSigningStatus.Issued, (await SignAsync(node, first, signature)).Status);
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
        Assert.Empty((await hub.Ledger.AuditAsync()).Findings);
    }

    [Fact]
    public async Task Nobody_signs_the_receipt_of_another_node()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (_, payload) = await BookedAsync(hub, "anothers");
        var other = await hub.EnrolAsync();
        Assert.Equal(ReceiptSigningStatus.Unknown, (await SignAsync(other, payload, Sign(other, payload))).Status);
        Assert.Equal(ReceiptSigningStatus.Unknown, Assert.Single(await other.Grain.SignReceipts(new OfferAnswer([[.. new byte[32]]], [.. new byte[64]], []))).Status);
        Assert.Equal(0, await hub.PendingOfAsync(other.AccountId));
    }

    [Fact]
    public async Task An_objection_is_kept_in_its_first_words_and_no_signature_undoes_it()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payload) = await BookedAsync(hub, "disputed");
        Assert.Equal(ReceiptSigningStatus.Disputed, (await node.ObjectAsync(payload, "that was not me")).Status);
        Assert.Equal(ReceiptSigningStatus.Disputed, (await node.ObjectAsync(payload, "or was it")).Status);
        Assert.Equal(ReceiptSigningStatus.Disputed, (await SignAsync(node, payload, Sign(node, payload))).Status);
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
        var objection = await hub.Database.ReadAsync(connection => connection.QuerySingleAsync<string>("SELECT objection FROM receipts WHERE job_id = 'disputed'"), CancellationToken.None);
        Assert.Equal("that was not me", objection);
    }

    [Fact]
    public async Task What_is_said_of_a_receipt_at_once_is_judged_in_order()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payload) = await BookedAsync(hub, "hasty");
        var objection = node.ObjectAsync(payload, "that was not me");
        var signing = SignAsync(node, payload, Sign(node, payload));
        Assert.Equal(ReceiptSigningStatus.Disputed, (await objection.WithinPatienceAsync()).Status);
        Assert.Equal(ReceiptSigningStatus.Disputed, (await signing.WithinPatienceAsync()).Status);
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
    }

    [Fact]
    public async Task A_receipt_that_was_issued_cannot_be_objected_to_any_more()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payload) = await BookedAsync(hub, "settled");
        await SignAsync(node, payload, Sign(node, payload));
        var balance = await hub.PendingOfAsync(node.AccountId);
        Assert.Equal(ReceiptSigningStatus.Issued, (await node.ObjectAsync(payload, "too late")).Status);
        Assert.Equal(balance, await hub.PendingOfAsync(node.AccountId));
    }

    [Fact]
    public async Task A_receipt_that_is_signed_when_its_answer_may_be_gone_earns_nothing_and_says_why()
    {
        var clock = new OffsetClock();
        await using var hub = await TestHub.StartAsync(database, options => options.SignWithin = TimeSpan.FromMinutes(30), time: clock);
        var (node, payload) = await BookedAsync(hub, "in_time");
        await node.Grain.Book(OutcomeOf(node, "late"));
        var late = ReceiptCodec.Encode((await AssertChainAsync(hub, node))[^1]);
        clock.Advance(TimeSpan.FromMinutes(29));
        Assert.Equal(ReceiptSigningStatus.Issued, (await SignAsync(node, payload, Sign(node, payload))).Status);
        var pending = await hub.PendingOfAsync(node.AccountId);
        clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(ReceiptSigningStatus.TooLate, (await SignAsync(node, late, Sign(node, late))).Status);
        Assert.Equal(ReceiptSigningStatus.Disputed, (await SignAsync(node, late, Sign(node, late))).Status);
        Assert.Equal(pending, await hub.PendingOfAsync(node.AccountId));
        Assert.Equal(Standing.Probation, (await node.Grain.GetView())!.Standing);
        var stored = Assert.Single(await hub.Receipts.FindAsync(node.Id, [ReceiptCodec.IdOf(late)], CancellationToken.None)).Value;
        Assert.Equal("the node signed it 31 minutes after the job; after 30 its answer might not be kept for an audit, so it earns nothing", stored.Objection);
        // In time once is in time for good.
        Assert.Equal(ReceiptSigningStatus.Issued, (await SignAsync(node, payload, Sign(node, payload))).Status);
    }

    [Theory]
    [InlineData(Fault.Before)]
    [InlineData(Fault.After)]
    internal async Task When_the_commit_of_a_signature_fails_the_node_may_sign_again_and_is_paid_once(Fault fault)
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payload) = await BookedAsync(hub, $"doubt_{fault}");
        var signature = Sign(node, payload);
        hub.Ledger.Faults = _ => fault;
        await Assert.ThrowsAsync<StorageException>(() => SignAsync(node, payload, signature));
        hub.Ledger.Faults = _ => Fault.None;
        var answer = await SignAsync(node, payload, signature);
        Assert.Equal(ReceiptSigningStatus.Issued, answer.Status);
        Assert.True(IsByHub(hub, answer.HubSignature, payload, TestNode.Kept(signature, payload)[0]));
        Assert.Equal(answer.CreditedMicrocredits, await hub.PendingOfAsync(node.AccountId));
    }

    [Fact]
    public async Task One_signature_pays_a_whole_batch_and_each_receipt_of_it_can_be_checked_by_itself()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payloads) = await BookedAsync(hub, [.. Enumerable.Range(0, 11).Select(number => $"batched_{number}")]);
        var commits = hub.Ledger.Commits;
        var answers = await node.SayAsync(node.Sign(payloads), payloads);
        Assert.Equal(1, hub.Ledger.Commits - commits);
        Assert.All(answers, answer => Assert.Equal(ReceiptSigningStatus.Issued, answer.Status));
        Assert.Equal(answers.Sum(answer => answer.CreditedMicrocredits), await hub.PendingOfAsync(node.AccountId));
        Assert.Single(answers.Select(answer => Convert.ToHexString(answer.HubSignature.AsSpan(0, 64))).Distinct());
        var stored = await hub.Receipts.FindAsync(node.Id, [.. payloads.Select(payload => ReceiptCodec.IdOf(payload))], CancellationToken.None);
        Assert.Equal(payloads.Length, stored.Count);
        foreach (var receipt in stored.Values)
        {
            Assert.Equal(ReceiptState.Issued, receipt.State);
            var file = new ReceiptFile(receipt.Payload, [.. node.Key.PublicKey.Span], receipt.NodeSignature, [.. hub.Identity.PublicKey.Span], receipt.HubSignature);
            Assert.Empty(ReceiptCheck.Problems(file));
            Assert.NotEmpty(ReceiptCheck.Problems(file with { NodeSignature = stored.Values.First(other => other.Id != receipt.Id).NodeSignature }));
        }
        Assert.Empty((await hub.Ledger.AuditAsync()).Findings);
    }

    [Fact]
    public async Task A_receipt_that_the_ledger_refuses_to_credit_stops_no_other_of_its_batch_and_says_why()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payloads) = await BookedAsync(hub, "refused_1", "refused_2", "refused_3", "refused_4");
        var pending = LedgerAccountId.Pending(node.AccountId);
        // Somebody has credited these jobs before, and otherwise.
        foreach (var job in (string[])["refused_2", "refused_3"])
        {
            Transfer other = Transfer.Post(TransferId.Of($"earn:{job}"), LedgerAccountId.Treasury, pending, new Microcredits(1), TransferReason.Earning, job);
            Assert.True((await hub.Ledger.SubmitAsync(LedgerUnit.Of(other) with { Open = [pending] })).IsRecorded);
        }

        var answers = await node.SayAsync(node.Sign(payloads), payloads);

        Assert.Equal([ReceiptSigningStatus.Issued, ReceiptSigningStatus.Disputed, ReceiptSigningStatus.Disputed, ReceiptSigningStatus.Issued], payloads.Zip(answers).OrderBy(pair => ReceiptCodec.Decode(pair.First).JobId).Select(pair => pair.Second.Status));
        Assert.Equal(2 + answers.Sum(answer => answer.CreditedMicrocredits), await hub.PendingOfAsync(node.AccountId));
        var stored = (await hub.Receipts.FindAsync(node.Id, [.. payloads.Select(payload => ReceiptCodec.IdOf(payload))], CancellationToken.None)).Values.ToDictionary(receipt => receipt.Content.JobId);
        Assert.Equal((ReceiptState.Disputed, "the ledger refused to credit it: ExistsWithDifferentAmount"), (stored["refused_2"].State, stored["refused_2"].Objection));
        foreach (var receipt in (StoredReceipt[])[stored["refused_1"], stored["refused_4"]])
            Assert.Empty(ReceiptCheck.Problems(new ReceiptFile(receipt.Payload, [.. node.Key.PublicKey.Span], receipt.NodeSignature, [.. hub.Identity.PublicKey.Span], receipt.HubSignature)));
        // Nothing is left to be offered again.
        Assert.Empty(await hub.Receipts.ListOfferedAsync(node.Id, 10, CancellationToken.None));
        Assert.Equal(answers, await node.SayAsync(node.Sign(payloads), payloads), (one, again) => (one.Status, one.CreditedMicrocredits) == (again.Status, again.CreditedMicrocredits));
        Assert.Empty((await hub.Ledger.AuditAsync()).Findings);
    }

    [Fact]
    public async Task A_node_objects_to_one_receipt_and_is_paid_for_the_others()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payloads) = await BookedAsync(hub, "mixed_1", "mixed_2", "mixed_3");
        ImmutableArray<ImmutableArray<byte>> ids = [.. payloads.Select(payload => ReceiptCodec.IdOf(payload))];
        var answers = await node.Grain.SignReceipts(new OfferAnswer([ids[0], ids[2]], [.. node.Sign(payloads[0], payloads[2])], [new Objection(ids[1], "not that one")]));
        Assert.Equal([ReceiptSigningStatus.Issued, ReceiptSigningStatus.Issued, ReceiptSigningStatus.Disputed], answers.Select(answer => answer.Status));
        Assert.Equal(answers[0].CreditedMicrocredits + answers[1].CreditedMicrocredits, await hub.PendingOfAsync(node.AccountId));
        // Signed after all, with one that was paid: what was said before counts.
        answers = await node.SayAsync(node.Sign(payloads[0], payloads[1]), payloads[0], payloads[1]);
        Assert.Equal([ReceiptSigningStatus.Issued, ReceiptSigningStatus.Disputed], answers.Select(answer => answer.Status));
    }

    [Fact]
    public async Task A_batch_with_a_receipt_that_was_not_offered_to_the_node_is_not_taken_at_all()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, own) = await BookedAsync(hub, "own_1", "own_2");
        var (other, anothers) = await BookedAsync(hub, ["of_another"]);
        byte[][] batch = [own[0], anothers[0], own[1]];
        Assert.All(await node.SayAsync(node.Sign(batch), batch), answer => Assert.Equal(ReceiptSigningStatus.Unknown, answer.Status));
        Assert.Equal((0, 0), (await hub.PendingOfAsync(node.AccountId), await hub.PendingOfAsync(other.AccountId)));
        Assert.Equal(Standing.Probation, (await node.Grain.GetView())!.Standing);
        Assert.All(await node.SayAsync(node.Sign(own), own), answer => Assert.Equal(ReceiptSigningStatus.Issued, answer.Status));
        Assert.All(await other.SayAsync(other.Sign(anothers), anothers), answer => Assert.Equal(ReceiptSigningStatus.Issued, answer.Status));
    }

    [Theory]
    [InlineData("zeros", "The node answered 3 receipts with a signature that its key did not make over them.")]
    [InlineData("another order", "The node answered 3 receipts with a signature that its key did not make over them.")]
    [InlineData("one less", "The node answered 3 receipts with a signature that its key did not make over them.")]
    [InlineData("replayed", "The node answered 3 receipts with its old signature of another one, {0}.")]
    public async Task A_wrong_signature_of_a_batch_bans_the_node_and_says_of_which_receipts(string wrong, string finding)
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payloads) = await BookedAsync(hub, [.. Enumerable.Range(0, 5).Select(number => $"forged_{wrong.Replace(' ', '_')}_{number}")]);
        byte[][] signed = [payloads[0], payloads[1]], batch = payloads[2..];
        var old = node.Sign(signed);
        await node.SayAsync(old, signed);
        var signature = wrong switch
        {
            "zeros" => new byte[64],
            "another order" => node.Sign(batch[1], batch[0], batch[2]),
            "one less" => node.Sign(batch[0], batch[1]),
            _ => old,
        };
        Assert.All(await node.SayAsync(signature, batch), answer => Assert.Equal(ReceiptSigningStatus.WrongSignature, answer.Status));
        Assert.Equal(Standing.Banned, (await node.Grain.GetView())!.Standing);
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
        var happened = Assert.Single(await hub.Verification.ListEventsAsync(node.Id, long.MaxValue, 100, default), happened => happened.Evidence is Evidence.Fraud);
        Assert.Equal(string.Format(CultureInfo.InvariantCulture, finding, NameOf(payloads[0])), happened.Finding);
        foreach (var payload in batch) Assert.Contains(NameOf(payload), happened.Details, StringComparison.Ordinal);
        // Nothing is paid any more, however it is signed.
        Assert.All(await node.SayAsync(node.Sign(batch), batch), answer => Assert.Equal(ReceiptSigningStatus.Unknown, answer.Status));

        static string NameOf(byte[] payload) => Convert.ToHexStringLower(ReceiptCodec.IdOf(payload).AsSpan());
    }

    [Fact]
    public async Task Answers_that_share_receipts_are_judged_in_the_order_in_which_they_came()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payloads) = await BookedAsync(hub, "shared_1", "shared_2", "shared_3");
        var first = node.ObjectAsync(payloads[0], "that was not me");
        // Waits for the one before, because of its first receipt; and so does what is said of its second, which nobody has judged yet.
        var second = node.SayAsync(node.Sign(payloads[0], payloads[1]), payloads[0], payloads[1]);
        var third = node.ObjectAsync(payloads[1], "nor this");
        var fourth = node.SayAsync(node.Sign(payloads[2]), payloads[2]);
        Assert.Equal(ReceiptSigningStatus.Disputed, (await first.WithinPatienceAsync()).Status);
        Assert.Equal([ReceiptSigningStatus.Disputed, ReceiptSigningStatus.Issued], (await second.WithinPatienceAsync()).Select(answer => answer.Status));
        Assert.Equal(ReceiptSigningStatus.Issued, (await third.WithinPatienceAsync()).Status);
        Assert.Equal(ReceiptSigningStatus.Issued, Assert.Single(await fourth.WithinPatienceAsync()).Status);
    }

    [Fact]
    public async Task Of_a_batch_that_came_late_what_is_in_time_is_paid()
    {
        var clock = new OffsetClock();
        await using var hub = await TestHub.StartAsync(database, options => options.SignWithin = TimeSpan.FromMinutes(30), time: clock);
        var (node, early) = await BookedAsync(hub, ["half_late"]);
        clock.Advance(TimeSpan.FromMinutes(20));
        await node.Grain.Book(OutcomeOf(node, "half_in_time"));
        byte[][] both = [early[0], ReceiptCodec.Encode((await AssertChainAsync(hub, node))[^1])];
        clock.Advance(TimeSpan.FromMinutes(20));
        var signature = node.Sign(both);
        var answers = await node.SayAsync(signature, both);
        Assert.Equal([ReceiptSigningStatus.TooLate, ReceiptSigningStatus.Issued], answers.Select(answer => answer.Status));
        Assert.Equal(answers[1].CreditedMicrocredits, await hub.PendingOfAsync(node.AccountId));
        Assert.True(IsByHub(hub, answers[1].HubSignature, both[1], TestNode.Kept(signature, both)[1]));
    }

    [Fact]
    public async Task One_receipt_named_twice_in_an_answer_is_no_answer()
    {
        await using var hub = await TestHub.StartAsync(database);
        var (node, payload) = await BookedAsync(hub, "named_twice");
        await Assert.ThrowsAsync<ArgumentException>(() => node.SayAsync(node.Sign(payload, payload), payload, payload));
        Assert.Equal(ReceiptSigningStatus.Issued, (await SignAsync(node, payload, Sign(node, payload))).Status);
    }

    // --------------------------------------------------------------------------------------------------------- offers

    [Fact]
    public async Task What_a_node_has_not_answered_is_offered_in_batches_of_a_bounded_size()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        const int jobs = ReceiptBatch.CountMax + 3;
        await Task.WhenAll(Enumerable.Range(0, jobs).Select(number => node.Grain.Book(OutcomeOf(node, $"backlog_{number}"))));
        var line = await node.ConnectAsync();
        await node.Grain.Report(line.SessionId, ScriptedSession.ReportOf(2, ScriptedSession.Model));
        await Eventually.TrueAsync(() => line.Offers.Count == jobs, "the offers");
        Assert.Equal([ReceiptBatch.CountMax, 3], line.Batches);
    }

    [Fact]
    public async Task A_connected_node_is_offered_its_receipts_and_after_reconnecting_those_it_did_not_answer()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var first = await node.ConnectAsync();
        await node.Grain.Book(OutcomeOf(node, "answered"));
        await node.Grain.Book(OutcomeOf(node, "unanswered"));
        await Eventually.TrueAsync(() => first.Offers.Count == 2, "both offers");
        var (answered, unanswered) = (first.Offers.First(), first.Offers.Last());
        await SignAsync(node, answered, Sign(node, answered));

        var second = await node.ConnectAsync();
        await node.Grain.Report(second.SessionId, ScriptedSession.ReportOf(2, ScriptedSession.Model));
        await Eventually.TrueAsync(() => second.Offers.Count == 1, "the offer");

        Assert.Equal(unanswered, second.Offers.Single());
        Assert.Equal(2, first.Offers.Count);
    }

    [Fact]
    public async Task A_line_that_takes_no_offer_holds_up_no_booking()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var line = await node.ConnectAsync();
        var taken = new TaskCompletionSource();
        line.Takes = taken.Task;
        await node.Grain.Book(OutcomeOf(node, "first"));
        await Eventually.TrueAsync(() => line.Offers.Count == 1, "the offer");
        await node.Grain.Book(OutcomeOf(node, "second"));
        Assert.Equal(2, (await AssertChainAsync(hub, node)).Length);
        taken.SetResult();
        await Eventually.TrueAsync(() => line.Offers.Count == 2, "the second offer");
    }

    [Fact]
    public async Task No_more_receipts_are_kept_ready_than_allowed()
    {
        await using var hub = await TestHub.StartAsync(database, options => options.MaxOfferedReceipts = 3);
        var node = await hub.EnrolAsync();
        for (var job = 0; job < 6; job++) await node.Grain.Book(OutcomeOf(node, $"ready_{job}"));
        var line = await node.ConnectAsync();
        await node.Grain.Report(line.SessionId, ScriptedSession.ReportOf(2, ScriptedSession.Model));
        await Eventually.TrueAsync(() => line.Offers.Count == 3, "the offers");
        Assert.Equal([1, 2, 3], line.Offers.Select(payload => ReceiptCodec.Decode(payload).Sequence));
    }

    // ---------------------------------------------------------------------------------------- enrolment and connection

    [Fact]
    public async Task A_key_belongs_to_the_account_that_enrolled_it_first()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var other = await hub.Accounts.CreateAsync("another", Tier.Free, CancellationToken.None);
        Assert.Equal(EnrolmentStatus.AlreadyEnrolled, await node.EnrolAsync(node.AccountId));
        Assert.Equal(EnrolmentStatus.OwnedByAnotherAccount, await node.EnrolAsync(other.Id));
        var identity = await node.Grain.GetIdentity();
        Assert.Equal((node.AccountId, Standing.Probation), (identity!.AccountId, identity.Standing));
        Assert.Equal(node.Key.PublicKey.ToArray(), identity.PublicKey.ToArray());
    }

    [Fact]
    public async Task A_node_nobody_enrolled_is_unknown()
    {
        await using var hub = await TestHub.StartAsync(database);
        var stranger = new TestNode(hub, "acct_none");
        Assert.Null(await stranger.Grain.GetIdentity());
        Assert.Null(await stranger.Grain.GetView());
        Assert.Equal(ConnectionStatus.Unknown, (await stranger.ConnectAsync()).Status);
        Assert.False(await stranger.Grain.SetStanding(Standing.Banned));
        Assert.Equal(ReceiptSigningStatus.Unknown, (await stranger.ObjectAsync([1], "")).Status);
    }

    [Fact]
    public async Task A_later_connection_replaces_the_one_before_whose_end_then_means_nothing()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var (first, second) = (await node.ConnectAsync(), await node.ConnectAsync());
        await Eventually.TrueAsync(() => !first.Ends.IsEmpty, "the first session's end");
        Assert.Equal(SessionEnd.Superseded, first.Ends.Single());
        Assert.Equal(ReportStatus.Superseded, await node.Grain.Report(first.SessionId, ScriptedSession.ReportOf(9)));
        await node.Grain.Disconnect(first.SessionId);
        Assert.True((await node.Grain.GetView())!.Connected);
        Assert.Equal(2, (await node.Grain.GetView())!.Report!.Engines.Single().Slots);

        await node.Grain.Disconnect(second.SessionId);
        var view = (await node.Grain.GetView())!;
        Assert.Equal((false, null), (view.Connected, view.Report));
        Assert.NotNull(view.LastSeen);
        Assert.Equal(ReportStatus.NotConnected, await node.Grain.Report(second.SessionId, ScriptedSession.ReportOf(1)));
    }

    [Fact]
    public async Task A_banned_node_is_hung_up_on_and_stays_out_over_a_restart()
    {
        TestNode node;
        await using (var hub = await TestHub.StartAsync(database))
        {
            node = await hub.EnrolAsync();
            var line = await node.ConnectAsync();
            Assert.True(await node.Grain.SetStanding(Standing.Banned));
            await Eventually.TrueAsync(() => !line.Ends.IsEmpty, "the session's end");
            Assert.Equal(SessionEnd.Banned, line.Ends.Single());
            Assert.Equal(ConnectionStatus.Banned, (await node.ConnectAsync()).Status);
            Assert.Equal(EnrolmentStatus.Banned, await node.EnrolAsync(node.AccountId));
        }
        await using var later = await TestHub.StartAsync(database);
        Assert.Equal(Standing.Banned, (await later.Grains.GetGrain<INodeGrain>(node.Id).GetIdentity())!.Standing);
    }

    [Fact]
    public async Task A_pull_is_passed_to_the_engine_that_the_node_has()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        Assert.Equal(PullStatus.NotConnected, await node.Grain.Pull("ollama", "qwen2"));
        var line = await node.ConnectAsync();
        Assert.Equal(PullStatus.NoSuchEngine, await node.Grain.Pull("vllm", "qwen2"));
        Assert.Equal(PullStatus.Asked, await node.Grain.Pull("ollama", "qwen2"));
        await Eventually.TrueAsync(() => !line.Pulls.IsEmpty, "the pull");
        Assert.Equal("ollama/qwen2", line.Pulls.Single());
    }

    // ------------------------------------------------------------------------------------------------------- the job

    [Fact]
    public async Task A_job_is_settled_once_and_says_so_each_time()
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = await hub.EnrolAsync();
        var outcome = OutcomeOf(node, "fenced");
        // One after the other, as a settlement whose answers are lost does: the grain may have gone in between.
        for (var again = 0; again < 3; again++) Assert.Equal(new Settlement(true, 1), await hub.Grains.GetGrain<IJobGrain>("fenced").Settle(outcome));
        Assert.Equal("fenced", Assert.Single(await AssertChainAsync(hub, node)).JobId);
    }

    /// <summary>The node's receipts, after checking that they are one chain, each the successor of the one before.</summary>
    private static async Task<ImmutableArray<Receipt>> AssertChainAsync(TestHub hub, TestNode node, bool hubChanges = false)
    {
        var rows = await hub.Database.ReadAsync(
            async connection => (await connection.QueryAsync<(string Id, byte[] Payload, long Seq)>("SELECT id, payload, seq FROM receipts WHERE node_id = @Id ORDER BY seq", new { node.Id })).ToArray(),
            CancellationToken.None);
        var head = ChainHead.Start;
        var chain = ImmutableArray.CreateBuilder<Receipt>();
        foreach (var (id, payload, seq) in rows)
        {
            var receipt = ReceiptCodec.Decode(payload);
            Assert.Equal(id, Convert.ToHexStringLower(SHA256.HashData(payload)));
            Assert.Equal((seq, head.Sequence + 1), (receipt.Sequence, receipt.Sequence));
            Assert.Equal(head.Id.ToArray(), receipt.PreviousId.ToArray());
            if (!hubChanges) Assert.Equal(hub.Identity.Id, receipt.Hub);
            head = new ChainHead(receipt.Sequence, ReceiptCodec.IdOf(payload));
            chain.Add(receipt);
        }
        return chain.ToImmutable();
    }

    private static Task<long[]> CreditsAsync(TestHub hub, TestNode node) => hub.Database.ReadAsync(
        async connection => (await connection.QueryAsync<long>("SELECT credited FROM receipts WHERE node_id = @Id", new { node.Id })).ToArray(), CancellationToken.None);

    private static async Task<(TestNode Node, byte[] Payload)> BookedAsync(TestHub hub, string job)
    {
        var node = await hub.EnrolAsync();
        await node.Grain.Book(OutcomeOf(node, job));
        var receipt = Assert.Single(await AssertChainAsync(hub, node));
        return (node, ReceiptCodec.Encode(receipt));
    }

    /// <summary>Books jobs whose receipts can be signed together.</summary>
    private static async Task<(TestNode Node, byte[][] Payloads)> BookedAsync(TestHub hub, params string[] jobs)
    {
        var node = await hub.EnrolAsync();
        await Task.WhenAll(jobs.Select(job => node.Grain.Book(OutcomeOf(node, job))));
        return (node, [.. (await AssertChainAsync(hub, node)).Select(ReceiptCodec.Encode)]);
    }

    private static byte[] Sign(TestNode node, byte[] payload) => node.Sign(payload);

    private static async Task<ReceiptSigning> SignAsync(TestNode node, byte[] payload, byte[] signature) => Assert.Single(await node.SayAsync(signature, payload));

    private static bool IsByHub(TestHub hub, ImmutableArray<byte> signature, byte[] payload, byte[] nodeSignature)
        => ReceiptSignature.Read(signature.AsSpan()).IsByHub(hub.Identity.PublicKey.Span, payload, nodeSignature);

    private static JobOutcome OutcomeOf(TestNode node, string job, long prompt = 1_000, long completion = 2_000) => new(
        job,
        1,
        "acct_client",
        "key_1",
        JobKind.Chat,
        "llama3:8b",
        "sha256:abcd",
        5L << 30,
        node.Id,
        JobStatus.Succeeded,
        "stop",
        prompt,
        completion,
        [.. SHA256.HashData("request"u8)],
        [.. SHA256.HashData("output"u8)],
        1_760_400_000_000,
        1_760_400_000_100,
        1_760_400_000_400,
        1_760_400_004_400,
        "sha256:abcd/ollama/0.33.0/cuda/sm_89/np4");
}

public sealed class SqliteNodeGrainTests(SqliteTestDatabase database) : NodeGrainTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresNodeGrainTests(PostgresTestDatabase database) : NodeGrainTests(database), IClassFixture<PostgresTestDatabase>;
