using Federation.NodeAgent.Cli;
using Federation.NodeAgent.Tests.Engines;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Tests.Cli;

public sealed class LineLoggerTests
{
    [Fact]
    public void An_event_is_one_line_with_time_level_category_and_id()
    {
        Assert.Equal(["2026-11-20T12:00:00.000Z warn: Link[7] The hub is gone"], Lines(logger => logger.LogWarning(7, "The hub is {How}", "gone")));
    }

    [Fact]
    public void What_others_say_begins_no_line_of_its_own_and_steers_no_terminal()
    {
        Assert.Equal(["2026-11-20T12:00:00.000Z info: Link[0] a  b [2J"], Lines(logger => logger.LogInformation("{Words}", "a\r\nb\u001b[2J")));
    }

    [Fact]
    public void An_exception_stands_on_its_event_s_line()
    {
        var line = Assert.Single(Lines(logger => logger.LogError(new IOException("disk\nfull"), "It failed")));
        Assert.EndsWith("fail: Link[0] It failed System.IO.IOException: disk full", line, StringComparison.Ordinal);
    }

    private static string[] Lines(Action<ILogger> write)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var provider = new LineLoggerProvider(output, new ManualTime());
        write(provider.CreateLogger("Link"));
        return output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
