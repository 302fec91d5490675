using System.Buffers;
using System.Text.Json;

namespace Federation.Silo.Verification;

/// <summary>A question of the hub's own, as an OpenAI body.</summary>
internal static class ChatBody
{
    /// <summary>A question whose answer leaves the model no choice: temperature 0, streamed, with its usage.</summary>
    /// <inheritdoc cref="Write" path="/param"/>
    public static byte[] Greedy(string model, string content, int tokens) => Write(model, content, tokens, isGreedy: true, isStream: true, withUsage: true);

    /// <summary>One message; what is not asked for is left out of the body, as clients leave it to the engine.</summary>
    /// <param name="model">The name its node knows it by.</param>
    /// <param name="content">The message.</param>
    /// <param name="tokens">The longest answer.</param>
    /// <param name="isGreedy">Temperature 0.</param>
    /// <param name="isStream">Streamed.</param>
    /// <param name="withUsage">The stream ends with its usage.</param>
    public static byte[] Write(string model, string content, int tokens, bool isGreedy, bool isStream, bool withUsage)
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
            if (isGreedy) json.WriteNumber("temperature", 0);
            if (isStream) json.WriteBoolean("stream", true);
            if (withUsage)
            {
                json.WriteStartObject("stream_options");
                json.WriteBoolean("include_usage", true);
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        return body.WrittenSpan.ToArray();
    }
}
