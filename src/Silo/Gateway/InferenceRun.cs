using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Unicode;
using Federation.Contracts.Accounts;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway.Rescue;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Models;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using Federation.Silo.Verification.Audits;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Gateway;

/// <summary>What is asked, by whom.</summary>
internal sealed record InferenceRequest(string JobId, JobKind Kind, RequestHead Head, ReadOnlyMemory<byte> Body, ApiCaller Caller, Admission Admission)
{
    /// <summary>What it is part of.</summary>
    public CallOrigin Origin { get; init; }

    /// <summary>Whose nodes may read it.</summary>
    public Privacy Privacy { get; init; }

    /// <summary>What it costs and what is held for it; <see langword="null"/> where nodes answer it for nothing.</summary>
    public Payment? Payment { get; init; }

    /// <summary>Which of the hub's nodes come first.</summary>
    public NodeSources Sources { get; init; } = NodeSources.Alike;

    /// <summary>Under what name it stands in the model's queue: an account's work in the background must not push back what the account itself waits for.</summary>
    public string QueueName => Origin is CallOrigin.Client ? Caller.AccountId : $"{Caller.AccountId} background";
}

/// <summary>
/// One request from its place in the queue to its last byte.
/// </summary>
/// <remarks>
/// 1. Wait in the model's pool for a node with a free slot.
/// 2. Send the lease to the node and wait for its first words.
/// 3. Nothing sent to the client yet and the node fails: another node, and the client notices nothing.
/// 4. Pass the answer on as it comes, in the engine's own bytes, and count it on the way.
/// 5. The node fails in the middle of a stream: another one goes on with what the client has, and the stream with it (ADR 21).
/// 6. Settle, while the client has its answer already: nobody pays for it, so only the node's pay waits for the disk (ADR 20). Where somebody does, before the client has the end (ADR 24).
/// </remarks>
internal sealed partial class InferenceRun(
    InferenceRequest request, AnswerSink sink, IGrainFactory grains, LeaseDispatcher dispatcher, Settlements settlements, Abandonments abandonments, AnswerBuffer audited, PieceRoom room, RequestTraces traces,
    GatewayOptions options, PoolOptions pool, TimeProvider time, ILogger logger) : IAnswerRun
{
    private readonly IModelPoolGrain _pool = grains.GetGrain<IModelPoolGrain>(request.Head.Model);
    private readonly long _startedAt = time.GetTimestamp();
    private readonly DateTimeOffset _queuedAt = time.GetUtcNow();
    private readonly RequestTrace _trace = traces.Begin(request);
    private readonly ImmutableArray<ulong> _prefixes = request.Kind is JobKind.Embedding || pool.MaxSticky == 0 ? [] : ConversationPrefix.Of(request.Body.Span, request.Caller.AccountId);
    // Connections, not nodes: one that was cut off with its silo and has dialled anew deserves another chance. Where an engine failed, it and not the others behind the same connection.
    private ImmutableArray<string> _failed = [];
    private InferenceRequest? _limited;
    private AnswerPart _part = AnswerPart.Whole(request);
    private int _attempt;
    private int _parts = 1;
    private RescueTerms? _terms;
    private long? _brokeAt;
    private bool _maySpeak = request.Head.Stream && options.WaitNotePeriod > TimeSpan.Zero;
    private bool _hasSpoken;
    private bool _begun;
    private bool _answered;
    private bool _settled;
    private Task _paid = Task.CompletedTask;

    private CancellationToken ClientGone => sink.Gone;

    /// <summary>What nodes are asked: for no more tokens than are held for.</summary>
    private InferenceRequest Asked => _limited ?? request;

    /// <inheritdoc/>
    public Task Settled { get; private set; } = Task.CompletedTask;

    /// <summary>Prompt and completion tokens of what was delivered, of all nodes that had a part in it, as far as it is settled.</summary>
    public long DeliveredTokens { get; private set; }

    /// <inheritdoc/>
    public long PaidMicrocredits { get; private set; }

    /// <inheritdoc/>
    public async Task ExecuteAsync()
    {
        // A node is paid for every token of its answer, so it is asked for no more of them than are held for. Engines that know one name of the limit know this one.
        if (request.Payment?.HeldLimit is { } limit && request.Kind is not JobKind.Embedding)
        {
            _limited = request with { Body = JsonSplice.With(request.Body, "max_tokens", limit) };
            _part = AnswerPart.Whole(_limited);
        }
        try
        {
            await TryAllAsync();
        }
        finally
        {
            _trace.Over(ClientGone.IsCancellationRequested && !_answered ? "cancelled" : _answered ? "completed" : _begun ? "failed" : "refused");
        }
    }

    private async Task TryAllAsync()
    {
        while (true)
        {
            _attempt++;
            var grant = await AcquireAsync();
            _trace.Tried(_attempt, grant, time.GetElapsedTime(_startedAt));
            if (ClientGone.IsCancellationRequested)
            {
                if (grant.Member is not null) await ReleaseAsync(grant.LeaseId, LeaseEnd.Finished);
                return;
            }
            if (grant.Status is not LeaseGrantStatus.Granted)
            {
                await GiveUpAsync(WhyNone(grant));
                return;
            }
            var end = AttemptEnd.Over(LeaseEnd.Finished);
            try
            {
                end = await TryAsync(grant, grant.Member!);
            }
            finally
            {
                await ReleaseAsync(grant.LeaseId, end.Lease, end.TokensPerSecond);
                _trace.Ended(end.Why.Length > 0 ? end.Why : "answered");
            }
            if (end.IsOver) return;
            if (end.Lease is not LeaseEnd.NoSlot) _failed = _failed.Add(end.Lease is LeaseEnd.EngineFailed ? grant.Member!.Id : grant.Member!.SessionId);
            LogTryElsewhere(request.JobId, grant.Member!.NodeId, end.Why);
            if (_failed.Length >= options.MaxNodes)
            {
                await GiveUpAsync(OpenAiError.NoAnswer());
                return;
            }
        }
    }

    /// <summary>No node is left to ask: the client hears why, in a stream that has begun as its last event.</summary>
    private ValueTask GiveUpAsync(OpenAiError error) => ClientGone.IsCancellationRequested ? ValueTask.CompletedTask : _begun ? sink.BreakOffAsync(OpenAiError.Interrupted("node")) : sink.RefuseAsync(error);

    // -------------------------------------------------------------------------------------------------------- 1. queue

    private async Task<LeaseGrant> AcquireAsync()
    {
        while (true)
        {
            var patience = _brokeAt is { } brokeAt ? options.RescuePatience - time.GetElapsedTime(brokeAt) : pool.Patience - time.GetElapsedTime(_startedAt);
            if (patience <= TimeSpan.Zero && _attempt > 1) return LeaseGrant.None(LeaseGrantStatus.TimedOut, TimeSpan.FromSeconds(1));
            var ask = new LeaseRequest(
                _part.JobId,
                _attempt,
                request.QueueName,
                request.Admission.Weight,
                _failed,
                patience > TimeSpan.Zero ? patience : TimeSpan.Zero,
                request.Kind)
            {
                Continues = _part.Continues,
                Digest = _part.Digest,
                Caller = request.Caller.AccountId,
                Privacy = request.Privacy,
                Sources = request.Sources,
                Prefixes = _prefixes,
            };
            try
            {
                return await AloudAsync(_pool.Acquire(ask, ClientGone), () => SayPlaceAsync(ask.LeaseId));
            }
            catch (OperationCanceledException) when (ClientGone.IsCancellationRequested)
            {
                // A grant may have been on its way to us.
                await ReleaseAsync(ask.LeaseId, LeaseEnd.Finished);
                return LeaseGrant.None(LeaseGrantStatus.TimedOut, TimeSpan.Zero);
            }
            catch (Exception exception) when (exception is OrleansException or TimeoutException && patience > TimeSpan.Zero)
            {
                // The silo with the pool is gone; a moment later the pool is on another one.
                LogPoolLost(request.JobId, exception);
                await Task.Delay(TimeSpan.FromMilliseconds(200), time, ClientGone).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Waits; the client of a stream is told what for, at first after a quiet while.</summary>
    private async Task<T> AloudAsync<T>(Task<T> work, Func<Task<string>> say)
    {
        while (!work.IsCompleted && _maySpeak)
        {
            using var enough = new CancellationTokenSource();
            var first = await Task.WhenAny(work, Task.Delay(_hasSpoken ? options.WaitNotePeriod : options.QuietWait, time, enough.Token));
            await enough.CancelAsync();
            if (first == work) break;
            _maySpeak = await sink.NoteAsync(await say());
            _hasSpoken = true;
        }
        return await work;
    }

    private async Task<string> SayPlaceAsync(string leaseId)
    {
        try
        {
            if (await _pool.Locate(leaseId) is { } place)
                return place.Eta is { } eta ? string.Create(CultureInfo.InvariantCulture, $"queued position={place.Position} eta={Math.Ceiling(eta.TotalSeconds)}s for={place.Hint}") : string.Create(CultureInfo.InvariantCulture, $"queued position={place.Position} for={place.Hint}");
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            // Whoever waits in the pool hears of it too, and asks again.
            LogPoolLost(request.JobId, exception);
        }
        return "queued";
    }

    private async Task ReleaseAsync(string leaseId, LeaseEnd end, double tokensPerSecond = 0)
    {
        try
        {
            await _pool.Release(leaseId, end, tokensPerSecond);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            // The pool died and its leases with it.
            LogPoolLost(request.JobId, exception);
        }
    }

    private OpenAiError WhyNone(LeaseGrant grant) => grant.Status switch
    {
        LeaseGrantStatus.TimedOut => OpenAiError.Busy($"No node was free for the model '{request.Head.Model}' in time. Try again.", grant.RetryAfter),
        LeaseGrantStatus.QueueFull => OpenAiError.Busy($"Too many requests wait for the model '{request.Head.Model}' already. Try again later.", grant.RetryAfter),
        LeaseGrantStatus.NoNode => OpenAiError.NoAnswer(),
        LeaseGrantStatus.NotAllowed when request.Privacy is not Privacy.Any => OpenAiError.NotPrivate(request.Head.Model, request.Privacy.Word()),
        LeaseGrantStatus.NotAllowed => OpenAiError.NoAnswer(),
        _ => throw new InvalidOperationException($"Status {grant.Status} gives no reason."),
    };

    // ------------------------------------------------------------------------------------------------------ 2. attempt

    private async Task<AttemptEnd> TryAsync(LeaseGrant grant, PoolMember member)
    {
        var assignment = new LeaseAssignment(
            grant.LeaseId, _part.JobId, request.Kind, request.Head.Model, member.Engine, _part.Body, request.Head.Stream, options.AnswerTimeout, _attempt);
        var dispatchedAt = time.GetUtcNow();
        var (status, lease) = await dispatcher.DispatchAsync(member, assignment);
        switch (status)
        {
            case AssignStatus.NoSlot:
                return AttemptEnd.Elsewhere(LeaseEnd.NoSlot, "it has no free slot");
            case AssignStatus.Gone:
                return AttemptEnd.Elsewhere(LeaseEnd.NodeLost, "its connection is gone");
            case AssignStatus.Sent:
                break;
            default:
                throw new InvalidOperationException($"Status {status} is not handled.");
        }
        await using (lease)
        {
            using var limit = new CancellationTokenSource(options.AnswerTimeout, time);
            using var leaving = ClientGone.UnsafeRegister(static limit => ((CancellationTokenSource)limit!).Cancel(), limit);
            var lot = 1.0;
            using var answer = new Answer(member, lease!, new AnswerMeter(_part.Body.Length), dispatchedAt, limit.Token)
            {
                // Whoever audits an answer reads the request: another's machine, be it a trusted one.
                MayBeAudited = request.Privacy is not Privacy.Own && audited.TryDraw(request.Kind, _part.Body.Length, out lot),
                AuditLot = lot,
                MayBeRescued = request.Head.Stream && options.MaxRescues > 0 && options.RescueBytes > 0,
            };
            if (answer.MayBeAudited || answer.MayBeRescued) answer.KeepIn(room.Of(request.Caller.AccountId));
            try
            {
                return await RelayAsync(answer);
            }
            catch (Exception exception) when (exception is OperationCanceledException or IOException && ClientGone.IsCancellationRequested)
            {
                answer.Lease.Cancel("client_gone");
                Settle(answer, JobStatus.Cancelled);
                LogClientGone(request.JobId, member.NodeId, answer.Meter.CompletionTokens);
                return AttemptEnd.Over(LeaseEnd.Finished) with { Why = "the client left" };
            }
            catch (Exception exception) when (exception is TimeoutException or OperationCanceledException)
            {
                answer.Lease.Cancel("deadline");
                // Silence in mid-answer is the node's. Before its first byte the hub's patience has ended, and a slow node may just be at work: whole answers, cold models and long prompts say nothing
                // until then. Whoever only holds a job is paid neither for it nor for standby meanwhile. An answer that is still coming when its time is up is only long.
                if (exception is TimeoutException && answer.FirstAt is not null) abandonments.Tell(member.NodeId, member.Model, request.JobId, "it fell silent");
                // Nor has another node any time left for it.
                if (limit.IsCancellationRequested) answer.MayBeRescued = false;
                return await BrokenAsync(answer, LeaseEnd.Finished, "it took too long");
            }
        }
    }

    private async Task<AttemptEnd> RelayAsync(Answer answer)
    {
        var first = await ReadFirstAsync(answer);
        switch (first)
        {
            case LeaseEvent.Refused refused:
                return AttemptEnd.Elsewhere(refused.Reason is LeaseRefusal.NoSlot ? LeaseEnd.NoSlot : LeaseEnd.Finished, $"it refused ({refused.Reason})");
            case LeaseEvent.Failed failed:
                return await GivenUpAsync(answer, failed);
            case LeaseEvent.Head { Status: >= 500 or 429 } head:
                return AttemptEnd.Elsewhere(LeaseEnd.EngineFailed, $"its engine answered {head.Status}");
            case LeaseEvent.Head head when !request.Head.Stream && IsEventStream(head):
                answer.Lease.Cancel("not asked for a stream");
                return AttemptEnd.Elsewhere(LeaseEnd.EngineFailed, "its engine streamed what was to come whole");
            case LeaseEvent.Head head when _begun && !IsEventStream(head):
                return AttemptEnd.Elsewhere(LeaseEnd.Finished, $"its engine answered {head.Status} and no stream when asked to go on with one");
            case LeaseEvent.Head head:
                return IsEventStream(head) ? await RelayEventsAsync(answer) : await RelayWholeAsync(answer, head);
            default:
                throw new InvalidOperationException($"A lease began with {first}.");
        }
    }

    // -------------------------------------------------------------------------------------------------------- 4. relay

    /// <summary>Passes a stream on, event by event; what is in the pipe already shares one flush. The end is held back until the node's own end is here: a client that has its end leaves, and that must cut nothing off.</summary>
    private async Task<AttemptEnd> RelayEventsAsync(Answer answer)
    {
        var scanner = new SseScanner(options.MaxEventBytes);
        while (true)
        {
            var next = await (answer.FirstAt is null ? ReadFirstAsync(answer) : ReadAsync(answer, options.SilenceTimeout));
            do
            {
                switch (next)
                {
                    case LeaseEvent.Chunk chunk:
                        try
                        {
                            Pass(answer, scanner, chunk);
                        }
                        catch (SseEventTooLargeException)
                        {
                            answer.Lease.Cancel("oversized event");
                            return await BrokenAsync(answer, LeaseEnd.EngineFailed, "its answer has an event beyond the limit");
                        }
                        break;
                    case LeaseEvent.Done done:
                        Begin(answer);
                        if (scanner.TryEnd(out var last))
                        {
                            // No blank line ended it, and after [DONE] nothing goes before what is held.
                            answer.Meter.AddFacts(last.Facts);
                            answer.Held.Write(_part.Stitch is { } stitch ? stitch.Stitch(last).Span : last.Raw);
                        }
                        Finish(answer, done);
                        Settle(answer, JobStatus.Succeeded, () => sink.KeepEnd(HeadOf(answer), answer.Held.WrittenMemory));
                        // The end waits for the disk where it is paid; the words before it need not.
                        if (!_paid.IsCompleted) await sink.FlushAsync();
                        await _paid;
                        _answered = true;
                        await sink.CompleteAsync(answer.Held.WrittenMemory);
                        return AttemptEnd.Over(LeaseEnd.Finished) with { TokensPerSecond = answer.TokensPerSecond };
                    case LeaseEvent.Failed failed:
                        return await GivenUpAsync(answer, failed);
                    default:
                        throw new InvalidOperationException($"A stream went on with {next}.");
                }
            }
            while (answer.Lease.TryRead(out next));
            await sink.FlushAsync();
        }
    }

    private void Pass(Answer answer, SseScanner scanner, LeaseEvent.Chunk chunk)
    {
        Mark(answer, chunk);
        var bytes = chunk.Data.Span;
        var inRuns = _part.Stitch is null && sink.TakesRuns;
        while (true)
        {
            // Once the end is held back nothing goes before it, and an answer begins with an event of its own.
            if (inRuns && answer.Held.WrittenCount == 0 && scanner.TryReadRun(ref bytes, out var run))
            {
                answer.Meter.AddRun(run);
                sink.WriteRun(run);
            }
            if (!scanner.TryRead(ref bytes, out var item)) break;
            answer.Meter.AddFacts(item.Facts);
            // After [DONE] clients hang up; whatever an engine still says goes with it.
            if (item.IsDone || answer.Held.WrittenCount > 0)
            {
                answer.Held.Write(item.Raw);
                continue;
            }
            Begin(answer);
            if (_part.Stitch is { } stitch) WriteStitched(stitch, item);
            else sink.Write(item);
        }
        answer.Lease.Taken(chunk, options.GrantAt);
    }

    /// <summary>Keeps an answer until it is whole, so that a node may fail to its last byte and the client notices nothing.</summary>
    private async Task<AttemptEnd> RelayWholeAsync(Answer answer, LeaseEvent.Head head)
    {
        var whole = new ArrayBufferWriter<byte>();
        var timeout = options.FirstByteTimeout;
        while (true)
        {
            switch (await ReadAsync(answer, timeout))
            {
                case LeaseEvent.Chunk chunk when whole.WrittenCount + chunk.Data.Length > options.MaxAnswerBytes:
                    answer.Lease.Cancel("oversized answer");
                    return await BrokenAsync(answer, LeaseEnd.EngineFailed, "its answer is beyond the limit");
                case LeaseEvent.Chunk chunk:
                    Mark(answer, chunk);
                    whole.Write(chunk.Data.Span);
                    answer.Lease.Taken(chunk, options.GrantAt);
                    timeout = options.SilenceTimeout;
                    break;
                case LeaseEvent.Done done:
                    return await AnswerWholeAsync(answer, head, done, whole.WrittenMemory);
                case LeaseEvent.Failed failed:
                    return await GivenUpAsync(answer, failed);
                case var other:
                    throw new InvalidOperationException($"An answer went on with {other}.");
            }
        }
    }

    private async Task<AttemptEnd> AnswerWholeAsync(Answer answer, LeaseEvent.Head head, LeaseEvent.Done done, ReadOnlyMemory<byte> whole)
    {
        var scanner = new AnswerScanner(options.MaxAnswerBytes);
        scanner.Feed(whole.Span);
        var isJson = scanner.End() && Utf8.IsValid(whole.Span);
        if (head.Status >= 300)
        {
            // The engine's own words about a bad request reach the client, if they are in the shape its SDK can read.
            await (isJson && scanner.Facts.IsError
                ? sink.WriteWholeAsync(HeadOf(answer), head.Status, "application/json", whole)
                : sink.RefuseAsync(OpenAiError.BadRequest($"The engine refused the request with status {head.Status}.")));
            return AttemptEnd.Over(LeaseEnd.Finished);
        }
        // A line that was closed in the middle looks like the end of an answer whose length nobody said.
        if (!isJson) return await BrokenAsync(answer, LeaseEnd.EngineFailed, "its answer is no JSON");
        answer.Meter.AddFacts(scanner.Facts);
        Finish(answer, done);
        var contentType = head.ContentType.Length > 0 ? head.ContentType : "application/json";
        Settle(answer, JobStatus.Succeeded, () => sink.KeepWhole(HeadOf(answer), head.Status, contentType, whole));
        await _paid;
        _answered = true;
        await sink.WriteWholeAsync(HeadOf(answer), head.Status, contentType, whole);
        return AttemptEnd.Over(LeaseEnd.Finished);
    }

    /// <summary>The node gave the lease up, in words of its own or by leaving.</summary>
    private Task<AttemptEnd> GivenUpAsync(Answer answer, LeaseEvent.Failed failed)
    {
        var why = Abandonments.Words(failed);
        if (Abandonments.IsOne(failed, time.GetUtcNow() - answer.DispatchedAt, options.AnswerTimeout)) abandonments.Tell(answer.Member.NodeId, answer.Member.Model, request.JobId, why);
        return BrokenAsync(answer, EndOf(failed), why);
    }

    // ------------------------------------------------------------------------------------------------------- 5. rescue

    /// <summary>
    /// The node fell out. As long as the client has seen nothing, another one begins anew; in the middle of a stream another one goes on, if the answer is such that one can; else the stream ends with an error event.
    /// </summary>
    private async Task<AttemptEnd> BrokenAsync(Answer answer, LeaseEnd end, string why)
    {
        if (!_begun) return AttemptEnd.Elsewhere(end, why);
        LogBroken(request.JobId, answer.Member.NodeId, why);
        var said = answer is { MayBeRescued: true, Pieces: { } pieces } ? SaidSoFar.Read(pieces.ToImmutable(), options.MaxEventBytes) : null;
        var rest = answer.Held.WrittenCount == 0 && said is not null ? RestBehind(answer, said) : null;
        var isAllSaid = rest is not null && (said!.FinishReason is not null || rest.CarriedTokens >= Terms.TokensMax);
        var goesOn = rest is not null && !isAllSaid;
        // The engine was done, and only the node's own last word is missing; or all was said but that it was all.
        var ending = answer.Held.WrittenCount > 0 ? answer.Held.WrittenMemory : isAllSaid ? EndOf(said!, rest!) : (ReadOnlyMemory<byte>?)null;
        // A node that had not said a word is not paid, as everywhere: where nothing is kept of what it said, or it was no text, the meter knows. Usage is no word.
        var isPaid = said is not { IsNothing: true } && (answer.Meter.TextBytes > 0 || ending is not null);
        Charge? share = null;
        if (goesOn && isPaid && request.Payment is { } payment) (share, goesOn) = await payment.DivideAsync(OwnPromptTokens(answer), answer.Meter.CompletionTokens);
        if (isPaid) Settle(answer, JobStatus.Failed, ending is { } kept ? () => sink.KeepEnd(HeadOf(answer), kept) : null, share);
        if (goesOn)
        {
            _parts++;
            _part = rest!;
            _settled = false;
            _brokeAt = time.GetTimestamp();
            return AttemptEnd.Elsewhere(end, why);
        }
        await _paid;
        if (ending is { } last)
        {
            _answered = true;
            await sink.CompleteAsync(last);
        }
        else
        {
            await sink.BreakOffAsync(OpenAiError.Interrupted("node"));
        }
        return AttemptEnd.Over(end) with { Why = why };
    }

    /// <summary>What is left of the answer, if another node may go on with it.</summary>
    private AnswerPart? RestBehind(Answer answer, SaidSoFar said)
        => _parts <= options.MaxRescues && (said.IsNothing || (said.IsPlain && Terms.MayGoOn)) ? _part.Rest(Asked, _parts + 1, said, answer.Meter.CompletionTokens, answer.Member.Model.Digest) : null;

    private RescueTerms Terms => _terms ??= RescueTerms.Of(request.Kind, Asked.Body);

    /// <summary>The end of a stream of which all was said.</summary>
    private ReadOnlyMemory<byte> EndOf(SaidSoFar said, AnswerPart rest)
        => (byte[])[.. (said.FinishReason is null ? AnswerStitch.Ending(rest.Head, request.Kind, "length") : default).Span, .. "data: [DONE]\n\n"u8];

    private void WriteStitched(AnswerStitch stitch, in SseEvent item)
    {
        var bytes = stitch.Stitch(item).Span;
        // Scanned again, since whoever takes it may read what it holds and not only its bytes.
        if (new SseScanner(options.MaxEventBytes).TryRead(ref bytes, out var stitched)) sink.Write(stitched);
    }

    // ------------------------------------------------------------------------------------------------------- 6. settle

    private void Finish(Answer answer, LeaseEvent.Done done)
    {
        answer.Meter.AddReport(done.PromptTokens, done.CompletionTokens, done.FinishReason);
        answer.LogprobCommitment = done.LogprobCommitment;
        if (!done.OutputHash.IsEmpty && !done.OutputHash.SequenceEqual(answer.Meter.Hash())) LogHashDiffers(request.JobId, answer.Member.NodeId);
    }

    /// <param name="answer">What came.</param>
    /// <param name="status">How it ended.</param>
    /// <param name="keep">The answer, where it goes on record with what it cost.</param>
    /// <param name="share">What it pays where another node goes on; <see langword="null"/> where it is the last to be paid for.</param>
    private void Settle(Answer answer, JobStatus status, Func<AnswerOnRecord?>? keep = null, Charge? share = null)
    {
        // A client may still leave between the settlement and the last byte.
        if (_settled || answer.FirstAt is not { } firstAt) return;
        _settled = true;
        var outcome = new JobOutcome(
            _part.JobId,
            _attempt,
            request.Caller.AccountId,
            request.Caller.KeyId,
            request.Kind,
            request.Head.Model,
            answer.Member.Model.Digest,
            answer.Member.Model.SizeBytes,
            answer.Member.NodeId,
            status,
            answer.Meter.FinishReason,
            answer.Meter.PromptTokens,
            answer.Meter.CompletionTokens,
            [.. SHA256.HashData(_part.Body.Span)],
            answer.Meter.Hash(),
            Ms(_queuedAt),
            Ms(answer.DispatchedAt),
            Ms(firstAt),
            Ms(answer.LastAt),
            DeterminismClass.ForKind(answer.Member.Model.DeterminismClass, request.Kind))
        {
            LogprobCommitment = answer.LogprobCommitment,
            RequestBytes = _part.Body.Length,
            TextBytes = answer.Meter.TextBytes,
            CarriedTokens = _part.CarriedTokens,
            IsBackground = request.Origin is not CallOrigin.Client,
        };
        if (request.Payment is { } payment)
        {
            var charge = share ?? payment.ChargeFor(OwnPromptTokens(answer), outcome.CompletionTokens);
            if (share is null) payment.HandOver();
            outcome = outcome with { Price = charge.Amount.Value, HoldId = charge.HoldId };
            PaidMicrocredits += outcome.Price;
        }
        // Whatever is paid may be audited: breaking off is no way out.
        if (outcome.PromptTokens + outcome.CompletionTokens > 0 && answer is { MayBeAudited: true, Pieces: { } pieces }) audited.Keep(new KeptAnswer(outcome, answer.Member.Engine, _part.Body, pieces.ToImmutable()), answer.AuditLot);
        _trace.Settled(outcome);
        DeliveredTokens += OwnPromptTokens(answer) + outcome.CompletionTokens;
        if (outcome.HoldId.Length == 0)
        {
            var settling = settlements.SettleAsync(outcome);
            Settled = Settled.IsCompleted ? settling : Task.WhenAll(Settled, settling);
            return;
        }
        var kept = settlements.KeepAsync(outcome with { Answer = keep?.Invoke() });
        (_paid, Settled) = (Task.WhenAll(_paid, kept), Task.WhenAll(Settled, kept.Unwrap()));
    }

    // --------------------------------------------------------------------------------------------------------- details

    /// <summary>The client's prompt. What was carried over from other nodes is part of what this one read, and was answered once.</summary>
    private long OwnPromptTokens(Answer answer) => Math.Max(0, answer.Meter.PromptTokens - _part.CarriedTokens);

    /// <summary>A model that is not in its node's memory may take a minute to get there, of which its client is told.</summary>
    private ValueTask<LeaseEvent> ReadFirstAsync(Answer answer)
    {
        var reading = ReadAsync(answer, options.FirstByteTimeout);
        if (answer.Member.Model.Loaded || reading.IsCompleted) return reading;
        return new ValueTask<LeaseEvent>(AloudAsync(reading.AsTask(), () => Task.FromResult(string.Create(
            CultureInfo.InvariantCulture, $"loading the model, for {Math.Floor((time.GetUtcNow() - answer.DispatchedAt).TotalSeconds)}s; bytes={answer.Member.Model.SizeBytes}"))));
    }

    private ValueTask<LeaseEvent> ReadAsync(Answer answer, TimeSpan timeout) => answer.Lease.ReadAsync(timeout, time, answer.Cancelled);

    private void Mark(Answer answer, LeaseEvent.Chunk chunk)
    {
        answer.Meter.AddBytes(chunk.Data.Span);
        if (answer.TryKeep(chunk))
        {
            answer.MayBeAudited = answer.MayBeAudited && audited.Fits(_part.Body.Length + answer.KeptBytes);
            answer.MayBeRescued = answer.MayBeRescued && answer.KeptBytes <= options.RescueBytes;
            if (!answer.MayBeAudited && !answer.MayBeRescued) answer.Forget();
        }
        answer.LastAt = time.GetUtcNow();
        answer.FirstAt ??= answer.LastAt;
    }

    private void Begin(Answer answer)
    {
        if (_begun) return;
        _begun = true;
        sink.Begin(HeadOf(answer));
    }

    private AnswerHead HeadOf(Answer answer) => new(answer.Member.NodeId, _attempt, answer.DispatchedAt - _queuedAt);

    private static bool IsEventStream(LeaseEvent.Head head) => head.Status == 200 && head.ContentType.StartsWith("text/event-stream", StringComparison.OrdinalIgnoreCase);

    private static LeaseEnd EndOf(LeaseEvent.Failed failed) => failed.Reason switch
    {
        LeaseFailure.NodeLost or LeaseFailure.ProtocolViolation or LeaseFailure.HubLost or LeaseFailure.HandedBack => LeaseEnd.NodeLost,
        LeaseFailure.EngineError or LeaseFailure.EngineUnreachable => LeaseEnd.EngineFailed,
        _ => LeaseEnd.Finished,
    };

    /// <summary>How one attempt ended.</summary>
    private readonly record struct AttemptEnd(bool IsOver, LeaseEnd Lease, string Why)
    {
        /// <summary>How fast the node was; 0 where too little came to tell.</summary>
        public double TokensPerSecond { get; init; }

        /// <summary>The client has its answer, or an error in its place.</summary>
        public static AttemptEnd Over(LeaseEnd lease) => new(true, lease, string.Empty);

        /// <summary>The client has seen nothing yet: another node may answer.</summary>
        public static AttemptEnd Elsewhere(LeaseEnd lease, string why) => new(false, lease, why);
    }

    private sealed class Answer(PoolMember member, LeaseStream lease, AnswerMeter meter, DateTimeOffset dispatchedAt, CancellationToken cancelled) : IDisposable
    {
        private PieceRoom.Share? _share;

        public PoolMember Member { get; } = member;

        public LeaseStream Lease { get; } = lease;

        public AnswerMeter Meter { get; } = meter;

        public DateTimeOffset DispatchedAt { get; } = dispatchedAt;

        /// <summary>The client left or the answer's time is up.</summary>
        public CancellationToken Cancelled { get; } = cancelled;

        /// <summary>What the node bound itself to at its end.</summary>
        public ImmutableArray<byte> LogprobCommitment { get; set; } = [];

        /// <summary>From the first token to the last, as the hub counts them; of a few tokens, or a moment, it says nothing.</summary>
        public double TokensPerSecond => FirstAt is { } first && (LastAt - first).TotalSeconds is >= 0.1 and var seconds && Meter.DeliveredTokens >= 16 ? (Meter.DeliveredTokens - 1) / seconds : 0;

        public DateTimeOffset? FirstAt { get; set; }

        public DateTimeOffset LastAt { get; set; }

        /// <summary>What came, for an audit or a rescue; <see langword="null"/> when there will be neither.</summary>
        public ImmutableArray<ReadOnlyMemory<byte>>.Builder? Pieces { get; private set; }

        public bool MayBeAudited { get; set; }

        /// <summary>As the buffer of what may be audited drew it.</summary>
        public double AuditLot { get; init; }

        public bool MayBeRescued { get; set; }

        /// <summary><c>[DONE]</c>, and what came behind it: kept back until the node's own end is here.</summary>
        public ArrayBufferWriter<byte> Held { get; } = new();

        /// <summary>What the pieces take of the room for them.</summary>
        public long KeptBytes { get; private set; }

        /// <summary>From here on pieces are kept, out of the share of the account whose answer it is.</summary>
        public void KeepIn(PieceRoom.Share share) => (_share, Pieces) = (share, ImmutableArray.CreateBuilder<ReadOnlyMemory<byte>>());

        /// <summary>Keeps a piece; without room none of the answer, which goes on all the same.</summary>
        public bool TryKeep(LeaseEvent.Chunk chunk)
        {
            if (Pieces is null) return false;
            var bytes = chunk.Data.Length + Nodes.Lease.ChunkOverheadBytes;
            if (!_share!.TryTake(bytes))
            {
                Forget();
                return false;
            }
            KeptBytes += bytes;
            Pieces.Add(chunk.Data);
            return true;
        }

        /// <summary>Nobody will audit the answer, nor go on with it.</summary>
        public void Forget()
        {
            _share?.Leave(KeptBytes);
            (MayBeAudited, MayBeRescued, Pieces, _share, KeptBytes) = (false, false, null, null, 0);
        }

        public void Dispose()
        {
            Forget();
            Meter.Dispose();
        }
    }

    [LoggerMessage(4000, LogLevel.Information, "Job {JobId}: node {NodeId} did not answer: {Why}; trying another")]
    private partial void LogTryElsewhere(string jobId, string nodeId, string why);

    [LoggerMessage(4001, LogLevel.Warning, "Job {JobId}: node {NodeId} broke off in mid-answer: {Why}")]
    private partial void LogBroken(string jobId, string nodeId, string why);

    [LoggerMessage(4002, LogLevel.Information, "Job {JobId}: the client left; node {NodeId} stops after {Tokens} tokens")]
    private partial void LogClientGone(string jobId, string nodeId, long tokens);

    [LoggerMessage(4003, LogLevel.Warning, "Job {JobId}: node {NodeId} says it sent other bytes than arrived; the hub's hash counts")]
    private partial void LogHashDiffers(string jobId, string nodeId);

    [LoggerMessage(4004, LogLevel.Information, "Job {JobId}: the model's pool did not answer; trying again")]
    private partial void LogPoolLost(string jobId, Exception exception);
}
