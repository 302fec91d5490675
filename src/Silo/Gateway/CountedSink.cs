using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Limits;

namespace Federation.Silo.Gateway;

/// <summary>Gives a request's place in its account's limits back just before its client has the end of the answer: whoever asks again at once finds it free.</summary>
internal sealed class CountedSink(AnswerSink client, Reservation reservation) : AnswerSink
{
    /// <summary>Whose answer it is.</summary>
    public IAnswerRun? Run { get; set; }

    public override CancellationToken Gone => client.Gone;

    public override void Tell(RateLimits limits) => client.Tell(limits);

    public override ValueTask<bool> NoteAsync(string words) => client.NoteAsync(words);

    public override void Begin(AnswerHead head) => client.Begin(head);

    public override void Write(in SseEvent item) => client.Write(item);

    public override ValueTask FlushAsync() => client.FlushAsync();

    public override ValueTask CompleteAsync(ReadOnlyMemory<byte> rest)
    {
        End();
        return client.CompleteAsync(rest);
    }

    public override ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        End();
        return client.WriteWholeAsync(head, status, contentType, body);
    }

    public override ValueTask RefuseAsync(OpenAiError error)
    {
        End();
        return client.RefuseAsync(error);
    }

    public override ValueTask BreakOffAsync(OpenAiError error)
    {
        End();
        return client.BreakOffAsync(error);
    }

    private void End() => reservation.End(Run?.DeliveredTokens ?? 0, Run?.PaidMicrocredits ?? 0, Run?.CloudTokens ?? 0);
}
