using System.Collections.Immutable;
using System.Threading.Channels;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Ledger;

public sealed class HoldExpiryTests
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    private readonly TestClock _time = new();
    private readonly LookedAt _ledger = new();

    [Fact]
    public async Task Overdue_holds_are_looked_for_at_once_and_every_period_even_after_a_failure()
    {
        using HoldExpiry expiry = new(
            _ledger, Options.Create(new LedgerOptions { ExpiryPeriod = Period, ExpiryMax = 7 }), _time, NullLogger<HoldExpiry>.Instance);
        await expiry.StartAsync(CancellationToken.None);
        Assert.Equal(7, await _ledger.Looks.ReadAsync());

        for (var look = 0; look < 4; look++)
        {
            _ledger.Failure = look == 1 ? new StorageException(StorageFailure.Unavailable, "away") : null;
            _time.Advance(Period);
            Assert.Equal(7, await _ledger.Looks.ReadAsync());
        }

        _time.Advance(Period / 2);
        await expiry.StopAsync(CancellationToken.None);
        Assert.False(_ledger.Looks.TryRead(out _));
        Assert.True(expiry.ExecuteTask!.IsCompletedSuccessfully);
    }

    private sealed class LookedAt : ILedger
    {
        private readonly Channel<int> _looks = Channel.CreateUnbounded<int>();

        public ChannelReader<int> Looks => _looks.Reader;

        public Exception? Failure { get; set; }

        public Task<int> ExpireHoldsAsync(int holdsMax, CancellationToken cancellationToken)
        {
            var looked = Failure is null ? Task.FromResult(1) : Task.FromException<int>(Failure);
            _looks.Writer.TryWrite(holdsMax);
            return looked;
        }

        public Task OpenAsync(LedgerAccountId account, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<TransferResult> SubmitAsync(Transfer transfer, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<LedgerUnitResult> SubmitAsync(LedgerUnit unit, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<LedgerAccount?> GetAccountAsync(LedgerAccountId account, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<ImmutableArray<LedgerAccount>> GetAccountsAsync(IReadOnlyCollection<LedgerAccountId> accounts, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public Task<RecordedTransfer?> GetTransferAsync(TransferId id, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<LedgerHold?> GetHoldAsync(TransferId id, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<StatementPage> GetStatementAsync(StatementQuery query, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<LedgerAudit> AuditAsync(CancellationToken cancellationToken) => throw new NotSupportedException();
    }
}
