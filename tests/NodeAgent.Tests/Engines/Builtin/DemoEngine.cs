using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.Builtin;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

/// <summary>A builtin engine over a folder of its own, and the shortest way to ask it something.</summary>
internal sealed class DemoEngine : IAsyncDisposable
{
    public const string Demo = "federation-demo";
    public const string Impostor = "impostor";

    private DemoEngine(string directory, Func<BuiltinOptions, BuiltinOptions>? options)
    {
        Directory = directory;
        var defaults = new BuiltinOptions { Directories = [directory], Slots = 2, Threads = 2 };
        Engine = new BuiltinEngine(options?.Invoke(defaults) ?? defaults, TimeProvider.System, new Random(1), NullLogger<BuiltinEngine>.Instance);
    }

    public string Directory { get; }

    public BuiltinEngine Engine { get; }

    public static string DataPath(string name) => Path.Combine(AppContext.BaseDirectory, "Engines", "Builtin", "Data", name);

    /// <summary>With the named files of the test data in its folder.</summary>
    public static DemoEngine With(string[] models, Func<BuiltinOptions, BuiltinOptions>? options = null)
    {
        var directory = System.IO.Directory.CreateTempSubdirectory("builtin-engine-").FullName;
        foreach (var model in models)
        {
            File.Copy(DataPath($"{model}.gguf"), Path.Combine(directory, $"{model}.gguf"));
        }

        return new DemoEngine(directory, options);
    }

    public static DemoEngine Start(Func<BuiltinOptions, BuiltinOptions>? options = null) => With([Demo], options);

    public static EngineRequest Request(JobKind kind, string body, string model = Demo) =>
        new(kind, model, Encoding.UTF8.GetBytes(body), JsonNode.Parse(body)!["stream"]?.GetValue<bool>() ?? false);

    /// <summary>A chat of one user's message, with further fields of the body.</summary>
    public static EngineRequest Chat(string prompt, string fields = "\"temperature\":0", string model = Demo)
    {
        var body = JsonNode.Parse($"{{{fields}}}")!.AsObject();
        body["model"] = model;
        body["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = prompt });
        return Request(JobKind.Chat, body.ToJsonString(), model);
    }

    /// <summary>Asks to score an answer to a request.</summary>
    public static ScoreRequest Score(EngineRequest request, string answer, string finishReason = "stop", int top = 0) => new()
    {
        Kind = request.Kind.Word(),
        Model = request.Model,
        Request = JsonElement.Parse(request.Body.Span),
        AnswerText = answer,
        FinishReason = finishReason,
        Top = top,
    };

    public async Task<Answer> AskAsync(EngineRequest request)
    {
        await using var response = await Engine.SendAsync(request, CancellationToken.None);
        using var reader = new StreamReader(response.Body, Encoding.UTF8);
        var body = await reader.ReadToEndAsync();
        return new Answer(response.Status, response.ContentType, body, response.Usage, response.FinishReason) { Tokens = response.Tokens };
    }

    public async ValueTask DisposeAsync()
    {
        await Engine.DisposeAsync();
        System.IO.Directory.Delete(Directory, recursive: true);
    }
}

/// <summary>A whole answer.</summary>
internal sealed record Answer(int Status, string ContentType, string Body, TokenUsage? Usage, string? FinishReason)
{
    /// <summary>What the node will bind itself to.</summary>
    public IReadOnlyList<CommittedToken> Tokens { get; init; } = [];

    public JsonNode Json => JsonNode.Parse(Body)!;

    public JsonNode Choice => Json["choices"]![0]!;

    public string Text => Choice["message"]!["content"]!.GetValue<string>();

    public string ErrorCode => Json["error"]!["code"]?.GetValue<string>() ?? "";

    public string ErrorParam => Json["error"]!["param"]?.GetValue<string>() ?? "";

    /// <summary>The data of a stream's events, as a client reads them.</summary>
    public List<string> Events
    {
        get
        {
            Assert.EndsWith("\n\n", Body, StringComparison.Ordinal);
            return [.. Body.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Select(line =>
            {
                Assert.StartsWith("data: ", line, StringComparison.Ordinal);
                return line[6..];
            })];
        }
    }

    public IEnumerable<JsonNode> Chunks => Events.TakeWhile(data => data != "[DONE]").Select(data => JsonNode.Parse(data)!);

    /// <summary>What a choice of a stream says.</summary>
    public string Streamed(int choice = 0) => string.Concat(Chunks
        .SelectMany(chunk => chunk["choices"]!.AsArray())
        .Where(part => part!["index"]!.GetValue<int>() == choice)
        .Select(part => (part!["delta"]?["content"] ?? part["text"])?.GetValue<string>()));
}
