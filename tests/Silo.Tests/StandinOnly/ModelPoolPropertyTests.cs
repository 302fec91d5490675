using Federation.Contracts.Models;
using Xunit.Abstractions;

namespace Federation.Silo.Tests.StandinOnly;

/// <summary>Long lives of a pool, made up from a seed, held against a naive account of who has which slot and who waits.</summary>
public sealed class ModelPoolPropertyTests(ITestOutputHelper output)
{
    private const int Lives = 60;
    private const int StepsPerLife = 150;

    [Fact]
    public void Whatever_happens_no_slot_is_given_twice_none_is_lost_and_nobody_waits_beside_a_free_one()
    {
        var met = new HashSet<LeaseGrantStatus>();
        for (var seed = 0; seed < Lives; seed++)
        {
            using var pool = new SimulatedPool(seed, options => options.LeaseLifetime = TimeSpan.FromHours(24));
            var life = new Life(pool, new Random(seed));
            try
            {
                pool.Run(life.LiveAsync);
            }
            catch (Exception)
            {
                output.WriteLine($"Seed {seed}, {life.Story.Count} steps:");
                foreach (var step in life.Story) output.WriteLine(step);
                throw;
            }
            met.UnionWith(life.Met);
        }
        Assert.Equal([LeaseGrantStatus.Granted, LeaseGrantStatus.TimedOut, LeaseGrantStatus.NoNode], met.Order());
    }

    private sealed class Member(int slots)
    {
        public int Slots { get; set; } = slots;

        public bool Full { get; set; }

        public long Version { get; set; }
    }

    private sealed record Ask(string Job, string[] Excluded, TimeSpan Deadline, CancellationTokenSource Gone)
    {
        public required Task<LeaseGrant> Answer { get; init; }
    }

    private sealed class Life(SimulatedPool pool, Random random)
    {
        private static readonly string[] Sessions = ["a", "b", "c", "d"];
        private static readonly (string Account, double Weight)[] Accounts = [("ann", 1), ("bob", 2), ("cleo", 8)];

        private readonly Dictionary<string, Member> _members = [];
        private readonly Dictionary<string, string> _leases = [];
        private readonly List<Ask> _waiting = [];
        private readonly Dictionary<string, TimeSpan> _hopelessSince = [];
        private long _version;
        private int _jobs;

        public List<string> Story { get; } = [];

        public HashSet<LeaseGrantStatus> Met { get; } = [];

        public async Task LiveAsync()
        {
            for (var step = 0; step < StepsPerLife; step++)
            {
                await StepAsync();
                await pool.SettleAsync();
                await TakeAnswersAsync();
                CheckNobodyWaitsForNothing();
            }
            await EndAsync();
        }

        private Task StepAsync() => random.Next(20) switch
        {
            < 6 => AskAsync(),
            < 11 => ReleaseAsync(),
            < 15 => AnnounceAsync(Pick(Sessions)),
            < 16 => AnnounceOldNewsAsync(),
            < 17 => WithdrawAsync(),
            < 18 => LeaveAsync(),
            _ => PassAsync(),
        };

        private Task AskAsync()
        {
            var excluded = Sessions.Where(_ => random.Next(4) == 0).ToArray();
            var (account, weight) = Pick(Accounts);
            var patience = TimeSpan.FromSeconds(random.Next(0, 20));
            var gone = new CancellationTokenSource();
            var job = $"job{++_jobs}";
            Tell($"{job} of {account} asks, not for {string.Join(',', excluded)}, for {patience}");
            _waiting.Add(new Ask(job, excluded, pool.Time.Elapsed + patience, gone)
            {
                Answer = pool.AcquireAsync(account, weight, patience, excluded, job, cancellationToken: gone.Token),
            });
            return Task.CompletedTask;
        }

        private async Task ReleaseAsync()
        {
            if (_leases.Count == 0) return;
            var (lease, session) = Pick(_leases.OrderBy(entry => entry.Key, StringComparer.Ordinal).ToArray());
            var end = Pick([LeaseEnd.Finished, LeaseEnd.Finished, LeaseEnd.NoSlot, LeaseEnd.NodeLost]);
            Tell($"{lease} on {session} ends: {end}");
            _leases.Remove(lease);
            if (_members.TryGetValue(session, out var member))
            {
                if (end is LeaseEnd.NoSlot) member.Full = true;
                if (end is LeaseEnd.NodeLost) _members.Remove(session);
            }
            await pool.Grain.Release(lease, end);
        }

        private async Task AnnounceAsync(string session)
        {
            var slots = random.Next(1, 4);
            var free = random.Next(0, slots + 1);
            Tell($"{session} announces {free} of {slots}");
            _members.TryAdd(session, new Member(slots));
            (_members[session].Slots, _members[session].Full, _members[session].Version) = (slots, free == 0, ++_version);
            await pool.AnnounceAsync(session, slots, free, random.Next(2) == 0, _version);
        }

        private async Task AnnounceOldNewsAsync()
        {
            if (_members.Count == 0) return;
            var (session, member) = Pick(_members.OrderBy(entry => entry.Key, StringComparer.Ordinal).ToArray());
            Tell($"{session} is heard of late");
            await pool.AnnounceAsync(session, 9, 9, true, member.Version);
        }

