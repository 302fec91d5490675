using System.Diagnostics;
using System.Net;
using Federation.Protocol.Identity;
using Federation.Silo.Verification.Challenges;
using Microsoft.Extensions.Options;

namespace Federation.Bench;

/// <summary>
/// What a request notices of the hub's own checks: requests to Kestrel, one at a time, while a verification thread for each core checks signatures without a pause in the same process, and while none
/// does. On ordinary threads for comparison.
/// </summary>
internal static class PriorityBench
{
    private const int Rounds = 5;
    private const int Requests = 4_000;

    public static async Task<Table> RunAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        await using var app = builder.Build();
        app.MapGet("/", () => "answered");
        await app.StartAsync();
        using var http = new HttpClient { BaseAddress = FakeEngine.UrlOf(app) };

        var table = new Table($"a request, median of {Rounds} rounds of {Requests}", "no checks", "checks as the hub runs them", "checks on ordinary threads");
        var (none, idle, ordinary) = (new List<List<double>>(), new List<List<double>>(), new List<List<double>>());
        await RequestsAsync(http);
        for (var round = 0; round < Rounds; round++)
        {
            none.Add(await RequestsAsync(http));
            using (var threads = new Checking(isIdle: true)) idle.Add(await RequestsAsync(http));
            using (var threads = new Checking(isIdle: false)) ordinary.Add(await RequestsAsync(http));
        }
        foreach (var (name, share) in new[] { ("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999) })
        {
            var (without, with, plain) = (At(none, share), At(idle, share), At(ordinary, share));
            table.Add(name, Numbers.Milliseconds(without), $"{Numbers.Milliseconds(with)} ({Numbers.Ratio(with / without)})", $"{Numbers.Milliseconds(plain)} ({Numbers.Ratio(plain / without)})");
        }
        return table;

        static double At(List<List<double>> rounds, double share) => Numbers.Median(rounds.Select(round => Numbers.Percentile(round, share)));
    }

    private static async Task<List<double>> RequestsAsync(HttpClient http)
    {
        var times = new List<double>(Requests);
        for (var i = 0; i < Requests; i++)
        {
            var started = Stopwatch.GetTimestamp();
            await http.GetStringAsync("/");
            times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
        return times;
    }

    /// <summary>Checks on every core until it is disposed.</summary>
    private sealed class Checking : IDisposable
    {
        private readonly SigningKey _key = SigningKey.Create();
        private readonly byte[] _signature;
        private readonly List<VerificationThread> _threads = [];
        private readonly CountdownEvent _running = new(Environment.ProcessorCount);
        private volatile bool _isOver;

        public Checking(bool isIdle)
        {
            _signature = _key.Sign("checked"u8.ToArray());
            for (var core = 0; core < Environment.ProcessorCount; core++)
            {
                if (!isIdle)
                {
                    new Thread(() => Check()) { IsBackground = true }.Start();
                    continue;
                }
                var thread = new VerificationThread(Options.Create(new ChallengeScheduleOptions()));
                _threads.Add(thread);
                _ = thread.RunAsync(Check, CancellationToken.None);
            }
        }

        public void Dispose()
        {
            _isOver = true;
            _running.Wait();
            foreach (var thread in _threads) thread.Dispose();
            _running.Dispose();
            _key.Dispose();
        }

        private bool Check()
        {
            var right = true;
            while (!_isOver) right &= PublicKeys.Verify(_key.PublicKey.Span, "checked"u8, _signature);
            _running.Signal();
            return right;
        }
    }
}
