using Dapper;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Tests.Storage;

namespace Federation.Silo.Tests.Accounts;

public abstract class UsageReportTests(TestDatabase database)
{
    private static readonly DateOnly Today = new(2026, 11, 21);

    private readonly string _account = $"acct_{Guid.NewGuid():N}";

    private UsageStore Store => new(database.Database);

    [Fact]
    public async Task Usage_is_summed_by_day()
    {
        await RecordAsync("2026-11-20T23:59:59.999Z", "llama", "key_1", 10, 5);
        await RecordAsync("2026-11-21T00:00:00.000Z", "llama", "key_1", 1, 2, price: 30, provider: "groq");
        await RecordAsync("2026-11-21T12:00:00.000Z", "qwen", "key_2", 3, 4, price: 7);
        await RecordAsync("2026-11-21T12:00:01.000Z", "qwen", "key_2", 100, 100, account: "acct_other");
        Assert.Equal(
            [
                new UsageLine(Today.AddDays(-1), null, null, 1, 10, 5, 0, Microcredits.Zero),
                new UsageLine(Today, null, null, 2, 4, 6, 3, new Microcredits(37)),
            ],
            await ReportAsync("day"));
    }

    [Fact]
    public async Task Usage_is_divided_by_whatever_was_asked()
    {
        await RecordAsync("2026-11-20T10:00:00Z", "llama", "key_1", 1, 1);
        await RecordAsync("2026-11-21T10:00:00Z", "llama", "key_2", 2, 2);
        await RecordAsync("2026-11-21T11:00:00Z", "qwen", "key_2", 4, 4);
        await RecordAsync("2026-11-21T11:00:00Z", "qwen", null, 8, 8);
        Assert.Equal([("llama", 3L), ("qwen", 12L)], (await ReportAsync("model")).Select(line => (line.Model, line.PromptTokens)));
        Assert.Equal([("", 8L), ("key_1", 1L), ("key_2", 6L)], (await ReportAsync("key")).Select(line => (line.KeyId, line.PromptTokens)));
        Assert.Equal([("key_1", "llama"), ("key_2", "llama"), ("", "qwen"), ("key_2", "qwen")], (await ReportAsync("key,model")).Select(line => (line.KeyId, line.Model)));
        Assert.Equal(4, (await ReportAsync("day, model, key")).Length);
        Assert.Equal(new UsageLine(null, null, null, 4, 15, 15, 0, Microcredits.Zero), Assert.Single(await ReportAsync("")));
    }

    [Fact]
    public async Task An_answer_that_several_nodes_gave_is_one_request()
    {
        await RecordAsync("2026-11-21T10:00:00Z", "llama", "key_1", 10, 3, id: "job_a");
        await RecordAsync("2026-11-21T10:00:00Z", "llama", "key_1", 0, 4, id: "job_a~2");
        Assert.Equal((1L, 10L, 7L), Assert.Single(await ReportAsync("day")) is var line ? (line.Requests, line.PromptTokens, line.CompletionTokens) : default);
    }

    [Fact]
    public async Task A_report_comes_in_pages()
    {
        for (var i = 0; i < 5; i++) await RecordAsync($"2026-11-{10 + i}T10:00:00Z", "llama", "key_1", i, 0);
        var days = new List<long>();
        int? cursor = 0;
        for (var pages = 1; cursor is not null; pages++)
        {
            var (query, _) = UsageQuery.Read(_account, Today, null, null, "day", 2, cursor);
            var (lines, next) = await Store.ReportAsync(query!, CancellationToken.None);
            days.AddRange(lines.Select(line => line.PromptTokens));
            Assert.True(pages <= 3);
            cursor = next;
        }
        Assert.Equal([0, 1, 2, 3, 4], days);
    }

    [Fact]
    public async Task An_account_that_used_nothing_has_an_empty_report()
    {
        Assert.Empty(await ReportAsync("day"));
        Assert.Empty(await ReportAsync(""));
        Assert.Equal("requests,prompt_tokens,completion_tokens,total_tokens,cloud_tokens,cost_microcredits\n", UsageCsv.Of(UsageQuery.Read(_account, Today, null, null, "", null, null).Query!, []));
    }

    [Theory]
    [InlineData("2026-11-22", "2026-11-21", null, null, null, "end_date")]
    [InlineData("2025-11-20", "2026-11-21", null, null, null, "end_date")]
    [InlineData("yesterday", null, null, null, null, "start_date")]
    [InlineData("0001-01-01", "0001-01-02", null, null, null, "end_date")]
    [InlineData(null, "9999-12-31", null, null, null, "end_date")]
    [InlineData(null, "2026-02-30", null, null, null, "end_date")]
    [InlineData(null, null, "day,hour", null, null, "group_by")]
    [InlineData(null, null, "day; DROP TABLE jobs", null, null, "group_by")]
    [InlineData(null, null, null, 0, null, "limit")]
    [InlineData(null, null, null, int.MaxValue, null, "limit")]
    [InlineData(null, null, null, null, -1, "cursor")]
    [InlineData(null, null, null, null, int.MaxValue, "cursor")]
    public void A_report_that_cannot_be_is_refused_by_name(string? start, string? end, string? by, int? limit, int? cursor, string name)
        => Assert.Equal(name, UsageQuery.Read(_account, Today, start, end, by, limit, cursor).Problem!.Param);

    [Theory]
    [InlineData("llama3.2:1b", "llama3.2:1b")]
    [InlineData("a,b", "\"a,b\"")]
    [InlineData("say \"hi\"", "\"say \"\"hi\"\"\"")]
    [InlineData("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"")]
    [InlineData("@sum", "'@sum")]
    [InlineData("ünïcode 模型", "ünïcode 模型")]
    [InlineData("", "")]
    public void A_models_name_is_never_a_formula(string name, string field) => Assert.Equal(field, UsageCsv.Field(name));

    private async Task<UsageLine[]> ReportAsync(string by)
    {
        var (query, problem) = UsageQuery.Read(_account, Today, null, null, by, null, null);
        Assert.Null(problem);
        return [.. (await Store.ReportAsync(query!, CancellationToken.None)).Lines];
    }

    private async Task RecordAsync(string at, string model, string? key, long prompt, long completion, long price = 0, string? provider = null, string? account = null, string? id = null)
        => await database.Database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                """
                INSERT INTO jobs (id, account_id, key_id, kind, model, attempt, prompt_tokens, completion_tokens, price, status, created_at, finished_at, provider)
                VALUES (@id, @account, @key, 'chat', @model, 1, @prompt, @completion, @price, 'completed', @ms, @ms, @provider)
                """,
                new { id = $"{_account}{id ?? Guid.NewGuid().ToString("N")}", account = account ?? _account, key, model, prompt, completion, price, provider, ms = DateTimeOffset.Parse(at, System.Globalization.CultureInfo.InvariantCulture).ToUnixTimeMilliseconds() },
                transaction),
            CancellationToken.None);
}

public sealed class SqliteUsageReportTests(SqliteTestDatabase database) : UsageReportTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresUsageReportTests(PostgresTestDatabase database) : UsageReportTests(database), IClassFixture<PostgresTestDatabase>;
