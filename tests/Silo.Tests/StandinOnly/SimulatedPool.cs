using System.Collections.Immutable;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Models;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Standins;

namespace Federation.Silo.Tests.StandinOnly;

/// <summary>One model's pool on a deterministic scheduler and virtual time.</summary>
internal sealed class SimulatedPool : IDisposable
{
    private const string Engine = "ollama";

    private readonly IHost _host;
    private readonly SilentSession _session = new();
    private readonly CancellationTokenSource _over = new();
    private INodeSession _reference = null!;
    private long _version;
    private int _jobs;

    public SimulatedPool(int seed, Action<PoolOptions>? configure = null)
    {
        Scheduler = new DeterministicScheduler(seed);
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddOptions<PoolOptions>().Configure(options => configure?.Invoke(options));
        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering();
            silo.UseDeterministicScheduler(Scheduler);
        });
        _host = builder.Build();
        Scheduler.Start(_host);
    }

    public DeterministicScheduler Scheduler { get; }

    public TimeSpan AnnouncePeriod => _host.Services.GetRequiredService<IOptions<PoolOptions>>().Value.AnnouncePeriod;

    public VirtualTimeProvider Time => Scheduler.Time;

    public IModelPoolGrain Grain => _host.Services.GetRequiredService<IGrainFactory>().GetGrain<IModelPoolGrain>("llama");

    public void Run(Func<Task> main) => Scheduler.Run(async () =>
    {
        _reference = _host.Services.GetRequiredService<IGrainFactory>().CreateObjectReference<INodeSession>(_session);
        try
        {
            await main();
        }
        finally
        {
            // Whoever still waits would be waited for by the silo's stop.
            Leave(_over);
            await SettleAsync();
        }
    });

    /// <summary>A session says what it can serve; each time with a later version.</summary>
    public Task AnnounceAsync(string session, int slots = 1, int? free = null, bool loaded = true, long? version = null, Func<PoolMember, PoolMember>? with = null)
        => Grain.Announce((with ?? (static member => member))(MemberOf(session, slots, free ?? slots, loaded, version ?? ++_version)));

    public Task WithdrawAsync(string session, string engine = Engine) => Grain.Withdraw(session, engine);

    /// <summary>Asks for a slot, as a new job unless <paramref name="job"/> names one.</summary>
    public Task<LeaseGrant> AcquireAsync(
        string account = "ann", double weight = 1, TimeSpan? patience = null, string[]? excluded = null, string? job = null, Func<LeaseRequest, LeaseRequest>? with = null, CancellationToken cancellationToken = default)
        => Grain.Acquire(
            (with ?? (static request => request))(new LeaseRequest(job ?? $"job{++_jobs}", 1, account, weight, [.. excluded ?? []], patience ?? TimeSpan.FromMinutes(5), JobKind.Chat)),
            cancellationToken.CanBeCanceled ? cancellationToken : _over.Token);

    /// <summary>Lets everything that can happen now happen.</summary>
    public Task SettleAsync() => PassAsync(TimeSpan.FromMilliseconds(1));

    public Task PassAsync(TimeSpan time) => Task.Delay(time, Time);

    public void Dispose()
    {
        Scheduler.Stop(_host);
        _host.Dispose();
        _over.Dispose();
    }

    /// <summary>A client leaves. Not by CancelAsync, which would take another thread.</summary>
    public static void Leave(CancellationTokenSource client) => client.Cancel();

    public static string NodeOf(string session) => $"node of {session}";

    private PoolMember MemberOf(string session, int slots, int free, bool loaded, long version)
        => new(session, version, NodeOf(session), Engine, slots, free, new ModelReport("llama", "", 0, loaded, 0, ImmutableArray<string>.Empty, ""), _reference);

    /// <summary>The pool passes sessions on and calls none.</summary>
    private sealed class SilentSession : INodeSession
    {
        public Task<AssignStatus> Assign(LeaseAssignment assignment, ILeaseSink sink) => throw new NotSupportedException();

        public Task Grant(string leaseId, int bytes) => throw new NotSupportedException();

        public Task Cancel(string leaseId, string reason) => throw new NotSupportedException();

        public Task OfferReceipts(ImmutableArray<ImmutableArray<byte>> payloads) => throw new NotSupportedException();

        public Task Pull(string engine, string model) => throw new NotSupportedException();

        public Task SetStanding(Standing standing) => throw new NotSupportedException();

        public Task<Reveal> AskReveal(string leaseId, ImmutableArray<int> positions) => throw new NotSupportedException();

        public Task Close(SessionEnd reason) => throw new NotSupportedException();
    }
}
