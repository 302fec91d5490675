using System.Collections.Immutable;
using System.Text;
using Federation.Contracts.Accounts;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Gateway;
using Federation.Silo.Models;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Pricing;
using Federation.Silo.Verification.Accrual;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Providers;

/// <summary>One request on its way to clouds: its client, its credits, and the providers that answer it over real connections.</summary>
internal sealed class CloudScene : IAsyncDisposable
{
    public const string Account = "acct_ann";
    public const string Key = "sk-very-secret";

    private readonly List<ScriptedProvider> _providers = [];
    private readonly CancellationTokenSource _clientGone = new();
    private readonly MemoryStream _received = new();
    private readonly FakeGrains _grains = new();
    private readonly FaultyLedger _ledger;
    private CloudRoutes? _routes;

    public CloudScene()
    {
        Books = new BookLedger(Clock);
        _ledger = new FaultyLedger(Books);
        Http = new DefaultHttpContext { Request = { Path = "/v1/chat/completions" }, Response = { Body = _received }, RequestAborted = _clientGone.Token };
    }

    public TestClock Clock { get; } = new();

    public BookLedger Books { get; }

    public CloudOptions Options { get; } = new();

    public GatewayOptions Gateway { get; } = new();

    public KeptLog<CloudRun> Log { get; } = new();

    public DefaultHttpContext Http { get; }

    public FaultyLedger Ledger => _ledger;

    /// <summary>What stands between the answer and its client.</summary>
    public Func<AnswerSink, AnswerSink> Wrap { get; set; } = static sink => sink;

    public IEnumerable<JobOutcome> Settled => _grains.Jobs.Settled;

    public string Received => Encoding.UTF8.GetString(_received.ToArray());

    public long Available => Books.State.Accounts.GetValueOrDefault(LedgerAccountId.Available(Account))?.Available.Value ?? 0;

    public long Held => Books.State.Accounts.GetValueOrDefault(LedgerAccountId.Available(Account))?.DebitsPending.Value ?? 0;

    public long PaidTo(string provider) => Books.State.Accounts.GetValueOrDefault(LedgerAccountId.Provider(provider))?.Balance.Value ?? 0;

    /// <summary>One more provider that has the model "m", asked after those before.</summary>
    public async Task<ScriptedProvider> ProviderAsync(string name, decimal credits = 10, string? theirs = null, bool? asksForUsage = null)
    {
        var provider = await ScriptedProvider.StartAsync();
        _providers.Add(provider);
        Options.Providers[name] = new ProviderOptions
        {
            BaseUrl = provider.BaseUrl,
            Key = Key,
            Priority = _providers.Count,
            AsksForUsage = asksForUsage,
            Models = [new CloudModelOptions { Name = "m", Theirs = theirs, Input = credits, Output = credits, Capabilities = ["chat", "completion", "embedding"] }],
        };
        return provider;
    }

    public Task GiveAsync(long microcredits) => Books.SubmitAsync(new LedgerUnit
    {
        Open = [LedgerAccountId.Available(Account)],
        Transfers = [Transfer.Post(TransferId.Of($"give-{Guid.NewGuid():N}"), LedgerAccountId.Treasury, LedgerAccountId.Available(Account), new Microcredits(microcredits), TransferReason.Grant)],
    });

    /// <summary>Has a request answered, once more each time.</summary>
    public async Task<CloudRun> RunAsync(string body, bool stream = false, JobKind kind = JobKind.Chat, Microcredits? maxCost = null, string jobId = "job_1", Task? until = null)
    {
        var pricing = Create(new PricingOptions());
        _routes ??= new CloudRoutes(Create(Options), new PriceList(pricing), Clock, NullLogger<CloudRoutes>.Instance);
        var payments = new Payments(_ledger, pricing, Create(Gateway), Create(new AccrualOptions()), Clock, NullLogger<Payments>.Instance);
        _grains.Jobs.BeforeSettling = payments.SettleAsync;
        using var settlements = new Settlements(_grains.Grains, Create(Gateway), Clock, NullLogger<Settlements>.Instance);
        var bytes = Encoding.UTF8.GetBytes(body);
        Assert.True(RequestTokens.TryRead(bytes, kind, out var tokens, out var error), error?.Message);
        var request = new InferenceRequest(jobId, kind, new RequestHead("m", stream), bytes, new ApiCaller(Account, "key_1", []), new Admission(true, Tier.Pro, 4, 1));
        var clouds = new Clouds(_routes, settlements, pricing, Create(Options), Create(Gateway), Clock, Log);
        var reservations = new Reservations(_grains.Grains, Create(new LimitOptions()), Create(new PoolOptions()), Clock, NullLogger<Reservations>.Instance);
        var reservation = new Reservation(reservations, null!, Account, new AdmissionRequest(jobId, "", kind, "m", 0, null), Clock.GetUtcNow());
        reservation.Forget();
        var run = clouds.Run(request, _routes.Find("m", kind), payments.Begin(jobId, Account, tokens, new PaymentTerms(maxCost, Price.Whole)), Wrap(new OpenAiSink(Http)), reservation, null);
        var running = run.ExecuteAsync();
        if (until is not null) await until;
        await running.WithinPatienceAsync();
        return run;
    }

    /// <summary>The client closes its connection.</summary>
    public void Leave() => _clientGone.Cancel();

    public async ValueTask DisposeAsync()
    {
        Leave();
        _routes?.Dispose();
        foreach (var provider in _providers) await provider.DisposeAsync();
        _clientGone.Dispose();
    }
}
