using Federation.Contracts.Accounts;
using Federation.Silo.Accounts;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;

namespace Federation.Silo.Tests.Nodes;

public abstract class JoinTokensTests(TestDatabase database)
{
    private const string Node = "nd_00000000000000000000000000000001";
    private const string OtherNode = "nd_00000000000000000000000000000002";

    private readonly TestClock _clock = new();

    private JoinTokens Tokens => new(database.Database, Microsoft.Extensions.Options.Options.Create(new JoinTokenOptions()), _clock);

    [Fact]
    public async Task A_token_lets_one_node_in_for_the_account_that_made_it()
    {
        var token = await NewAsync();
        Assert.StartsWith("jt_", token.Text, StringComparison.Ordinal);
        Assert.Equal(_clock.GetUtcNow() + TimeSpan.FromHours(1), token.ExpiresAt);
        Assert.Equal(new JoinTokenRedemption(JoinTokenStatus.Redeemed, token.AccountId), await RedeemAsync(token.Text, Node));
        Assert.Equal(new JoinTokenRedemption(JoinTokenStatus.Used, null), await RedeemAsync(token.Text, OtherNode));
    }

    [Fact]
    public async Task The_node_that_used_it_may_ask_again_even_when_it_has_expired()
    {
        var token = await NewAsync();
        await RedeemAsync(token.Text, Node);
        _clock.Advance(TimeSpan.FromDays(2));
        Assert.Equal(new JoinTokenRedemption(JoinTokenStatus.Redeemed, token.AccountId), await RedeemAsync(token.Text, Node));
        Assert.Equal(JoinTokenStatus.Used, (await RedeemAsync(token.Text, OtherNode)).Status);
    }

    [Fact]
    public async Task A_token_is_good_until_its_time_and_not_a_moment_longer()
    {
        var (early, late) = (await NewAsync(TimeSpan.FromMinutes(5)), await NewAsync(TimeSpan.FromMinutes(5)));
        _clock.Advance(TimeSpan.FromMinutes(5) - TimeSpan.FromMilliseconds(1));
        Assert.Equal(JoinTokenStatus.Redeemed, (await RedeemAsync(early.Text, Node)).Status);
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(new JoinTokenRedemption(JoinTokenStatus.Expired, null), await RedeemAsync(late.Text, OtherNode));
    }

    [Fact]
    public async Task Of_many_nodes_with_one_token_exactly_one_gets_in()
    {
        var token = await NewAsync();
        var statuses = await Task.WhenAll(Enumerable.Range(0, 20).Select(index => RedeemAsync(token.Text, $"nd_{index:x32}")));
        Assert.Single(statuses, status => status.Status is JoinTokenStatus.Redeemed);
        Assert.Equal(19, statuses.Count(status => status.Status is JoinTokenStatus.Used));
    }

    [Theory]
    [InlineData("")]
    [InlineData("jt_")]
    [InlineData("jt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("fk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("jt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'--")]
    public async Task A_token_nobody_made_is_unknown(string token)
        => Assert.Equal(new JoinTokenRedemption(JoinTokenStatus.Unknown, null), await RedeemAsync(token, Node));

    [Fact]
    public async Task A_token_of_any_length_is_refused_unread() => Assert.Equal(JoinTokenStatus.Unknown, (await RedeemAsync("jt_" + new string('A', 1_000_000), Node)).Status);

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(30 * 24 * 3600 + 1)]
    public async Task A_lifetime_beyond_the_bounds_is_refused(int seconds)
        => await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => NewAsync(TimeSpan.FromSeconds(seconds)));

    [Fact]
    public async Task Every_token_is_another_one()
    {
        var tokens = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => NewAsync()));
        Assert.Equal(20, tokens.Select(token => token.Text).Distinct().Count());
    }

    private async Task<JoinToken> NewAsync(TimeSpan? lifetime = null)
    {
        var account = await new AccountStore(database.Database, _clock).CreateAsync("someone", Tier.Contributor, CancellationToken.None);
        return await Tokens.CreateAsync(account.Id, lifetime, announcement: null, CancellationToken.None);
    }

    private Task<JoinTokenRedemption> RedeemAsync(string token, string node) => Tokens.RedeemAsync(token, node, CancellationToken.None);
}

public sealed class SqliteJoinTokensTests(SqliteTestDatabase database) : JoinTokensTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresJoinTokensTests(PostgresTestDatabase database) : JoinTokensTests(database), IClassFixture<PostgresTestDatabase>;
