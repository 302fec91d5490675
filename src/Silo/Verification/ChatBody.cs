using System.Buffers;
using System.Text.Json;

namespace Federation.Silo.Verification;

/// <summary>A question of the hub's own, as an OpenAI body.</summary>
internal static class ChatBody
{
    /// <summary>A question whose answer leaves the model no choice: temperature 0, streamed, with its usage.</summary>
    /// <param name="model">The name its node knows it by.</param>
    /// <param name="content">The one message.</param>
    /// <param name="tokens">The longest answer.</param>
    public static byte[] Greedy(string model, string content, int tokens)
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
