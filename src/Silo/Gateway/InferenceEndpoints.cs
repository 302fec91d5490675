using System.Collections.Immutable;
using Federation.Contracts.Accounts;
using Federation.Contracts.Hubs;
using Federation.Contracts.Models;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Gateway.Rescue;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Hubs;
using Federation.Silo.Idempotency;
using Federation.Silo.Models;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using Federation.Silo.Telemetry;
using Federation.Silo.Verification.Audits;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway;

/// <summary>The three endpoints that make nodes work.</summary>
internal static class InferenceEndpoints
{
    public static void MapInference(this IEndpointRouteBuilder app)
    {
        var gate = app.ServiceProvider.GetRequiredService<InferenceGate>();
        foreach (var kind in JobKinds.ForClients)
        {
            // Not the overload for a RequestDelegate, which leaves an endpoint out of the API's description.
            app.MapPost(kind.Path(), (Delegate)((HttpContext http) => gate.HandleAsync(http, kind)))
                .RequireScope(Scopes.Inference)
                .WithName($"create_{kind.Word()}")
                .WithSummary("As OpenAI's endpoint of this name; a node's engine answers, in its own bytes.")
                .WithTags("inference");
        }
    }
}

/// <summary>What is asked, by whom, before anything was checked.</summary>
/// <param name="RequestId">Also the job's id.</param>
/// <param name="Kind">Which of OpenAI's endpoints the body is for.</param>
/// <param name="Body">OpenAI's JSON, as a client sent it or as another API's request was translated.</param>
/// <param name="Caller">Who asks.</param>
internal sealed record InferenceCall(string RequestId, JobKind Kind, ReadOnlyMemory<byte> Body, ApiCaller Caller)
{
    /// <summary>What the request is part of; a client that waits for its answer by default.</summary>
    public CallOrigin Origin { get; init; }

    /// <summary>What was demanded with it.</summary>
    public AnswerTerms Terms { get; init; } = AnswerTerms.None;

    /// <summary>The client's name for the request, under which it may send it again and have it answered once; <see langword="null"/> for none.</summary>
    public string? IdempotencyKey { get; init; }
}

/// <summary>What a request is part of: it sets its place beside others, and may set its price.</summary>
internal enum CallOrigin
{
    /// <summary>A client waits for the answer.</summary>
    Client = 0,

    /// <summary>An asynchronous job: it gives way to clients.</summary>
    Job,

    /// <summary>A line of a batch: it gives way to clients.</summary>
    Batch,
}

