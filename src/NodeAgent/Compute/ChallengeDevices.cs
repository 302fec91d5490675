using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute;

/// <summary>What of this machine answers challenges.</summary>
internal interface IChallengeDevices
{
    /// <summary>The device for a challenge of this size. The threads remain the caller's.</summary>
    /// <exception cref="ChallengeException">None can take it; the message says why.</exception>
    IChallengeDevice For(ChallengeParameters parameters, ComputeTeam team);
}

/// <summary>The CPU with its main memory.</summary>
/// <param name="maxMemoryBytes">Memory that a challenge may take.</param>
internal sealed class ChallengeDevices(long maxMemoryBytes) : IChallengeDevices
{
    public IChallengeDevice For(ChallengeParameters parameters, ComputeTeam team)
    {
        var cpu = new CpuChallengeDevice(team, maxMemoryBytes);
        return cpu.WhyNot(parameters) is { } reason ? throw new ChallengeException(reason) : cpu;
    }
}
