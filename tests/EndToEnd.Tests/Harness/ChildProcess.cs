using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A process of ours, with all it wrote. It never outlives the test that started it.</summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    private const int Sigterm = 15;
    private const int Sigcont = 18;
    private const int Sigstop = 19;

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly Lock _gate = new();
    private readonly List<(Func<string, bool> Matches, TaskCompletionSource<string> Seen)> _watches = [];

    private ChildProcess(string name, Process process)
    {
        Name = name;
        _process = process;
        process.OutputDataReceived += (_, line) => Take(line.Data);
        process.ErrorDataReceived += (_, line) => Take(line.Data);
    }

    public string Name { get; }

    /// <summary>All lines of both outputs so far.</summary>
    public IReadOnlyList<string> Lines => [.. _lines];

    public bool HasExited => _process.HasExited;

    /// <summary>Starts a .NET assembly.</summary>
    public static ChildProcess StartDotnet(string name, string assembly, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        if (!File.Exists(assembly)) throw new FileNotFoundException($"{assembly} was not built.", assembly);
        return Start(name, Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet", [assembly, .. arguments], environment);
    }

    /// <summary>Starts a program.</summary>
    public static ChildProcess Start(
        string name, string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null, string? directory = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = directory ?? Path.GetTempPath(),
        };
        foreach (var (key, value) in environment ?? new Dictionary<string, string>()) start.Environment[key] = value;
        var child = new ChildProcess(name, new Process { StartInfo = start });
        child._process.Start();
        child._process.StandardInput.Close();
        child._process.BeginOutputReadLine();
        child._process.BeginErrorReadLine();
        return child;
    }

    /// <summary>The first line, past or future, for which this is so.</summary>
    public async Task<string> LineAsync(Func<string, bool> matches, string what)
    {
        var seen = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_lines.FirstOrDefault(matches) is { } past) return past;
            _watches.Add((matches, seen));
        }
        var exited = _process.WaitForExitAsync();
        if (await Task.WhenAny(seen.Task, exited).Soon($"{what} from {Name}:\n{Tail()}") == seen.Task || seen.Task.IsCompleted) return await seen.Task;
        throw new InvalidOperationException($"{Name} stopped with code {_process.ExitCode} before {what}:\n{Tail()}");
    }

    /// <summary>The most memory it had at once since <see cref="ForgetPeak"/>, bytes. Linux only.</summary>
    public long PeakBytes()
    {
        const string Name = "VmHWM:";
        var line = File.ReadLines($"/proc/{_process.Id}/status").Single(line => line.StartsWith(Name, StringComparison.Ordinal));
        return 1024 * long.Parse(line[Name.Length..].Replace("kB", string.Empty, StringComparison.Ordinal), CultureInfo.InvariantCulture);
    }

    /// <summary>From here on <see cref="PeakBytes"/> counts.</summary>
    public void ForgetPeak() => File.WriteAllText($"/proc/{_process.Id}/clear_refs", "5");

    /// <summary>The exit code, when it has stopped and all it wrote was read.</summary>
    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().Soon($"{Name} to stop:\n{Tail()}");
        return _process.ExitCode;
    }

    /// <summary>SIGTERM: please stop.</summary>
    public void Terminate()
    {
        if (!_process.HasExited) _ = kill(_process.Id, Sigterm);
    }

    /// <summary>SIGSTOP: it stands still, and its connections with it.</summary>
    public void Suspend() => Assert.Equal(0, kill(_process.Id, Sigstop));

    /// <summary>SIGCONT: it goes on.</summary>
    public void Resume() => Assert.Equal(0, kill(_process.Id, Sigcont));

    /// <summary>SIGKILL: gone at once, without a word.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await ExitAsync();
    }

    /// <summary>The end of what it wrote.</summary>
    public string Tail(int lines = 30) => string.Join('\n', _lines.TakeLast(lines));

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await ExitAsync();
        }
        _process.Dispose();
    }

    private void Take(string? line)
    {
        if (line is null) return;
        lock (_gate)
        {
            _lines.Enqueue(line);
            foreach (var (_, seen) in _watches.Where(watch => watch.Matches(line)).ToList()) seen.TrySetResult(line);
            _watches.RemoveAll(watch => watch.Seen.Task.IsCompleted);
        }
    }

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int kill(int process, int signal);
}
