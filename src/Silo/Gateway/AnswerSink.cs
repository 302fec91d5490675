using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway;

/// <summary>What is known of an answer when it begins.</summary>
/// <param name="NodeId">Who answers; empty where it is no node.</param>
/// <param name="Attempts">Nodes that were asked, this one counted.</param>
/// <param name="Queued">How long the request waited for a node.</param>
internal sealed record AnswerHead(string NodeId, int Attempts, TimeSpan Queued)
{
    /// <summary>Which way the answer comes: <c>nodes</c>, or <c>cloud:</c> and the provider's name.</summary>
    public string Route { get; init; } = "nodes";
}

/// <summary>
/// Where the answer to an OpenAI request goes: to a client as it is, into another API's words, or into a job's record. Each request ends in exactly one of <see cref="CompleteAsync"/>,
/// <see cref="WriteWholeAsync"/>, <see cref="RefuseAsync"/> and <see cref="BreakOffAsync"/>, unless whoever asked has gone.
/// </summary>
/// <remarks>Used by one thread at a time.</remarks>
internal abstract class AnswerSink
{
    /// <summary>Whoever asked has gone: nobody wants the rest.</summary>
    public abstract CancellationToken Gone { get; }

    /// <summary>Where the caller stands with its limits, for the answer's headers. Called at most once and before all else; not where nothing is limited.</summary>
    public virtual void Tell(RateLimits limits)
    {
    }

    /// <summary>
    /// A word to a client that waits for its stream to begin, or to go on. The first one begins the stream, so that whoever answers, or why nobody does, is told in it and no longer in the head.
    /// </summary>
    /// <param name="words">One line, without a line break.</param>
    /// <returns><see langword="false"/> where there is no place for it: nobody need try again.</returns>
    /// <exception cref="OperationCanceledException">Whoever asked has gone.</exception>
    public virtual ValueTask<bool> NoteAsync(string words) => ValueTask.FromResult(false);

    /// <summary>What follows was answered before, to the same request. Called before the answer begins.</summary>
    /// <param name="jobId">Of the request that was answered.</param>
    public virtual void Repeat(string jobId)
    {
    }

    /// <summary>A stream begins. Called once, and from then on another node cannot begin anew.</summary>
    public abstract void Begin(AnswerHead head);

    /// <summary>One event of the stream, never its end; goes out with the next <see cref="FlushAsync"/>.</summary>
    /// <param name="item">In the engine's own bytes.</param>
    public abstract void Write(in SseEvent item);

    /// <summary>Whether events may come several at once: for whoever passes bytes on and looks at none.</summary>
    public virtual bool TakesRuns => false;

    /// <summary>As <see cref="Write"/>, of several events; only where <see cref="TakesRuns"/>.</summary>
    public virtual void WriteRun(in SseRun run) => throw new NotSupportedException($"{GetType().Name} takes one event after the other.");

    /// <summary>Sends what was written.</summary>
    /// <exception cref="OperationCanceledException">Whoever asked has gone.</exception>
    public abstract ValueTask FlushAsync();

    /// <summary>What is to be on record with the price of an answer, in one commit: asked before its end is given, where it is paid.</summary>
    /// <param name="head">Who answers.</param>
    /// <param name="rest">As <see cref="CompleteAsync"/> will be given it.</param>
    /// <returns><see langword="null"/> where nothing is kept.</returns>
    public virtual AnswerOnRecord? KeepEnd(AnswerHead head, ReadOnlyMemory<byte> rest) => null;

    /// <inheritdoc cref="KeepEnd"/>
    /// <param name="head">Who answers.</param>
    /// <param name="status">As <see cref="WriteWholeAsync"/> will be given it.</param>
    /// <param name="contentType">Likewise.</param>
    /// <param name="body">Likewise.</param>
    public virtual AnswerOnRecord? KeepWhole(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body) => null;

    /// <summary>The stream came to its end.</summary>
    /// <param name="rest"><c>[DONE]</c> and what an engine says after it, in its own bytes; empty where it just ended.</param>
    public abstract ValueTask CompleteAsync(ReadOnlyMemory<byte> rest);

    /// <summary>The whole of an answer that is no stream, or the engine's own words about a bad request.</summary>
    /// <param name="head">Who answers.</param>
    /// <param name="status">The engine's HTTP status.</param>
    /// <param name="contentType">The engine's.</param>
    /// <param name="body">The engine's bytes.</param>
    public abstract ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body);

    /// <summary>There is no answer. Nothing of one was sent.</summary>
    public abstract ValueTask RefuseAsync(OpenAiError error);

    /// <summary>There is no more of an answer that has begun.</summary>
    public abstract ValueTask BreakOffAsync(OpenAiError error);
}

