using System.Globalization;
using System.Net;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.Receipts;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>What owners, operators and strangers can see of the hub's judgement, and check without trusting it.</summary>
public sealed class VerificationTests(SharedHub shared, ITestOutputHelper output) : SharedHubTest(shared, output)
{
    [Fact]
    public async Task An_owner_reads_why_a_credit_is_held_and_where_the_node_stands()
    {
        var (id, owner, receipt) = await WorkedAsync();
        using (owner)
        {
            var seen = (await owner.GetAsync($"/v1/nodes/{id}/verification")).Expect(HttpStatusCode.OK).Json;
            Assert.Equal("probation", seen["standing"]!.ToString());
            Assert.Equal("The node is new: everything is checked.", seen["why"]!.ToString());
            Assert.True(seen["shadow_mode"]!.GetValue<bool>());
            Assert.Equal("cpu", seen["hardware_class"]!["paid"]!.ToString());
            Assert.Null(seen["hardware_class"]!["measured"]);
            var pending = Assert.Single(seen["pending"]!.AsArray())!;
            Assert.Equal(receipt, pending["receipt_id"]!.ToString());
            Assert.Equal("held because 0 of 10 later audits have passed, 0 h of 168 h have gone by and its epoch is not closed yet", pending["why"]!.ToString());
            Assert.Equal("100 %", pending["audit_rate"]!.ToString());
            Assert.Equal(pending["microcredits"]!.GetValue<long>(), seen["earnings"]!["pending_microcredits"]!.GetValue<long>());
            Assert.Equal(1, Assert.Single(seen["reputations"]!.AsArray())!["audit_rate"]!.GetValue<double>());
            Assert.Empty(seen["events"]!.AsArray());
        }
    }

