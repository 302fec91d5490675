using Federation.NodeAgent.Compute.Cuda;
using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute;

/// <summary>What of this machine answers challenges.</summary>
internal interface IChallengeDevices
{
    /// <summary>The device for a challenge of this size. The threads remain the caller's.</summary>
    /// <exception cref="ChallengeException">None can take it; the message says why.</exception>
    IChallengeDevice For(ChallengeParameters parameters, ComputeTeam team);
}

/// <summary>The first GPU that can take the challenge, else the CPU with its main memory.</summary>
/// <param name="mainMemoryMax">Main memory that a challenge may take, bytes.</param>
/// <param name="gpuMemoryMax">Memory of a GPU that a challenge may take, bytes: the owner's limit.</param>
internal sealed class ChallengeDevices(long mainMemoryMax, long gpuMemoryMax) : IChallengeDevices
{
    // Looked for at the first challenge: the driver takes a while to load, and an agent is to be connected at once.
    private readonly Lazy<IReadOnlyList<CudaChallengeDevice>> _gpus = new(() => CudaChallengeDevice.Find(gpuMemoryMax));

    public IChallengeDevice For(ChallengeParameters parameters, ComputeTeam team)
    {
        // The hashes of all rounds are in main memory, whatever computes them.
        if (parameters.LeafBytes <= mainMemoryMax && _gpus.Value.FirstOrDefault(gpu => gpu.WhyNot(parameters) is null) is { } able) return able;
        var cpu = new CpuChallengeDevice(team, mainMemoryMax);
        return cpu.WhyNot(parameters) is { } reason ? throw new ChallengeException(reason) : cpu;
    }
}
