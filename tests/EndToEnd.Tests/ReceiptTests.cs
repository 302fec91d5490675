using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Work is paid by a receipt that both sides signed, once.</summary>
public sealed class ReceiptTests(SharedHub shared, ITestOutputHelper output) : SharedHubTest(shared, output)
{
    [Fact]
    public async Task A_signed_receipt_pays_the_nodes_owner_and_can_be_checked_by_anybody()
    {
        var worker = await WorkerAsync();
        var (question, requestId) = await WorkAsync(worker);
        Assert.Equal(0, await worker.Owner.PendingAsync());

        var payload = await worker.Line.NextReceiptOfferAsync();
        var receipt = ReceiptCodec.Decode(payload);
        Assert.Equal(requestId, receipt.JobId);
        Assert.Equal(worker.Node.Id, receipt.Node);
        Assert.Equal(HubId.Parse(worker.Line.Challenge.HubId), receipt.Hub);
        Assert.Equal(worker.Model, receipt.Model);
        Assert.Equal((7, 2), (receipt.PromptTokens, receipt.CompletionTokens));
        Assert.Equal(SHA256.HashData(question), receipt.RequestHash.AsSpan());
        Assert.Equal(SHA256.HashData(Chats.Whole("work", 7, 2)), receipt.OutputHash.AsSpan());
        Assert.True(receipt.ReferenceMicroseconds > 0);
        Assert.True(receipt.DispatchMs <= receipt.FirstMs && receipt.FirstMs <= receipt.LastMs);

        var (signature, issued) = await SignAsync(worker, payload);
        Assert.True(issued.CreditedMicrocredits > 0);
        Assert.Equal(issued.CreditedMicrocredits, await worker.Owner.PendingAsync());
        // Offline: the payload, two signatures, two public keys, and nothing else.
        var hubKey = worker.Line.Challenge.HubPublicKey.Span;
        Assert.Equal(worker.Line.Challenge.HubId, HubId.FromPublicKey(hubKey).ToString());
        var kept = ReceiptBatch.OfNode([ReceiptCodec.IdOf(payload)]).Kept(signature)[0];
        var file = new ReceiptFile([.. payload], [.. worker.Node.Key.PublicKey.Span], [.. kept], [.. hubKey], [.. issued.HubSignature.Span]);
        Assert.Empty(ReceiptCheck.Problems(file));
        Assert.NotEmpty(ReceiptCheck.Problems(file with { Payload = [.. payload.SkipLast(1), 0xff] }));
        var id = Convert.ToHexStringLower(ReceiptCodec.IdOf(payload).AsSpan());
        Assert.Equal(file.ToJson(), Encoding.UTF8.GetBytes((await worker.Owner.GetAsync($"/v1/receipts/{id}")).Expect(HttpStatusCode.OK).Text));
    }

    [Fact]
    public async Task Receipts_are_signed_together_but_for_one_that_the_node_objects_to_and_each_is_checked_by_the_command()
    {
        var worker = await WorkerAsync();
        for (var i = 0; i < 4; i++) await WorkAsync(worker);
        var payloads = new List<byte[]>();
        for (var i = 0; i < 4; i++) payloads.Add(await OfferAsync(worker));
        ByteString[] ids = [.. payloads.Select(payload => ByteString.CopyFrom(ReceiptCodec.IdOf(payload).AsSpan()))];
        byte[][] agreed = [payloads[3], payloads[0], payloads[1]];
        await worker.Line.SendAsync(new NodeMessage
        {
            ReceiptAnswers = new ReceiptAnswers
            {
                Signed = { ids[3], ids[0], ids[1] },
                Signature = ByteString.CopyFrom(worker.Line.SignatureOf(agreed)),
                Objections = { new ReceiptObjection { ReceiptId = ids[2], Objection = "that was not me" } },
            },
        });
        var credited = 0L;
        foreach (var payload in agreed)
        {
            var issued = await worker.Line.NextReceiptIssuedAsync();
            Assert.Equal(ReceiptCodec.IdOf(payload).AsSpan(), issued.ReceiptId.Span);
            credited += issued.CreditedMicrocredits;
            var file = (await worker.Owner.GetAsync($"/v1/receipts/{Convert.ToHexStringLower(issued.ReceiptId.Span)}")).Expect(HttpStatusCode.OK).Text;
            Assert.Empty(ReceiptCheck.Problems(ReceiptFile.Read(Encoding.UTF8.GetBytes(file))));
        }
        Assert.Equal(credited, await worker.Owner.PendingAsync());
        (await worker.Owner.GetAsync($"/v1/receipts/{Convert.ToHexStringLower(ids[2].Span)}")).ExpectError(HttpStatusCode.Conflict, "conflict", "that was not me");
    }

