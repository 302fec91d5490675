using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server of vectors that speaks OpenAI's API to an agent: of a text its length and a half. Its answer is in no order but that of its indices, as the API allows.</summary>
internal sealed class EmbeddingEngine(string model) : ModelServer(model)
{
    public static Task<EmbeddingEngine> StartAsync(string model) => StartedAsync(new EmbeddingEngine(model));

    /// <summary>What it says of a text.</summary>
    public static float[] VectorOf(string text) => [text.Length, 0.5f];

    protected override async Task AnswerAsync(HttpContext http)
    {
        var request = (await JsonNode.ParseAsync(http.Request.Body))!;
        string[] texts = request["input"] is JsonArray several ? [.. several.Select(text => text!.ToString())] : [request["input"]!.ToString()];
        var isBase64 = request["encoding_format"]?.ToString() == "base64";
        http.Response.ContentType = "application/json";
        await http.Response.WriteAsync(new JsonObject
        {
            ["object"] = "list",
            ["data"] = new JsonArray([.. texts.Index().Reverse().Select(text => new JsonObject { ["object"] = "embedding", ["index"] = text.Index, ["embedding"] = Written(VectorOf(text.Item), isBase64) })]),
            ["model"] = Model,
            ["usage"] = new JsonObject { ["prompt_tokens"] = texts.Sum(text => text.Length), ["total_tokens"] = texts.Sum(text => text.Length) },
        }.ToJsonString());
    }

    private static JsonNode Written(float[] vector, bool isBase64)
        => isBase64 ? Convert.ToBase64String(MemoryMarshal.AsBytes<float>(vector)) : new JsonArray([.. vector.Select(value => JsonValue.Create(value))]);
}