    [Fact]
    public async Task A_stranger_sees_neither_node_nor_receipt_and_wrong_questions_get_clear_answers()
    {
        var (id, owner, receipt) = await WorkedAsync();
        using var admin = Hub.Client();
        using var stranger = Hub.Client((await admin.CreateAccountAsync("stranger")).Key);
        using (owner)
        {
            (await stranger.GetAsync($"/v1/nodes/{id}/verification")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no node");
            (await stranger.GetAsync($"/v1/receipts/{receipt}")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no receipt");
            (await stranger.PostAsync($"/v1/nodes/{id}/appeals", """{"text":"mine?"}""")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no node");
            (await owner.GetAsync("/v1/receipts/xyz")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no receipt");
            (await owner.GetAsync($"/v1/receipts/{receipt}?format=xml")).ExpectError(HttpStatusCode.BadRequest, null, "'format' must be");
            (await owner.GetAsync($"/v1/nodes/{id}/verification?events=0")).ExpectError(HttpStatusCode.BadRequest, null, "'events' must be");
            (await owner.PostAsync($"/v1/nodes/{id}/appeals", """{"text":" "}""")).ExpectError(HttpStatusCode.BadRequest, null, "'text' must be");
            (await owner.PostAsync($"/v1/nodes/{id}/appeals", """{"text":"why?"}""")).ExpectError(HttpStatusCode.Conflict, "conflict", "no decision against this node");
            (await owner.PostAsync($"/v1/nodes/{id}/appeals/apl_1", """{"decision":"grant","answer":"yes"}""")).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "lacks the scope 'admin'");
            (await admin.PostAsync($"/v1/nodes/{id}/appeals/apl_1", """{"decision":"maybe","answer":"yes"}""")).ExpectError(HttpStatusCode.BadRequest, null, "'decision' must be");
            (await admin.PostAsync($"/v1/nodes/{id}/appeals/apl_1", """{"decision":"grant","answer":"yes"}""")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no appeal");
            (await owner.GetAsync("/v1/epochs/1")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no epoch 1");
            (await owner.GetAsync("/v1/epochs?limit=0")).ExpectError(HttpStatusCode.BadRequest, null, "'limit' must be");
        }
    }

    [Fact]
    public async Task A_receipt_is_verified_offline_and_a_forged_one_is_told_apart_in_words()
    {
        var (_, owner, receipt) = await WorkedAsync();
        using var files = new TemporaryDirectory();
        using (owner)
        {
            var file = (await owner.GetAsync($"/v1/receipts/{receipt}")).Expect(HttpStatusCode.OK).Json;
            Assert.Equal(receipt, file["id"]!.ToString());
            var (code, said) = await VerifyAsync(file.ToJsonString());
            Assert.Equal((0, true), (code, said.StartsWith($"Genuine. Receipt {receipt}", StringComparison.Ordinal)));

            var forged = file.DeepClone();
            var payload = Convert.FromBase64String(file["payload"]!.ToString());
            var other = ReceiptCodec.Encode(ReceiptCodec.Decode(payload) with { CompletionTokens = 1_000_000 });
            forged["payload"] = Convert.ToBase64String(other);
            (code, said) = await VerifyAsync(forged.ToJsonString());
            Assert.Equal(1, code);
            Assert.Equal(
                [
                    $"The file says that it is receipt {receipt}, but its payload is that of {Convert.ToHexStringLower(ReceiptCodec.IdOf(other).AsSpan())}.",
                    "The node's signature is not that key's over this receipt, at place 1 of a batch of 1.", "The hub's signature is not that key's over this receipt and the node's signature, at place 1 of a batch of 1.",
                ],
                said.Split('\n'));

            (code, said) = await VerifyAsync("{}");
            Assert.Equal((2, "federation-hub: The file has no 'format'."), (code, said));
            Assert.Equal(2, (await HubProcess.CommandAsync("verify-receipt", "/nowhere/receipt.json")).Code);
            Assert.Equal("application/cbor", (await owner.GetAsync($"/v1/receipts/{receipt}?format=cbor")).Expect(HttpStatusCode.OK).ContentType);
        }

        async Task<(int, string)> VerifyAsync(string content)
        {
            var path = Path.Combine(files.Path, "receipt.json");
            await File.WriteAllTextAsync(path, content);
            return await HubProcess.CommandAsync("verify-receipt", path);
        }
    }

    [Fact]
    public async Task Epochs_are_public_and_committed_to_before_they_begin()
    {
        using var anybody = new HubClient(Hub.Api, key: null);
        var epochs = (await anybody.GetAsync("/v1/epochs")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray();
        Assert.True(epochs.Count >= 2);
        foreach (var epoch in epochs)
        {
            Assert.Equal(("open", 64), (epoch!["state"]!.ToString(), epoch["commitment"]!.ToString().Length));
            Assert.Equal((null, null, null), (epoch["secret"], epoch["beacon"], epoch["root"]));
        }
        var next = epochs[0]!["epoch"]!.GetValue<long>();
        Assert.True(DateTimeOffset.Parse(epochs[0]!["committed_at"]!.ToString(), CultureInfo.InvariantCulture) < DateTimeOffset.FromUnixTimeSeconds(next * 3_600));
        (await anybody.GetAsync($"/v1/epochs/{next}/receipts")).ExpectError(HttpStatusCode.Conflict, "epoch_open", "is not closed yet");

        var (code, said) = await HubProcess.CommandAsync("epoch", "verify", next.ToString(CultureInfo.InvariantCulture), "--hub", Hub.Api.ToString());
        Assert.Equal(2, code);
        Assert.Contains("is not closed yet", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_operators_decision_is_on_record_and_the_owner_can_appeal_once()
    {
        var (id, owner, _) = await WorkedAsync();
        using var admin = Hub.Client();
        using (owner)
        {
            (await admin.PostAsync($"/v1/nodes/{id}/standing", """{"standing":"quarantined"}""")).Expect(HttpStatusCode.NoContent);
            var seen = (await owner.GetAsync($"/v1/nodes/{id}/verification")).Expect(HttpStatusCode.OK).Json;
            Assert.Equal(("quarantined", "An operator decided: quarantined."), (seen["standing"]!.ToString(), seen["why"]!.ToString()));
            var happened = Assert.Single(seen["events"]!.AsArray())!;
            Assert.Equal(("operator", "operator_decision"), (happened["kind"]!.ToString(), happened["evidence"]!.ToString()));

            var appeal = (await owner.PostAsync($"/v1/nodes/{id}/appeals", """{"text":"It was maintenance."}""")).Expect(HttpStatusCode.Created).Json["id"]!.ToString();
            (await owner.PostAsync($"/v1/nodes/{id}/appeals", """{"text":"Please."}""")).ExpectError(HttpStatusCode.Conflict, "conflict", appeal);
            var decided = (await admin.PostAsync($"/v1/nodes/{id}/appeals/{appeal}", """{"decision":"grant","answer":"So it was."}""")).Expect(HttpStatusCode.OK).Json;
            Assert.Equal(("granted", 0), (decided["state"]!.ToString(), decided["compensation_microcredits"]!.GetValue<long>()));

            seen = (await owner.GetAsync($"/v1/nodes/{id}/verification")).Expect(HttpStatusCode.OK).Json;
            Assert.Equal("probation", seen["standing"]!.ToString());
            Assert.Equal("So it was.", Assert.Single(seen["appeals"]!.AsArray())!["answer"]!.ToString());
            (await admin.PostAsync($"/v1/nodes/{id}/appeals/{appeal}", """{"decision":"refuse","answer":"No."}""")).ExpectError(HttpStatusCode.Conflict, "conflict", "decided already");
        }
    }

    /// <summary>A node that did one job for somebody and signed for it.</summary>
    private async Task<(string Node, HubClient Owner, string ReceiptId)> WorkedAsync()
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("owner");
        var (node, line, model) = await ConnectedNodeAsync(account);
        var asked = admin.ChatAsync(model);
        await line.AnswerAsync(await line.NextAssignAsync(), "work");
        (await asked).Expect(HttpStatusCode.OK);
        var payload = await line.NextReceiptOfferAsync();
        await line.AgreeAsync(payload);
        return (node.Id.ToString(), Hub.Client(key), Convert.ToHexStringLower(ReceiptCodec.IdOf(payload).AsSpan()));
    }
}
