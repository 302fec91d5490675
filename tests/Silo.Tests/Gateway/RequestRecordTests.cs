using Dapper;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Tests.Storage;

namespace Federation.Silo.Tests.Gateway;

/// <summary>What <c>GET /v1/requests/{id}</c> finds on record.</summary>
public abstract class RequestRecordTests(TestDatabase database)
{
    [Fact]
    public async Task All_parts_of_a_request_are_found_and_no_part_of_another()
    {
        string[] rows = ["job_a", "job_a~2", "job_a~10", "job_a~101", "job_a~", "job_a~2b", "job_a~:", "job_a.2", "job_ab", "job_ab~2", "job_A~3", "job_b"];
        await database.Database.WriteAsync(
            async (connection, transaction) =>
            {
                foreach (var (number, id) in rows.Index())
                {
                    await connection.ExecuteAsync(
                        "INSERT INTO jobs (id, account_id, kind, model, attempt, prompt_tokens, completion_tokens, price, status, created_at, finished_at) VALUES (@id, 'acct_1', 'chat', 'm', @attempt, 1, 1, 0, 'completed', 0, 0)",
                        new { id, attempt = (long)number },
                        transaction);
                }
            },
            CancellationToken.None);
        Assert.Equal(["job_a", "job_a~2", "job_a~10", "job_a~101"], (await RequestEndpoints.FindAsync(database.Database, "job_a", CancellationToken.None)).Select(part => part.Id));
        Assert.Equal(["job_ab", "job_ab~2"], (await RequestEndpoints.FindAsync(database.Database, "job_ab", CancellationToken.None)).Select(part => part.Id));
        Assert.Empty(await RequestEndpoints.FindAsync(database.Database, "job_", CancellationToken.None));
    }
}

public sealed class RequestRecordOnSqliteTests(SqliteTestDatabase database) : RequestRecordTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class RequestRecordOnPostgresTests(PostgresTestDatabase database) : RequestRecordTests(database), IClassFixture<PostgresTestDatabase>;
