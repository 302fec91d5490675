namespace Grpc.Core;

/// <summary>What a caller may say about one call.</summary>
public readonly struct CallOptions
{
    /// <summary>Makes options; what is not given is unset.</summary>
    /// <param name="headers">Metadata sent before the first message.</param>
    /// <param name="deadline">When the call must have ended, UTC. Null means no limit.</param>
    /// <param name="cancellationToken">Cancels the call at any time.</param>
    /// <param name="writeOptions">How messages are written.</param>
#pragma warning disable CA1068 // The order of gRPC's own constructor.
    public CallOptions(
        Metadata? headers = null,
        DateTime? deadline = null,
        CancellationToken cancellationToken = default,
        WriteOptions? writeOptions = null)
#pragma warning restore CA1068
    {
        Headers = headers;
        Deadline = deadline;
        CancellationToken = cancellationToken;
        WriteOptions = writeOptions;
    }

    /// <summary>Metadata sent before the first message.</summary>
    public Metadata? Headers { get; private init; }

    /// <summary>When the call must have ended, UTC. Null means no limit.</summary>
    public DateTime? Deadline { get; private init; }

    /// <summary>Cancels the call at any time.</summary>
    public CancellationToken CancellationToken { get; private init; }

    /// <summary>How messages are written.</summary>
    public WriteOptions? WriteOptions { get; private init; }

    /// <summary>The same options with these headers.</summary>
    public CallOptions WithHeaders(Metadata headers) => this with { Headers = headers };

    /// <summary>The same options with this deadline, UTC.</summary>
    public CallOptions WithDeadline(DateTime deadline) => this with { Deadline = deadline };

    /// <summary>The same options with this token.</summary>
    public CallOptions WithCancellationToken(CancellationToken cancellationToken) => this with { CancellationToken = cancellationToken };

    /// <summary>The same options with these write options.</summary>
    public CallOptions WithWriteOptions(WriteOptions writeOptions) => this with { WriteOptions = writeOptions };
}

/// <summary>How a message is written.</summary>
[Flags]
public enum WriteFlags
{
    /// <summary>The message need not leave at once: it may wait for the next one without this flag, or for the end of the stream.</summary>
    BufferHint = 0x1,

    /// <summary>The message is not to be compressed.</summary>
    NoCompress = 0x2,
}

/// <summary>Options of a write.</summary>
public class WriteOptions(WriteFlags flags = default)
{
    /// <summary>No flags.</summary>
    public static readonly WriteOptions Default = new();

    /// <summary>How a message is written.</summary>
    public WriteFlags Flags { get; } = flags;
}
