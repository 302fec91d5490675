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
        var reservation = new Reservation(reservations, account, "acct_ann", new AdmissionRequest("job_1", "key_1", JobKind.Chat, "m", 0, null));
        var asking = reservation.ReserveAsync(700, 30);
        Assert.False(asking.IsCompleted);

        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(await asking.WithinPatienceAsync());
        Assert.Equal([new JobSpend(700, 30), new JobSpend(700, 30)], ((MovingAccount)account).Asked);
        Assert.Equal(new JobSpend(700, 30), reservation.AsRunning.Spend);
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
