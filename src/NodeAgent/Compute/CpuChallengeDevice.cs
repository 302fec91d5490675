using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute;

/// <summary>The CPU, all of its cores, and main memory.</summary>
/// <param name="team">The threads; they remain the caller's.</param>
/// <param name="maxMemoryBytes">Memory that a challenge may take.</param>
/// <param name="way">Null: the fastest of this machine.</param>
internal sealed class CpuChallengeDevice(ComputeTeam team, long maxMemoryBytes, MatrixKernels.Way? way = null) : IChallengeDevice
{
    public string Name => "CPU";

    public string? WhyNot(ChallengeParameters parameters)
    {
        // Two factors of a byte an entry, or the buffer; and what is kept until the proof.
        var bytes = parameters.LeafBytes + (parameters.Kind == ChallengeKind.Matrix ? 2 * parameters.Size * parameters.Size : parameters.Size);
        return bytes > maxMemoryBytes ? $"It takes {bytes >> 20} MiB of memory; {maxMemoryBytes >> 20} MiB may be used." : null;
    }

    public IChallengeProver Open(ChallengeParameters parameters)
    {
        if (WhyNot(parameters) is { } reason) throw new ChallengeException(reason);
        return parameters.Kind == ChallengeKind.Matrix
            ? new CpuMatrixProver((int)parameters.Size, team, way ?? MatrixKernels.Best)
            : new CpuMemoryProver(parameters, team);
    }
}
