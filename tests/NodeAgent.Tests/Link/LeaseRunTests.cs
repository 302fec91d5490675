using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Link;
using Federation.NodeAgent.Tests.Engines;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Microsoft.Extensions.Logging.Abstractions;
using MessageOneofCase = Federation.Protocol.V1.NodeMessage.MessageOneofCase;

namespace Federation.NodeAgent.Tests.Link;

public sealed class LeaseRunTests
{
    private readonly List<NodeMessage> _said = [];
    private readonly ManualTime _time = new();

    private IEnumerable<NodeMessage> Said => _said.SelectMany(message => message.Bundle?.Messages.AsEnumerable() ?? [message]);

    private IEnumerable<string> Chunks => Said.Where(message => message.MessageCase is MessageOneofCase.Chunk).Select(message => message.Chunk.Data.ToStringUtf8());

    [Fact]
    public async Task What_the_engine_has_written_goes_in_one_message_and_waits_for_nothing_more()
    {
        var more = new TaskCompletionSource<byte[]>();
        var running = RunAsync(Here("a"), Here("b"), Here("c"), more.Task, Here("e"));

        Assert.Equal(["abc"], Chunks);
        Assert.False(running.IsCompleted);
        more.SetResult("d"u8.ToArray());
        await running;
        Assert.Equal(["abc", "de"], Chunks);
        Assert.Equal([0UL, 1UL], _said.Where(message => message.MessageCase is MessageOneofCase.Chunk).Select(message => message.Chunk.Sequence));
        Assert.Equal(MessageOneofCase.Done, _said[^1].MessageCase);
    }

    [Fact]
    public async Task Nothing_is_lost_doubled_or_larger_than_the_hub_allows_however_the_engine_writes()
    {
        const int seed = 20261122;
        var random = new Random(seed);
        for (var round = 0; round < 200; round++)
        {
            _said.Clear();
            var pieces = Enumerable.Range(0, random.Next(1, 60)).Select(_ => new string((char)('a' + random.Next(26)), random.Next(1, 900))).ToArray();
            await RunAsync([.. pieces.Select(piece => random.Next(3) == 0 ? LaterAsync(piece) : Here(piece))]);
            Assert.True(string.Concat(pieces) == string.Concat(Chunks), $"seed {seed}, round {round}");
            Assert.All(Chunks, chunk => Assert.InRange(chunk.Length, 1, 1_024));
        }
    }

    [Fact]
    public async Task What_came_before_the_engine_broke_off_is_sent()
    {
        await RunAsync(Here("a"), Here("b"), Task.FromException<byte[]>(new IOException("gone")));

        Assert.Equal(["ab"], Chunks);
        Assert.Equal(FailReason.EngineError, _said[^1].Failed.Reason);
    }

    [Fact]
    public async Task A_window_smaller_than_a_message_makes_the_messages_smaller()
    {
        await RunAsync(new Terms(Window: 2_000, MaxChunk: 64_000), [.. Enumerable.Repeat(Here(new string('x', 300)), 6)]);

        Assert.Equal(1_800, Chunks.Sum(chunk => chunk.Length));
        Assert.All(Chunks, chunk => Assert.InRange(chunk.Length, 1, 500));
    }

    [Fact]
    public async Task A_short_whole_answer_is_one_message_however_the_engine_writes_it()
    {
        var more = new TaskCompletionSource<byte[]>();
        var running = RunAsync(Whole, Here("a"), more.Task, LaterAsync("c"));
        await _time.UntilSetAsync(TimeSpan.FromMilliseconds(250));
        Assert.Empty(_said);

        more.SetResult("b"u8.ToArray());
        await running;

        Assert.Equal([MessageOneofCase.Head, MessageOneofCase.Chunk, MessageOneofCase.Done], Assert.Single(_said).Bundle.Messages.Select(message => message.MessageCase));
        Assert.Equal(["abc"], Chunks);
        Assert.Equal(SHA256.HashData("abc"u8), Said.Last().Done.OutputSha256.ToByteArray());
        Assert.All(Said, message => Assert.Equal("job_1.1", message.Head?.LeaseId ?? message.Chunk?.LeaseId ?? message.Done.LeaseId));
    }

    [Fact]
    public async Task What_is_there_of_a_whole_answer_goes_when_the_rest_is_slow()
    {
        var more = new TaskCompletionSource<byte[]>();
        var running = RunAsync(Whole, Here("a"), more.Task);
        await _time.UntilSetAsync(TimeSpan.FromMilliseconds(250));
        _time.Advance(TimeSpan.FromMilliseconds(250));
        await UntilAsync(() => _said.Count > 0);

        Assert.Equal([MessageOneofCase.Head, MessageOneofCase.Chunk], Assert.Single(_said).Bundle.Messages.Select(message => message.MessageCase));
        more.SetResult("b"u8.ToArray());
        await running;
        Assert.Equal(["a", "b"], Chunks);
        Assert.Equal([MessageOneofCase.Chunk, MessageOneofCase.Done], _said[^1].Bundle.Messages.Select(message => message.MessageCase));
        Assert.Equal(SHA256.HashData("ab"u8), Said.Last().Done.OutputSha256.ToByteArray());
    }