/// <summary>Everything that can be said of a request before a node is bothered.</summary>
internal sealed class InferenceGate(
    IGrainFactory grains,
    HubDirectoryView directory,
    HubDrain drain,
    LeaseDispatcher dispatcher,
    Clouds clouds,
    PriceList prices,
    Payments payments,
    Reservations reservations,
    Settlements settlements,
    Abandonments abandonments,
    AnswerBuffer audited,
    PieceRoom room,
    GivenAnswers given,
    RequestTraces traces,
    SourceOrders sources,
    IOptions<GatewayOptions> options,
    IOptions<PoolOptions> pool,
    IOptions<LimitOptions> limits,
    RequestLog requests,
    TimeProvider time,
    ILogger<InferenceRun> logger)
{
    /// <summary>Answers an OpenAI client.</summary>
    public async Task HandleAsync(HttpContext http, JobKind kind)
    {
        var sink = new OpenAiSink(http);
        if (await RequestBody.ReadAsync(http, options.Value.MaxBodyBytes) is not { } body) await sink.RefuseAsync(OpenAiError.BodyTooLarge(options.Value.MaxBodyBytes));
        else await RunAsync(http, kind, body, sink);
    }

    /// <summary>Answers what came over HTTP, with what its headers say of it.</summary>
    public Task RunAsync(HttpContext http, JobKind kind, ReadOnlyMemory<byte> body, AnswerSink sink)
    {
        if (AnswerTerms.TryRead(http.Request.Headers, out var terms) is { } unknown) return sink.RefuseAsync(unknown).AsTask();
        if (RepeatableRequest.TryReadKey(http.Request.Headers[RepeatableRequest.Header], out var key) is { } unreadable) return sink.RefuseAsync(unreadable).AsTask();
        return RunAsync(new InferenceCall(http.RequestId(), kind, body, http.Caller()) { Terms = terms, IdempotencyKey = key }, sink);
    }

    /// <summary>Answers a request from wherever it came, or says why not; never fails for what the request says.</summary>
    public async Task RunAsync(InferenceCall call, AnswerSink client)
    {
        var (sink, activity) = requests.Begin(call, client);
        using var span = activity;
        var entered = drain.TryEnter();
        var settled = Task.CompletedTask;
        try
        {
            if (entered is null)
            {
                await sink.RefuseAsync(OpenAiError.Busy("The hub is stopping. Try again.", TimeSpan.FromSeconds(1)));
                return;
            }
            var repeatable = RepeatableRequest.Of(call);
            // Whoever has an answer coming is given it whatever its limits, or its model, have come to since.
            if (repeatable is not null && await given.FindAsync(repeatable, sink.Gone) is { } answer) await Replay.WriteAsync(answer, repeatable, sink);
            else settled = await CheckAndRunAsync(call, repeatable, sink);
        }
        finally
        {
            if (entered is not null) _ = LeaveAsync(entered, settled);
            requests.OnEnded(call);
        }
    }

    /// <returns>Completes, and never fails, when what was answered is on record.</returns>
    private async Task<Task> CheckAndRunAsync(InferenceCall call, RepeatableRequest? repeatable, AnswerSink sink)
    {
        var (asked, error) = await CheckAsync(call, sink.Gone);
        if (asked is null)
        {
            await sink.RefuseAsync(error!);
            return Task.CompletedTask;
        }
        var head = asked.Head;
        var ask = new AdmissionRequest(call.RequestId, call.Caller.KeyId, call.Kind, head.Model, call.Body.Length / limits.Value.BytesPerToken, MaxTokensOf(head, call.Kind))
        {
            KeyLimits = call.Caller.Limits,
            Claim = repeatable?.Claim,
            IsBackground = call.Origin is not CallOrigin.Client,
        };
        var (admission, reservation) = await reservations.AdmitAsync(call.Caller.AccountId, ask, sink.Gone);
        if (RateLimits.Of(admission) is { } levels) sink.Tell(levels);
        if (admission.Refusal is { } refusal)
        {
            await sink.RefuseAsync(LimitErrors.Of(refusal, head.Model, call.Kind));
            return Task.CompletedTask;
        }
        // Where nothing is counted, nothing stands between the run and its client.
        var counted = reservation.IsOver ? null : new CountedSink(sink, reservation);
        var request = new InferenceRequest(call.RequestId, call.Kind, head, call.Body, call.Caller, InTurn(admission, call.Origin)) { Origin = call.Origin, Privacy = call.Terms.Privacy, Sources = asked.Sources };
        try
        {
            var client = repeatable is null ? counted ?? sink : await OnceAsync(call.RequestId, repeatable, counted ?? sink);
            return client is null ? Task.CompletedTask : await RunAsync(request, asked, asked.Tokens is { } tokens ? payments.Begin(call, tokens) : null, client, reservation, counted);
        }
        finally
        {
            reservation.End(0, 0, 0);
        }
    }

    /// <summary>Makes what was admitted the only answer of its name: what others of that name left is on record now, and what this one leaves is before the next one is admitted.</summary>
    /// <returns>Where the answer goes, to be kept on its way; <see langword="null"/> when the client has one already.</returns>
    private async Task<AnswerSink?> OnceAsync(string jobId, RepeatableRequest repeatable, AnswerSink client)
    {
        if (await given.FindAsync(repeatable, client.Gone) is { } answer)
        {
            await Replay.WriteAsync(answer, repeatable, client);
            return null;
        }
        if (await given.RoomAsync(repeatable.AccountId, client.Gone) is { } room) return new KeepingSink(client, repeatable, jobId, given, room);
        await client.RefuseAsync(new OpenAiError(429, "requests", "too_many_idempotency_keys", "Too many Idempotency-Keys of this account are remembered. Use fewer, or wait until some have expired."));
        return null;
    }

    /// <summary>A hub that stops waits for what is not on record yet.</summary>
    private static async Task LeaveAsync(IDisposable entered, Task settled)
    {
        await settled;
        entered.Dispose();
    }

    /// <summary>Runs what was admitted.</summary>
    /// <returns>Completes, and never fails, when what was answered is on record.</returns>
    private async Task<Task> RunAsync(InferenceRequest request, Asked asked, Payment? payment, AnswerSink client, Reservation reservation, CountedSink? counted)
    {
        var overflow = asked.Model is not null && !asked.Routes.IsEmpty ? new OverflowSink(client) : null;
        var isPriced = asked.Model is not null && !asked.NodePrice.IsFree;
        if (isPriced) request = request with { Payment = payment };
        IAnswerRun run = asked.Model is null ? ToCloud(null)
            : new InferenceRun(request, overflow ?? client, grains, dispatcher, settlements, abandonments, audited, room, traces, options.Value, pool.Value, time, logger);
        try
        {
            if (counted is not null) counted.Run = run;
            if (isPriced && await HoldAsync(request, payment!, asked.NodePrice, reservation) is { } unpaid)
            {
                await client.RefuseAsync(unpaid);
                return Task.CompletedTask;
            }
            await run.ExecuteAsync();
            if (overflow?.Unanswered is not { } unanswered) return run.Settled;
            traces.Find(request.JobId)?.Over(RequestTrace.ToClouds);
            run = ToCloud(unanswered);
            if (counted is not null) counted.Run = run;
            await run.ExecuteAsync();
            return run.Settled;
        }
        finally
        {
            reservation.End(run.DeliveredTokens, run.PaidMicrocredits, run.CloudTokens);
            // Of what was not settled nothing was delivered.
            if (payment is not null) await payment.ReleaseAsync();
        }

        IAnswerRun ToCloud(OpenAiError? otherwise) => clouds.Run(request, asked.Routes, payment!, client, reservation, otherwise);
    }

    /// <summary>Holds what nodes cost. What the account can pay its key may still not be allowed to.</summary>
    private static async Task<OpenAiError?> HoldAsync(InferenceRequest request, Payment payment, Price price, Reservation reservation)
        // Not given up when the client leaves: the run sees that, and what is held is freed.
        => await payment.HoldAsync(price, LedgerAccountId.Treasury, CancellationToken.None)
            ?? (await reservation.ReserveAsync(payment.HeldMicrocredits, 0) is { } refusal ? LimitErrors.Of(refusal, request.Head.Model, request.Kind) : null);

    /// <summary>Nobody waits for work in the background, so it takes what those leave who do.</summary>
    private Admission InTurn(Admission admission, CallOrigin origin) => origin is CallOrigin.Client ? admission : admission with { Weight = admission.Weight * pool.Value.BackgroundWeight };

    /// <summary>What can be known of a request without asking anybody about its caller.</summary>
    /// <returns>What is asked of whom, or what speaks against it.</returns>
    private async ValueTask<(Asked? Asked, OpenAiError? Error)> CheckAsync(InferenceCall call, CancellationToken cancellationToken)
    {
        if (settlements.IsFull) return (null, OpenAiError.Busy("The hub cannot record work now. Try again.", TimeSpan.FromSeconds(5)));
        if (!RequestHead.TryRead(call.Body.Span, call.Kind, out var head, out var error)) return (null, error);
        // A verifier that does not know the field would judge the rest of the answer as if it were all of it.
        if (head.GoesOn) return (null, OpenAiError.BadRequest($"'{Continuation.Field}' is between a hub and its nodes.", Continuation.Field, "unsupported_parameter"));
        var routes = clouds.Find(head.Model, call.Kind);
        // A model that a cloud has need not be looked for once more among nodes that have just come.
        var model = await directory.FindModelAsync(head.Model, cancellationToken, insist: routes.IsEmpty);
        if (model is { Capabilities.Length: > 0 } && !model.Capabilities.Contains(call.Kind.Word()))
        {
            if (routes.IsEmpty) return (null, OpenAiError.BadRequest($"The model '{head.Model}' does not support {call.Kind.Path()}; it supports: {UnmetNeeds.Words(model.Capabilities)}.", "model", "unsupported_model"));
            model = null;
        }
        if (model is not null && UnmetNeeds.Find(head, model.Capabilities) is { } unmet)
        {
            if (routes.IsEmpty) return (null, unmet);
            model = null;
        }
        if (model is null && routes.IsEmpty) return (null, clouds.Find(head.Model, null).IsEmpty ? OpenAiError.UnknownModel(head.Model) : OpenAiError.BadRequest($"The model '{head.Model}' does not support {call.Kind.Path()}.", "model", "unsupported_model"));
        // From here on the model goes by the name its nodes know it by.
        var name = model?.Name ?? head.Model;
        if (!call.Caller.MayUse(name)) return (null, LimitErrors.ModelNotAllowed($"The API key does not have access to model `{head.Model}`."));
        if (model is not null && !clouds.Overflow) routes = [];
        var order = sources.For(name);
        // No cloud is anybody's own, nor has the hub checked any.
        if (order.Cloud < 0 || call.Terms.Privacy is not Privacy.Any) routes = [];
        if (!order.HasNodes || (order.IsCloudFirst && !routes.IsEmpty)) model = null;
        if (model is null && routes.IsEmpty) return (null, call.Terms.Privacy is Privacy.Any ? OpenAiError.UnknownModel(head.Model) : OpenAiError.NotPrivate(head.Model, call.Terms.Privacy.Word()));
        if (model is not null && !options.Value.NodesFetchMedia && RemoteMedia.IsNamedIn(call.Body.Span))
        {
            if (routes.IsEmpty) return (null, OpenAiError.BadRequest("Nodes fetch nothing that a request only names by its address. Send pictures, sounds and films with the request, as data: URLs.", "messages", "remote_media_not_supported"));
            model = null;
        }
        var price = model is null ? Price.Free : prices.OnNodes(name);
        RequestTokens? tokens = null;
        if (!(routes.IsEmpty && price.IsFree) && !RequestTokens.TryRead(call.Body.Span, call.Kind, out tokens, out error))
        {
            // What cannot be priced may still be to a node's taste.
            if (model is null || !price.IsFree) return (null, error);
            routes = [];
        }
        return (new Asked(head with { Model = name }, model, order.Nodes, price, routes, tokens), null);
    }

    /// <summary>What is asked, and of whom it can be.</summary>
    /// <param name="Head">With the name that its nodes know the model by.</param>
    /// <param name="Model">That nodes have; <see langword="null"/> where clouds alone do.</param>
    /// <param name="Sources">Which of the nodes, in which order.</param>
    /// <param name="NodePrice">What it costs there.</param>
    /// <param name="Routes">Clouds that are asked, where there is no node or none can answer.</param>
    /// <param name="Tokens">What it may come to; set where it may cost something.</param>
    private sealed record Asked(RequestHead Head, KnownModel? Model, NodeSources Sources, Price NodePrice, ImmutableArray<CloudRoute> Routes, RequestTokens? Tokens);

    /// <summary>The most tokens an answer may have by the client's own words; vectors have none.</summary>
    private static long? MaxTokensOf(RequestHead head, JobKind kind) => kind is JobKind.Embedding ? 0 : (long)Int128.Min((Int128)(head.MaxTokens ?? 0) * head.Answers, TierOptions.LimitMax) is > 0 and var tokens ? tokens : null;
}
