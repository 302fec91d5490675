using System.Text;
using Federation.Silo.Telemetry;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Logging;

namespace Federation.Silo.Tests.Telemetry;

/// <summary>The hub's log on its console.</summary>
public sealed class GatheredConsoleTests
{
    [Fact]
    public void Each_entry_is_a_line_whatever_is_in_it()
    {
        using var console = new MemoryStream();
        using (var log = new GatheredConsole(console, new TestClock()))
        {
            log.CreateLogger("Link").LogWarning(7, "The hub is {How}", "gone\r\nfail:\u001b\u0000😀");
            log.CreateLogger("Link").LogError(new IOException("disk\nfull"), "It failed");
        }
        Assert.Equal(
            ["2026-11-20T12:00:00.000Z warn: Link[7] The hub is gone fail:  😀", "2026-11-20T12:00:00.000Z fail: Link[0] It failed System.IO.IOException: disk full"],
            Encoding.UTF8.GetString(console.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public void Nothing_of_many_threads_is_lost_or_mixed_and_many_lines_share_a_write()
    {
        const int threads = 4;
        const int lines = 5_000;
        using var console = new CountedWrites();
        using (var log = new GatheredConsole(console, TimeProvider.System))
        {
            Parallel.For(0, threads, thread =>
            {
                var logger = log.CreateLogger($"T{thread}");
                // Longer in all than may wait at once.
                for (var line = 0; line < lines; line++) logger.LogInformation("{Line} {Rest}", line, new string('x', 100));
            });
        }
        var written = Encoding.UTF8.GetString(console.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(threads * lines, written.Length);
        foreach (var thread in Enumerable.Range(0, threads))
        {
            Assert.Equal(Enumerable.Range(0, lines), written.Select(line => line.Split(' ')).Where(words => words[2] == $"T{thread}[0]").Select(words => int.Parse(words[3], System.Globalization.CultureInfo.InvariantCulture)));
        }
        Assert.InRange(console.Writes, 1, threads * lines / 20);
    }

    [Fact]
    public void A_console_that_takes_nothing_ends_nobody_and_what_it_missed_is_told_when_it_does()
    {
        using var console = new FullDisk();
        using (var log = new GatheredConsole(console, new TestClock()))
        {
            var logger = log.CreateLogger("Disk");
            logger.LogInformation("lost");
            Assert.True(console.Refused.Wait(TimeSpan.FromSeconds(30)));
            console.HasRoom = true;
            logger.LogInformation("kept");
        }
        var written = Encoding.UTF8.GetString(console.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.EndsWith($" {"2026-11-20T12:00:00.000Z info: Disk[0] lost\n".Length} characters of the log could not be written", written[0], StringComparison.Ordinal);
        Assert.Equal("2026-11-20T12:00:00.000Z info: Disk[0] kept", Assert.Single(written[1..]));
    }

    private sealed class FullDisk : MemoryStream
    {
        public ManualResetEventSlim Refused { get; } = new();

        public volatile bool HasRoom;

        public override void Write(ReadOnlySpan<byte> buffer) => Write(buffer.ToArray(), 0, buffer.Length);

        public override void Write(byte[] buffer, int offset, int count)
        {
            if (!HasRoom)
            {
                Refused.Set();
                throw new IOException("No space left on device");
            }
            base.Write(buffer, offset, count);
        }

        protected override void Dispose(bool disposing)
        {
            Refused.Dispose();
            base.Dispose(disposing);
        }
    }

    private sealed class CountedWrites : MemoryStream
    {
        public int Writes { get; private set; }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            Writes++;
            base.Write(buffer);
        }

        public override void Write(byte[] buffer, int offset, int count)
        {
            Writes++;
            base.Write(buffer, offset, count);
        }
    }
}
