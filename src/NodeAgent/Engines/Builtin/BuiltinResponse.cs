using System.IO.Pipelines;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>What a generation came to; filled before the end of its bytes can be read.</summary>
internal sealed class GenerationOutcome
{
    public TokenUsage? Usage { get; set; }

    public string? FinishReason { get; set; }
}

/// <summary>An answer that is being generated.</summary>
internal sealed class BuiltinResponse : EngineResponse
{
    private readonly CancellationTokenSource cancellation;
    private readonly PipeReader reader;
    private readonly Task generation;
    private readonly GenerationOutcome outcome;
    private int isDisposed;

    /// <param name="contentType">Of the body.</param>
    /// <param name="reader">Where the body comes from.</param>
    /// <param name="generation">What fills it. Never fails: a failure goes through the pipe.</param>
    /// <param name="outcome">Filled by the generation.</param>
    /// <param name="cancellation">Stops the generation.</param>
    public BuiltinResponse(
        string contentType, PipeReader reader, Task generation, GenerationOutcome outcome, CancellationTokenSource cancellation)
    {
        (ContentType, this.reader, this.generation, this.outcome, this.cancellation) = (contentType, reader, generation, outcome, cancellation);
        Body = reader.AsStream();
    }

    public override int Status => 200;

    public override string ContentType { get; }

    public override Stream Body { get; }

    public override TokenUsage? Usage => outcome.Usage;

    public override string? FinishReason => outcome.FinishReason;

    /// <summary>Stops the generation and waits until its slot is free.</summary>
    public override async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref isDisposed, 1) != 0)
        {
            return;
        }

        await cancellation.CancelAsync().ConfigureAwait(false);
        await reader.CompleteAsync().ConfigureAwait(false);
        await generation.ConfigureAwait(false);
        cancellation.Dispose();
    }
}

/// <summary>An answer that is there as a whole: an error.</summary>
internal sealed class WholeResponse(int status, byte[] body) : EngineResponse
{
    public override int Status => status;

    public override string ContentType => "application/json";

    public override Stream Body { get; } = new MemoryStream(body, writable: false);

    public override TokenUsage? Usage => null;

    public override string? FinishReason => null;

    public override ValueTask DisposeAsync() => Body.DisposeAsync();
}
