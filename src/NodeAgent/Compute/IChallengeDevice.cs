using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute;

/// <summary>Something of this machine that can be challenged: its CPU, or one of its GPUs.</summary>
internal interface IChallengeDevice
{
    /// <summary>What people call it.</summary>
    string Name { get; }

    /// <summary>Why it cannot take a challenge of this size, in words; null: it can.</summary>
    string? WhyNot(ChallengeParameters parameters);

    /// <summary>Takes what the challenge needs of the device, until disposed.</summary>
    /// <exception cref="ChallengeException">It is not to be had.</exception>
    IChallengeProver Open(ChallengeParameters parameters);
}

/// <summary>One challenge's rounds on one device. Every device gives the same hashes, bit for bit.</summary>
internal interface IChallengeProver : IDisposable
{
    /// <summary>Makes what all rounds share: the first factor, or the buffer.</summary>
    /// <param name="key"><see cref="SeedChain.StreamKey"/> of <see cref="SeedChain.Fixed"/>.</param>
    /// <param name="cancellationToken">Stops it within a fraction of a second.</param>
    /// <exception cref="ChallengeException">The device failed.</exception>
    void Prepare(ulong key, CancellationToken cancellationToken);

    /// <summary>Computes one round.</summary>
    /// <param name="key"><see cref="SeedChain.StreamKey"/> of the round's seed.</param>
    /// <param name="leaves">Takes the hash of every row or segment.</param>
    /// <param name="cancellationToken">Stops it within a fraction of a second.</param>
    /// <exception cref="ChallengeException">The device failed.</exception>
    void Round(ulong key, ulong[] leaves, CancellationToken cancellationToken);
}

/// <summary>A challenge that this node does not, or cannot, answer. The message says why, in words for the hub and the owner.</summary>
internal sealed class ChallengeException(string message, Exception? cause = null) : Exception(message, cause);