        private async Task WithdrawAsync()
        {
            var session = Pick(Sessions);
            Tell($"{session} withdraws");
            _members.Remove(session);
            await pool.WithdrawAsync(session);
        }

        private Task LeaveAsync()
        {
            if (_waiting.Count == 0) return Task.CompletedTask;
            var leaver = Pick(_waiting.ToArray());
            Tell($"{leaver.Job} leaves");
            SimulatedPool.Leave(leaver.Gone);
            return Task.CompletedTask;
        }

        /// <summary>Time passes in which every member goes on saying what it said.</summary>
        private async Task PassAsync()
        {
            var time = TimeSpan.FromSeconds(random.Next(1, 8));
            Tell($"{time} pass");
            foreach (var (session, member) in _members.OrderBy(entry => entry.Key, StringComparer.Ordinal))
            {
                member.Version = ++_version;
                await pool.AnnounceAsync(session, member.Slots, member.Full ? 0 : 1, true, member.Version);
            }
            await pool.PassAsync(time);
        }

        private async Task TakeAnswersAsync()
        {
            foreach (var ask in _waiting.Where(ask => ask.Answer.IsCompleted).ToArray())
            {
                _waiting.Remove(ask);
                if (ask.Answer.IsCanceled)
                {
                    Assert.True(ask.Gone.IsCancellationRequested);
                    await pool.Grain.Release($"{ask.Job}.1", LeaseEnd.Finished);
                    continue;
                }
                var grant = ask.Answer.GetAwaiter().GetResult();
                Tell($"{ask.Job}: {grant.Status} {grant.Member?.SessionId}");
                Met.Add(grant.Status);
                switch (grant.Status)
                {
                    case LeaseGrantStatus.Granted:
                        TakeGrant(ask, grant);
                        break;
                    case LeaseGrantStatus.TimedOut:
                        Assert.True(ask.Gone.IsCancellationRequested || pool.Time.Elapsed >= ask.Deadline, $"{ask.Job} was sent away before its patience ended.");
                        break;
                    case LeaseGrantStatus.NoNode:
                        Assert.NotEmpty(_members);
                        Assert.DoesNotContain(_members.Keys, session => !ask.Excluded.Contains(session));
                        break;
                    default:
                        Assert.Fail($"{ask.Job} got {grant.Status}.");
                        break;
                }
            }
        }

        private void TakeGrant(Ask ask, LeaseGrant grant)
        {
            var session = grant.Member!.SessionId;
            Assert.DoesNotContain(session, ask.Excluded);
            Assert.True(_leases.TryAdd(grant.LeaseId, session), $"Lease {grant.LeaseId} was given twice.");
            Assert.True(_members.TryGetValue(session, out var member), $"{session} is gone, and was given {grant.LeaseId}.");
            Assert.False(member.Full, $"{session} said that it is full, and was given {grant.LeaseId}.");
            Assert.True(Held(session) <= member.Slots, $"{session} has {member.Slots} slots and was given {Held(session)} leases.");
        }

        private void CheckNobodyWaitsForNothing()
        {
            foreach (var ask in _waiting)
            {
                var candidates = _members.Where(entry => !ask.Excluded.Contains(entry.Key)).ToArray();
                CheckHope(ask, isHopeless: _members.Count > 0 && candidates.Length == 0);
                foreach (var (session, member) in candidates) Assert.True(member.Full || Held(session) >= member.Slots, $"{ask.Job} waits beside a free slot of {session}.");
            }
        }

        /// <summary>Whoever excluded all nodes there are hears so by the next sweep: until then others may announce themselves.</summary>
        private void CheckHope(Ask ask, bool isHopeless)
        {
            if (!isHopeless)
            {
                _hopelessSince.Remove(ask.Job);
                return;
            }
            _hopelessSince.TryAdd(ask.Job, pool.Time.Elapsed);
            var waited = pool.Time.Elapsed - _hopelessSince[ask.Job];
            Assert.True(waited <= pool.AnnouncePeriod, $"{ask.Job} excluded all there are, and still waits after {waited}.");
        }

        /// <summary>In the end all is given back, and every slot can be had again.</summary>
        private async Task EndAsync()
        {
            foreach (var ask in _waiting) SimulatedPool.Leave(ask.Gone);
            await pool.SettleAsync();
            await TakeAnswersAsync();
            Assert.Empty(_waiting);
            foreach (var lease in _leases.Keys.ToArray()) await pool.Grain.Release(lease, LeaseEnd.Finished);
            foreach (var (session, member) in _members) await pool.AnnounceAsync(session, member.Slots, member.Slots, true, ++_version);
            await ModelPoolTests.AssertFreeAsync(pool, _members.Values.Sum(member => member.Slots));
        }

        private int Held(string session) => _leases.Values.Count(holder => holder == session);

        private T Pick<T>(T[] items) => items[random.Next(items.Length)];

        private void Tell(string what) => Story.Add($"{pool.Time.Elapsed}: {what}");
    }
}
