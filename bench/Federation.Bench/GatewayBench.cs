using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace Federation.Bench;

/// <summary>
/// Hub and agent beside what else stands between clients and engines: nginx, and a pass-through of a page of Kestrel. All of them in front of one engine,
/// each a process of its own, turn by turn in one run.
/// </summary>
internal static class GatewayBench
{
    private const int Rounds = 5;
    private const int SlowStreams = 5_000;

    // An engine says of itself that it has at most so many slots.
    private const int EngineSlots = 1_000;
    private static readonly TimeSpan RoundTime = TimeSpan.FromSeconds(2);

    // The runtime compiles what is used much once more, and better, beside the work: for half a minute that is a third of what a process of .NET takes.
    private const int WarmUpRounds = 5;

    private static readonly string Plain = Body(FakeEngine.Model, stream: false, "Say hello.");
    private static readonly string Long = Body(FakeEngine.Model, stream: false, new string('x', 128 << 10));
    private static readonly string Streamed = Body(FakeEngine.Model, stream: true, "Say hello.");
    private static readonly string Paced = Body(FakeEngine.PacedModel, stream: true, "Say hello.");
    private static readonly string LongStreamed = Body(FakeEngine.LongModel, stream: true, "Say a lot.");
    private static readonly string Slow = Body(FakeEngine.SlowModel, stream: true, "Say hello.");
    private static readonly string Endless = Body(FakeEngine.EndlessModel, stream: true, "Say hello.");

    /// <param name="hubFile">The hub's program.</param>
    /// <param name="nodeFile">The agent's program.</param>
    /// <param name="only">Words of the rows that are wanted; none: all rows.</param>
    public static async Task<Table> RunAsync(string hubFile, string nodeFile, string[] only)
    {
        using var engine = await Served.StartAsync("serve-engine");
        using var passThrough = await Served.StartAsync("serve-pass-through", engine.Url.ToString());
        using var nginx = await Nginx.StartAsync(engine.Url);
        await using var federation = await Federation.StartAsync(hubFile);
        var agent = await federation.AddNodeAsync(nodeFile, $$"""
            { "engines": { "ollama": { "enabled": false }, "builtin": { "enabled": false },
              "openai": [{ "name": "fake", "url": "{{engine.Url}}v1", "slots": 512 }] } }
            """);
        await federation.WaitForModelAsync(FakeEngine.Model);
        Gateway[] gateways =
        [
            new("engine itself", Client(engine.Url), []),
            new("nginx", Client(nginx.Url), nginx.Workers()),
            new("pass-through", Client(passThrough.Url), [passThrough.Process]),
            new("hub", federation.Client(), [federation.HubProcess]),
            // The same way again, counted on the node's side.
            new("agent", federation.Client(), [agent]),
        ];
        var table = new Table(["", .. gateways.Select(gateway => gateway.Name), "goal for the hub"]);
        foreach (var gateway in gateways)
        {
            foreach (var body in new[] { Plain, Streamed, Paced, LongStreamed }) await AskAsync(gateway.Http, body);
        }

        await RowAsync("CPU per plain request, 16 connections", "≤ 3× the pass-through's", gateways, gateway => CpuPerChatAsync(gateway, Plain, 16), Microseconds);
        await RowAsync("CPU per request with a prompt of 128 KiB", "≤ 250 µs", gateways, gateway => CpuPerChatAsync(gateway, Long, 16), Microseconds);
        await RowAsync("tokens per second and core, 16 streams", "≥ 1× the pass-through's", gateways, async gateway => FakeEngine.Tokens / await CpuPerChatAsync(gateway, Streamed, 16) * 1e6, Numbers.Rate);
        await RowAsync("the same, of 4,096 tokens each", "", gateways, async gateway => FakeEngine.LongTokens / await CpuPerChatAsync(gateway, LongStreamed, 16) * 1e6, Numbers.Rate);
        await RowAsync("plain chat, one at a time, p50", "≤ 0.30 ms more than direct", gateways[..4], async gateway => Numbers.Median(await TimesAsync(gateway.Http, Plain, 1)), Numbers.Milliseconds);
        await RowAsync("first token, 16 paced streams, p50", "≤ 0.6 ms more than direct", gateways[..4], async gateway => Numbers.Median((await RelayAsync(gateway.Http, 16)).First), Numbers.Milliseconds);
        await RowAsync("relay of a token, 64 paced streams, p50", "≤ 0.15 ms more than direct", gateways[..4], async gateway => Numbers.Percentile((await RelayAsync(gateway.Http, 64)).Each, 0.5), Numbers.Milliseconds);
        await RowAsync("relay of a token, 64 paced streams, p99", "≤ 2× the pass-through's", gateways[..4], async gateway => Numbers.Percentile((await RelayAsync(gateway.Http, 64)).Each, 0.99), Numbers.Milliseconds);
        await RowAsync("paced streams per second, 256 at once", "≥ 0.95× direct", gateways[..4], gateway => RateAsync(gateway.Http, Paced, 256), Numbers.Rate);
        await RowAsync("client leaves until the engine knows, p50", "≤ 100 ms", gateways[..4], gateway => LeaveAsync(gateway.Http, engine), Numbers.Milliseconds);
        table.Add(["resident memory afterwards", .. gateways.Select(Memory), "≤ 200 MB"]);
        if (!IsWanted("slow streams")) return table;
        for (var number = 0; number * EngineSlots < SlowStreams; number++)
        {
            await federation.AddNodeAsync(
                nodeFile,
                $$"""{ "engines": { "ollama": { "enabled": false }, "builtin": { "enabled": false }, "openai": [{ "name": "slow", "url": "{{engine.Url}}v1", "slots": {{EngineSlots}} }] } }""",
                $"slow{number}");
        }
        await federation.WaitForModelAsync(FakeEngine.SlowModel, nodes: 1 + (SlowStreams / EngineSlots));
        var slow = new Dictionary<Gateway, (long Before, long Under)>();
        foreach (var gateway in gateways.Where(gateway => gateway.Processes.Length > 0 && gateway.Name != "agent")) slow[gateway] = await HoldSlowStreamsAsync(gateway);
        table.Add(["resident memory under 5,000 slow streams", .. gateways.Select(gateway => slow.TryGetValue(gateway, out var held) ? $"{held.Under / 1e6:0} MB" : ""), "≤ 400 MB"]);
        table.Add(["of it, each stream", .. gateways.Select(gateway => slow.TryGetValue(gateway, out var held) ? $"{(held.Under - held.Before) / 1e3 / SlowStreams:0.0} kB" : ""), "≤ 40 kB"]);
        return table;

        bool IsWanted(string what) => only.Length == 0 || only.Any(word => what.Contains(word, StringComparison.Ordinal));

        async Task RowAsync(string what, string goal, Gateway[] some, Func<Gateway, Task<double>> measure, Func<double, string> show)
        {
            if (!IsWanted(what)) return;
            var results = some.ToDictionary(gateway => gateway, _ => new List<double>());
            for (var round = 0; round < Rounds; round++)
            {
                foreach (var gateway in some) results[gateway].Add(await measure(gateway));
            }
            table.Add([what, .. gateways.Select(gateway => results.TryGetValue(gateway, out var values) && Numbers.Median(values) is var median && double.IsFinite(median) ? show(median) : ""), goal]);
        }
    }

