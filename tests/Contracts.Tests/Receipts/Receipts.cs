using System.Collections.Immutable;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;

namespace Federation.Contracts.Tests.Receipts;

/// <summary>A receipt, its bytes and its signatures, made by another program from the description.</summary>
internal static class Receipts
{
    public const string PayloadHex =
        "b40101021a000776280307045820a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a005686a6f625f3031393206010778236e645f666665656464"
        + "636362626161393938383737363635353434333332323131303008782368625f3030313132323333343435353636373738383939616162626363646465656666095820b0b0b0"
        + "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b00a696c6c616d61333a38620b6b7368613235363a616263640c5820c0c0c0c0c0c0c0c0c0c0c0c0c0c0"
        + "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c00d5820d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d00e0c0f190159101b00000199e004440011"
        + "1b00000199e00444fa121b00000199e004549a136d7274782d343039302d32346762141a0036ee80";

    public const string PayloadSha256 = "f5350585c897c82c4c14462ca040e173c8e519d63ac8825f98b63f6037036e83";

    /// <summary>By <see cref="Identity.TestKeys.Pkcs8"/>, which plays both parts here.</summary>
    public const string NodeSignatureHex =
        "d6d7866b98ff721234af5a35ddc3f646fa3e27f2ba887a315f1d5ceaa844eb307a76532a4754248cf748cff8f4af8f10a31c2174db80c4426564146b7503a3bb";

    public const string HubSignatureHex =
        "757f4b1eba1c04ef92150da7bcfdf28b9c45d1922e08e21bae7d178d50e30a3e5108797b8738280f347d07a5e0eed34eab813b3e775cb36cd635afa79bb49163";

    public static readonly Receipt Example = new()
    {
        Epoch = 489_000,
        Sequence = 7,
        PreviousId = Hash(0xa0),
        JobId = "job_0192",
        Attempt = 1,
        Node = NodeId.Parse("nd_ffeeddccbbaa99887766554433221100"),
        Hub = HubId.Parse("hb_00112233445566778899aabbccddeeff"),
        ClientHash = Hash(0xb0),
        Model = "llama3:8b",
        ModelDigest = "sha256:abcd",
        RequestHash = Hash(0xc0),
        OutputHash = Hash(0xd0),
        PromptTokens = 12,
        CompletionTokens = 345,
        DispatchMs = 1_760_400_000_000,
        FirstMs = 1_760_400_000_250,
        LastMs = 1_760_400_004_250,
        HardwareClass = "rtx-4090-24gb",
        ReferenceMicroseconds = 3_600_000,
    };

    public static ImmutableArray<byte> Hash(byte value) => [.. Enumerable.Repeat(value, 32)];
}
