using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;

namespace Federation.Silo.Nodes;

/// <summary>
/// When bytes came last over a connection, be it of a message that is not whole yet: a node behind a slow uplink takes seconds for one, and is there all the while. A feature of the connection.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class HeardBytes(TimeProvider time)
{
    /// <summary>
    /// Fewer bytes at once, what is left of those before counted, are no sign of life: an agent that hangs still has its HTTP/2 answer pings, with 17 bytes each and some 40 under TLS.
    /// </summary>
    public const int Least = 128;

    private long _at = time.GetTimestamp();

    /// <summary>Timestamp of the clock.</summary>
    public long At => Interlocked.Read(ref _at);

    /// <summary>Has a connection's bytes looked at from here on; nothing of them is changed.</summary>
    public static void Attach(ConnectionContext connection, TimeProvider time)
    {
        var heard = new HeardBytes(time);
        connection.Features.Set(heard);
        connection.Transport = new Ends(new Reader(connection.Transport.Input, heard), connection.Transport.Output);
    }

    private ReadResult Note(ReadResult read)
    {
        if (read.Buffer.Length >= Least) Interlocked.Exchange(ref _at, time.GetTimestamp());
        return read;
    }

    private sealed record Ends(PipeReader Input, PipeWriter Output) : IDuplexPipe;

    private sealed class Reader(PipeReader input, HeardBytes heard) : PipeReader
    {
        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
        {
            var reading = input.ReadAsync(cancellationToken);
            return reading.IsCompletedSuccessfully ? new ValueTask<ReadResult>(heard.Note(reading.Result)) : NoteAsync(reading);
        }

        public override bool TryRead(out ReadResult result)
        {
            if (!input.TryRead(out result)) return false;
            heard.Note(result);
            return true;
        }

        public override void AdvanceTo(SequencePosition consumed) => input.AdvanceTo(consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => input.AdvanceTo(consumed, examined);

        public override void CancelPendingRead() => input.CancelPendingRead();

        public override void Complete(Exception? exception = null) => input.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => input.CompleteAsync(exception);

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
        private async ValueTask<ReadResult> NoteAsync(ValueTask<ReadResult> reading) => heard.Note(await reading.ConfigureAwait(false));
    }
}
