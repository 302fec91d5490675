using System.Text;
using Federation.Protocol.OpenAi;

namespace Federation.Contracts.Tests.OpenAi;

public sealed class SseScannerTests
{
    private const string Stream =
        ": keep-alive\n\n"
        + "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
        + "event: message\r\nid: 7\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße \\ud83d\\ude00\"}}]}\r\n\r\n"
        + "data:{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n"
        + "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}],\n"
        + "data: \"usage\":null}\n\n"
        + "\n"
        + "data: {not json\n\n"
        + "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
        + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15}}\n\n"
        + "data: [DONE]\n\n";

    [Fact]
    public void A_stream_is_cut_into_events_that_say_what_they_hold()
    {
        var events = Scan(Encoding.UTF8.GetBytes(Stream), []);

        Assert.Equal(
            [
                new("", false, false, new(null, null, -1, 0, false)),
                new(events[1].Data, false, false, new(null, null, 1, 0, false)),
                new(events[2].Data, false, false, new(null, null, 1, 12, false)),
                new(events[3].Data, false, false, new(null, null, 1, 7, false)),
                new(events[4].Data, false, false, new(null, null, 1, 2, false)),
                new("", false, false, new(null, null, -1, 0, false)),
                new("{not json", false, true, new(null, null, -1, 0, false)),
                new(events[7].Data, false, false, new(null, "stop", 1, 0, false)),
                new(events[8].Data, false, false, new(new(12, 3), null, 0, 0, false)),
                new("[DONE]", true, false, new(null, null, -1, 0, false)),
            ],
            events.Select(e => new Facts(e.Data, e.IsDone, e.IsMalformed, e.AnswerFacts)));
        Assert.True(events[8].AnswerFacts.IsUsageOnly);
        Assert.Equal("{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}],\n\"usage\":null}", events[4].Data);
    }

    [Fact]
    public void The_events_put_together_are_the_stream()
    {
        var events = Scan(Encoding.UTF8.GetBytes(Stream), [3, 50, 51, 200]);

        Assert.Equal(Stream, string.Concat(events.Select(e => e.Raw)));
        var offset = 0L;
        foreach (var e in events)
        {
            Assert.Equal(offset, e.Offset);
            offset += Encoding.UTF8.GetByteCount(e.Raw);
        }
    }

    [Fact]
    public void Any_split_of_the_bytes_gives_the_same_events()
    {
        var bytes = Encoding.UTF8.GetBytes(Stream);
        var whole = Scan(bytes, []);

        // Every single cut, then many cuts at random.
        for (var cut = 1; cut < bytes.Length; cut++)
        {
            Assert.Equal(whole, Scan(bytes, [cut]));
        }

        const int seed = 20261120;
        var random = new Random(seed);
        for (var round = 0; round < 500; round++)
        {
            var cuts = Enumerable.Range(0, random.Next(1, 40)).Select(_ => random.Next(bytes.Length)).Order().ToArray();
            var events = Scan(bytes, cuts);
            Assert.True(whole.SequenceEqual(events), $"seed {seed}, round {round}, cuts {string.Join(',', cuts)}");
        }

        Assert.Equal(whole, Scan(bytes, Enumerable.Range(1, bytes.Length - 1).ToArray()));
    }

    [Fact]
    public void Bytes_without_meaning_are_cut_the_same_way_in_any_split()
    {
        const int seed = 7;
        var random = new Random(seed);
        ReadOnlySpan<byte> alphabet = "\n\r:data{}[]\" \\u12\xff"u8;
        for (var round = 0; round < 300; round++)
        {
            var bytes = new byte[random.Next(200)];
            foreach (ref var b in bytes.AsSpan())
            {
                b = alphabet[random.Next(alphabet.Length)];
            }

            var cuts = Enumerable.Range(0, random.Next(1, 9)).Select(_ => random.Next(bytes.Length + 1)).Order().ToArray();
            Assert.True(Scan(bytes, []).SequenceEqual(Scan(bytes, cuts)), $"seed {seed}, round {round}");
        }
    }

    [Fact]
    public void An_event_says_the_same_whatever_came_before_it()
    {
        const int seed = 20261122;
        var random = new Random(seed);
        var repeated = 0;
        for (var round = 0; round < 2_000; round++)
        {
            var stream = RandomStream(random, ref repeated);
            ReadOnlySpan<byte> one = stream, each = stream;
            var scanner = new SseScanner();
            while (scanner.TryRead(ref one, out var e))
            {
                Assert.True(new SseScanner().TryRead(ref each, out var alone));
                Assert.True(e.Raw.SequenceEqual(alone.Raw) && e.Data.SequenceEqual(alone.Data), $"seed {seed}, round {round}");
                Assert.Equal((alone.Facts, alone.IsMalformed, alone.IsDone), (e.Facts, e.IsMalformed, e.IsDone));
                Assert.Equal(stream.Length - one.Length, scanner.Offset);
            }

            Assert.False(new SseScanner().TryRead(ref each, out _));
        }

        Assert.True(repeated > 5_000);
    }

    [Fact]
    public void Events_taken_several_at_once_say_what_they_say_one_by_one()
    {
        const int seed = 20261123;
        var random = new Random(seed);
        var (repeated, inRuns) = (0, 0);
        for (var round = 0; round < 2_000; round++)
        {
            var stream = RandomStream(random, ref repeated);
            var alone = Scan(stream, []);
            var cuts = Enumerable.Range(0, random.Next(4)).Select(_ => random.Next(stream.Length)).Order().ToArray();

            var scanner = new SseScanner();
            var (raw, textBytes, texts, start) = (new List<byte>(), 0L, 0, 0);
            var (usage, finishReason, isError) = ((TokenUsage?)null, (string?)null, false);
            foreach (var cut in cuts.Append(stream.Length))
            {
                ReadOnlySpan<byte> piece = stream.AsSpan(start, cut - start);
                start = cut;
                while (true)
                {
                    if (scanner.TryReadRun(ref piece, out var run))
                    {
                        inRuns++;
                        Add(run.Raw, run.Facts, run.Texts);
                    }

                    if (!scanner.TryRead(ref piece, out var e)) break;
                    Add(e.Raw, e.Facts, e.Facts.TextBytes > 0 ? 1 : 0);
                }
            }

            if (scanner.TryEnd(out var last)) Add(last.Raw, last.Facts, last.Facts.TextBytes > 0 ? 1 : 0);
            Assert.Equal(string.Concat(alone.Select(e => e.Raw)), Encoding.UTF8.GetString([.. raw]));
            Assert.Equal(
                (alone.Sum(e => e.AnswerFacts.TextBytes), alone.Count(e => e.AnswerFacts.TextBytes > 0), alone.LastOrDefault(e => e.AnswerFacts.Usage is not null)?.AnswerFacts.Usage),
                (textBytes, texts, usage));
            Assert.Equal(
                (alone.LastOrDefault(e => e.AnswerFacts.FinishReason is not null)?.AnswerFacts.FinishReason, alone.Any(e => e.AnswerFacts.IsError)), (finishReason, isError));

            void Add(ReadOnlySpan<byte> bytes, AnswerFacts facts, int count)
            {
                raw.AddRange(bytes);
                (textBytes, texts) = (textBytes + facts.TextBytes, texts + count);
                (usage, finishReason, isError) = (facts.Usage ?? usage, facts.FinishReason ?? finishReason, isError || facts.IsError);
            }
        }

        Assert.True(inRuns > 1_000, $"seed {seed}: {inRuns}");
    }

    [Fact]
    public void What_comes_before_an_event_above_the_limit_is_not_lost_with_it()
    {
        var scanner = new SseScanner(eventBytesMax: 64);
        ReadOnlySpan<byte> bytes = Encoding.UTF8.GetBytes(string.Concat(new[] { "a", "b", "c", new string('x', 60) }.Select(text => "data: {\"choices\":[{\"text\":\"" + text + "\"}]}\n\n")));
        Assert.True(scanner.TryRead(ref bytes, out _));

        Assert.True(scanner.TryReadRun(ref bytes, out var run));
        Assert.Equal((2, 2L), (run.Texts, run.Facts.TextBytes));

        var rest = bytes.ToArray();
        Assert.Throws<SseEventTooLargeException>(() =>
        {
            ReadOnlySpan<byte> left = rest;
            scanner.TryRead(ref left, out _);
        });
    }

    [Fact]
    public void An_event_above_the_limit_is_refused_also_where_it_begins_as_the_one_before()
    {
        var scanner = new SseScanner(eventBytesMax: 64);
        ReadOnlySpan<byte> bytes = Encoding.UTF8.GetBytes("data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"" + new string('x', 60) + "\"}]}\n\n");
        Assert.True(scanner.TryRead(ref bytes, out _));
        var rest = bytes.ToArray();

        Assert.Throws<SseEventTooLargeException>(() =>
        {
            ReadOnlySpan<byte> left = rest;
            scanner.TryRead(ref left, out _);
        });
    }

    [Fact]
    public void A_last_event_without_its_blank_line_still_counts()
    {
        var scanner = new SseScanner();
        ReadOnlySpan<byte> bytes = "data: [DONE]"u8;

        Assert.False(scanner.TryRead(ref bytes, out _));
        Assert.True(scanner.IsInsideEvent);
        Assert.True(scanner.TryEnd(out var last));
        Assert.True(last.IsDone);
        Assert.False(scanner.TryEnd(out _));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(4096)]
    public void An_event_above_the_limit_is_refused_in_any_split(int step)
    {
        var bytes = Encoding.UTF8.GetBytes("data: ok\n\ndata: " + new string('x', 100) + "\n\n");
        var scanner = new SseScanner(eventBytesMax: 64);
        var events = 0;

        var refused = Assert.Throws<SseEventTooLargeException>(() =>
        {
            foreach (var piece in bytes.Chunk(step))
            {
                ReadOnlySpan<byte> rest = piece;
                while (scanner.TryRead(ref rest, out _))
                {
                    events++;
                }
            }
        });

        Assert.Equal(64, refused.LimitBytes);
        Assert.Equal(1, events);
    }

    [Theory]
    [InlineData("""{"choices":[{"text":"abc"}]}""", 3)]
    [InlineData("""{"choices":[{"delta":{"content":"\u00fc\n"}}]}""", 3)]
    [InlineData("""{"choices":[{"delta":{"content":"\ud83d"}}]}""", 3)] // cut in the middle of an emoji
    [InlineData("""{"choices":[{"delta":{"content":"\ud83d\u0041"}}]}""", 4)]
    [InlineData("""{"choices":[{"delta":{"content":"\ud83d\ude00"}}]}""", 4)]
    [InlineData("""{"choices":[{"delta":{"content":null,"refusal":"no"}}]}""", 2)]
    [InlineData("""{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}""", 2)]
    [InlineData("""{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{}"}}}]}""", 3)]
    [InlineData("""{"choices":{"delta":{"content":"not an array"}}}""", 0)]
    [InlineData("""{"content":"not in a delta","delta":{"content":"not in a choice"}}""", 0)]
    [InlineData("""{"choices":[{"logprobs":{"content":[{"token":"x","delta":{"content":"no"}}]}}]}""", 0)]
    [InlineData("""[{"choices":[{"text":"the answer is no array"}]}]""", 0)]
    [InlineData("""{"a":[[[[[[[[[[[[1]]]]]]]]]]]],"choices":[{"text":"deep before"}]}""", 11)]
    public void Text_is_counted_in_UTF8_bytes_where_the_model_speaks(string data, long textBytes) =>
        Assert.Equal(textBytes, Assert.Single(Scan(Encoding.UTF8.GetBytes($"data: {data}\n\n"), [])).AnswerFacts.TextBytes);

    [Theory]
    [InlineData("""{"usage":{"prompt_tokens":5,"total_tokens":5}}""", 5, 0)] // embeddings
    [InlineData("""{"usage":{"prompt_tokens":5,"completion_tokens":2},"usage":{"prompt_tokens":6,"completion_tokens":3}}""", 6, 3)]
    [InlineData("""{"usage":{"prompt_tokens_details":{"prompt_tokens":9},"prompt_tokens":5,"completion_tokens":1}}""", 5, 1)]
    [InlineData("""{"usage":null}""", null, null)]
    [InlineData("""{"usage":{"prompt_tokens":-1,"completion_tokens":1}}""", null, null)]
    [InlineData("""{"usage":{"prompt_tokens":99999999999,"completion_tokens":1}}""", null, null)]
    [InlineData("""{"usage":{"prompt_tokens":"5","completion_tokens":1}}""", null, null)]
    [InlineData("""{"usage":[{"prompt_tokens":5}]}""", null, null)]
    [InlineData("""{"x":{"usage":{"prompt_tokens":5}}}""", null, null)]
    public void Usage_is_read_from_its_place_only(string data, int? prompt, int? completion)
    {
        var facts = Assert.Single(Scan(Encoding.UTF8.GetBytes($"data: {data}\n\n"), [])).AnswerFacts;

        Assert.Equal(prompt is null ? null : new TokenUsage(prompt.Value, completion!.Value), facts.Usage);
    }

    [Theory]
    [InlineData("""{"error":{"message":"x"}}""", true)]
    [InlineData("""{"error":"x"}""", true)]
    [InlineData("""{"error":["x"]}""", true)]
    [InlineData("""{"error":null}""", false)]
    [InlineData("""{"choices":[{"error":"x"}]}""", false)]
    public void An_error_in_the_stream_is_seen(string data, bool isError) =>
        Assert.Equal(isError, Assert.Single(Scan(Encoding.UTF8.GetBytes($"data: {data}\n\n"), [])).AnswerFacts.IsError);

    /// <summary>A few events, most of them like the one before; not all of them well formed.</summary>
    private static byte[] RandomStream(Random random, ref int repeated)
    {
        string[] shells =
        [
            "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"*\"},\"finish_reason\":null}]}\n\n",
            "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"*\"},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"text\":\"*\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\r\n\r\n",
            "event: message\ndata: {\"choices\":[{\"delta\":{\"content\":\"*\",\"refusal\":\"*\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"reasoning\":\"*\"}}],\ndata: \"x\":1}\n\n",
            "data: {\"error\":\"*\",\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"*\"}}]}}]}\nid: 7\n\n",
            "data: \"*\"\n\n",
            ": *\n\n",
        ];
        string[] texts = [" word", "", "é", "\\n", "\\u00e9", "\\ud83d", "\\", "\"", "\",\"role\":\"x", "a\nb", "\n\n", "\r", "\t", "}", "\u007f", "data: ", new('x', 2_000)];
        var bytes = new List<byte>();
        var shell = 0;
        for (var i = random.Next(2, 12); i > 0; i--)
        {
            // Most events of a stream are alike.
            var same = random.Next(4) > 0;
            shell = same ? shell : random.Next(shells.Length);
            byte[] text = random.Next(20) == 0 ? [0xC3, 0x28, 0xFF] : Encoding.UTF8.GetBytes(random.Next(2) == 0 ? " plain" : texts[random.Next(texts.Length)]);
            foreach (var part in shells[shell])
            {
                if (part == '*') bytes.AddRange(text);
                else bytes.Add((byte)part);
            }

            repeated += same ? 1 : 0;
        }

        return bytes.ToArray();
    }

    private static List<Event> Scan(byte[] bytes, int[] cuts)
    {
        var scanner = new SseScanner();
        var events = new List<Event>();
        var start = 0;
        foreach (var cut in cuts.Append(bytes.Length))
        {
            ReadOnlySpan<byte> piece = bytes.AsSpan(start, cut - start);
            start = cut;
            while (scanner.TryRead(ref piece, out var e))
            {
                events.Add(Event.Of(e));
            }

            Assert.True(piece.IsEmpty);
        }

        if (scanner.TryEnd(out var last))
        {
            events.Add(Event.Of(last));
        }

        return events;
    }

    private sealed record Facts(string Data, bool IsDone, bool IsMalformed, AnswerFacts AnswerFacts);

    private sealed record Event(long Offset, string Raw, string Data, bool IsDone, bool IsMalformed, AnswerFacts AnswerFacts)
    {
        public static Event Of(SseEvent e) =>
            new(e.Offset, Encoding.UTF8.GetString(e.Raw), Encoding.UTF8.GetString(e.Data), e.IsDone, e.IsMalformed, e.Facts);
    }
}
