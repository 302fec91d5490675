using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Federation.Protocol.Identity;
using Google.Protobuf;
using Grpc.Core;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Enrolment: one token, one node, proved.</summary>
public sealed class JoinTests(SharedHub shared, ITestOutputHelper output) : SharedHubTest(shared, output)
{
    [Fact]
    public async Task Registering_as_a_contributor_gives_a_token_that_a_node_can_join_with()
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("contributor");
        using var contributor = new HubClient(Hub.Api, key);
        var registered = (await contributor.PostAsync("/v1/contributor/register", new JsonObject
        {
            ["hardware"] = new JsonObject { ["gpu"] = "RTX 4090", ["vram"] = 24, ["cuda_version"] = "12.4" },
            ["availability"] = new JsonObject { ["hours_per_day"] = 8, ["schedule"] = "18:00-02:00" },
            ["models"] = new JsonArray("llama3"),
        })).Expect(HttpStatusCode.Created).Json;
        var node = Keep(FakeNode.Dial(Hub.Nodes));
        var enrolled = await node.EnrolAsync(registered["join_token"]!.ToString());
        Assert.Equal(account, enrolled.AccountId);
        Assert.Equal(node.Id.ToString(), enrolled.NodeId);
        Assert.Contains(registered["join_token"]!.ToString(), registered["command"]!.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_join_token_is_good_for_one_node()
    {
        var token = await TokenAsync();
        await Keep(FakeNode.Dial(Hub.Nodes)).EnrolAsync(token);
        await ExpectRefusalAsync(Keep(FakeNode.Dial(Hub.Nodes)).EnrolAsync(token), StatusCode.Unauthenticated, "the join token was used already");
    }

    [Fact]
    public async Task The_node_that_used_a_token_may_ask_again_having_lost_the_answer()
    {
        var token = await TokenAsync();
        var node = Keep(FakeNode.Dial(Hub.Nodes));
        var first = await node.EnrolAsync(token);
        Assert.Equal(first, await node.EnrolAsync(token));
    }

    [Fact]
    public async Task An_expired_join_token_is_refused()
    {
        using var admin = Hub.Client();
        var token = (await admin.PostAsync("/v1/join-tokens", new JsonObject { ["expires_in_seconds"] = 1 })).Expect(HttpStatusCode.Created).Json;
        var expiry = DateTimeOffset.Parse(token["expires_at"]!.ToString(), System.Globalization.CultureInfo.InvariantCulture);
        await Patience.UntilAsync(() => Task.FromResult(DateTimeOffset.UtcNow > expiry), "the token to expire");
        await ExpectRefusalAsync(Keep(FakeNode.Dial(Hub.Nodes)).EnrolAsync(token["join_token"]!.ToString()), StatusCode.Unauthenticated, "the join token has expired");
    }

    [Theory]
    [InlineData("jt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("jt_")]
    [InlineData("")]
    [InlineData("fk_of-another-kind")]
    public Task An_unknown_join_token_is_refused(string token)
        => ExpectRefusalAsync(Keep(FakeNode.Dial(Hub.Nodes)).EnrolAsync(token), StatusCode.Unauthenticated, "the join token is unknown");

    [Fact]
    public async Task Of_two_nodes_with_one_token_exactly_one_gets_in()
    {
        var token = await TokenAsync();
        var attempts = Enumerable.Range(0, 8).Select(_ => Keep(FakeNode.Dial(Hub.Nodes))).Select(node => Record.ExceptionAsync(() => node.EnrolAsync(token))).ToList();
        var refusals = (await Task.WhenAll(attempts)).OfType<RpcException>().ToList();
        Assert.Equal(attempts.Count - 1, refusals.Count);
        Assert.All(refusals, refusal => Assert.Equal(StatusCode.Unauthenticated, refusal.StatusCode));
    }

    [Fact]
    public async Task A_signature_by_another_key_is_refused_and_the_token_stays_good()
    {
        var token = await TokenAsync();
        var node = Keep(FakeNode.Dial(Hub.Nodes));
        using var other = SigningKey.Create();
        await ExpectRefusalAsync(
            node.EnrolAsync(token, (request, challenge) =>
                request.Signature = ByteString.CopyFrom(other.Sign(Proofs.Enrolment(HubId.Parse(challenge.HubId), challenge.Nonce.Span, token, node.Key.PublicKey.Span)))),
            StatusCode.Unauthenticated,
            "does not prove possession");
        await node.EnrolAsync(token);
    }

    [Fact]
    public async Task A_signature_replayed_from_an_earlier_challenge_is_refused()
    {
        var token = await TokenAsync();
        var node = Keep(FakeNode.Dial(Hub.Nodes));
        var recorded = ByteString.Empty;
        await node.EnrolAsync(token, (request, _) => recorded = request.Signature);
        await ExpectRefusalAsync(node.EnrolAsync(token, (request, _) => request.Signature = recorded), StatusCode.Unauthenticated, "does not prove possession");
    }

    [Fact]
    public async Task A_signature_made_for_another_token_is_refused()
    {
        var (mine, another) = (await TokenAsync(), await TokenAsync());
        var node = Keep(FakeNode.Dial(Hub.Nodes));
        await ExpectRefusalAsync(node.EnrolAsync(mine, (request, _) => request.JoinToken = another), StatusCode.Unauthenticated, "does not prove possession");
    }

    [Fact]
    public async Task A_key_that_is_not_on_P256_is_refused()
    {
        var token = await TokenAsync();
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        foreach (var key in new[] { other.ExportSubjectPublicKeyInfo(), [], new byte[91], new byte[5_000] })
        {
            await ExpectRefusalAsync(
                Keep(FakeNode.Dial(Hub.Nodes)).EnrolAsync(token, (request, _) => request.PublicKey = ByteString.CopyFrom(key)),
                StatusCode.InvalidArgument,
                "not an ECDSA P-256 key");
        }
    }

    [Fact]
    public async Task A_node_of_one_account_cannot_move_to_another()
    {
        using var admin = Hub.Client();
        var (first, _) = await admin.CreateAccountAsync("first");
        var (second, _) = await admin.CreateAccountAsync("second");
        var node = await JoinedNodeAsync(first);
        await ExpectRefusalAsync(node.EnrolAsync(await admin.JoinTokenAsync(second)), StatusCode.AlreadyExists, "belongs to another account");
        Assert.Equal(first, (await admin.NodeAsync(node.Id.ToString()))["account_id"]!.ToString());
    }

    [Fact]
    public async Task A_display_name_beyond_the_limit_is_refused()
        => await ExpectRefusalAsync(
            Keep(FakeNode.Dial(Hub.Nodes)).EnrolAsync(await TokenAsync(), (request, _) => request.DisplayName = new string('x', 65)),
            StatusCode.InvalidArgument,
            "longer than 64 characters");

    private async Task<string> TokenAsync()
    {
        using var admin = Hub.Client();
        return await admin.JoinTokenAsync();
    }

    private static async Task ExpectRefusalAsync(Task enrolment, StatusCode code, string words)
    {
        var refusal = await Assert.ThrowsAsync<RpcException>(() => enrolment);
        Assert.True(refusal.StatusCode == code, $"Expected {code}, got {refusal.Status}");
        Assert.Contains(words, refusal.Status.Detail, StringComparison.Ordinal);
    }
}