/// <summary>An OpenAI client: it gets the engine's bytes untouched.</summary>
internal sealed class OpenAiSink(HttpContext http) : AnswerSink
{
    private readonly PipeWriter _body = http.Response.BodyWriter;
    private bool _begun;
    private bool _noted;

    // Kept, since the server takes a lock each time it is asked.
    public override CancellationToken Gone { get; } = http.RequestAborted;

    public override void Tell(RateLimits limits) => limits.WriteTo(http.Response);

    public override void Repeat(string jobId) => DescribeRepeat(http.Response, jobId);

    /// <summary>As a comment of the event stream, which the standard has clients pass over.</summary>
    public override async ValueTask<bool> NoteAsync(string words)
    {
        if (!_noted && !_begun)
        {
            http.Response.StatusCode = StatusCodes.Status200OK;
            BeginEventStream(http.Response);
        }
        _noted = true;
        _body.Write(Encoding.UTF8.GetBytes($": {words}\n\n"));
        await FlushAsync();
        return true;
    }

    public override void Begin(AnswerHead head)
    {
        _begun = true;
        if (_noted)
        {
            // The head is gone: what belongs there stands here.
            _body.Write(Encoding.UTF8.GetBytes($": {Words(head)}\n\n"));
            return;
        }
        Describe(http.Response, head);
        http.Response.StatusCode = StatusCodes.Status200OK;
        BeginEventStream(http.Response);
    }

    public override void Write(in SseEvent item) => _body.Write(item.Raw);

    public override bool TakesRuns => true;

    public override void WriteRun(in SseRun run) => _body.Write(run.Raw);

    public override async ValueTask FlushAsync()
    {
        var flushed = await _body.FlushAsync(Gone);
        if (flushed.IsCompleted) throw new OperationCanceledException(Gone);
    }

    public override ValueTask CompleteAsync(ReadOnlyMemory<byte> rest)
    {
        _body.Write(rest.Span);
        return FlushAsync();
    }

    public override async ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        if (_noted)
        {
            // JSON has line breaks only between its parts, where a space does as well.
            _body.Write([.. "data: "u8, .. body.ToArray().Select(static value => value is (byte)'\n' or (byte)'\r' ? (byte)' ' : value), .. "\n\n"u8]);
            await FlushAsync();
            return;
        }
        Describe(http.Response, head);
        http.Response.StatusCode = status;
        http.Response.ContentType = contentType;
        http.Response.ContentLength = body.Length;
        await _body.WriteAsync(body, Gone);
    }

    public override ValueTask RefuseAsync(OpenAiError error) => _noted ? BreakOffAsync(error) : new ValueTask(error.WriteAsync(http));

    public override ValueTask BreakOffAsync(OpenAiError error)
    {
        _body.Write([.. "data: "u8, .. error.ToJson(), .. "\n\n"u8]);
        return FlushAsync();
    }

    /// <summary>Sets the headers that say who answered.</summary>
    public static void Describe(HttpResponse response, AnswerHead head)
    {
        if (head.NodeId.Length > 0) response.Headers["x-federation-node"] = head.NodeId;
        response.Headers["x-federation-route"] = head.Route;
        response.Headers["x-federation-attempts"] = head.Attempts.ToString(CultureInfo.InvariantCulture);
        response.Headers["x-federation-queue-ms"] = ((long)head.Queued.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>What <see cref="Describe"/> sets, in one line: for where the head is gone.</summary>
    public static string Words(AnswerHead head) => string.Create(
        CultureInfo.InvariantCulture, $"x-federation-node={head.NodeId} x-federation-route={head.Route} x-federation-attempts={head.Attempts} x-federation-queue-ms={(long)head.Queued.TotalMilliseconds}");

    /// <summary>Sets the headers that say that an answer was given before.</summary>
    public static void DescribeRepeat(HttpResponse response, string jobId)
    {
        response.Headers["idempotent-replayed"] = "true";
        response.Headers["x-federation-replay-of"] = jobId;
    }

    /// <summary>Sets the headers of an event stream.</summary>
    public static void BeginEventStream(HttpResponse response)
    {
        response.ContentType = "text/event-stream; charset=utf-8";
        response.Headers.CacheControl = "no-cache";
        // Reverse proxies that buffer would turn the stream into one late answer.
        response.Headers["x-accel-buffering"] = "no";
    }
}
