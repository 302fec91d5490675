using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute;

/// <summary>A device that lets paying work go first: no round begins while there is some.</summary>
internal sealed class PoliteDevice(IChallengeDevice device, Func<bool> isWorking, TimeSpan rest) : IChallengeDevice
{
    public string Name => device.Name;

    public string? WhyNot(ChallengeParameters parameters) => device.WhyNot(parameters);

    public IChallengeProver Open(ChallengeParameters parameters) => new PoliteProver(device.Open(parameters), isWorking, rest);

    private sealed class PoliteProver(IChallengeProver prover, Func<bool> isWorking, TimeSpan rest) : IChallengeProver
    {
        public void Prepare(ulong key, CancellationToken cancellationToken)
        {
            WaitForLeisure(cancellationToken);
            prover.Prepare(key, cancellationToken);
        }

        public void Round(ulong key, ulong[] leaves, CancellationToken cancellationToken)
        {
            WaitForLeisure(cancellationToken);
            prover.Round(key, leaves, cancellationToken);
        }

        public void Dispose() => prover.Dispose();

        private void WaitForLeisure(CancellationToken cancellationToken)
        {
            while (isWorking() && !cancellationToken.WaitHandle.WaitOne(rest))
            {
                // Asked again after each rest; the challenge's deadline ends it.
            }
            cancellationToken.ThrowIfCancellationRequested();
        }
    }
}