    // ------------------------------------------------------------------------------------------------------- measures

    /// <summary>Microseconds of the gateway's processors for one chat; not a number where no process is counted.</summary>
    private static async Task<double> CpuPerChatAsync(Gateway gateway, string body, int connections)
    {
        if (gateway.Processes.Length == 0) return double.NaN;
        var before = gateway.Cpu();
        var chats = (await ChatsAsync(gateway.Http, body, connections)).Count;
        return (gateway.Cpu() - before).TotalMicroseconds / chats;
    }

    private static async Task<List<double>> TimesAsync(HttpClient http, string body, int connections) => [.. await ChatsAsync(http, body, connections)];

    private static async Task<double> RateAsync(HttpClient http, string body, int connections)
    {
        var clock = Stopwatch.StartNew();
        var chats = await ChatsAsync(http, body, connections);
        return chats.Count / clock.Elapsed.TotalSeconds;
    }

    /// <summary>As many chats as fit in a round; milliseconds each took.</summary>
    private static async Task<ConcurrentBag<double>> ChatsAsync(HttpClient http, string body, int connections)
    {
        var times = new ConcurrentBag<double>();
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, connections).Select(_ => Task.Run(async () =>
        {
            while (clock.Elapsed < RoundTime)
            {
                var started = Stopwatch.GetTimestamp();
                await AskAsync(http, body);
                times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
            }
        })));
        return times;
    }

    private static async Task AskAsync(HttpClient http, string body)
    {
        using var request = Request(body);
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        var answer = await response.Content.ReadAsByteArrayAsync();
        if (!response.IsSuccessStatusCode || answer.Length < 100) throw new InvalidOperationException($"{(int)response.StatusCode}: {Encoding.UTF8.GetString(answer)}");
    }

    /// <summary>Streams whose engine writes into each token when it was sent: milliseconds until it was here, the first ones by the request's start.</summary>
    private static async Task<(IReadOnlyCollection<double> First, IReadOnlyCollection<double> Each)> RelayAsync(HttpClient http, int streams)
    {
        var (first, each) = (new ConcurrentBag<double>(), new ConcurrentBag<double>());
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, streams).Select(stream => Task.Run(async () =>
        {
            // Else all of them would speak in the same moment, for ever.
            await Task.Delay(stream * FakeEngine.Pace / streams);
            while (clock.Elapsed < RoundTime)
            {
                var started = Stopwatch.GetTimestamp();
                var isFirst = true;
                using var request = Request(Paced);
                using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
                using var lines = new StreamReader(await response.Content.ReadAsStreamAsync());
                while (await lines.ReadLineAsync() is { } line)
                {
                    if (FakeEngine.SentAt(line) is not { } sentAt) continue;
                    if (isFirst) first.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
                    isFirst = false;
                    each.Add(Stopwatch.GetElapsedTime(sentAt).TotalMilliseconds);
                }
            }
        })));
        return (first, each);
    }

    /// <summary>Milliseconds from a client's leaving in mid-stream until its engine's connection was closed.</summary>
    private static async Task<double> LeaveAsync(HttpClient http, Served engine)
    {
        using var direct = Client(engine.Url);
        var before = (await ClosingsAsync(direct)).Length;
        long left;
        using (var leaving = new CancellationTokenSource())
        {
            using var request = Request(Endless);
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, leaving.Token);
            var stream = await response.Content.ReadAsStreamAsync(leaving.Token);
            await stream.ReadExactlyAsync(new byte[1_000], leaving.Token);
            left = Stopwatch.GetTimestamp();
        }
        long[] closings;
        var patience = Stopwatch.StartNew();
        while ((closings = await ClosingsAsync(direct)).Length == before)
        {
            if (patience.Elapsed > TimeSpan.FromSeconds(30)) throw new TimeoutException("The engine was never told that its client left.");
            await Task.Delay(5);
        }
        return Stopwatch.GetElapsedTime(left, closings[^1]).TotalMilliseconds;
    }

    /// <summary>Memory of the gateway before and while it holds many streams, each of which has said two tokens.</summary>
    private static async Task<(long Before, long Under)> HoldSlowStreamsAsync(Gateway gateway)
    {
        var before = gateway.Memory();
        using var http = Client(gateway.Http.BaseAddress!, SlowStreams);
        http.DefaultRequestHeaders.Authorization = gateway.Http.DefaultRequestHeaders.Authorization;
        using var done = new CancellationTokenSource();
        // As clients come: some at once, and not all of them in one moment.
        using var coming = new SemaphoreSlim(64);
        var spoken = 0;
        var all = new TaskCompletionSource();
        var streams = Enumerable.Range(0, SlowStreams).Select(_ => Task.Run(() => HoldAsync(http, coming, () =>
        {
            if (Interlocked.Increment(ref spoken) == SlowStreams) all.TrySetResult();
        }, done.Token))).ToList();
        var first = await Task.WhenAny(all.Task, Task.WhenAny(streams).Unwrap()).WaitAsync(TimeSpan.FromMinutes(3));
        if (first != all.Task) await first;
        var under = gateway.Memory();
        await done.CancelAsync();
        await Task.WhenAll(streams).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return (before, under);
    }

    private static async Task HoldAsync(HttpClient http, SemaphoreSlim coming, Action onSecond, CancellationToken done)
    {
        await coming.WaitAsync(done);
        var (tokens, last) = (0, "");
        try
        {
            using var request = Request(Slow);
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, done);
            response.EnsureSuccessStatusCode();
            using var lines = new StreamReader(await response.Content.ReadAsStreamAsync(done));
            while (await lines.ReadLineAsync(done) is { } line)
            {
                if (line.Length > 0) last = line;
                if (FakeEngine.SentAt(line) is null) continue;
                if (++tokens == 1) coming.Release();
                if (tokens == 2) onSecond();
            }
        }
        finally
        {
            if (tokens == 0) coming.Release();
        }
        throw new InvalidOperationException($"A stream that has no end ended at {http.BaseAddress} after {tokens} tokens: {last}");
    }

    private static async Task<long[]> ClosingsAsync(HttpClient engine) => (await engine.GetFromJsonAsync<long[]>("/closings"))!;

    // -------------------------------------------------------------------------------------------------------- details

    private static string Body(string model, bool stream, string prompt) => JsonSerializer.Serialize(
        stream
            ? (object)new { model, stream, stream_options = new { include_usage = true }, messages = new[] { new { role = "user", content = prompt } } }
            : new { model, messages = new[] { new { role = "user", content = prompt } } });

    private static HttpRequestMessage Request(string body) => new(HttpMethod.Post, "/v1/chat/completions") { Content = new StringContent(body, Encoding.UTF8, new MediaTypeHeaderValue("application/json")) };

    // Whoever leaves leaves at once, and reads no rest.
    private static HttpClient Client(Uri url, int connections = 1_000) => new(new SocketsHttpHandler { MaxConnectionsPerServer = connections, ResponseDrainTimeout = TimeSpan.Zero }) { BaseAddress = url, Timeout = Timeout.InfiniteTimeSpan };

    private static string Microseconds(double us) => us.ToString("0", CultureInfo.InvariantCulture) + " µs";

    private static string Memory(Gateway gateway) => gateway.Processes.Length == 0 ? "" : $"{gateway.Memory() / 1e6:0} MB";

    /// <summary>A way to the engine, and the processes that it takes.</summary>
    private sealed record Gateway(string Name, HttpClient Http, Process[] Processes)
    {
        public long Memory()
        {
            foreach (var process in Processes) process.Refresh();
            return Processes.Sum(process => process.WorkingSet64);
        }

        public TimeSpan Cpu()
        {
            var all = TimeSpan.Zero;
            foreach (var process in Processes)
            {
                process.Refresh();
                all += process.TotalProcessorTime;
            }
            return all;
        }
    }

    /// <summary>This program once more, as a server.</summary>
    private sealed class Served(Process process, Uri url) : IDisposable
    {
        public Process Process => process;

        public Uri Url => url;

        public static async Task<Served> StartAsync(params string[] arguments)
        {
            var info = new ProcessStartInfo(Environment.ProcessPath!, arguments) { RedirectStandardOutput = true };
            var process = Process.Start(info) ?? throw new InvalidOperationException("A server did not start.");
            var url = await process.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("A server ended at once.");
            return new Served(process, new Uri(url));
        }

        public void Dispose()
        {
            process.Kill();
            process.WaitForExit();
            process.Dispose();
        }
    }

    /// <summary>nginx with one worker, as a reverse proxy that passes streams on as they come.</summary>
    private sealed class Nginx(Process process, Uri url, DirectoryInfo data) : IDisposable
    {
        public Uri Url => url;

        public static async Task<Nginx> StartAsync(Uri engine)
        {
            var data = Directory.CreateTempSubdirectory("federation-nginx");
            var port = Ports.Free();
            var file = Path.Combine(data.FullName, "nginx.conf");
            await File.WriteAllTextAsync(file, $$"""
                worker_processes 1;
                daemon off;
                pid {{data.FullName}}/pid;
                error_log {{data.FullName}}/error.log;
                worker_rlimit_nofile 20000;
                events { worker_connections 16384; }
                http {
                  access_log off;
                  client_body_temp_path {{data.FullName}}/body;
                  proxy_temp_path {{data.FullName}}/proxy;
                  fastcgi_temp_path {{data.FullName}}/fastcgi;
                  uwsgi_temp_path {{data.FullName}}/uwsgi;
                  scgi_temp_path {{data.FullName}}/scgi;
                  client_max_body_size 16m;
                  client_body_buffer_size 256k;
                  upstream engine { server {{engine.Authority}}; keepalive 512; }
                  server {
                    listen 127.0.0.1:{{port}};
                    location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
                  }
                }
                """);
            var process = Process.Start(new ProcessStartInfo("nginx", ["-c", file, "-p", data.FullName])) ?? throw new InvalidOperationException("nginx did not start.");
            var nginx = new Nginx(process, new Uri($"http://127.0.0.1:{port}/"), data);
            using var http = Client(nginx.Url);
            await Federation.UntilAsync(async () => await AnswersAsync(http), "nginx", TimeSpan.FromSeconds(10));
            return nginx;
        }

        /// <summary>Its worker, which does the work.</summary>
        public Process[] Workers()
            => [.. File.ReadAllText($"/proc/{process.Id}/task/{process.Id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(id => Process.GetProcessById(int.Parse(id, CultureInfo.InvariantCulture)))];

        public void Dispose()
        {
            foreach (var worker in Workers()) worker.Kill();
            process.Kill();
            process.WaitForExit();
            process.Dispose();
            data.Delete(recursive: true);
        }

        private static async Task<bool> AnswersAsync(HttpClient http)
        {
            try
            {
                return (await http.GetAsync("/v1/models")).IsSuccessStatusCode;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }
    }
}
