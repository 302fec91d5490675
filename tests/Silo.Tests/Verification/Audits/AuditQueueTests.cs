using System.Globalization;
using System.Text;
using Dapper;
using Federation.Protocol.OpenAi;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification.Audits;

namespace Federation.Silo.Tests.Verification.Audits;

/// <summary>Whose audits come first.</summary>
public abstract class AuditQueueTests(TestDatabase database)
{
    /// <summary>How this database says how it will read.</summary>
    private protected abstract string Explain { get; }

    [Fact]
    public async Task Looking_for_drawn_audits_reads_no_other_earnings()
    {
        var plan = await database.Database.WriteAsync(
            async (connection, transaction) => string.Join('\n', (await connection.QueryAsync($"{Explain} {AuditQueue.DrawnSql}", new { limit = 8, @operator = "acct_op" }, transaction))
                .SelectMany(row => ((IDictionary<string, object?>)row).Values)),
            default);
        Assert.Contains("earnings_drawn", plan, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Audits_of_one_owner_that_nobody_can_carry_out_stand_in_no_others_way()
    {
        var sql = new StringBuilder("INSERT INTO epochs (epoch, secret, commitment, committed_at, state, beacon, revealed_at) VALUES (1, @bytes, @bytes, 0, 3, @bytes, 5), (2, @bytes, @bytes, 0, 3, @bytes, 6);");
        AddOwner("many", epoch: 1, receipts: 20);
        AddOwner("few", epoch: 2, receipts: 3);
        sql.Append("INSERT INTO jobs (id, account_id, kind, model, node_id, attempt, prompt_tokens, completion_tokens, price, status, created_at, finished_at) VALUES ('job_many_00', 'acct_few', 'embedding', 'm', 'nd_many', 1, 1, 0, 0, 'completed', 0, 0);");
        await database.Database.WriteAsync((connection, transaction) => connection.ExecuteAsync(sql.ToString(), new { bytes = new byte[] { 1 }, other = new byte[] { 2 } }, transaction), default);

        var drawn = await new AuditQueue(database.Database).ListDrawnAsync(8, default);
        Assert.Equal(["many_00", "few_00", "many_01", "few_01", "many_02", "few_02", "many_03", "many_04"], drawn.Select(audit => audit.ReceiptId));
        // Of a job that is no longer on record nobody knows what was asked.
        Assert.Equal(JobKind.Embedding, drawn[0].Kind);
        Assert.All(drawn[1..], audit => Assert.Equal(JobKind.Chat, audit.Kind));
        Assert.Equal(23, (await new AuditQueue(database.Database).ListDrawnAsync(100, default)).Length);

        void AddOwner(string owner, int epoch, int receipts)
        {
            sql.Append(CultureInfo.InvariantCulture, $"""
                INSERT INTO accounts (id, name, tier, created_at) VALUES ('acct_{owner}', '{owner}', 'contributor', 0);
                INSERT INTO nodes (id, account_id, public_key, display_name, standing, created_at) VALUES ('nd_{owner}', 'acct_{owner}', {(owner == "few" ? "@bytes" : "@other")}, '{owner}', 'probation', 0);

                """);
            for (var i = 0; i < receipts; i++)
            {
                var id = string.Create(CultureInfo.InvariantCulture, $"{owner}_{i:00}");
                sql.Append(CultureInfo.InvariantCulture, $"""
                    INSERT INTO receipts (id, node_id, seq, epoch, job_id, attempt, payload, state, credited, created_at) VALUES ('{id}', 'nd_{owner}', {i}, {epoch}, 'job_{id}', 1, @bytes, 'issued', 1, 0);
                    INSERT INTO earnings (id, receipt_id, node_id, account_id, reference, dc, weights, state, credited, amount, reference_us, payable_us, hour, dispatch_ms, last_ms, hardware_class, model_bytes,
                                          prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed, credited_at, epoch)
                    VALUES ('{id}', '{id}', 'nd_{owner}', 'acct_{owner}', 'job_{id}', 'dc', 'dc', 1, 1, 1, 0, 0, 0, 0, 0, 'cpu', 0, 1, 1, 1, 1000000, 1, 0, 10, 1, {epoch});

                    """);
            }
        }
    }
}

public sealed class SqliteAuditQueueTests(SqliteTestDatabase database) : AuditQueueTests(database), IClassFixture<SqliteTestDatabase>
{
    private protected override string Explain => "EXPLAIN QUERY PLAN";
}

public sealed class PostgresAuditQueueTests(PostgresTestDatabase database) : AuditQueueTests(database), IClassFixture<PostgresTestDatabase>
{
    /// <summary>A table with nothing in it is read as it lies, whatever index there is.</summary>
    private protected override string Explain => "SET LOCAL enable_seqscan = off; EXPLAIN";
}
