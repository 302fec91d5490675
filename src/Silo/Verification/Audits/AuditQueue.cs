using System.Collections.Immutable;
using Dapper;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Storage;

namespace Federation.Silo.Verification.Audits;

/// <summary>An audit that the beacon has drawn and nobody has carried out.</summary>
/// <param name="ReceiptId">What is audited.</param>
/// <param name="NodeId">Whose it is.</param>
/// <param name="JobId">What it did.</param>
/// <param name="Kind">What was asked.</param>
/// <param name="Model">What it did it with.</param>
/// <param name="DeterminismClass">As it was credited.</param>
/// <param name="IsHubs">The hub itself had asked: a canary, judged when it was answered.</param>
/// <param name="Beacon">The epoch's.</param>
/// <param name="DrawnAt">When the beacon was revealed.</param>
internal sealed record DrawnAudit(string ReceiptId, string NodeId, string JobId, JobKind Kind, string Model, string DeterminismClass, bool IsHubs, ImmutableArray<byte> Beacon, DateTimeOffset DrawnAt);

/// <summary>The audits that are drawn, as the earnings have them.</summary>
internal sealed class AuditQueue(HubDatabase database)
{
    /// <summary>Reads no other earnings than those that are drawn: the index <c>earnings_drawn</c> has them in the order of the turns.</summary>
    internal const string DrawnSql =
        """
        SELECT e.receipt_id AS ReceiptId, e.node_id AS NodeId, e.reference AS JobId, j.kind AS Kind, COALESCE(j.model, '') AS Model, e.dc AS Dc, p.beacon AS Beacon, COALESCE(p.revealed_at, e.credited_at) AS DrawnAt,
          CASE WHEN j.account_id = @operator AND COALESCE(j.key_id, '') = '' THEN 1 ELSE 0 END AS IsHubs
        FROM (SELECT receipt_id, node_id, reference, dc, epoch, id, credited_at, ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY epoch, id) AS turn FROM earnings WHERE audit = 1 AND receipt_id IS NOT NULL) e
        JOIN epochs p ON p.epoch = e.epoch LEFT JOIN jobs j ON j.id = e.reference
        ORDER BY e.turn, e.epoch, e.id LIMIT @limit
        """;

    /// <summary>Of every account the longest drawn first, and accounts in turn: many audits that nobody can carry out, of a model that only one owner has, stand in nobody else's way.</summary>
    public Task<ImmutableArray<DrawnAudit>> ListDrawnAsync(int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var rows = await connection.QueryAsync<Row>(DrawnSql, new { limit, @operator = OperatorAccount.AccountId });
            return rows.Select(row => new DrawnAudit(row.ReceiptId, row.NodeId, row.JobId, JobKinds.TryParse(row.Kind, out var kind) ? kind : JobKind.Chat, row.Model, row.Dc, row.IsHubs != 0, [.. row.Beacon], UnixTime.At(row.DrawnAt))).ToImmutableArray();
        },
        cancellationToken);

    private sealed class Row
    {
        public required string ReceiptId { get; init; }

        public required string NodeId { get; init; }

        public required string JobId { get; init; }

        public required string? Kind { get; init; }

        public required string Model { get; init; }

        public required string Dc { get; init; }

        public required int IsHubs { get; init; }

        public required byte[] Beacon { get; init; }

        public required long DrawnAt { get; init; }
    }
}