    [Fact]
    public async Task A_wrong_signature_of_many_receipts_ends_the_connection_and_pays_for_none()
    {
        var worker = await WorkerAsync();
        for (var i = 0; i < 3; i++) await WorkAsync(worker);
        byte[][] payloads = [await OfferAsync(worker), await OfferAsync(worker), await OfferAsync(worker)];
        await worker.Line.SignAsync(worker.Line.SignatureOf(payloads[1], payloads[0], payloads[2]), payloads);
        await worker.Line.ExpectEndAsync(StatusCode.Unauthenticated, "a receipt signature that is not this node's");
        Assert.Equal(0, await worker.Owner.PendingAsync());
    }

    [Fact]
    public async Task The_statement_says_what_was_earned_in_JSON_and_in_CSV()
    {
        var worker = await WorkerAsync();
        var (_, requestId) = await WorkAsync(worker);
        var (_, issued) = await SignAsync(worker, await OfferAsync(worker));

        var line = Assert.Single((await worker.Owner.GetAsync("/v1/account/statement?purse=pending")).Expect(HttpStatusCode.OK).Json["lines"]!.AsArray())!;
        Assert.Equal("earning", line["reason"]!.ToString());
        Assert.Equal(requestId, line["reference"]!.ToString());
        Assert.Equal(issued.CreditedMicrocredits, line["posted_microcredits"]!.GetValue<long>());
        Assert.Equal(issued.CreditedMicrocredits, line["available_after_microcredits"]!.GetValue<long>());

        var csv = (await worker.Owner.GetAsync("/v1/account/statement?purse=pending&format=csv")).Expect(HttpStatusCode.OK);
        Assert.Equal("text/csv", csv.ContentType);
        var rows = csv.Text.TrimEnd('\n').Split('\n');
        Assert.Equal(2, rows.Length);
        var columns = rows[0].Split(',').Zip(rows[1].Split(',')).ToDictionary(column => column.First, column => column.Second);
        Assert.Equal(issued.CreditedMicrocredits.ToString(CultureInfo.InvariantCulture), columns["posted_microcredits"]);
        Assert.Equal(requestId, columns["reference"]);

        Assert.Empty((await worker.Owner.GetAsync("/v1/account/statement?purse=available")).Expect(HttpStatusCode.OK).Json["lines"]!.AsArray());
    }

    [Fact]
    public async Task A_signature_sent_twice_pays_once()
    {
        var worker = await WorkerAsync();
        await WorkAsync(worker);
        var payload = await OfferAsync(worker);
        var (_, first) = await SignAsync(worker, payload);
        var (_, second) = await SignAsync(worker, payload);
        Assert.Equal(first, second);
        Assert.Equal(first.CreditedMicrocredits, await worker.Owner.PendingAsync());
    }

    [Fact]
    public async Task Receipts_of_a_node_form_a_chain_and_the_pay_adds_up()
    {
        var worker = await WorkerAsync();
        var previous = (Sequence: 0L, Id: ImmutableArray.Create(new byte[32]));
        var credited = 0L;
        for (var i = 0; i < 5; i++)
        {
            await WorkAsync(worker);
            var payload = await OfferAsync(worker);
            var receipt = ReceiptCodec.Decode(payload);
            Assert.Equal(previous.Sequence + 1, receipt.Sequence);
            Assert.Equal(previous.Id.AsSpan(), receipt.PreviousId.AsSpan());
            previous = (receipt.Sequence, ReceiptCodec.IdOf(payload));
            credited += (await SignAsync(worker, payload)).Issued.CreditedMicrocredits;
        }
        Assert.Equal(credited, await worker.Owner.PendingAsync());
    }

