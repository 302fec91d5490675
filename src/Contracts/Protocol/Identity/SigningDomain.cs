using System.Text;

namespace Federation.Protocol.Identity;

/// <summary>What a signature or a hash is for: <c>cf1/</c>, a name and a zero byte, put before the bytes that are signed or hashed.</summary>
internal readonly struct SigningDomain
{
    public static readonly SigningDomain Enrolment = new("enrol");
    public static readonly SigningDomain Connection = new("connect");
    public static readonly SigningDomain Receipt = new("receipt");
    public static readonly SigningDomain IssuedReceipt = new("receipt-issued");
    public static readonly SigningDomain ReceiptBatch = new("receipt-batch");
    public static readonly SigningDomain IssuedReceiptBatch = new("receipt-batch-issued");
    public static readonly SigningDomain Epoch = new("epoch");

    public static readonly SigningDomain ChallengeSeed = new("challenge-seed");
    public static readonly SigningDomain ChallengeFixedSeed = new("challenge-fixed-seed");
    public static readonly SigningDomain ChallengeStart = new("challenge-start");
    public static readonly SigningDomain ChallengeCommit = new("challenge-commit");
    public static readonly SigningDomain ChallengeOpen = new("challenge-open");
    public static readonly SigningDomain ChallengeProof = new("challenge-proof");
    public static readonly SigningDomain ChallengeResult = new("challenge-result");

    private readonly byte[] _prefix;

    private SigningDomain(string name) => _prefix = Encoding.ASCII.GetBytes($"cf1/{name}\0");

    public byte[] Prefix(params ReadOnlySpan<byte> payload) => [.. _prefix, .. payload];
}
