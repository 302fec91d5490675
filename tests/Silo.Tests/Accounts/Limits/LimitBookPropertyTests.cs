using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Tests.Verification;

namespace Federation.Silo.Tests.Accounts.Limits;

/// <summary>Long lives of an account, made up from a seed, held against a naive account that remembers every job.</summary>
public sealed class LimitBookPropertyTests
{
    private static readonly int Lives = Counts.Of(full: 10_000, quick: 300);

    [Fact]
    public void Whatever_is_asked_in_whatever_order_a_limit_is_never_passed_and_nobody_is_refused_while_there_is_room()
    {
        var met = new HashSet<RefusalReason?>();
        for (var seed = 0; seed < Lives; seed++) new Life(seed, met).Live();
        Assert.Equal(new RefusalReason?[] { null, RefusalReason.Streams, RefusalReason.Requests, RefusalReason.Tokens }, met.Order());
    }

    private sealed class Life
    {
        private const int Steps = 200;

        private readonly Random _random;
        private readonly int _seed;
        private readonly HashSet<RefusalReason?> _met;
        private readonly LimitBook _book = new(new LimitOptions { ReservationLifetime = TimeSpan.FromHours(1) });
        private readonly AccountCaps _caps;
        private readonly DateTimeOffset _start;
        private readonly List<TimeSpan> _admitted = [];
        private readonly Dictionary<string, (long Day, long Wants)> _running = [];
        private readonly List<(long Day, long Tokens)> _over = [];
        private TimeSpan _elapsed;

        public Life(int seed, HashSet<RefusalReason?> met)
        {
            (_seed, _met, _random) = (seed, met, new Random(seed));
            _caps = new AccountCaps(_random.Next(0, 12), _random.Next(0, 6), _random.Next(3) == 0 ? 0 : _random.Next(1, 2_000), 0);
            // Near midnight, so that many lives see two days.
            _start = new DateTimeOffset(2026, 12, 31, 23, 0, 0, TimeSpan.Zero).AddMinutes(_random.Next(60));
        }

        private Moment Now => new(_elapsed, _start + _elapsed);

        private long Today => Periods.DayOf(Now.Utc);

        public void Live()
        {
            for (var step = 0; step < Steps; step++)
            {
                var kind = _random.Next(10);
                if (kind < 5) Ask($"job {step}");
                else if (kind < 8) End();
                else _elapsed += TimeSpan.FromMilliseconds(_random.Next(1, 30_000));
            }
        }

        private void Ask(string job)
        {
            var max = (long)_random.Next(0, 500);
            var refusal = _book.TryAdmit(new AdmissionRequest(job, string.Empty, JobKind.Chat, "m", 0, max), _caps, Now);
            Assert.True(Expected(max + 1) == refusal?.Reason, $"Seed {_seed}, {job}: expected {Expected(max + 1)}, got {refusal}.");
            _met.Add(refusal?.Reason);
            if (refusal is not null) return;
            _admitted.Add(_elapsed);
            _running[job] = (Today, max + 1);
            // The laws themselves, whatever decided.
            if (_caps.Requests > 0) Assert.True(_admitted.Count(at => _elapsed - at < TimeSpan.FromMinutes(1)) <= _caps.Requests);
            if (_caps.Streams > 0) Assert.True(_running.Count <= _caps.Streams);
            if (_caps.Tokens > 0) Assert.True(Tokens() <= _caps.Tokens);
            if (_caps.Tokens > 0) Assert.Equal(_caps.Tokens - Tokens(), _book.Tokens(_caps, Now)!.Remaining);
        }

        private void End()
        {
            if (_running.Count == 0) return;
            var (job, (day, wants)) = _running.ElementAt(_random.Next(_running.Count));
            var tokens = _random.NextInt64(0, wants + 1);
            _running.Remove(job);
            _over.Add((day, tokens));
            _book.Release(new JobUsage(job, string.Empty, tokens, new JobSpend(0, 0)), Now);
        }

        private RefusalReason? Expected(long wants)
        {
            if (_caps.Streams > 0 && _running.Count >= _caps.Streams) return RefusalReason.Streams;
            if (_caps.Requests > 0 && _admitted.Count(at => _elapsed - at < TimeSpan.FromMinutes(1)) >= _caps.Requests) return RefusalReason.Requests;
            return _caps.Tokens > 0 && Tokens() + wants > _caps.Tokens ? RefusalReason.Tokens : null;
        }

        private long Tokens() => _over.Where(job => job.Day == Today).Sum(job => job.Tokens) + _running.Values.Where(job => job.Day == Today).Sum(job => job.Wants);
    }
}
