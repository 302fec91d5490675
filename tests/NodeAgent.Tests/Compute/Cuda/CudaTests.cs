using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using Federation.NodeAgent.Compute;
using Federation.NodeAgent.Compute.Cuda;
using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Tests.Compute.Cuda;

/// <summary>The host's side of CUDA: what it asks of a driver, and what it does when there is none. The kernels themselves need a GPU, and an assembler at least.</summary>
public sealed partial class CudaTests
{
    private static readonly ChallengeParameters Matrix = ChallengeParameters.Matrix(1_024, 3);
    private static readonly ChallengeParameters Memory = ChallengeParameters.Memory(40_000L * ChallengeMemory.SegmentBytes, 3, 512);

    // -------------------------------------------------------------------------------------------------- without a driver

    [Fact]
    public void Without_a_driver_there_are_no_devices() => Assert.Empty(CudaChallengeDevice.Find(cuda: null, long.MaxValue));

    [Fact]
    public void Looking_for_a_driver_never_throws()
    {
        foreach (var device in CudaChallengeDevice.Find()) Assert.NotEmpty(device.Name); // on a machine that has one
    }

    [Fact]
    public void A_driver_that_lacks_any_function_is_none()
    {
        foreach (var missing in FakeDriver.Exports().Keys)
        {
            var exports = FakeDriver.Exports();
            exports.Remove(missing);
            Assert.Null(CudaLibrary.TryInitialize(name => exports.GetValueOrDefault(name)));
        }
    }

    [Fact]
    public void A_driver_that_does_not_start_is_none()
    {
        var exports = FakeDriver.Exports();
        FakeDriver.Failing = "Init";
        Assert.Null(CudaLibrary.TryInitialize(name => exports.GetValueOrDefault(name)));
    }

    // ----------------------------------------------------------------------------------------------------- with a driver

    [Fact]
    public void Devices_that_answer_are_found()
    {
        var device = Assert.Single(Devices());
        Assert.Equal("GPU of the test", device.Name);
        Assert.Null(device.WhyNot(Matrix));
        Assert.Null(device.WhyNot(Memory));
    }

    [Fact]
    public void What_a_device_cannot_do_it_says()
    {
        var device = Assert.Single(Devices());
        Assert.Contains("multiple of 128", device.WhyNot(ChallengeParameters.Matrix(192, 1)), StringComparison.Ordinal);
        Assert.Contains("8192 MiB may be used", device.WhyNot(ChallengeParameters.Memory(1L << 33, 1, 1)), StringComparison.Ordinal);
        Assert.Contains("1 MiB may be used", Assert.Single(Devices(maxMemoryBytes: 1 << 20)).WhyNot(Matrix), StringComparison.Ordinal);
        Assert.Throws<ChallengeException>(() => device.Open(ChallengeParameters.Matrix(192, 1)));
        Assert.Contains("6.1 is needed", Assert.Single(Devices(minor: 0)).WhyNot(Matrix), StringComparison.Ordinal);
    }

    [Fact]
    public void A_matrix_round_is_these_launches_in_this_order()
    {
        using (var prover = Assert.Single(Devices()).Open(Matrix))
        {
            var leaves = new ulong[1_024];
            prover.Prepare(7, CancellationToken.None);
            prover.Round(8, leaves, CancellationToken.None);
            Assert.All(leaves, leaf => Assert.Equal(42UL, leaf));
        }

        const string Factor = "1048576"; // addresses are the sizes that were asked for
        Assert.Equal(
            [
                $"load {CudaChallengeDevice.Kernels().Length - 1}",
                $"matrix_first 16x64x1 of 64x1x1: {Factor}, 7, 1024",
                "set 8192 to 0, 8192",
                $"matrix_second 256x1x1 of 64x1x1: {Factor}, 8, 1024",
                $"matrix_multiply 8x8x1 of 256x1x1: {Factor}, {Factor}, 8192, 1024",
                "read 8192, 8192",
            ],
            FakeDriver.Calls);
        Assert.Equal(0, FakeDriver.Held);
    }

    [Fact]
    public void A_memory_challenge_is_filled_in_parts_and_read_in_one()
    {
        using (var prover = Assert.Single(Devices()).Open(Memory))
        {
            prover.Prepare(ulong.MaxValue, CancellationToken.None);
            prover.Round(8, new ulong[40_000], CancellationToken.None);
        }

        const string Buffer = "2621440000";
        Assert.Equal(
            [
                $"memory_fill 256x1x1 of 64x1x1: {Buffer}, 18446744073709551615, 0, 16384, 512",
                $"memory_fill 256x1x1 of 64x1x1: {Buffer}, 18446744073709551615, 16384, 16384, 512",
                $"memory_fill 113x1x1 of 64x1x1: {Buffer}, 18446744073709551615, 32768, 7232, 512",
                $"memory_pass 40000x1x1 of 256x1x1: {Buffer}, 8, 320000",
                "read 320000, 320000",
            ],
            FakeDriver.Calls[1..]);
        Assert.Equal(0, FakeDriver.Held);
    }

