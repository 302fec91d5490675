using System.Globalization;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;

namespace Federation.LedgerCrasher;

/// <summary>
/// The name of one unit, from which its content follows: what was killed in the middle can be asked for again, by another
/// process, without having been written down.
/// </summary>
/// <param name="Run">Which life of the process.</param>
/// <param name="Worker">Which of its workers, each with an account of its own.</param>
/// <param name="Number">Which unit of that worker, from 0.</param>
public sealed record CrashUnit(int Run, int Worker, int Number)
{
    /// <summary>Workers at work at the same time.</summary>
    public const int Workers = 24;

    private LedgerAccountId Account => LedgerAccountId.Available($"worker-{Run}-{Worker}");

    private LedgerAccountId Earned => LedgerAccountId.Pending($"worker-{Run}-{Worker}");

    /// <summary>The unit: one transfer, two, or three, and a row, which are written together or not at all.</summary>
    public LedgerUnit Make() => new()
    {
        Open = Number == 0 ? [Account, Earned] : [],
        Transfers = (Number % 3) switch
        {
            0 => [Transfer.Post(Id("grant"), LedgerAccountId.Treasury, Account, new(100), TransferReason.Grant, ToString())],
            1 =>
            [
                Transfer.Hold(Id("hold"), Account, LedgerAccountId.Fees, new(50), TimeSpan.FromMinutes(1), TransferReason.Usage, ToString()),
                Transfer.PostHold(Id("settle"), Id("hold"), new(20), TransferReason.Usage, ToString()),
                Transfer.Post(Id("earn"), LedgerAccountId.Fees, Earned, new(15), TransferReason.Earning, ToString()),
            ],
            _ =>
            [
                Transfer.Post(Id("pay"), Account, LedgerAccountId.Fees, new(10), TransferReason.Fee, ToString()),
                Transfer.Hold(Id("open"), Account, LedgerAccountId.Fees, new(5), TimeSpan.FromMinutes(1), TransferReason.Usage, ToString()),
            ],
        },
        Rows =
        [
            new SqlStatement(
                """
                INSERT INTO jobs (id, account_id, kind, model, attempt, prompt_tokens, completion_tokens, price, status, created_at, finished_at)
                VALUES (@Id, @Account, 'chat', 'm', 1, 1, 1, 0, 'completed', 0, 0) ON CONFLICT (id) DO NOTHING
                """,
                new { Id = ToString(), Account = Account.Value }),
        ],
    };

    /// <summary>Reads back what <see cref="ToString"/> gave.</summary>
    public static CrashUnit Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var parts = Array.ConvertAll(text.Split('-'), static part => int.Parse(part, CultureInfo.InvariantCulture));
        return new CrashUnit(parts[0], parts[1], parts[2]);
    }

    /// <summary>The name as written to the jobs table and to the transfers' reference.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Run}-{Worker}-{Number}");

    private TransferId Id(string part) => TransferId.Of($"{this}-{part}");
}