    [Fact]
    public async Task A_receipt_that_was_not_signed_is_offered_again_on_the_next_connection()
    {
        var worker = await WorkerAsync();
        await WorkAsync(worker);
        var payload = await OfferAsync(worker);
        var again = worker with { Line = Keep(await worker.Node.ConnectAsync(Hub, worker.Model)) };
        Assert.Equal(payload, await OfferAsync(again));
        var (_, issued) = await SignAsync(again, payload);
        Assert.Equal(issued.CreditedMicrocredits, await worker.Owner.PendingAsync());
    }

    [Fact]
    public async Task A_node_that_objects_is_not_paid_even_if_it_signs_later()
    {
        var worker = await WorkerAsync();
        await WorkAsync(worker);
        var payload = await OfferAsync(worker);
        await SayAsync(worker, payload, []);
        await SayAsync(worker, payload, worker.Line.SignatureOf(payload));
        // A receipt of later work is answered after both of these.
        await WorkAsync(worker);
        var (_, issued) = await SignAsync(worker, await OfferAsync(worker));
        Assert.Equal(issued.CreditedMicrocredits, await worker.Owner.PendingAsync());
    }

    [Fact]
    public async Task A_signature_by_another_key_ends_the_connection_and_pays_nothing()
    {
        var worker = await WorkerAsync();
        await WorkAsync(worker);
        var payload = await OfferAsync(worker);
        using var other = SigningKey.Create();
        await SayAsync(worker, payload, other.Sign(ReceiptBatch.OfNode([ReceiptCodec.IdOf(payload)]).SigningBytes));
        await worker.Line.ExpectEndAsync(StatusCode.Unauthenticated, "a receipt signature that is not this node's");
        Assert.Equal(0, await worker.Owner.PendingAsync());
    }

    [Fact]
    public async Task An_old_signature_under_a_new_receipt_bans_the_node_and_takes_all_that_was_pending()
    {
        var worker = await WorkerAsync();
        await WorkAsync(worker);
        var first = await OfferAsync(worker);
        var (old, issued) = await SignAsync(worker, first);
        Assert.Equal(issued.CreditedMicrocredits, await worker.Owner.PendingAsync());
        await WorkAsync(worker);
        await SayAsync(worker, await OfferAsync(worker), old);
        await worker.Line.ExpectEndAsync(StatusCode.Unauthenticated, "a receipt signature that is not this node's");

        Assert.Equal(0, await worker.Owner.PendingAsync());
        var seen = (await worker.Owner.GetAsync($"/v1/nodes/{worker.Node.Id}/verification")).Expect(HttpStatusCode.OK).Json;
        Assert.Equal(("banned", issued.CreditedMicrocredits), (seen["standing"]!.ToString(), seen["earnings"]!["forfeited_microcredits"]!.GetValue<long>()));
        var happened = Assert.Single(seen["events"]!.AsArray())!;
        Assert.Equal(("receipt", "fraud"), (happened["kind"]!.ToString(), happened["evidence"]!.ToString()));
        Assert.Equal($"The node answered a receipt with its old signature of another one, {Convert.ToHexStringLower(ReceiptCodec.IdOf(first).AsSpan())}.", happened["finding"]!.ToString());
        Assert.Equal(Convert.ToHexStringLower(old), happened["details"]!["signature"]!.ToString());
    }

    [Fact]
    public async Task A_signature_made_for_another_purpose_ends_the_connection()
    {
        var worker = await WorkerAsync();
        await WorkAsync(worker);
        var payload = await OfferAsync(worker);
        // The right key over the right bytes, but without the domain that says what the signature is for.
        await SayAsync(worker, payload, worker.Node.Key.Sign(payload));
        await worker.Line.ExpectEndAsync(StatusCode.Unauthenticated, "a receipt signature that is not this node's");
    }

