using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Reflection;
using Federation.Contracts.Hubs;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Silo.Models;
using Federation.Silo.Nodes;

namespace Federation.Silo.Tests.Fakes;

/// <summary>The grains as the code around them sees them, without an engine: what they are told is kept, what they answer is scripted.</summary>
internal sealed class FakeGrains
{
    private readonly ConcurrentDictionary<string, FakePool> _pools = new();

    public FakeGrains()
    {
        Grains = DispatchProxy.Create<IGrainFactory, GrainFactoryProxy>();
        ((GrainFactoryProxy)Grains).Find = Find;
        Node.Booking = Jobs.Settle;
    }

    public IGrainFactory Grains { get; }

    public FakeNode Node { get; } = new();

    public FakeJobs Jobs { get; } = new();

    /// <summary>The hub's directory; none unless a test sets it.</summary>
    public FakeHub? Hub { get; init; }

    /// <summary>Every account; none unless a test sets it.</summary>
    public Contracts.Accounts.IAccountGrain? Account { get; init; }

    public SessionGrains ForSessions(PoolOptions? pool = null) => new(Grains, Microsoft.Extensions.Options.Options.Create(pool ?? new PoolOptions()));

    public FakePool Pool(string model) => _pools.GetOrAdd(model, _ => new FakePool());

    private object Find(Type kind, object key)
        => kind == typeof(IModelPoolGrain) ? Pool((string)key)
            : kind == typeof(INodeGrain) ? Node
            : kind == typeof(IJobGrain) ? Jobs
            : kind == typeof(Contracts.Accounts.IAccountGrain) && Account is not null ? Account
            : kind == typeof(IHubGrain) && Hub is not null ? Hub
            : throw new NotSupportedException($"No fake for {kind.Name}.");
}

/// <summary>A grain factory that asks a function. A proxy, since the two stacks' factories have different members beside those we use.</summary>
public class GrainFactoryProxy : DispatchProxy
{
    /// <summary>The grain of an interface and a key.</summary>
    public Func<Type, object, object> Find { get; set; } = null!;

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod!.Name == "GetGrain"
        ? Find(targetMethod.GetGenericArguments()[0], args![0]!)
        : throw new NotSupportedException($"{targetMethod.Name} is not faked.");
}

/// <summary>A model's pool: grants what the test put there, in order.</summary>
internal sealed class FakePool : IModelPoolGrain
{
    private readonly ConcurrentQueue<Func<LeaseRequest, CancellationToken, Task<LeaseGrant>>> _answers = new();

    public ConcurrentQueue<LeaseRequest> Asked { get; } = new();

    public ConcurrentQueue<(string LeaseId, LeaseEnd End)> Released { get; } = new();

    public ConcurrentQueue<PoolMember> Announced { get; } = new();

    /// <summary>By <see cref="PoolMember.Id"/>.</summary>
    public ConcurrentQueue<string> Withdrawn { get; } = new();

    /// <summary>Thrown at whoever announces or withdraws.</summary>
    public Exception? Failure { get; set; }

    public FakePool ThenGrant(PoolMember member) => Then((request, _) => Task.FromResult(LeaseGrant.On(request.LeaseId, member)));

    public FakePool ThenRefuse(LeaseGrantStatus why, TimeSpan retryAfter) => Then((_, _) => Task.FromResult(LeaseGrant.None(why, retryAfter)));

    public FakePool Then(Func<LeaseRequest, CancellationToken, Task<LeaseGrant>> answer)
    {
        _answers.Enqueue(answer);
        return this;
    }

    public Task<LeaseGrant> Acquire(LeaseRequest request, CancellationToken cancellationToken)
    {
        Asked.Enqueue(request);
        return _answers.TryDequeue(out var answer) ? answer(request, cancellationToken)
            // Whoever goes on with a broken answer asks the pool once more; a test that knows of one node has no other for it.
            : request.Continues ? Task.FromResult(LeaseGrant.None(LeaseGrantStatus.NoNode, TimeSpan.Zero))
            : throw new InvalidOperationException("The pool was asked more often than the test foresaw.");
    }

    /// <summary>Where it says that a waiting request stands.</summary>
    public QueuePlace? Place { get; set; }

    public Task<QueuePlace?> Locate(string leaseId) => Task.FromResult(Place);

    /// <summary>What it heard of the nodes' speed.</summary>
    public ConcurrentQueue<double> Speeds { get; } = new();

    public Task Release(string leaseId, LeaseEnd end, double tokensPerSecond)
    {
        Speeds.Enqueue(tokensPerSecond);
        Released.Enqueue((leaseId, end));
        return Task.CompletedTask;
    }

    public Task Announce(PoolMember member)
    {
        if (Failure is not null) throw Failure;
        Announced.Enqueue(member);
        return Task.CompletedTask;
    }

    public Task Withdraw(string sessionId, string engine)
    {
        if (Failure is not null) throw Failure;
        Withdrawn.Enqueue(PoolMember.IdOf(sessionId, engine));
        return Task.CompletedTask;
    }
}

