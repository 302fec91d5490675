using System.Reflection;
using System.Text.Json;
using Federation.Protocol;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using ModelContextProtocol;
using ModelContextProtocol.Protocol;
using ModelContextProtocol.Server;

namespace Federation.Silo.Mcp;

/// <summary><c>/mcp</c>: the Model Context Protocol over streamable HTTP, for assistants that use the hub as a tool.</summary>
/// <remarks>
/// Without sessions: each request carries its key and is whole in itself, so any silo answers it, and a hub that restarts is not noticed. The hub has nothing to say unasked, so there is no stream to open by GET.
/// </remarks>
internal static class McpEndpoint
{
    private static readonly Implementation Server = new()
    {
        Name = "federation-hub",
        Version = Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown",
    };

    public static void MapMcp(this IEndpointRouteBuilder app) => app.MapPost("/mcp", AnswerAsync).RequireScope(Scopes.Inference).ExcludeFromDescription();

    private static async Task<IResult> AnswerAsync(HttpContext http, McpTools tools, IOptions<GatewayOptions> gateway, ILoggerFactory loggers)
    {
        if (await RequestBody.ReadAsync(http, gateway.Value.MaxBodyBytes) is not { } body) return Answers.Error(OpenAiError.BodyTooLarge(gateway.Value.MaxBodyBytes));
        if (AnswerTerms.TryRead(http.Request.Headers, out var terms) is { } unknown) return Answers.Error(unknown);
        if (Read(body.Span) is not { } message || !IsReadable(message)) return Answers.Error(OpenAiError.BadRequest("The body must be one JSON-RPC message."));
        await using var transport = new StreamableHttpServerTransport(loggers) { Stateless = true };
        await using var server = McpServer.Create(transport, Options(tools, http.Caller(), terms), loggers, http.RequestServices);
        using var answered = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        var running = server.RunAsync(answered.Token);
        try
        {
            OpenAiSink.BeginEventStream(http.Response);
            if (await transport.HandlePostRequestAsync(message, http.Response.Body, http.RequestAborted)) return Results.Empty;
        }
        finally
        {
            await answered.CancelAsync();
            await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        // A notification has no answer.
        http.Response.Headers.ContentType = default;
        return Results.StatusCode(StatusCodes.Status202Accepted);
    }

    private static McpServerOptions Options(McpTools tools, ApiCaller caller, AnswerTerms terms) => new()
    {
        ServerInfo = Server,
        ServerInstructions = "Models that people's own machines serve, behind one OpenAI-compatible hub. Costs are microcredits: a million of them are a credit.",
        Capabilities = new ServerCapabilities { Tools = new ToolsCapability() },
        Handlers = new McpServerHandlers
        {
            ListToolsHandler = (_, _) => ValueTask.FromResult(new ListToolsResult { Tools = [.. McpTools.All] }),
            CallToolHandler = async (request, cancellationToken) =>
            {
                var name = request.Params?.Name ?? string.Empty;
                var arguments = request.Params?.Arguments?.ToDictionary(pair => pair.Key, pair => pair.Value, StringComparer.Ordinal) ?? [];
                var answer = await TryCallAsync(tools, name, arguments, caller, terms, cancellationToken);
                return new CallToolResult { Content = [.. answer.Texts.Select(text => new TextContentBlock { Text = text })], IsError = answer.IsError };
            },
        },
    };

    /// <summary>What a caller gets wrong, and a database that is away, is an answer to the caller and no failure of the hub.</summary>
    private static async Task<McpAnswer> TryCallAsync(McpTools tools, string name, Dictionary<string, JsonElement> arguments, ApiCaller caller, AnswerTerms terms, CancellationToken cancellationToken)
    {
        try
        {
            return await tools.CallAsync(name, arguments, caller, terms, cancellationToken) ?? McpAnswer.Of(OpenAiError.BadRequest($"There is no tool of this name; there are: {string.Join(", ", McpTools.All.Select(tool => tool.Name))}."));
        }
        catch (Exception exception) when (exception is StorageException { IsTransient: true } or OrleansException or TimeoutException)
        {
            return McpAnswer.Of(OpenAiError.Busy("The hub cannot do this right now. Try again.", TimeSpan.FromSeconds(2)));
        }
    }

    /// <summary>Whether a client says of itself what it should: the library reads that before there is a server to answer for it.</summary>
    private static bool IsReadable(JsonRpcMessage message)
    {
        if (message is not JsonRpcRequest { Method: RequestMethods.Initialize, Params: { } parameters }) return true;
        try
        {
            return parameters.Deserialize<InitializeRequestParams>(McpJsonUtilities.DefaultOptions) is not null;
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return false;
        }
    }

    private static JsonRpcMessage? Read(ReadOnlySpan<byte> body)
    {
        try
        {
            return JsonSerializer.Deserialize<JsonRpcMessage>(body, McpJsonUtilities.DefaultOptions);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
