using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using Federation.Contracts.Accounts;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Hubs;
using Federation.Silo.Nodes;
using Federation.Silo.Pricing;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.CommonSlots;
using Federation.Silo.Verification.Epochs;
using Federation.Silo.Verification.Standings;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Fakes;

/// <summary>A silo with the hub's grains on a real database, without its doors to the network.</summary>
internal sealed class TestHub : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly SqlLedger _books;

    private TestHub(TestDatabase database, Action<NodeLinkOptions>? configure, Action<StandingOptions>? standing, TimeProvider? time, Action<TierOptions>? tiers)
    {
        time ??= TimeProvider.System;
        Database = database.Open();
        _books = new SqlLedger(
            Database, Options.Create(new LedgerOptions()), time, new LedgerInstruments(new Meters()), NullLogger<SqlLedger>.Instance);
        Ledger = new FaultyLedger(_books);
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton(Database);
        builder.Services.AddSingleton<ILedger>(Ledger);
        builder.Services.AddSingleton(time);
        builder.Services.AddSingleton(Identity);
        builder.Services.AddSingleton<NodeStore>();
        builder.Services.AddSingleton<ReceiptStore>();
        builder.Services.AddSingleton<AccountStore>();
        builder.Services.AddSingleton<UsageStore>();
        builder.Services.AddSingleton<HardwareClasses>();
        builder.Services.AddSingleton<VerificationStore>();
        builder.Services.AddSingleton<EarningStore>();
        builder.Services.AddSingleton<NodeVerifications>();
        builder.Services.AddSingleton<SlotResultStore>();
        builder.Services.AddSingleton<Neighbourhood>();
        builder.Services.AddSingleton<SpeedStore>();
        builder.Services.AddSingleton<HubDirectoryView>();
        builder.Services.AddSingleton<ModelSizes>();
        builder.Services.AddSingleton<ReferenceSpeeds>();
        builder.Services.AddSingleton<EpochStore>();
        builder.Services.AddSingleton<EpochClosing>();
        builder.Services.AddPricing();
        builder.Services.AddSqlGrainStorage();
        builder.Services.AddOptions<NodeLinkOptions>().Configure(options =>
        {
            options.Gather = TimeSpan.Zero;
            configure?.Invoke(options);
        });
        builder.Services.AddOptions<HardwareClassOptions>().Configure(options => options.VouchedSizesAge = TimeSpan.Zero);
        builder.Services.AddOptions<HubOptions>().Configure(options => options.DirectoryAge = TimeSpan.Zero);
        builder.Services.AddOptions<StandingOptions>().Configure(options => standing?.Invoke(options));
        builder.Services.AddOptions<TierOptions>().Configure(options => tiers?.Invoke(options));
        builder.UseOrleans(silo => silo.UseLocalhostClustering(FreePort(), FreePort()));
        _host = builder.Build();
    }

    public HubDatabase Database { get; }

    public FaultyLedger Ledger { get; }

    public HubIdentity Identity { get; } = new(SigningKey.Create());

    public IGrainFactory Grains => _host.Services.GetRequiredService<IGrainFactory>();

    public ReceiptStore Receipts => _host.Services.GetRequiredService<ReceiptStore>();

    public AccountStore Accounts => _host.Services.GetRequiredService<AccountStore>();

    public EarningStore Earnings => _host.Services.GetRequiredService<EarningStore>();

    public SlotResultStore Slots => _host.Services.GetRequiredService<SlotResultStore>();

    public VerificationStore Verification => _host.Services.GetRequiredService<VerificationStore>();

    public ModelSizes Sizes => _host.Services.GetRequiredService<ModelSizes>();

    public EpochStore Epochs => _host.Services.GetRequiredService<EpochStore>();

    public EpochClosing EpochClosing => _host.Services.GetRequiredService<EpochClosing>();

    /// <summary>The grains' timers stay on the real clock; what they read as now is <paramref name="time"/>'s.</summary>
    public static async Task<TestHub> StartAsync(
        TestDatabase database, Action<NodeLinkOptions>? configure = null, Action<StandingOptions>? standing = null, TimeProvider? time = null, Action<TierOptions>? tiers = null)
    {
        var hub = new TestHub(database, configure, standing, time, tiers);
        await hub._host.StartAsync();
        return hub;
    }

    /// <summary>A node that has enrolled for a new account.</summary>
    public async Task<TestNode> EnrolAsync(Tier tier = Tier.Contributor)
    {
        var account = await Accounts.CreateAsync("someone", tier, CancellationToken.None);
        var node = new TestNode(this, account.Id);
        Assert.Equal(EnrolmentStatus.Enrolled, await node.EnrolAsync(account.Id));
        return node;
    }

    /// <summary>The same machine, as this hub knows it after another was stopped.</summary>
    public TestNode Of(TestNode node) => new(this, node.AccountId, node.Key);

    public async Task<long> AvailableOfAsync(string accountId)
        => (await Ledger.GetAccountAsync(LedgerAccountId.Available(accountId)))?.Available.Value ?? 0;

    public async Task<long> PendingOfAsync(string accountId)
        => (await Ledger.GetAccountAsync(LedgerAccountId.Pending(accountId)))?.Available.Value ?? 0;

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
        await _books.DisposeAsync();
        Identity.Dispose();
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private sealed class Meters : IMeterFactory
    {
        public Meter Create(MeterOptions options) => new(options);

        public void Dispose()
        {
        }
    }
}

