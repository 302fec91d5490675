using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute.Cuda;

/// <summary>One NVIDIA GPU.</summary>
internal sealed class CudaChallengeDevice : IChallengeDevice
{
    private const string KernelResource = "Federation.NodeAgent.Compute.Cuda.challenges.ptx";

    /// <summary>The first that has dp4a.</summary>
    private static readonly (int Major, int Minor) MinCapability = (6, 1);

    private readonly CudaLibrary _cuda;
    private readonly int _device;
    private readonly (int Major, int Minor) _capability;
    private readonly long _maxMemoryBytes;

    private CudaChallengeDevice(CudaLibrary cuda, int device, long maxMemoryBytes)
    {
        (_cuda, _device) = (cuda, device);
        Name = cuda.Name(device) ?? $"GPU {device}";
        _capability = cuda.Capability(device) ?? default;
        _maxMemoryBytes = Math.Min(maxMemoryBytes, cuda.TotalMemory(device));
    }

    /// <inheritdoc />
    public string Name { get; }

    /// <summary>The GPUs of this machine, in the driver's order; none without a driver. Never throws.</summary>
    /// <param name="maxMemoryBytes">Memory of each that a challenge may take.</param>
    public static IReadOnlyList<CudaChallengeDevice> Find(long maxMemoryBytes = long.MaxValue) => Find(CudaLibrary.TryOpen(), maxMemoryBytes);

    internal static IReadOnlyList<CudaChallengeDevice> Find(CudaLibrary? cuda, long maxMemoryBytes) => cuda is null
        ? []
        : [.. Enumerable.Range(0, cuda.DeviceCount()).Select(cuda.Device).OfType<int>().Select(device => new CudaChallengeDevice(cuda, device, maxMemoryBytes))];

    /// <summary>The kernels, ending in a zero byte.</summary>
    internal static byte[] Kernels()
    {
        using Stream resource = typeof(CudaChallengeDevice).Assembly.GetManifestResourceStream(KernelResource)
            ?? throw new InvalidOperationException($"The program was built without {KernelResource}.");
        byte[] source = new byte[resource.Length + 1];
        resource.ReadExactly(source, 0, (int)resource.Length);
        return source;
    }

    /// <inheritdoc />
    public string? WhyNot(ChallengeParameters parameters)
    {
        if (_capability.CompareTo(MinCapability) < 0) return $"{Name} has compute capability {_capability.Major}.{_capability.Minor}; {MinCapability.Major}.{MinCapability.Minor} is needed.";
        if (parameters.Kind == ChallengeKind.Matrix && parameters.Size % CudaLaunch.Tile != 0) return $"On a GPU a matrix has a multiple of {CudaLaunch.Tile} rows, not {parameters.Size}.";
        long bytes = (parameters.LeavesPerRound * (long)sizeof(ulong)) + (parameters.Kind == ChallengeKind.Matrix ? 2 * parameters.Size * parameters.Size : parameters.Size);
        return bytes > _maxMemoryBytes ? $"It takes {bytes >> 20} MiB of {Name}'s memory; {_maxMemoryBytes >> 20} MiB may be used." : null;
    }

    /// <inheritdoc />
    public IChallengeProver Open(ChallengeParameters parameters)
    {
        if (WhyNot(parameters) is { } reason) throw new ChallengeException(reason);
        return parameters.Kind == ChallengeKind.Matrix
            ? new CudaMatrixProver(_cuda, _device, Kernels(), (int)parameters.Size)
            : new CudaMemoryProver(_cuda, _device, Kernels(), parameters);
    }
}
