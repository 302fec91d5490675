using System.Net;
using System.Text.Json.Nodes;
using Federation.EndToEnd.Tests.Harness;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests;

/// <summary>Who may do what.</summary>
public sealed class ApiKeyTests(SharedHub shared, ITestOutputHelper output) : SharedHubTest(shared, output)
{
    [Fact]
    public async Task A_missing_key_is_a_401_that_says_how_to_send_one()
    {
        using var nobody = new HubClient(Hub.Api, key: null);
        (await nobody.ChatAsync(SharedHub.SteadyModel)).ExpectError(HttpStatusCode.Unauthorized, "missing_api_key", "Authorization: Bearer");
    }

    [Theory]
    [InlineData("Bearer fk_wrong")]
    [InlineData("Bearer fk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("Bearer sk-of-another-provider")]
    [InlineData("Bearer ")]
    [InlineData("Basic dXNlcjpwYXNzd29yZA==")]
    public async Task A_wrong_key_is_a_401(string authorization)
    {
        using var stranger = new HubClient(Hub.Api, key: null);
        (await stranger.SendAsync(HttpMethod.Get, "/v1/models", authorization: authorization)).ExpectError(HttpStatusCode.Unauthorized, "invalid_api_key", "Incorrect API key");
    }

    [Fact]
    public async Task A_revoked_key_opens_nothing_from_that_moment_on()
    {
        using var admin = Hub.Client();
        var made = (await admin.PostAsync("/v1/keys", new JsonObject { ["name"] = "short-lived" })).Expect(HttpStatusCode.Created).Json;
        using var client = new HubClient(Hub.Api, made["key"]!.ToString());
        (await client.ChatAsync(SharedHub.SteadyModel)).Expect(HttpStatusCode.OK);
        (await admin.SendAsync(HttpMethod.Delete, $"/v1/keys/{made["id"]}")).Expect(HttpStatusCode.NoContent);
        (await client.ChatAsync(SharedHub.SteadyModel)).ExpectError(HttpStatusCode.Unauthorized, "invalid_api_key", "Incorrect API key");
    }

    [Fact]
    public async Task The_command_that_revokes_a_key_says_so_and_of_one_that_is_not_there_that_it_is_not()
    {
        using var admin = Hub.Client();
        var id = (await admin.PostAsync("/v1/keys", new JsonObject { ["name"] = "short-lived" })).Expect(HttpStatusCode.Created).Json["id"]!.ToString();
        Assert.Equal((0, $"Key {id} is revoked: from now on it opens nothing."), await RevokeAsync(id));
        Assert.Equal((1, "federation-hub: There is no key 'key_none'."), await RevokeAsync("key_none"));

        Task<(int, string)> RevokeAsync(string key) => HubProcess.CommandAsync("key", "revoke", key, "--hub", Hub.Api.ToString(), "--key-file", Path.Combine(Hub.Data, "admin.key"));
    }

    [Theory]
    [InlineData("contribute", "POST", "/v1/chat/completions", "inference")]
    [InlineData("contribute", "GET", "/v1/models", "inference")]
    [InlineData("inference", "POST", "/v1/join-tokens", "contribute")]
    [InlineData("inference", "GET", "/v1/nodes", "contribute")]
    [InlineData("inference", "GET", "/v1/accounts", "admin")]
    [InlineData("contribute", "POST", "/v1/nodes/nd_00000000000000000000000000000000/standing", "admin")]
    public async Task A_key_without_the_scope_is_a_403_that_names_it(string has, string method, string path, string lacks)
    {
        using var admin = Hub.Client();
        var (_, key) = await admin.CreateAccountAsync("limited", has);
        using var client = new HubClient(Hub.Api, key);
        (await client.SendAsync(new HttpMethod(method), path)).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", $"lacks the scope '{lacks}'");
    }

    [Fact]
    public async Task A_key_hands_out_no_more_than_it_has()
    {
        using var admin = Hub.Client();
        var (_, key) = await admin.CreateAccountAsync("ambitious", "inference");
        using var client = new HubClient(Hub.Api, key);
        (await client.PostAsync("/v1/keys", new JsonObject { ["name"] = "more", ["scopes"] = new JsonArray("admin") })).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "lacks the scope 'admin'");
        (await client.PostAsync("/v1/keys", new JsonObject { ["name"] = "theirs", ["account_id"] = "acct_operator" })).ExpectError(HttpStatusCode.Forbidden, "insufficient_permissions", "Only an admin");
    }

    [Fact]
    public async Task Accounts_see_and_touch_only_what_is_theirs()
    {
        using var admin = Hub.Client();
        var (owner, ownersKey) = await admin.CreateAccountAsync("owner");
        var (_, neighboursKey) = await admin.CreateAccountAsync("neighbour");
        var node = await JoinedNodeAsync(owner);
        using var ownersClient = new HubClient(Hub.Api, ownersKey);
        using var neighbour = new HubClient(Hub.Api, neighboursKey);

        Assert.Equal(owner, (await ownersClient.NodeAsync(node.Id.ToString()))["account_id"]!.ToString());
        (await neighbour.GetAsync($"/v1/nodes/{node.Id}")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no node");
        Assert.Empty((await neighbour.GetAsync("/v1/nodes")).Expect(HttpStatusCode.OK).Json["data"]!.AsArray());
        var keyId = (await ownersClient.GetAsync("/v1/keys")).Expect(HttpStatusCode.OK).Json["data"]![0]!["id"]!.ToString();
        (await neighbour.SendAsync(HttpMethod.Delete, $"/v1/keys/{keyId}")).ExpectError(HttpStatusCode.NotFound, "not_found", "There is no key");
        (await ownersClient.GetAsync("/v1/account")).Expect(HttpStatusCode.OK);
    }

    [Fact]
    public void The_admin_key_lies_in_a_file_that_only_its_owner_can_read()
    {
        foreach (var file in new[] { "admin.key", "hub.key" })
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(Hub.Data, file)));
    }

    [Fact]
    public async Task Keys_are_listed_without_the_keys_themselves()
    {
        using var admin = Hub.Client();
        var (account, key) = await admin.CreateAccountAsync("listed");
        var list = (await admin.GetAsync($"/v1/keys?account={account}")).Expect(HttpStatusCode.OK);
        Assert.DoesNotContain(key, list.Text, StringComparison.Ordinal);
        Assert.Contains(key[..8], list.Text, StringComparison.Ordinal);
    }
}
