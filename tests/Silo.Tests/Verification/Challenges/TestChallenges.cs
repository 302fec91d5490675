using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;
using Federation.Silo.Verification.Challenges;

namespace Federation.Silo.Tests.Verification.Challenges;

/// <summary>A hub that issues small challenges.</summary>
internal sealed class TestChallenges : IDisposable
{
    private readonly SigningKey _key = SigningKey.Create();
    private long _slot;

    public TestChallenges(TimeProvider time, ChallengeOptions? options = null)
    {
        Options = options ?? new ChallengeOptions();
        Context = new ChallengeContext(
            HubId.FromPublicKey(_key.PublicKey.Span), bytes => _key.Sign(bytes), new byte[32], new UsedChallenges(1_000), Options, time);
    }

    public ChallengeOptions Options { get; }

    public ChallengeContext Context { get; }

    public ReadOnlyMemory<byte> PublicKey => _key.PublicKey;

    /// <summary>A plan that takes its class's reference 5 s.</summary>
    public static ChallengePlan Plan(ChallengeParameters parameters, int cells = 4) => new(parameters, Cpu, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(30), cells);

    public static Silo.Verification.HardwareClass Cpu => new() { Name = "cpu", MatrixTeraops = 0.3, GigabytesPerSecond = 40, GigamixesPerSecond = 1.5, MemoryGigabytes = 8 };

    public ChallengeSession Issue(TestNode node, ChallengePlan plan, TimeSpan roundTrip = default)
        => ChallengeSession.TryIssue(Context, plan, new ChallengeTarget(node.PublicKey, roundTrip), NextSeed(), Context.Time.GetTimestamp())!;

    public ChallengeSeed NextSeed()
    {
        _slot++;
        return new ChallengeSeed(new ChallengeId((UInt128)_slot), _slot, Epoch: 1, [.. Enumerable.Repeat((byte)_slot, 32)], [.. Enumerable.Repeat((byte)(_slot + 1), 32)]);
    }

    public void Dispose() => _key.Dispose();
}
