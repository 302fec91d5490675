using System.Collections.Immutable;
using System.Reflection;
using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Models;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Accounts.Limits;

public sealed class ReservationTests
{
    [Fact]
    public async Task What_an_account_cannot_answer_while_it_moves_it_is_asked_again()
    {
        var clock = new TestClock();
        var account = DispatchProxy.Create<IAccountGrain, MovingAccount>();
        using var reservations = new Reservations(new FakeGrains().Grains, Create(new LimitOptions()), Create(new PoolOptions()), clock, NullLogger<Reservations>.Instance);
        var reservation = new Reservation(reservations, account, "acct_ann", new AdmissionRequest("job_1", "key_1", JobKind.Chat, "m", 0, null), clock.GetUtcNow());
        var asking = reservation.ReserveAsync(700, 30);
        Assert.False(asking.IsCompleted);

        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(await asking.WithinPatienceAsync());
        Assert.Equal([new JobSpend(700, 30), new JobSpend(700, 30)], ((MovingAccount)account).Asked);
        Assert.Equal(new JobSpend(700, 30), reservation.AsRunning.Spend);
    }

    [Fact]
    public async Task An_account_that_does_not_answer_keeps_no_others_jobs_from_being_repeated()
    {
        var clock = new TestClock();
        var accounts = new Dictionary<string, RenewedAccount>();
        var grains = DispatchProxy.Create<IGrainFactory, GrainFactoryProxy>();
        ((GrainFactoryProxy)grains).Find = (_, key) => accounts[(string)key];
        using var reservations = new Reservations(grains, Create(new LimitOptions()), Create(new PoolOptions()), clock, NullLogger<Reservations>.Instance);
        for (var i = 0; i < 10; i++)
        {
            var account = DispatchProxy.Create<IAccountGrain, RenewedAccount>();
            accounts[$"acct_{i}"] = (RenewedAccount)account;
            accounts[$"acct_{i}"].Answer = i < 5 ? Task.Delay(Timeout.Infinite) : Task.CompletedTask;
            await reservations.AdmitAsync($"acct_{i}", new AdmissionRequest($"job_{i}", "key_1", JobKind.Chat, "m", 0, null), default);
        }
        await reservations.StartAsync(default);
        await Eventually.TrueAsync(
            () =>
            {
                clock.Advance(new LimitOptions().ReservationLifetime / 3);
                return accounts.Values.All(account => account.Renewed);
            },
            "all accounts to be asked");
        await reservations.StopAsync(new CancellationToken(canceled: true));
    }

    [Fact]
    public async Task A_job_that_the_account_counted_before_it_moved_and_that_is_heard_of_after_is_told_to_where_it_moved()
    {
        var (reservations, account) = Moving();
        using var _ = reservations;
        await AdmitAsync("job_1");
        account.HoldNextAnswer = true;
        var late = AdmitAsync("job_2");
        account.Move();
        await AdmitAsync("job_3");
        account.GoOn();
        await late;
        await AdmitAsync("job_4");
        Assert.Equal(["job_1", "job_2", "job_3", "job_4"], account.Known.Order(StringComparer.Ordinal));

        Task AdmitAsync(string job) => reservations.AdmitAsync("acct_ann", new AdmissionRequest(job, "key_1", JobKind.Chat, "m", 0, null), default);
    }

    [Fact]
    public async Task Of_two_first_jobs_that_an_account_counts_before_and_after_it_moves_it_is_told_of_both()
    {
        var (reservations, account) = Moving();
        using var _ = reservations;
        account.HoldNextQuestion = true;
        var late = AdmitAsync("job_1");
        await AdmitAsync("job_2");
        account.Move();
        account.GoOn();
        await late;
        await AdmitAsync("job_3");
        Assert.Equal(["job_1", "job_2", "job_3"], account.Known.Order(StringComparer.Ordinal));

        Task AdmitAsync(string job) => reservations.AdmitAsync("acct_ann", new AdmissionRequest(job, "key_1", JobKind.Chat, "m", 0, null), default);
    }

