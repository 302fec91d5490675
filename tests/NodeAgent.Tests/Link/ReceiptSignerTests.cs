using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Link;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Protocol.V1;
using Google.Protobuf;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Tests.Link;

/// <summary>One signature for all that the node agrees with, and words for the rest.</summary>
public sealed class ReceiptSignerTests : IDisposable
{
    private static readonly HubId Hub = HubId.FromPublicKey(Hash("hub"));

    private readonly DirectoryInfo _home = Directory.CreateTempSubdirectory("receipts-");
    private readonly NodeKey _key;
    private readonly WorkLog _work = new(capacity: 1_000);
    private readonly ReceiptSigner _signer;
    private Receipt? _last;

    public ReceiptSignerTests()
    {
        _key = NodeKey.LoadOrCreate(Path.Combine(_home.FullName, "node.key"));
        _signer = new ReceiptSigner(_key, _work, NullLogger<ReceiptSigner>.Instance);
    }

    public void Dispose()
    {
        _key.Dispose();
        _home.Delete(recursive: true);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(75)]
    [InlineData(ReceiptBatch.CountMax)]
    public void What_is_right_is_signed_with_one_signature_in_the_order_in_which_it_was_offered(int count)
    {
        var payloads = Enumerable.Range(0, count).Select(_ => Worked()).ToArray();
        var answers = Answer(payloads);
        Assert.Empty(answers.Objections);
        Assert.Equal(payloads.Select(payload => SHA256.HashData(payload)), answers.Signed.Select(id => id.ToByteArray()));
        AssertSigned(payloads, answers);
    }

    [Fact]
    public void What_is_wrong_is_objected_to_and_the_rest_is_signed()
    {
        byte[] right = Worked(), unknown = ReceiptCodec.Encode(Next("a job of somebody else")), noise = new byte[100_000], alsoRight = Worked();
        var answers = Answer(right, unknown, noise, alsoRight);
        AssertSigned([right, alsoRight], answers);
        Assert.Equal([SHA256.HashData(unknown), SHA256.HashData(noise)], answers.Objections.Select(objection => objection.ReceiptId.ToByteArray()));
        Assert.Equal("this node does not remember the job", answers.Objections[0].Objection);
        Assert.All(answers.Objections, objection => Assert.InRange(objection.Objection.Length, 1, 200));
    }

    [Fact]
    public void Where_nothing_is_right_nothing_is_signed()
    {
        var answers = Answer([1], [2]);
        Assert.Empty(answers.Signed);
        Assert.Empty(answers.Signature);
        Assert.Equal(2, answers.Objections.Count);
    }

    [Fact]
    public void A_receipt_that_is_offered_twice_is_answered_once_a_message_and_agreed_to_again()
    {
        byte[] first = Worked(), second = Worked();
        AssertSigned([first, second], Answer(first, second, first));
        // With others, and when the job itself is forgotten.
        var later = Worked();
        AssertSigned([second, later, first], Answer(second, later, first));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(ReceiptBatch.CountMax + 1)]
    public void What_no_hub_offers_is_not_answered(int count)
    {
        var offers = new ReceiptOffers();
        for (var i = 0; i < count; i++) offers.Payloads.Add(ByteString.CopyFrom(Worked()));
        Assert.Null(_signer.Answer(offers, Hub));
    }

    [Fact]
    public void What_the_hub_issues_counts_once_and_only_if_the_node_signed_it()
    {
        byte[] signed = Worked(), disputed = ReceiptCodec.Encode(Next("a job of somebody else"));
        Answer(signed, disputed);
        _signer.Take(Issued((signed, 7), (signed, 7), (disputed, 100)));
        _signer.Take(Issued((signed, 7)));
        Assert.Equal(7, _signer.CreditedMicrocredits);
    }

    private ReceiptAnswers Answer(params byte[][] payloads)
    {
        var offers = new ReceiptOffers();
        offers.Payloads.AddRange(payloads.Select(payload => ByteString.CopyFrom(payload)));
        return _signer.Answer(offers, Hub)!;
    }

    private void AssertSigned(byte[][] payloads, ReceiptAnswers answers)
    {
        Assert.Equal(payloads.Length, answers.Signed.Count);
        var kept = ReceiptBatch.OfNode([.. answers.Signed.Select(id => ImmutableArray.Create(id.Span))]).Kept(answers.Signature.Span);
        for (var i = 0; i < payloads.Length; i++) Assert.True(ReceiptSignature.Read(kept[i]).IsByNode(_key.PublicKey.Span, payloads[i]));
    }

    /// <summary>A receipt of work that the node did, next in the chain.</summary>
    private byte[] Worked()
    {
        var receipt = Next($"job {_last?.Sequence}");
        _work.Add(new WorkRecord(receipt.JobId, 1, receipt.RequestHash, receipt.OutputHash, [], null, []));
        return ReceiptCodec.Encode(receipt);
    }

    private Receipt Next(string job) => _last = new Receipt
    {
        Epoch = 1,
        Sequence = (_last?.Sequence ?? 0) + 1,
        PreviousId = _last is null ? [.. new byte[32]] : ReceiptCodec.IdOf(ReceiptCodec.Encode(_last)),
        JobId = job,
        Attempt = 1,
        Node = NodeId.Parse(_key.NodeId),
        Hub = Hub,
        ClientHash = [.. new byte[32]],
        Model = "m",
        ModelDigest = "",
        RequestHash = [.. Hash("request")],
        OutputHash = [.. Hash("output")],
        PromptTokens = 5,
        CompletionTokens = 2,
        DispatchMs = 1,
        FirstMs = 2,
        LastMs = 3,
        HardwareClass = "cpu",
        ReferenceMicroseconds = 1,
    };

    private static ReceiptsIssued Issued(params (byte[] Payload, long Microcredits)[] receipts)
    {
        var issued = new ReceiptsIssued();
        issued.Receipts.AddRange(receipts.Select(receipt => new IssuedReceipt { ReceiptId = ByteString.CopyFrom(SHA256.HashData(receipt.Payload)), CreditedMicrocredits = receipt.Microcredits }));
        return issued;
    }

    private static byte[] Hash(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text));
}
