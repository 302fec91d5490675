using System.Text.Json;
using System.Text.Json.Nodes;
using Federation.Contracts.Nodes;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Google.Protobuf;

namespace Federation.Silo.Nodes;

/// <summary>How a contributor's machine gets in, and what is seen of it afterwards.</summary>
internal static class NodeEndpoints
{
    // Named like everything else the hub says.
    private static readonly JsonFormatter HardwareFormat = new(JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true));

    public static void MapNodes(this IEndpointRouteBuilder app)
    {
        var nodes = app.MapGroup("/v1").WithTags("nodes");
        nodes.MapPost("/contributor/register", RegisterAsync).RequireScope(Scopes.Contribute)
            .WithName("register_contributor").WithSummary("Says what a machine would contribute; answers with a token that it joins with.").TakesJson<RegisterJson>().Produces<JoinTokenJson>(201);
        nodes.MapPost("/join-tokens", CreateTokenAsync).RequireScope(Scopes.Contribute)
            .WithName("create_join_token").WithSummary("Makes a token that one node can join with once.").TakesJson<CreateTokenJson>().Produces<JoinTokenJson>(201);
        nodes.MapGet("/nodes", ListAsync).RequireScope(Scopes.Contribute)
            .WithName("list_nodes").WithSummary("The caller's nodes; an operator sees all.").Produces<ListJson<NodeJson>>();
        nodes.MapGet("/nodes/{id}", GetAsync).RequireScope(Scopes.Contribute)
            .WithName("get_node").WithSummary("One node: its hardware, engines, models and standing, and why it has no work.").Produces<NodeJson>();
        nodes.MapPost("/nodes/{id}/pull", PullAsync).RequireScope(Scopes.Contribute)
            .WithName("pull_model").WithSummary("Has one of a node's engines fetch a model.").TakesJson<PullJson>().Produces(202);
        nodes.MapPost("/nodes/{id}/standing", SetStandingAsync).RequireScope(Scopes.Admin)
            .WithName("set_standing").WithSummary("Sets a node's standing by hand.").TakesJson<StandingJson>().Produces(204);
    }

    /// <summary>What the contributor says of the machine is kept beside the token: a claim, which the node's own report and later checks replace.</summary>
    private static async Task<IResult> RegisterAsync(HttpContext http, JoinTokens tokens, HubAddress address)
    {
        var (body, unreadable) = await Answers.ReadAsync<RegisterJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        if (body.WhyInvalid() is { } problem) return Answers.Error(problem);
        var token = await tokens.CreateAsync(http.Caller().AccountId, null, JsonSerializer.Serialize(body, Answers.Options), http.RequestAborted);
        return Answers.Json(JoinTokenJson.Of(token, address.For(http)), StatusCodes.Status201Created);
    }

    private static async Task<IResult> CreateTokenAsync(HttpContext http, JoinTokens tokens, AccountStore accounts, HubAddress address)
    {
        var (body, unreadable) = await Answers.ReadAsync<CreateTokenJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        var caller = http.Caller();
        var accountId = body.AccountId ?? caller.AccountId;
        if (accountId != caller.AccountId && !caller.IsAdmin) return Answers.Error(OpenAiError.Forbidden("Only an admin makes join tokens for another account."));
        if (body.ExpiresInSeconds is <= 0 or > 31_536_000) return Answers.Error(OpenAiError.BadRequest("'expires_in_seconds' must be above 0 and at most one year.", "expires_in_seconds"));
        if (await accounts.FindAsync(accountId, http.RequestAborted) is null) return Answers.Error(OpenAiError.NotFound($"There is no account '{accountId}'."));
        try
        {
            TimeSpan? lifetime = body.ExpiresInSeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
            var token = await tokens.CreateAsync(accountId, lifetime, announcement: null, http.RequestAborted);
            return Answers.Json(JoinTokenJson.Of(token, address.For(http)), StatusCodes.Status201Created);
        }
        catch (ArgumentOutOfRangeException)
        {
            return Answers.Error(OpenAiError.BadRequest("'expires_in_seconds' is longer than this hub allows.", "expires_in_seconds"));
        }
    }

    private static async Task<IResult> ListAsync(HttpContext http, NodeStore store, HubDirectoryView directory, TimeProvider time, string? after, int? limit)
    {
        if (limit is < 1 or > NodeStore.ListMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {NodeStore.ListMax}.", "limit"));
        var caller = http.Caller();
        var rows = await store.ListAsync(caller.IsAdmin ? null : caller.AccountId, after ?? string.Empty, limit ?? 100, http.RequestAborted);
        var connected = (await directory.GetAsync(http.RequestAborted)).Nodes.ToDictionary(node => node.NodeId, StringComparer.Ordinal);
        return Answers.Json(new ListJson<NodeJson>([.. rows.Select(row => connected.TryGetValue(row.Id, out var view) ? NodeJson.Of(view, time.GetUtcNow()) : NodeJson.Of(row))]));
    }

    private static async Task<IResult> GetAsync(HttpContext http, IGrainFactory grains, TimeProvider time, string id)
        => await FindAsync(http, grains, id) is { } view ? Answers.Json(NodeJson.Of(view, time.GetUtcNow())) : Answers.Error(OpenAiError.NotFound($"There is no node '{id}'."));

    /// <summary>The node, if there is one that the caller may see.</summary>
    internal static async Task<NodeView?> FindAsync(HttpContext http, IGrainFactory grains, string id)
    {
        var caller = http.Caller();
        return Protocol.Identity.NodeId.TryParse(id, out _)
            && await grains.GetGrain<INodeGrain>(id).GetView() is { } view
            && (caller.IsAdmin || view.AccountId == caller.AccountId)
            ? view
            : null;
    }

    private static async Task<IResult> PullAsync(HttpContext http, IGrainFactory grains, string id)
    {
        var (body, unreadable) = await Answers.ReadAsync<PullJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        if (body is not { Engine: { Length: > 0 and <= 256 } engine, Model: { Length: > 0 and <= 256 } model })
            return Answers.Error(OpenAiError.BadRequest("'engine' and 'model' must be 1 to 256 characters: which of the node's engines is to fetch which model.", body.Engine is { Length: > 0 and <= 256 } ? "model" : "engine"));
        if (await FindAsync(http, grains, id) is not { } view) return Answers.Error(OpenAiError.NotFound($"There is no node '{id}'."));
        return await grains.GetGrain<INodeGrain>(view.NodeId).Pull(engine, model) switch
        {
            PullStatus.Asked => Results.Accepted($"/v1/nodes/{id}"),
            PullStatus.NotConnected => Answers.Error(OpenAiError.Busy($"Node '{id}' is not connected.", TimeSpan.FromSeconds(30))),
            PullStatus.NoSuchEngine => Answers.Error(OpenAiError.BadRequest($"Node '{id}' has no engine '{engine}'.", "engine")),
            var other => throw new InvalidOperationException($"Status {other} is not handled."),
        };
    }

    private static async Task<IResult> SetStandingAsync(HttpContext http, IGrainFactory grains, string id)
    {
        var (body, unreadable) = await Answers.ReadAsync<StandingJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        if (!NodeStore.TryParseStanding(body.Standing, out var standing)) return Answers.Error(OpenAiError.BadRequest($"'{body.Standing}' is not a standing; there are: {string.Join(", ", Enum.GetValues<Standing>().Select(NodeStore.Word))}.", "standing"));
        return Protocol.Identity.NodeId.TryParse(id, out _) && await grains.GetGrain<INodeGrain>(id).SetStanding(standing)
            ? Results.NoContent()
            : Answers.Error(OpenAiError.NotFound($"There is no node '{id}'."));
    }

    internal sealed record RegisterJson(RegisterHardwareJson? Hardware, RegisterAvailabilityJson? Availability, string[]? Models)
    {
        private const int TextMax = 256;
        private const int ModelsMax = 256;
        private const int VramMaxGib = 1_000_000;

        public OpenAiError? WhyInvalid()
        {
            if (Hardware is { Gpu.Length: > TextMax } or { CudaVersion.Length: > TextMax }) return OpenAiError.BadRequest($"Fields of 'hardware' have at most {TextMax} characters.", "hardware");
            if (Hardware?.Vram is not (null or (>= 0 and <= VramMaxGib))) return OpenAiError.BadRequest($"'hardware.vram' must be 0 to {VramMaxGib} GiB.", "hardware.vram");
            if (Availability?.HoursPerDay is not (null or (>= 0 and <= 24))) return OpenAiError.BadRequest("'availability.hours_per_day' must be 0 to 24.", "availability.hours_per_day");
            if (Availability?.Schedule?.Length > TextMax) return OpenAiError.BadRequest($"'availability.schedule' has at most {TextMax} characters.", "availability.schedule");
            return Models?.Length > ModelsMax || Models?.Any(model => model is null || model.Length > TextMax) == true
                ? OpenAiError.BadRequest($"'models' has at most {ModelsMax} names of at most {TextMax} characters.", "models")
                : null;
        }
    }

    internal sealed record RegisterHardwareJson(string? Gpu, double? Vram, string? CudaVersion);

    internal sealed record RegisterAvailabilityJson(double? HoursPerDay, string? Schedule);

    internal sealed record CreateTokenJson(string? AccountId, long? ExpiresInSeconds);

    internal sealed record PullJson(string? Engine, string? Model);

    internal sealed record StandingJson(string? Standing);

    internal sealed record JoinTokenJson(string JoinToken, string AccountId, DateTimeOffset ExpiresAt, string HubUrl, string Command)
    {
        public static JoinTokenJson Of(JoinToken token, string hubUrl) => new(
            token.Text, token.AccountId, token.ExpiresAt, hubUrl, $"federation-node join {hubUrl} --token {token.Text}");
    }

    internal sealed record NodeJson(
        string Id, string AccountId, string Name, string Standing, bool Connected, DateTimeOffset? LastSeen, string? HardwareClass, bool? AcceptsWork, string? WhyNot, int? RunningLeases)
    {
        public IReadOnlyList<EngineJson>? Engines { get; init; }

        public IReadOnlyList<PullReport>? Pulls { get; init; }

        public JsonNode? Hardware { get; init; }

        public static NodeJson Of(NodeRow row) => new(
            row.Id, row.AccountId, row.DisplayName, NodeStore.Word(row.Standing), Connected: false, row.LastSeenAt, null, null, null, null);

        public static NodeJson Of(NodeView view, DateTimeOffset now) => new(
            view.NodeId,
            view.AccountId,
            view.DisplayName,
            NodeStore.Word(view.Standing),
            view.Connected,
            view.Connected ? now : view.LastSeen,
            view.HardwareClass.Length > 0 ? view.HardwareClass : null,
            view.Report?.AcceptsWork,
            view.Report is { WhyNot.Length: > 0 } report ? report.WhyNot : null,
            view.Report?.RunningLeases)
        {
            Engines = view.Report?.Engines.Select(engine => new EngineJson(engine.Name, engine.Kind, engine.Version, engine.Slots, [.. engine.Models.Select(model => model.Name)])).ToList(),
            Pulls = view.Report is { Pulls.IsEmpty: false } pulling ? pulling.Pulls : null,
            Hardware = view.Report is { } known ? JsonNode.Parse(HardwareFormat.Format(Protocol.V1.Hardware.Parser.ParseFrom(known.Hardware.AsSpan()))) : null,
        };
    }

    internal sealed record EngineJson(string Name, string Kind, string Version, int Slots, string[] Models);
}