    private static (Reservations Reservations, CountingAccount Account) Moving()
    {
        var account = DispatchProxy.Create<IAccountGrain, CountingAccount>();
        var grains = DispatchProxy.Create<IGrainFactory, GrainFactoryProxy>();
        ((GrainFactoryProxy)grains).Find = (_, _) => account;
        return (new Reservations(grains, Create(new LimitOptions()), Create(new PoolOptions()), new TestClock(), NullLogger<Reservations>.Instance), (CountingAccount)account);
    }

    /// <summary>An account that counts what it admits and is told, each of its activations anew; a question or an answer may be long under way.</summary>
    public class CountingAccount : DispatchProxy
    {
        private readonly TaskCompletionSource _goOn = new();
        private long _activation = 1;

        /// <summary>Jobs that this activation counts.</summary>
        public HashSet<string> Known { get; } = new(StringComparer.Ordinal);

        /// <summary>The next job is counted, and who asked hears of it with <see cref="GoOn"/>.</summary>
        public bool HoldNextAnswer { get; set; }

        /// <summary>The next job is asked for with <see cref="GoOn"/>.</summary>
        public bool HoldNextQuestion { get; set; }

        /// <summary>Another activation takes over, and knows nothing.</summary>
        public void Move()
        {
            _activation += 2;
            Known.Clear();
        }

        public void GoOn() => _goOn.SetResult();

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod!.Name switch
        {
            nameof(IAccountGrain.Admit) => AdmitAsync((AdmissionRequest)args![0]!, (long)args[1]!),
            nameof(IAccountGrain.Renew) => Renew((ImmutableArray<RunningJob>)args![0]!),
            var other => throw new NotSupportedException($"{other} is not faked."),
        };

        private async Task<Admission> AdmitAsync(AdmissionRequest request, long activation)
        {
            if (HoldNextQuestion)
            {
                HoldNextQuestion = false;
                await _goOn.Task;
            }
            var admission = new Admission(true, Tier.Free, 1, 1) { IsCounted = true, Activation = _activation };
            if (activation != 0 && activation != _activation) return admission with { Admitted = false, IsCounted = false, Refusal = new AdmissionRefusal(RefusalReason.Moved, false, 0, 0, 0, TimeSpan.Zero) };
            Known.Add(request.JobId);
            if (!HoldNextAnswer) return admission;
            HoldNextAnswer = false;
            await _goOn.Task;
            return admission;
        }

        private Task<long> Renew(ImmutableArray<RunningJob> jobs)
        {
            Known.UnionWith(jobs.Select(job => job.Request.JobId));
            return Task.FromResult(_activation);
        }
    }

    /// <summary>An account that admits, and may take its time to hear that a job goes on.</summary>
    public class RenewedAccount : DispatchProxy
    {
        /// <summary>When it has heard.</summary>
        public Task Answer { get; set; } = Task.CompletedTask;

        /// <summary>Whether it was told.</summary>
        public bool Renewed { get; private set; }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            if (targetMethod!.Name == nameof(IAccountGrain.Admit)) return Task.FromResult(new Admission(true, Tier.Free, 1, 1) { IsCounted = true, Activation = 1 });
            if (targetMethod.Name != nameof(IAccountGrain.Renew)) throw new NotSupportedException($"{targetMethod.Name} is not faked.");
            Renewed = true;
            return AnswerAsync();
        }

        private async Task<long> AnswerAsync()
        {
            await Answer;
            return 1;
        }
    }

    /// <summary>An account whose silo has died when it is asked for the first time. A proxy, since it is asked for one thing alone.</summary>
    public class MovingAccount : DispatchProxy
    {
        /// <summary>What it was asked to allow.</summary>
        public List<JobSpend> Asked { get; } = [];

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            if (targetMethod!.Name != nameof(IAccountGrain.ReserveSpend)) throw new NotSupportedException($"{targetMethod.Name} is not faked.");
            Asked.Add((JobSpend)args![1]!);
            return Asked.Count == 1 ? Task.FromException<AdmissionRefusal?>(new TimeoutException()) : Task.FromResult<AdmissionRefusal?>(null);
        }
    }
}
