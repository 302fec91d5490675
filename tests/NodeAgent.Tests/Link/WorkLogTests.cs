using System.Security.Cryptography;
using System.Text;
using Federation.NodeAgent.Link;
using Federation.Protocol.Identity;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Receipts;

namespace Federation.NodeAgent.Tests.Link;

public sealed class WorkLogTests
{
    private static readonly WorkRecord Record = new(
        "job", 1, [.. Hash("request")], [.. Hash("one two")], [WorkRecord.Shorten(Hash("one")), WorkRecord.Shorten(Hash("one two"))], new TokenUsage(5, 2), [.. Hash("root")]);

    [Theory]
    [InlineData("one two", 2, null)]
    [InlineData("one", 1, null)]
    [InlineData("two", 1, "the output is another one")]
    [InlineData("one two", 3, "it counts more tokens than the engine did")]
    public void A_receipt_is_right_for_the_answer_and_for_its_beginning(string output, int tokens, string? objection)
    {
        var work = new WorkLog(capacity: 10);
        work.Add(Record);
        Assert.Equal(objection, work.WhyWrong(ReceiptOf("job", output, tokens)));
    }

    [Theory]
    [InlineData("root", null)]
    [InlineData("", null)]
    [InlineData("another", "its commitment is another one")]
    public void A_receipt_carries_the_nodes_own_commitment_or_none(string commitment, string? objection)
    {
        var work = new WorkLog(capacity: 10);
        work.Add(Record);
        Assert.Equal(objection, work.WhyWrong(ReceiptOf("job", "one two", 2) with { LogprobCommitment = commitment.Length > 0 ? [.. Hash(commitment)] : [] }));
    }

    [Fact]
    public void What_was_forgotten_is_objected_to()
    {
        var work = new WorkLog(capacity: 2);
        work.Add(Record);
        work.Add(Record with { JobId = "second" });
        work.Add(Record with { JobId = "third" });
        Assert.Equal("this node does not remember the job", work.WhyWrong(ReceiptOf("job", "one", 1)));
        Assert.Null(work.WhyWrong(ReceiptOf("third", "one", 1)));
    }

    private static byte[] Hash(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text));

    private static Receipt ReceiptOf(string jobId, string output, int tokens) => new()
    {
        Epoch = 1,
        Sequence = 1,
        PreviousId = [.. new byte[32]],
        JobId = jobId,
        Attempt = 1,
        Node = NodeId.FromPublicKey(Hash("node")),
        Hub = HubId.FromPublicKey(Hash("hub")),
        ClientHash = [.. new byte[32]],
        Model = "m",
        ModelDigest = "",
        RequestHash = [.. Hash("request")],
        OutputHash = [.. Hash(output)],
        PromptTokens = 5,
        CompletionTokens = tokens,
        DispatchMs = 1,
        FirstMs = 2,
        LastMs = 3,
        HardwareClass = "cpu",
        ReferenceMicroseconds = 1,
    };
}
