using Federation.Protocol.Identity;
using Federation.Silo.Verification;

namespace Federation.Silo.Tests.Verification;

public sealed class SignatureCheckTests
{
    private static readonly byte[] Data = "a receipt"u8.ToArray();

    [Fact]
    public void A_signature_that_is_not_the_keys_is_wrong_and_its_own_is_right()
    {
        using var key = SigningKey.Create();
        using var thief = SigningKey.Create();
        var (own, stolen) = (key.Sign(Data), thief.Sign(Data));
        Assert.Equal(SignatureFinding.Right, SignatureCheck.Of(() => PublicKeys.Verify(key.PublicKey.Span, Data, own)));
        Assert.Equal(SignatureFinding.Wrong, SignatureCheck.Of(() => PublicKeys.Verify(key.PublicKey.Span, Data, stolen)));
    }

    [Theory]
    // Of three checks (the signature, one that is right, the signature again) the first so many fail for want of memory.
    [InlineData(1, nameof(SignatureFinding.Right))]
    [InlineData(2, nameof(SignatureFinding.Right))]
    [InlineData(3, nameof(SignatureFinding.Unknown))]
    public void A_check_that_fails_for_a_moment_makes_a_forger_of_nobody(int failures, string finding)
    {
        var checks = 0;
        Assert.Equal(finding, SignatureCheck.Of(() => ++checks > failures, () => ++checks > failures).ToString());
    }
}
