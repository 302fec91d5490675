using System.Globalization;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway.Rescue;

/// <summary>
/// A stretch of an answer that one node gives: all of it, as a rule; else what was left when the node before fell out. Each has a job of its own, and so its own lease, record, receipt, pay and audit: what one node did
/// another cannot have done.
/// </summary>
/// <param name="JobId">The request's own for the first; later ones end in <c>~2</c>, <c>~3</c>….</param>
/// <param name="Body">What the node is asked.</param>
/// <param name="Said">What the client has of the answer from nodes before, in pieces.</param>
/// <param name="CarriedTokens">Of that, in the hub's own count.</param>
internal sealed record AnswerPart(string JobId, ReadOnlyMemory<byte> Body, IReadOnlyList<string> Said, long CarriedTokens)
{
    /// <summary>Makes its stream the rest of the client's; <see langword="null"/> while the client has seen nothing.</summary>
    public AnswerStitch? Stitch { get; private init; }

    /// <summary>The first one's chunks are called so.</summary>
    public StreamHead? Head { get; private init; }

    /// <summary>What the model is that began: another would go on as somebody else. Empty: nobody has begun, or it is not known.</summary>
    public string Digest { get; private init; } = string.Empty;

    /// <summary>The engine must be one that goes on with what others have said.</summary>
    public bool Continues => Said.Count > 0;

    /// <summary>The whole answer to a request.</summary>
    public static AnswerPart Whole(InferenceRequest request) => new(request.JobId, request.Body, [], 0);

    /// <summary>What is left of the answer when this part ends here.</summary>
    /// <param name="request">Whose answer.</param>
    /// <param name="number">2 for the second part.</param>
    /// <param name="said">What the client has of this part.</param>
    /// <param name="tokens">Of that.</param>
    /// <param name="digest">Of the model that said it.</param>
    public AnswerPart Rest(InferenceRequest request, int number, SaidSoFar said, long tokens, string digest)
    {
        // The names are those of the first part, whose bytes passed as they were.
        var head = Head ?? said.Head;
        if (said.IsNothing) return this with { Head = head, Stitch = new AnswerStitch(head, CarriedTokens) };
        string[] all = [.. Said, .. said.Pieces];
        var carried = CarriedTokens + tokens;
        return new AnswerPart(string.Create(CultureInfo.InvariantCulture, $"{request.JobId}~{number}"), Continuation.Ask(request.Body, all, carried), all, carried)
        {
            Head = head,
            Stitch = new AnswerStitch(head, carried),
            Digest = digest.Length > 0 ? digest : Digest,
        };
    }
}
