using System.IO.Pipelines;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>What a generation came to; filled before the end of its bytes can be read.</summary>
internal sealed class GenerationOutcome
{
    public TokenUsage? Usage { get; set; }

    public string? FinishReason { get; set; }

    /// <summary>Filled as the answer grows; empty for several answers.</summary>
    public List<CommittedToken> Tokens { get; } = [];
}

/// <summary>An answer that is being generated.</summary>
internal sealed class BuiltinResponse : EngineResponse
{
    private readonly CancellationTokenSource _cancellation;
    private readonly PipeReader _reader;
    private readonly Task _generation;
    private readonly GenerationOutcome _outcome;
    private int _isDisposed;

    /// <param name="contentType">Of the body.</param>
    /// <param name="reader">Where the body comes from.</param>
    /// <param name="generation">What fills it. Never fails: a failure goes through the pipe.</param>
    /// <param name="outcome">Filled by the generation.</param>
    /// <param name="cancellation">Stops the generation.</param>
    public BuiltinResponse(
        string contentType, PipeReader reader, Task generation, GenerationOutcome outcome, CancellationTokenSource cancellation)
    {
        (ContentType, _reader, _generation, _outcome, _cancellation) = (contentType, reader, generation, outcome, cancellation);
        Body = reader.AsStream();
    }

    public override int Status => 200;

    public override string ContentType { get; }

    public override Stream Body { get; }

    public override TokenUsage? Usage => _outcome.Usage;

    public override string? FinishReason => _outcome.FinishReason;

    public override IReadOnlyList<CommittedToken> Tokens => _outcome.Tokens;

    /// <summary>Stops the generation and waits until its slot is free.</summary>
    public override async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
        {
            return;
        }

        await _cancellation.CancelAsync().ConfigureAwait(false);
        await _reader.CompleteAsync().ConfigureAwait(false);
        await _generation.ConfigureAwait(false);
        _cancellation.Dispose();
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
