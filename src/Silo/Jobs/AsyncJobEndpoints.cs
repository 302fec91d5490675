using System.Globalization;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Jobs;

/// <summary><c>/v1/jobs</c>: requests that are answered later.</summary>
internal static class AsyncJobEndpoints
{
    /// <summary>How long a client may take to close its side of a WebSocket.</summary>
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(5);

    public static void MapAsyncJobs(this IEndpointRouteBuilder app)
    {
        var jobs = app.MapGroup("/v1/jobs").WithTags("jobs");
        jobs.MapPost("", CreateAsync).RequireScope(Scopes.Inference)
            .WithName("create_job").WithSummary("Takes a request to be answered later; it is on disk before this answers.").TakesJson<NewJobJson>().Produces<AsyncJobJson>(202);
        jobs.MapGet("", ListAsync).RequireScope(Scopes.Inference)
            .WithName("list_jobs").WithSummary("The account's jobs, the newest first, without their answers.").Produces<JobPageJson>();
        jobs.MapGet("/{id}", GetAsync).RequireScope(Scopes.Inference)
            .WithName("get_job").WithSummary("A job, with its answer once it has one.").Produces<AsyncJobJson>();
        jobs.MapPost("/{id}/cancel", CancelAsync).RequireScope(Scopes.Inference)
            .WithName("cancel_job").WithSummary("Cancels a job; one that has ended stays as it is.").Produces<AsyncJobJson>();
        jobs.MapGet("/{id}/events", FollowByEventsAsync).RequireScope(Scopes.Inference)
            .WithName("follow_job").WithSummary("What happens to a job, as server-sent events, from the first or after Last-Event-ID to its end.");
        jobs.MapGet("/{id}/ws", FollowByWebSocketAsync).RequireScope(Scopes.Inference)
            .WithName("follow_job_ws").WithSummary("The same by WebSocket; ?last_event_id= for what is known already.");
    }

    private static async Task<IResult> CreateAsync(HttpContext http, AsyncJobs jobs, IOptions<GatewayOptions> gateway)
    {
        // A little more than a request: the job around it.
        if (await RequestBody.ReadAsync(http, gateway.Value.MaxBodyBytes) is not { } bytes) return Answers.Error(OpenAiError.BodyTooLarge(gateway.Value.MaxBodyBytes));
        if (AnswerTerms.TryRead(http.Request.Headers, out var terms) is { } unknown) return Answers.Error(unknown);
        var (wanted, problem) = AsyncJobBody.Read(bytes);
        if (wanted is null) return Answers.Error(problem!);
        var (job, webhookSecret, refusal) = await jobs.SubmitAsync(http.Caller(), wanted with { Terms = terms }, http.RequestAborted);
        if (job is null) return Answers.Error(refusal!);
        http.Response.Headers.Location = $"/v1/jobs/{job.Id}";
        return Answers.Json(AsyncJobJson.Of(job) with { WebhookSecret = webhookSecret }, StatusCodes.Status202Accepted);
    }