    [Theory]
    [InlineData("Retain", "opening the device")]
    [InlineData("SetCurrent", "switching to the device")]
    [InlineData("Load", "line 7: no such thing")]
    [InlineData("GetFunction", "matrix_first")]
    [InlineData("Allocate", "taking 1 MiB of its memory")]
    [InlineData("Launch", "starting kernel matrix_first")]
    [InlineData("Synchronize", "computing")]
    public void A_failure_says_what_failed_and_leaves_nothing_behind(string failing, string said)
    {
        var device = Assert.Single(Devices());
        FakeDriver.Failing = failing;
        var exception = Assert.Throws<ChallengeException>(() =>
        {
            using var prover = device.Open(Matrix);
            prover.Prepare(7, CancellationToken.None);
        });
        Assert.Contains(said, exception.Message, StringComparison.Ordinal);
        Assert.Contains("CUDA_ERROR_OUT_OF_MEMORY", exception.Message, StringComparison.Ordinal);
        Assert.Equal(0, FakeDriver.Held);
    }

    [Fact]
    public void Cancellation_is_seen_between_launches()
    {
        using var prover = Assert.Single(Devices()).Open(Memory);
        var before = FakeDriver.Calls.Count;
        Assert.Throws<OperationCanceledException>(() => prover.Prepare(1, new CancellationToken(canceled: true)));
        Assert.Throws<OperationCanceledException>(() => prover.Round(1, new ulong[40_000], new CancellationToken(canceled: true)));
        Assert.Equal(before, FakeDriver.Calls.Count);
    }

    // ------------------------------------------------------------------------------------------------------- the kernels

    [Theory]
    [InlineData(128)]
    [InlineData(1_024)]
    [InlineData(16_384)]
    public void Every_part_of_a_matrix_has_its_thread(int size)
    {
        Assert.Equal((long)size * size, Threads(CudaLaunch.First(size)) * 16);
        Assert.Equal((long)size * size, Threads(CudaLaunch.Second(size)) * 64);
        Assert.Equal((long)size * size, Threads(CudaLaunch.Multiply(size)) * 64);
    }

    [Fact]
    public void The_kernels_that_are_launched_are_there_and_declare_what_they_are_given()
    {
        var source = Encoding.UTF8.GetString(CudaChallengeDevice.Kernels());
        Assert.EndsWith("\0", source, StringComparison.Ordinal);
        var entries = Entry().Matches(source).ToDictionary(match => match.Groups[1].Value, match => match.Groups[2].Value.Split(',').Length);
        Assert.Equal(
            new Dictionary<string, int> { ["matrix_first"] = 3, ["matrix_second"] = 3, ["matrix_multiply"] = 4, ["memory_fill"] = 5, ["memory_pass"] = 3 },
            entries);
    }

    [PtxasTheory]
    [InlineData("sm_61")]
    [InlineData("sm_75")]
    [InlineData("sm_86")]
    [InlineData("sm_90")]
    public async Task The_kernels_assemble(string architecture)
    {
        var directory = Directory.CreateTempSubdirectory("federation-ptx-");
        try
        {
            var path = Path.Combine(directory.FullName, "challenges.ptx");
            await File.WriteAllBytesAsync(path, CudaChallengeDevice.Kernels()[..^1]);
            using var process = Process.Start(new ProcessStartInfo("ptxas", ["-arch=" + architecture, "--warn-on-spills", path, "-o", path + ".cubin"]) { RedirectStandardError = true })!;
            var errors = await process.StandardError.ReadToEndAsync();
            await process.WaitForExitAsync();
            Assert.Equal((0, ""), (process.ExitCode, errors));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [GeneratedRegex(@"\.visible \.entry (\w+)\(([^)]*)\)")]
    private static partial Regex Entry();

    private static long Threads(CudaLaunch launch) => (long)launch.GridX * launch.GridY * launch.Block;

    private static IReadOnlyList<CudaChallengeDevice> Devices(long maxMemoryBytes = long.MaxValue, int minor = 1)
    {
        var exports = FakeDriver.Exports();
        FakeDriver.Minor = minor;
        return CudaChallengeDevice.Find(CudaLibrary.TryInitialize(name => exports.GetValueOrDefault(name)), maxMemoryBytes);
    }

    /// <summary>Runs where NVIDIA's assembler is on the path.</summary>
    private sealed class PtxasTheoryAttribute : TheoryAttribute
    {
        public PtxasTheoryAttribute()
        {
            var directories = Environment.GetEnvironmentVariable("PATH")?.Split(Path.PathSeparator) ?? [];
            if (!directories.Any(directory => File.Exists(Path.Combine(directory, OperatingSystem.IsWindows() ? "ptxas.exe" : "ptxas")))) Skip = "ptxas is not on the path.";
        }
    }
}