/// <summary>The grain of the node under test.</summary>
internal sealed class FakeNode : INodeGrain
{
    public ConcurrentQueue<NodeReport> Reports { get; } = new();

    public ConcurrentQueue<NodeConnection> Connections { get; } = new();

    public ConcurrentQueue<OfferAnswer> Answers { get; } = new();

    /// <summary>What it answers to the next reports.</summary>
    public ReportStatus ReportAnswer { get; set; } = ReportStatus.Taken;

    /// <summary>What it answers for each receipt.</summary>
    public Func<ReceiptSigning> Signing { get; set; } = () => new ReceiptSigning(ReceiptSigningStatus.Issued, [1, 2, 3], 42);

    public Task<ReportStatus> Report(string sessionId, NodeReport report)
    {
        Reports.Enqueue(report);
        return Task.FromResult(ReportAnswer);
    }

    public Task<ConnectionStatus> Connect(NodeConnection connection)
    {
        Connections.Enqueue(connection);
        return Task.FromResult(ConnectionStatus.Connected);
    }

    /// <summary>What its judging waits for, as for a disk.</summary>
    public Task BeforeSigning { get; set; } = Task.CompletedTask;

    public async Task<ImmutableArray<ReceiptSigning>> SignReceipts(OfferAnswer answer)
    {
        Answers.Enqueue(answer);
        await BeforeSigning;
        return [.. Enumerable.Range(0, answer.Agreed.Length + answer.Objections.Length).Select(_ => Signing())];
    }

    public Task Disconnect(string sessionId) => Task.CompletedTask;

    public Task<EnrolmentStatus> Enrol(NodeEnrolment enrolment) => throw new NotSupportedException();

    public Task<NodeIdentity?> GetIdentity() => throw new NotSupportedException();

    /// <summary>Where what nobody pays for is booked.</summary>
    public Func<JobOutcome, Task> Booking { get; set; } = _ => throw new NotSupportedException();

    public Task Book(JobOutcome outcome) => Booking(outcome);

    public Task<NodeView?> GetView() => throw new NotSupportedException();

    public Task<NodeConnection?> GetConnection() => Task.FromResult(Connections.LastOrDefault());

    public Task<MeasuredClasses?> GetMeasuredClasses() => Task.FromResult<MeasuredClasses?>(null);

    public Task<PullStatus> Pull(string engine, string model) => throw new NotSupportedException();

    public Task<bool> SetStanding(Standing standing) => throw new NotSupportedException();

    public Task<Ruling> RecordChallenge(ChallengeReport report) => throw new NotSupportedException();

    public Task<Ruling> RecordAudit(AuditReport report) => throw new NotSupportedException();

    public ConcurrentQueue<(string JobId, string DeterminismClass, string Finding)> Abandoned { get; } = new();

    public Task<Ruling> RecordAbandonment(string jobId, string determinismClass, string finding)
    {
        Abandoned.Enqueue((jobId, determinismClass, finding));
        return Task.FromResult(new Ruling(Standing.Probation, string.Empty, false));
    }

    public ConcurrentQueue<ProbeReport> Probes { get; } = new();

    /// <summary>What follows the next probes.</summary>
    public Func<ProbeReport, ProbeFollowUp> Probing { get; set; } = _ => new ProbeFollowUp(null, 0);

    public Task<ProbeFollowUp> RecordProbe(string sessionId, ProbeReport report)
    {
        Probes.Enqueue(report);
        return Task.FromResult(Probing(report));
    }

    public Task<int> SettleEarnings() => throw new NotSupportedException();

    public Task<AppealAnswer> Appeal(string words) => throw new NotSupportedException();

    public Task<AppealAnswer> DecideAppeal(string appealId, bool granted, string answer, string decidedBy) => throw new NotSupportedException();
}

/// <summary>Where jobs are settled.</summary>
internal sealed class FakeJobs : IJobGrain
{
    public ConcurrentQueue<JobOutcome> Settled { get; } = new();

    /// <summary>What must be done before a settlement is on disk.</summary>
    public Func<JobOutcome, Task> BeforeSettling { get; set; } = _ => Task.CompletedTask;

    /// <summary>The attempt that is on record already; null when none is.</summary>
    public int? OnRecord { get; set; }

    public async Task<Settlement> Settle(JobOutcome outcome)
    {
        await BeforeSettling(outcome);
        Settled.Enqueue(outcome);
        return new Settlement(OnRecord is null || OnRecord == outcome.Attempt, OnRecord ?? outcome.Attempt);
    }
}

/// <summary>A directory that stays as it is.</summary>
internal sealed class FakeHub(HubDirectory directory) : IHubGrain
{
    public Task<HubDirectory?> GetDirectory(long knownVersion) => Task.FromResult(knownVersion == directory.Version ? null : directory);

    public Task ReportNode(NodeView node) => throw new NotSupportedException();

    public Task RemoveNode(string nodeId) => throw new NotSupportedException();
}
