using Federation.NodeAgent.Hardware.Commands;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class ProcessCommandRunnerTests
{
    [Fact]
    public async Task A_program_s_output_and_exit_code_are_returned()
    {
        if (OperatingSystem.IsWindows())
        {
            return; // no sh
        }

        CommandOutput? output = await Runner().RunAsync("sh", ["-c", "echo \"$1 $LC_ALL\"; echo oops >&2; exit 3", "sh", "a b; c"], default);

        Assert.Equal(new CommandOutput(3, "a b; c C\n", "oops\n"), output);
    }

    [Fact]
    public async Task A_program_that_is_not_there_is_no_answer() =>
        Assert.Null(await Runner().RunAsync("federation-no-such-program", [], default));

    [Fact]
    public async Task A_program_in_the_working_directory_is_not_run()
    {
        // Process.Start alone would find it here.
        string planted = Path.Combine(Environment.CurrentDirectory, "federation-planted" + (OperatingSystem.IsWindows() ? ".exe" : ""));
        File.WriteAllText(planted, "#!/bin/sh\necho planted\n");
        try
        {
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(planted, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            }

            Assert.Null(await Runner().RunAsync("federation-planted", [], default));
        }
        finally
        {
            File.Delete(planted);
        }
    }

    [Fact]
    public async Task Too_much_output_is_no_answer()
    {
        if (!OperatingSystem.IsWindows())
        {
            Assert.Null(await Runner(maxOutputBytes: 1000).RunAsync("sh", ["-c", "while :; do echo 0123456789; done"], default));
        }
    }

    [Fact]
    public async Task Of_too_many_errors_the_beginning_is_kept()
    {
        if (!OperatingSystem.IsWindows())
        {
            CommandOutput? output = await Runner().RunAsync("sh", ["-c", "i=0; while [ $i -lt 20000 ]; do echo 0123456789 >&2; i=$((i+1)); done; echo done"], default);
            Assert.Equal("done\n", output!.Text);
            Assert.Equal(8192, output.Errors.Length);
        }
    }

    [Fact]
    public async Task A_program_that_hangs_is_ended_and_no_answer()
    {
        if (!OperatingSystem.IsWindows())
        {
            Assert.Null(await Runner(TimeSpan.FromMilliseconds(50)).RunAsync("sh", ["-c", "sleep 600"], default));
        }
    }

    [Fact]
    public async Task A_cancelled_caller_hears_of_it()
    {
        if (!OperatingSystem.IsWindows())
        {
            using var cancellation = new CancellationTokenSource();
            Task<CommandOutput?> running = Runner().RunAsync("sh", ["-c", "sleep 600"], cancellation.Token);
            await cancellation.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        }
    }

    private static ProcessCommandRunner Runner(TimeSpan? timeout = null, int maxOutputBytes = 1 << 20) =>
        new(TimeProvider.System, timeout ?? TimeSpan.FromMinutes(1), maxOutputBytes);
}
