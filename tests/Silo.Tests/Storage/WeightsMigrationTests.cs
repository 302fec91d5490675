using Dapper;
using Federation.Silo.Storage;

namespace Federation.Silo.Tests.Storage;

/// <summary>Migration 14 on what migration 11 left behind.</summary>
public abstract class WeightsMigrationTests(TestDatabase database)
{
    private static readonly string Digest = $"sha256:{new string('a', 64)}";

    [Fact]
    public async Task What_was_kept_by_class_without_a_digest_is_kept_by_weights_and_every_earning_counts_the_audits_that_it_did()
    {
        await WriteAsync(
            $"""
            INSERT INTO accounts (id, name, tier, created_at) VALUES ('acct_old', 'old', 'contributor', 0);
            INSERT INTO nodes (id, account_id, public_key, display_name, standing, created_at) VALUES ('nd_old', 'acct_old', @key, 'old', 'probation', 0);
            {Reputation("llama3:8b/ollama/1/cuda", passed: 50, failures: 1)};
            {Reputation("llama3:8b/ollama/2/cuda", passed: 8, failures: 3)};
            {Reputation("llama3:8b", passed: 7, failures: 2)};
            {Reputation("other/ollama/1", passed: 5, failures: 1)};
            {Reputation(Digest, passed: 4, failures: 1)};
            {Earning("first", "llama3:8b/ollama/1/cuda", auditsBefore: 45)};
            {Earning("second", "llama3:8b/ollama/2/cuda", auditsBefore: 8)};
            {Earning("unknown", "llama3:8b/vllm/1", auditsBefore: 0)};
            {Earning("new", "llama3:8b", auditsBefore: 3)};
            {Earning("digest", Digest, auditsBefore: 1)};
            """);
        var migration = SchemaMigration.All.Single(candidate => candidate.Version == 14);
        await WriteAsync(migration.Sql);
        // Nothing is left for it to do a second time.
        await WriteAsync(migration.Sql);

        var reputations = await database.Database.ReadAsync(
            async connection => (await connection.QueryAsync<(string, long, long)>("SELECT weights, audits_passed, failures_e9 FROM reputations WHERE node_id = 'nd_old' ORDER BY weights")).ToArray(), default);
        Assert.Equal([("llama3:8b", 65, 3_000_000_000), ("other", 5, 1_000_000_000), (Digest, 4, 1_000_000_000)], reputations);
        var since = await database.Database.ReadAsync(
            async connection => (await connection.QueryAsync<(string, string, long)>(
                "SELECT e.id, e.weights, r.audits_passed - e.audits_before FROM earnings e JOIN reputations r ON r.node_id = e.node_id AND r.weights = e.weights ORDER BY e.id")).ToArray(),
            default);
        Assert.Equal([("digest", Digest, 3), ("first", "llama3:8b", 5), ("new", "llama3:8b", 4), ("second", "llama3:8b", 0), ("unknown", "llama3:8b", 0)], since);
    }

    private Task<int> WriteAsync(string sql) => database.Database.WriteAsync((connection, transaction) => connection.ExecuteAsync(sql, new { key = new byte[] { 1 } }, transaction), default);

    private static string Reputation(string weights, long passed, long failures)
        => FormattableString.Invariant($"""
            INSERT INTO reputations (node_id, weights, passes_e9, failures_e9, audit_all_units, audits_passed, recent_units_e9, counted_at, abandoned_e9)
            VALUES ('nd_old', '{weights}', {passed}000000000, {failures}000000000, 0, {passed}, 0, 0, 0)
            """);

    private static string Earning(string id, string weights, long auditsBefore)
        => FormattableString.Invariant($"""
            INSERT INTO earnings (id, node_id, account_id, reference, dc, weights, state, credited, amount, reference_us, payable_us, hour, dispatch_ms, last_ms, hardware_class, model_bytes, prompt_tokens,
                                  completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed)
            VALUES ('{id}', 'nd_old', 'acct_old', '{id}', '{weights}', '{weights}', 1, 1, 1, 0, 0, 0, 0, 0, 'cpu', 0, 0, 0, 1, 0, 0, {auditsBefore}, 10)
            """);
}

public sealed class SqliteWeightsMigrationTests(SqliteTestDatabase database) : WeightsMigrationTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresWeightsMigrationTests(PostgresTestDatabase database) : WeightsMigrationTests(database), IClassFixture<PostgresTestDatabase>;
