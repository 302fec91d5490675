using System.Buffers;
using System.Text.Json;

namespace Federation.Silo.Verification;

/// <summary>A question of the hub's own whose answer leaves the model no choice.</summary>
internal static class GreedyChat
{
    /// <summary>The OpenAI body: one message, temperature 0, streamed.</summary>
    /// <param name="model">The name its node knows it by.</param>
    /// <param name="content">The message.</param>
    /// <param name="tokens">The longest answer.</param>
    public static byte[] Body(string model, string content, int tokens)
    {
        var body = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("model", model);
            json.WriteStartArray("messages");
            json.WriteStartObject();
            json.WriteString("role", "user");
            json.WriteString("content", content);
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteNumber("max_tokens", tokens);
            json.WriteNumber("temperature", 0);
            json.WriteBoolean("stream", true);
            json.WriteStartObject("stream_options");
            json.WriteBoolean("include_usage", true);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        return body.WrittenSpan.ToArray();
    }
}