    [Fact]
    public async Task A_whole_answer_that_breaks_off_says_what_came_and_that_it_failed()
    {
        await RunAsync(Whole, Here("a"), FailAsync());
        Assert.Equal([MessageOneofCase.Head, MessageOneofCase.Chunk, MessageOneofCase.Failed], Said.Select(message => message.MessageCase));

        static async Task<byte[]> FailAsync()
        {
            await Task.Yield();
            throw new IOException("gone");
        }
    }

    [Fact]
    public async Task A_hub_that_takes_no_bundles_is_sent_none_and_an_answer_without_words_has_a_beginning_and_an_end()
    {
        var more = new TaskCompletionSource<byte[]>();
        var running = RunAsync(Whole with { BundleBytes = 0 }, Here("a"), more.Task);
        more.SetResult("b"u8.ToArray());
        await running;
        Assert.Equal([MessageOneofCase.Head, MessageOneofCase.Chunk, MessageOneofCase.Chunk, MessageOneofCase.Done], _said.Select(message => message.MessageCase));

        _said.Clear();
        await RunAsync(Whole);
        Assert.Equal([MessageOneofCase.Head, MessageOneofCase.Done], Said.Select(message => message.MessageCase));
        Assert.Equal(SHA256.HashData([]), Said.Last().Done.OutputSha256.ToByteArray());
    }

    private static readonly Terms Whole = new(Window: 1 << 20, MaxChunk: 64_000, Stream: false, BundleBytes: 64_000);

    private static async Task UntilAsync(Func<bool> isSo)
    {
        for (var turn = 0; !isSo(); turn++)
        {
            Assert.True(turn < 100_000, "It never came about.");
            await Task.Yield();
        }
    }

    private static Task<byte[]> Here(string text) => Task.FromResult(Encoding.UTF8.GetBytes(text));

    private static async Task<byte[]> LaterAsync(string text)
    {
        await Task.Yield();
        return Encoding.UTF8.GetBytes(text);
    }

    private Task RunAsync(params Task<byte[]>[] pieces) => RunAsync(new Terms(Window: 1 << 20, MaxChunk: 1_024), pieces);

    private async Task RunAsync(Terms terms, params Task<byte[]>[] pieces)
    {
        LeaseRun? granting = null;
        var assign = new Assign { LeaseId = "job_1.1", JobId = "job_1", Model = "llama", Stream = terms.Stream, DeadlineMs = 60_000 };
        using var run = new LeaseRun(
            assign,
            JobKind.Chat,
            new WritingEngine(pieces),
            new Welcome { InitialWindowBytes = terms.Window, MaxChunkBytes = terms.MaxChunk, MaxBundleBytes = terms.BundleBytes },
            (message, _) =>
            {
                _said.Add(message);
                // As a hub does whose client takes what comes.
                if (message.MessageCase is MessageOneofCase.Chunk) granting!.Grant((uint)message.Chunk.Data.Length + LeaseWindow.ChunkOverheadBytes);
                return ValueTask.CompletedTask;
            },
            new WorkLog(10),
            new RevealLog(1 << 20, TimeSpan.FromHours(3), _time),
            _time,
            NullLogger.Instance);
        granting = run;
        await run.RunAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30));
    }

    private sealed record Terms(uint Window, uint MaxChunk, bool Stream = true, uint BundleBytes = 0);

    /// <summary>Answers with these bytes, each as soon as it is there.</summary>
    private sealed class WritingEngine(Task<byte[]>[] pieces) : IEngine
    {
        public string Name => "writing";

        public string Kind => "openai";

        public int Slots => 1;

        public ImmutableArray<JobKind> Continues => [];

        public Task<EngineInventory?> GetInventoryAsync(CancellationToken cancellationToken) => Task.FromResult<EngineInventory?>(null);

        public Task<EngineResponse> SendAsync(EngineRequest request, CancellationToken cancellationToken) => Task.FromResult<EngineResponse>(new Response(new Pieces(pieces)));

        public IAsyncEnumerable<PullStep> PullAsync(string model, CancellationToken cancellationToken) => throw new NotSupportedException();

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed class Response(Stream body) : EngineResponse
    {
        public override int Status => 200;

        public override string ContentType => "text/event-stream";

        public override Stream Body => body;

        public override TokenUsage? Usage => null;

        public override string? FinishReason => null;

        public override ValueTask DisposeAsync() => body.DisposeAsync();
    }

    private sealed class Pieces(Task<byte[]>[] pieces) : MemoryStream
    {
        private int _next;
        private ReadOnlyMemory<byte> _left;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_left.IsEmpty)
            {
                if (_next == pieces.Length) return 0;
                _left = await pieces[_next++];
            }
            var count = Math.Min(buffer.Length, _left.Length);
            _left[..count].CopyTo(buffer);
            _left = _left[count..];
            return count;
        }
    }
}
