using Federation.Silo.Accounts.Limits;

namespace Federation.Silo.Gateway;

/// <summary>Gives a request's place in its account's limits back just before its client has the end of the answer: whoever asks again at once finds it free.</summary>
internal sealed class CountedSink(AnswerSink client, Reservation reservation) : ForwardingSink(client)
{
    /// <summary>Whose answer it is.</summary>
    public IAnswerRun? Run { get; set; }

    public override ValueTask CompleteAsync(ReadOnlyMemory<byte> rest)
    {
        End();
        return base.CompleteAsync(rest);
    }

    public override ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        End();
        return base.WriteWholeAsync(head, status, contentType, body);
    }

    public override ValueTask RefuseAsync(OpenAiError error)
    {
        End();
        return base.RefuseAsync(error);
    }

    public override ValueTask BreakOffAsync(OpenAiError error)
    {
        End();
        return base.BreakOffAsync(error);
    }

    private void End() => reservation.End(Run?.DeliveredTokens ?? 0, Run?.PaidMicrocredits ?? 0, Run?.CloudTokens ?? 0);
}