    private static async Task<IResult> ListAsync(HttpContext http, AsyncJobStore store, string? after, int? limit, string? status)
    {
        if (limit is < 1 or > AsyncJobStore.ListMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {AsyncJobStore.ListMax}.", "limit"));
        if (status is not null && !Enum.GetNames<AsyncJobState>().Contains(status, StringComparer.OrdinalIgnoreCase))
            return Answers.Error(OpenAiError.BadRequest($"'status' must be one of: {string.Join(", ", Enum.GetNames<AsyncJobState>().Select(name => name.ToLowerInvariant()))}.", "status"));
        var wanted = limit ?? 20;
        var rows = await store.ListAsync(http.Caller().AccountId, after, status?.ToLowerInvariant(), wanted + 1, http.RequestAborted);
        var page = rows.Take(wanted).Select(AsyncJobJson.Of).ToList();
        return Answers.Json(new JobPageJson(page, page.FirstOrDefault()?.Id, page.LastOrDefault()?.Id, rows.Length > wanted));
    }

    private static async Task<IResult> GetAsync(HttpContext http, AsyncJobStore store, string id)
        => await store.FindAsync(http.Caller().AccountId, id, http.RequestAborted) is { } job ? Answers.Json(AsyncJobJson.Of(job)) : Unknown(id);

    private static async Task<IResult> CancelAsync(HttpContext http, AsyncJobs jobs, string id)
        => await jobs.CancelAsync(http.Caller().AccountId, id, http.RequestAborted) is { } job ? Answers.Json(AsyncJobJson.Of(job)) : Unknown(id);

    private static async Task<IResult> FollowByEventsAsync(HttpContext http, AsyncJobFollowers followers, string id)
    {
        if (!TryReadSeq(http.Request.Headers["Last-Event-ID"].ToString(), out var after)) return Answers.Error(OpenAiError.BadRequest("'Last-Event-ID' must be the id of an event of this job.", "Last-Event-ID"));
        if (await followers.TryFollowAsync(http.Caller().AccountId, id, http.RequestAborted) is not { } following) return Unknown(id);
        using (following)
        {
            if (following.Refusal is { } refusal) return Answers.Error(refusal);
            OpenAiSink.BeginEventStream(http.Response);
            await http.Response.Body.FlushAsync(following.Ended);
            try
            {
                await foreach (var item in following.EventsAsync(after))
                {
                    var text = item is null ? ": still here\n\n" : string.Create(CultureInfo.InvariantCulture, $"id: {item.Seq}\nevent: job.{item.Type}\ndata: {AsyncJobEventJson.Of(id, item).ToText()}\n\n");
                    await http.Response.WriteAsync(text, following.Ended);
                    await http.Response.Body.FlushAsync(following.Ended);
                }
            }
            catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
            {
                // The hub stops: the client asks the next silo, with the id of the last event it has.
            }
        }
        return Results.Empty;
    }

    private static async Task<IResult> FollowByWebSocketAsync(HttpContext http, AsyncJobFollowers followers, string id)
    {
        if (!http.WebSockets.IsWebSocketRequest) return Answers.Error(new OpenAiError(426, "invalid_request_error", "upgrade_required", "This is a WebSocket's address; server-sent events are at /events."));
        if (!TryReadSeq(http.Request.Query["last_event_id"].ToString(), out var after)) return Answers.Error(OpenAiError.BadRequest("'last_event_id' must be the id of an event of this job.", "last_event_id"));
        if (await followers.TryFollowAsync(http.Caller().AccountId, id, http.RequestAborted) is not { } following) return Unknown(id);
        using (following)
        {
            if (following.Refusal is { } refusal) return Answers.Error(refusal);
            using var socket = await http.WebSockets.AcceptWebSocketAsync();
            using var gone = CancellationTokenSource.CreateLinkedTokenSource(following.Ended);
            var listening = ListenAsync(socket, gone);
            try
            {
                await foreach (var item in following.EventsAsync(after).WithCancellation(gone.Token))
                {
                    // A WebSocket has its own signs of life.
                    if (item is not null) await socket.SendAsync(Encoding.UTF8.GetBytes(AsyncJobEventJson.Of(id, item).ToText()), WebSocketMessageType.Text, endOfMessage: true, gone.Token);
                }
                await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "The job has ended.", gone.Token);
                await listening.WaitAsync(CloseTimeout, gone.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception exception) when (exception is OperationCanceledException or WebSocketException)
            {
                // The client has gone, or the hub stops: either asks anew.
            }
            await gone.CancelAsync();
            socket.Abort();
            await listening;
        }
        return Results.Empty;
    }

    /// <summary>Notices that the client leaves. It has nothing to say here: whatever it sends is thrown away.</summary>
    private static async Task ListenAsync(WebSocket socket, CancellationTokenSource gone)
    {
        var buffer = new byte[1024];
        try
        {
            while ((await socket.ReceiveAsync(buffer.AsMemory(), gone.Token)).MessageType is not WebSocketMessageType.Close)
            {
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or WebSocketException)
        {
            // Gone without a word.
        }
        if (socket.State is not WebSocketState.Closed) await gone.CancelAsync();
    }

    private static bool TryReadSeq(string text, out long seq)
    {
        seq = 0;
        return text.Length == 0 || (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out seq) && seq >= 0);
    }

    private static IResult Unknown(string id) => Answers.Error(OpenAiError.NotFound($"There is no job '{Shown(id)}'."));

    private static string Shown(string id) => id.Length <= 64 ? id : id[..64];
}

/// <summary>A page of jobs.</summary>
internal sealed record JobPageJson(IReadOnlyList<AsyncJobJson> Data, string? FirstId, string? LastId, bool HasMore)
{
    public string Object { get; } = "list";
}

/// <summary>For the API's description.</summary>
internal sealed record NewJobJson(string Type, JsonElement Request, JsonElement? Webhook, Dictionary<string, string>? Metadata, long? Expires);

/// <summary>An asynchronous job, as its account sees it. Times are unix seconds, as in OpenAI's API.</summary>
internal sealed record AsyncJobJson(string Id, string Type, string Model, string Status, long CreatedAt, long ExpiresAt)
{
    public string Object { get; } = "job";

    public long? StartedAt { get; init; }

    public long? FinishedAt { get; init; }

    /// <summary>How often it was begun.</summary>
    public long Attempts { get; init; }

    /// <summary>The node that answered.</summary>
    public string? Node { get; init; }

    public JsonElement? Metadata { get; init; }

    /// <summary>The endpoint that is told of its end.</summary>
    public string? WebhookId { get; init; }

    /// <summary>What the endpoint's deliveries are signed with; only where the job's own request registered it.</summary>
    public string? WebhookSecret { get; init; }

    /// <summary>Whose nodes may read it, where that is not everybody's.</summary>
    public string? Privacy { get; init; }

    /// <summary>What its answer may cost, credits.</summary>
    public decimal? MaxCredits { get; init; }

    /// <summary>What it came to, in the shape of a batch's lines.</summary>
    public ResultJson? Result { get; init; }

    public static AsyncJobJson Of(AsyncJob job) => new(job.Id, job.KindWord, job.Model, job.StateWord, job.CreatedAt / 1000, job.ExpiresAt / 1000)
    {
        StartedAt = job.StartedAt / 1000,
        FinishedAt = job.FinishedAt / 1000,
        Attempts = job.Attempt,
        Node = job.NodeId,
        Metadata = job.Metadata is { } metadata ? JsonElement.Parse(metadata) : null,
        WebhookId = job.WebhookId,
        Privacy = job.PrivacyWord,
        MaxCredits = job.Terms.MaxCost?.Credits,
        Result = job is { Result: { } body, StatusCode: { } status } ? new ResultJson(status, job.RequestId, JsonElement.Parse(body)) : null,
    };

    internal sealed record ResultJson(long StatusCode, string? RequestId, JsonElement Body);
}

/// <summary>One event of a job, as its followers see it.</summary>
internal sealed record AsyncJobEventJson(long Seq, string JobId, string Type, DateTimeOffset At, string? Detail)
{
    public string Object { get; } = "job.event";

    public static AsyncJobEventJson Of(string jobId, AsyncJobEvent item) => new(item.Seq, jobId, $"job.{item.Type}", UnixTime.At(item.At), item.Detail);

    /// <summary>One line.</summary>
    public string ToText() => JsonSerializer.Serialize(this, Answers.Options);
}
