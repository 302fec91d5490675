using System.Diagnostics;
using System.Text;

namespace Federation.Bench;

/// <summary>One chat through hub and agent against the same chat to the engine directly, turn by turn.</summary>
internal static class HubBench
{
    private const int Rounds = 5;
    private const int ChatsPerRound = 300;
    private static readonly TimeSpan StreamRound = TimeSpan.FromSeconds(3);

    private static readonly string Plain = $$"""{"model":"{{FakeEngine.Model}}","messages":[{"role":"user","content":"Say hello."}]}""";
    private static readonly string Streamed = $$"""{"model":"{{FakeEngine.Model}}","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Say hello."}]}""";

    public static async Task<Table> RunAsync(string hubFile, string nodeFile)
    {
        await using var engine = await FakeEngine.StartAsync();
        await using var federation = await Federation.StartAsync(hubFile);
        await federation.AddNodeAsync(nodeFile, $$"""
            { "engines": { "ollama": { "enabled": false }, "builtin": { "enabled": false },
              "openai": [{ "name": "fake", "url": "{{engine.Url}}v1", "slots": 128 }] } }
            """);
        await federation.WaitForModelAsync(FakeEngine.Model);
        using var direct = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 1_000 }) { BaseAddress = engine.Url };
        using var hub = federation.Client();

        var table = new Table("what", "direct", "through hub and agent", "difference or ratio");
        await LatencyAsync(table, "plain chat, one at a time", direct, hub, Plain);
        await LatencyAsync(table, $"streamed chat of {FakeEngine.Tokens} tokens, one at a time", direct, hub, Streamed);
        foreach (var streams in new[] { 1, 16, 64 }) await ThroughputAsync(table, streams, direct, hub);
        return table;
    }

    private static async Task LatencyAsync(Table table, string what, HttpClient direct, HttpClient hub, string body)
    {
        var (direct50, direct99, hub50, hub99) = (new List<double>(), new List<double>(), new List<double>(), new List<double>());
        await ChatsAsync(direct, body);
        await ChatsAsync(hub, body);
        for (var round = 0; round < Rounds; round++)
        {
            var (one, other) = (await ChatsAsync(direct, body), await ChatsAsync(hub, body));
            direct50.Add(Numbers.Percentile(one, 0.5));
            direct99.Add(Numbers.Percentile(one, 0.99));
            hub50.Add(Numbers.Percentile(other, 0.5));
            hub99.Add(Numbers.Percentile(other, 0.99));
        }
        Add("p50", Numbers.Median(direct50), Numbers.Median(hub50));
        Add("p99", Numbers.Median(direct99), Numbers.Median(hub99));

        void Add(string which, double one, double other)
            => table.Add($"{what}, {which}", Numbers.Milliseconds(one), Numbers.Milliseconds(other), $"+{Numbers.Milliseconds(other - one)}");
    }

    private static async Task<List<double>> ChatsAsync(HttpClient http, string body)
    {
        var times = new List<double>(ChatsPerRound);
        for (var i = 0; i < ChatsPerRound; i++)
        {
            var started = Stopwatch.GetTimestamp();
            await ChatAsync(http, body);
            times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
        return times;
    }

    private static async Task ThroughputAsync(Table table, int streams, HttpClient direct, HttpClient hub)
    {
        var (one, other) = (new List<double>(), new List<double>());
        for (var round = 0; round < Rounds; round++)
        {
            one.Add(await TokensPerSecondAsync(direct, streams));
            other.Add(await TokensPerSecondAsync(hub, streams));
        }
        var (d, h) = (Numbers.Median(one), Numbers.Median(other));
        table.Add($"tokens per second, {streams} streams", Numbers.Rate(d), Numbers.Rate(h), Numbers.Ratio(h / d));
    }

    private static async Task<double> TokensPerSecondAsync(HttpClient http, int streams)
    {
        var clock = Stopwatch.StartNew();
        var chats = await Task.WhenAll(Enumerable.Range(0, streams).Select(_ => Task.Run(async () =>
        {
            var count = 0;
            for (; clock.Elapsed < StreamRound; count++) await ChatAsync(http, Streamed);
            return count;
        })));
        return chats.Sum() * FakeEngine.Tokens / clock.Elapsed.TotalSeconds;
    }

    private static async Task ChatAsync(HttpClient http, string body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        var answer = await response.Content.ReadAsByteArrayAsync();
        var expected = body == Streamed ? FakeEngine.Tokens * 100 : 100;
        if (!response.IsSuccessStatusCode || answer.Length < expected) throw new InvalidOperationException($"{(int)response.StatusCode}: {Encoding.UTF8.GetString(answer)}");
    }
}
