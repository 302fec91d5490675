using System.Collections.Immutable;
using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Protocol.Verification;
using Grpc.Core;

namespace Federation.Silo.Nodes;

/// <summary>
/// What one node was asked to show and has not shown yet. Checks an answer's form and that it was asked for; whether it is what the node committed to is for the audit to say. Safe for use by
/// several threads.
/// </summary>
internal sealed class PendingReveals(NodeLinkOptions options, TimeProvider time)
{
    /// <summary>Longest leaf: a token and five others at its place.</summary>
    private const int ContentBytesMax = 16 * 1024;

    private const int HashBytes = 32;

    /// <summary>No tree of as many tokens as a commitment may cover is higher.</summary>
    private const int PathBytesMax = 20 * HashBytes;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Question> _questions = new(StringComparer.Ordinal);
    private string? _firstForgotten;

    /// <summary>Asks, and waits for the answer.</summary>
    /// <param name="leaseId">A lease that has ended.</param>
    /// <param name="positions">Numbers of tokens, ascending.</param>
    /// <param name="send">Queues the question; <see langword="false"/> when the connection takes no more.</param>
    /// <param name="ended">The connection is over. Whoever hangs up instead of answering has not answered.</param>
    public async Task<Reveal> AskAsync(string leaseId, ImmutableArray<int> positions, Func<HubMessage, bool> send, CancellationToken ended)
    {
        if (ended.IsCancellationRequested) return Reveal.None(RevealStatus.Gone);
        var question = new Question(positions);
        lock (_gate)
        {
            if (_questions.Count >= options.MaxReveals && !MakeRoom()) return Reveal.None(RevealStatus.Busy);
            if (!_questions.TryAdd(leaseId, question)) return Reveal.None(RevealStatus.Busy);
        }
        var request = new AuditRequest { LeaseId = leaseId };
        request.Positions.AddRange(positions.Select(position => (uint)position));
        if (!send(new HubMessage { AuditRequest = request })) return Reveal.None(RevealStatus.Gone);
        try
        {
            return await question.Answer.Task.WaitAsync(options.RevealTimeout, time, ended);
        }
        catch (Exception exception) when (exception is TimeoutException or OperationCanceledException)
        {
            // An answer that comes all the same was asked for, and changes nothing.
            question.Answer.TrySetResult(Reveal.None(RevealStatus.Silent));
            return await question.Answer.Task;
        }
    }

    /// <summary>Takes what the node shows.</summary>
    /// <returns>Why the connection must end; <see langword="null"/> when it need not.</returns>
    public SessionStatus? Take(AuditReveal reveal)
    {
        if (reveal.CalculateSize() > options.MaxRevealBytes) return new SessionStatus(StatusCode.ResourceExhausted, $"a reveal of {reveal.CalculateSize()} bytes; at most {options.MaxRevealBytes}");
        Question? question;
        lock (_gate)
        {
            if (_questions.Remove(reveal.LeaseId, out question) && reveal is { Count: 0, Tokens.Count: 0 }) _firstForgotten ??= reveal.LeaseId;
        }
        if (question is null) return new SessionStatus(StatusCode.PermissionDenied, $"a reveal of lease '{Printable.Of(reveal.LeaseId, 200)}', which nobody asked for");
        if (reveal.Count > LogprobCommitment.TokensMax) return Malformed($"{reveal.Count} tokens; at most {LogprobCommitment.TokensMax}");
        foreach (var token in reveal.Tokens)
        {
            if (question.Positions.BinarySearch((int)Math.Min(token.Position, int.MaxValue)) < 0) return Malformed($"token {token.Position} was not asked for");
            if (token.Content.Length is 0 or > ContentBytesMax) return Malformed($"token {token.Position} has {token.Content.Length} bytes");
            if (token.Path.Length % HashBytes != 0 || token.Path.Length > PathBytesMax) return Malformed($"the path of token {token.Position} has {token.Path.Length} bytes");
        }
        if (reveal.Tokens.Zip(reveal.Tokens.Skip(1)).Any(pair => pair.First.Position >= pair.Second.Position)) return Malformed("tokens twice or out of order");
        question.Answer.TrySetResult(new Reveal(
            RevealStatus.Shown, (int)reveal.Count, [.. reveal.Tokens.Select(token => new ShownToken((int)token.Position, [.. token.Content.Span], [.. token.Path.Span]))])
        {
            IsFirstForgotten = reveal.LeaseId == _firstForgotten,
        });
        return null;
    }

    private static SessionStatus Malformed(string what) => new(StatusCode.InvalidArgument, $"a malformed reveal: {what}");

    /// <summary>A question whose time is up waits on for a late answer, but not in the way of others.</summary>
    private bool MakeRoom() => _questions.FirstOrDefault(entry => entry.Value.Answer.Task.IsCompleted).Key is { } over && _questions.Remove(over);

    private sealed record Question(ImmutableArray<int> Positions)
    {
        public TaskCompletionSource<Reveal> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