    [Fact]
    public async Task A_signature_for_another_nodes_receipt_ends_the_connection_and_pays_nobody()
    {
        var (worker, thief) = (await WorkerAsync(), await WorkerAsync());
        await WorkAsync(worker);
        var payload = await OfferAsync(worker);
        await SayAsync(thief, payload, thief.Line.SignatureOf(payload));
        await thief.Line.ExpectEndAsync(StatusCode.PermissionDenied, "a signature for a receipt that was not offered to this node");
        Assert.Equal(0, await thief.Owner.PendingAsync());
        Assert.Equal(0, await worker.Owner.PendingAsync());
        await SignAsync(worker, payload);
    }

    [Fact]
    public async Task A_node_that_claims_more_tokens_than_its_bytes_can_carry_is_paid_for_the_bytes()
    {
        var worker = await WorkerAsync();
        using var client = Hub.Client();
        var asked = client.ChatAsync(worker.Model);
        var lease = await worker.Line.NextAssignAsync();
        await worker.Line.BeginAsync(lease);
        await worker.Line.ChunkAsync(lease.LeaseId, 0, Chats.Whole("work", 1_000_000, 1_000_000));
        await worker.Line.DoneAsync(lease.LeaseId, 1_000_000, 1_000_000);
        (await asked).Expect(HttpStatusCode.OK);
        var receipt = ReceiptCodec.Decode(await OfferAsync(worker));
        Assert.InRange(receipt.PromptTokens, 0, lease.Body.Length);
        Assert.InRange(receipt.CompletionTokens, 0, 64);
    }

    [Fact]
    public async Task An_answer_the_client_aborted_is_paid_as_far_as_it_came()
    {
        var worker = await WorkerAsync();
        using var client = Hub.Client();
        using var leave = new CancellationTokenSource();
        var asking = client.StreamChatAsync(worker.Model);
        var lease = await worker.Line.NextAssignAsync();
        await worker.Line.BeginAsync(lease);
        for (ulong i = 0; i < 3; i++) await worker.Line.ChunkAsync(lease.LeaseId, i, Chats.Piece("word "));
        using var stream = await asking;
        await using var events = stream.EventsAsync(leave.Token).GetAsyncEnumerator();
        for (var i = 0; i < 3; i++) Assert.True(await events.MoveNextAsync());
        var waiting = events.MoveNextAsync().AsTask();
        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        await worker.Line.NextCancelAsync();
        Assert.Equal(3, ReceiptCodec.Decode(await OfferAsync(worker)).CompletionTokens);
    }

    // --------------------------------------------------------------------------------------------------------- details

    private async Task<Worker> WorkerAsync()
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("owner");
        var (node, line, model) = await ConnectedNodeAsync(account);
        return new Worker(node, line, model, Keep(new Client(Hub.Client(key))).Http);
    }

    /// <summary>The worker answers one question of somebody else: the question's bytes, and its id.</summary>
    private async Task<(byte[] Question, string RequestId)> WorkAsync(Worker worker)
    {
        using var client = Hub.Client();
        var asked = client.ChatAsync(worker.Model);
        await worker.Line.AnswerAsync(await worker.Line.NextAssignAsync(), "work");
        var answer = (await asked).Expect(HttpStatusCode.OK);
        return (Encoding.UTF8.GetBytes(Chats.Question(worker.Model, "17+25=", stream: false)), answer.Headers.GetValues("x-request-id").Single());
    }

    private static Task<byte[]> OfferAsync(Worker worker) => worker.Line.NextReceiptOfferAsync();

    private static async Task<(byte[] Signature, IssuedReceipt Issued)> SignAsync(Worker worker, byte[] payload)
    {
        var signature = worker.Line.SignatureOf(payload);
        await SayAsync(worker, payload, signature);
        var issued = await worker.Line.NextReceiptIssuedAsync();
        Assert.Equal(ReceiptCodec.IdOf(payload).AsSpan(), issued.ReceiptId.Span);
        return (signature, issued);
    }

    private static Task SayAsync(Worker worker, byte[] payload, byte[] signature) => worker.Line.SignAsync(signature, payload);

    private sealed record Worker(FakeNode Node, NodeLine Line, string Model, HubClient Owner);

    private sealed class Client(HubClient http) : IAsyncDisposable
    {
        public HubClient Http { get; } = http;

        public ValueTask DisposeAsync()
        {
            Http.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