/// <summary>A node with its key, and the far end of its connections.</summary>
internal sealed class TestNode(TestHub hub, string accountId, SigningKey? key = null)
{
    // A grain's reference to an observer is weak: a line that nobody holds would answer nothing.
    private readonly List<TestLine> _lines = [];

    public SigningKey Key { get; } = key ?? SigningKey.Create();

    public string AccountId => accountId;

    public string Id => NodeId.FromPublicKey(Key.PublicKey.Span).ToString();

    public INodeGrain Grain => hub.Grains.GetGrain<INodeGrain>(Id);

    /// <summary>Its signature over a batch of these receipts.</summary>
    public byte[] Sign(params byte[][] payloads) => Key.Sign(BatchOf(payloads).SigningBytes);

    /// <summary>What the hub hears, and answers, when the node signs these receipts with that signature.</summary>
    public Task<ImmutableArray<ReceiptSigning>> SayAsync(byte[] signature, params byte[][] payloads)
        => Grain.SignReceipts(new OfferAnswer([.. payloads.Select(payload => ReceiptCodec.IdOf(payload))], [.. signature], []));

    /// <summary>The same when it objects to one.</summary>
    public async Task<ReceiptSigning> ObjectAsync(byte[] payload, string words) => Assert.Single(await Grain.SignReceipts(new OfferAnswer([], [], [new Objection(ReceiptCodec.IdOf(payload), words)])));

    /// <summary>What each of these receipts keeps of the signature over them all.</summary>
    public static ImmutableArray<byte[]> Kept(byte[] signature, params byte[][] payloads) => BatchOf(payloads).Kept(signature);

    private static ReceiptBatch BatchOf(byte[][] payloads) => ReceiptBatch.OfNode([.. payloads.Select(payload => ReceiptCodec.IdOf(payload))]);

    public Task<EnrolmentStatus> EnrolAsync(string account) => Grain.Enrol(new NodeEnrolment(account, [.. Key.PublicKey.Span], "a machine", []));

    /// <summary>Connects; what the hub then says is kept in the line.</summary>
    public async Task<TestLine> ConnectAsync(NodeReport? report = null, string network = "")
    {
        var line = new TestLine($"ns_{Id}_{_lines.Count + 1}");
        _lines.Add(line);
        var reference = hub.Grains.CreateObjectReference<INodeSession>(line);
        line.Status = await Grain.Connect(new NodeConnection(line.SessionId, reference, report ?? ScriptedSession.ReportOf(2, ScriptedSession.Model)) { Network = network });
        return line;
    }
}

/// <summary>What a node hears on one connection.</summary>
internal sealed class TestLine(string sessionId) : INodeSession
{
    public string SessionId => sessionId;

    public ConnectionStatus Status { get; set; }

    public ConcurrentQueue<byte[]> Offers { get; } = new();

    /// <summary>How many receipts each message offered.</summary>
    public ConcurrentQueue<int> Batches { get; } = new();

    public ConcurrentQueue<SessionEnd> Ends { get; } = new();

