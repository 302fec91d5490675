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