    public ConcurrentQueue<string> Pulls { get; } = new();

    /// <summary>When the far end has taken in an offer.</summary>
    public Task Takes { get; set; } = Task.CompletedTask;

    public Task OfferReceipts(ImmutableArray<ImmutableArray<byte>> payloads)
    {
        foreach (var payload in payloads) Offers.Enqueue([.. payload]);
        Batches.Enqueue(payloads.Length);
        return Takes;
    }

    public ConcurrentQueue<Standing> Standings { get; } = new();

    public Task SetStanding(Standing standing)
    {
        Standings.Enqueue(standing);
        return Task.CompletedTask;
    }

    public Task Close(SessionEnd reason)
    {
        Ends.Enqueue(reason);
        return Task.CompletedTask;
    }

    public Task Pull(string engine, string model)
    {
        Pulls.Enqueue($"{engine}/{model}");
        return Task.CompletedTask;
    }

    /// <summary>What the node shows when it is asked.</summary>
    public Func<string, ImmutableArray<int>, Reveal> Reveals { get; set; } = (_, _) => Reveal.None(RevealStatus.Silent);

    public Task<Reveal> AskReveal(string leaseId, ImmutableArray<int> positions) => Task.FromResult(Reveals(leaseId, positions));

    public Task<AssignStatus> Assign(LeaseAssignment assignment, ILeaseSink sink) => throw new NotSupportedException();

    public Task Grant(string leaseId, int bytes) => throw new NotSupportedException();

    public Task Cancel(string leaseId, string reason) => throw new NotSupportedException();
}

/// <summary>The hub's books, with failures the test asks for.</summary>
internal sealed class FaultyLedger(ILedger books) : ILedger
{
    private int _commits;

    /// <summary>What goes wrong with the next commit of a unit, by its number.</summary>
    public Func<int, Fault> Faults { get; set; } = _ => Fault.None;

    public int Commits => Volatile.Read(ref _commits);

    public async Task<LedgerUnitResult> SubmitAsync(LedgerUnit unit, CancellationToken cancellationToken = default)
    {
        var fault = Faults(Interlocked.Increment(ref _commits));
        if (fault is Fault.Before) throw new StorageException(StorageFailure.Unavailable, "the database is away");
        var result = await books.SubmitAsync(unit, cancellationToken);
        return fault is Fault.After ? throw new StorageException(StorageFailure.OutcomeUnknown, "the commit's answer was lost") : result;
    }

    public Task OpenAsync(LedgerAccountId account, CancellationToken cancellationToken = default) => books.OpenAsync(account, cancellationToken);

    public Task<TransferResult> SubmitAsync(Transfer transfer, CancellationToken cancellationToken = default) => books.SubmitAsync(transfer, cancellationToken);

    public Task<LedgerAccount?> GetAccountAsync(LedgerAccountId account, CancellationToken cancellationToken = default) => books.GetAccountAsync(account, cancellationToken);

    public Task<ImmutableArray<LedgerAccount>> GetAccountsAsync(IReadOnlyCollection<LedgerAccountId> accounts, CancellationToken cancellationToken = default)
        => books.GetAccountsAsync(accounts, cancellationToken);

    public Task<RecordedTransfer?> GetTransferAsync(TransferId id, CancellationToken cancellationToken = default) => books.GetTransferAsync(id, cancellationToken);

    public Task<LedgerHold?> GetHoldAsync(TransferId id, CancellationToken cancellationToken = default) => books.GetHoldAsync(id, cancellationToken);

    public Task<StatementPage> GetStatementAsync(StatementQuery query, CancellationToken cancellationToken = default) => books.GetStatementAsync(query, cancellationToken);

    public Task<int> ExpireHoldsAsync(int holdsMax, CancellationToken cancellationToken = default) => books.ExpireHoldsAsync(holdsMax, cancellationToken);

    public Task<LedgerAudit> AuditAsync(CancellationToken cancellationToken = default) => books.AuditAsync(cancellationToken);
}

/// <summary>What goes wrong with a commit.</summary>
internal enum Fault
{
    None,

    /// <summary>Nothing is written.</summary>
    Before,

    /// <summary>All is written, and nobody hears of it.</summary>
    After,
}
