using System.Buffers;
using System.Text;
using System.Text.Json;
using Federation.NodeAgent.Engines.OpenAi;

namespace Federation.NodeAgent.Engines.Scoring;

/// <summary>Calls of a scoring engine: JSON in, JSON out, bounded in size, and every refusal in words.</summary>
internal sealed class ProbeCalls(OpenAiEndpoint endpoint)
{
    /// <summary>A rendered prompt is the largest thing that comes back.</summary>
    private const int AnswerBytesMax = 32 << 20;
    private const int RefusalCharactersMax = 300;

    /// <summary>Ways in which engines write an end token as text.</summary>
    private static readonly string[] EndTexts = ["</s>", "<eos>", "<|eos|>", "<|end|>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>", "<|return|>"];

    /// <param name="path">Added to the endpoint's root.</param>
    /// <param name="write">Writes the body's fields.</param>
    /// <param name="cancellationToken">Closes the connection, which stops the engine.</param>
    /// <exception cref="ScoringException">The engine refused, or answered something else than JSON.</exception>
    /// <exception cref="EngineUnavailableException">It is not there, or went away.</exception>
    public async Task<JsonDocument> PostAsync(string path, Action<Utf8JsonWriter> write, CancellationToken cancellationToken)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        using var content = new ReadOnlyMemoryContent(buffer.WrittenMemory);
        using var response = await endpoint.SendAsync(HttpMethod.Post, path, content, cancellationToken).ConfigureAwait(false);
        try
        {
            await response.Content.LoadIntoBufferAsync(AnswerBytesMax, cancellationToken).ConfigureAwait(false);
            var bytes = await response.Content.ReadAsByteArrayAsync(cancellationToken).ConfigureAwait(false);
            return response.IsSuccessStatusCode
                ? JsonDocument.Parse(bytes)
                : throw new ScoringException($"The engine answered {(int)response.StatusCode} to {path}: {Refusal(bytes)}");
        }
        catch (JsonException e)
        {
            throw new ScoringException($"The engine's answer to {path} is not JSON.", e);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            throw new EngineUnavailableException($"The engine broke off its answer to {path}.", e);
        }
    }

    /// <summary>Reads OpenAI's list of tokens: <c>{token, logprob, bytes, top_logprobs: […]}</c> at each place; the first place counts.</summary>
    public static Probe Read(JsonElement? places, bool stopped, string text)
    {
        var top = new List<ProbedToken>();
        if (places is { ValueKind: JsonValueKind.Array } list && list.GetArrayLength() > 0 && list[0] is { ValueKind: JsonValueKind.Object } place)
        {
            if (place.TryGetProperty("top_logprobs", out var alternatives) && alternatives.ValueKind == JsonValueKind.Array)
            {
                top.AddRange(alternatives.EnumerateArray().Select(Token).OfType<ProbedToken>());
            }

            // What was written stands in the list too, but for servers that list no alternatives.
            if (top.Count == 0 && Token(place) is { } written) top.Add(written);
        }

        var ends = stopped && text.Length == 0;
        if (ends && top.Count > 0 && !top.Any(token => token.IsEnd))
        {
            // It ended, so the likeliest token is the end, under whatever name it goes.
            top[0] = top[0] with { Bytes = default, IsEnd = true };
        }

        return new Probe(ends, [.. top]);
    }

    /// <summary>A token as a server writes it: by its bytes where they are told, by its text otherwise.</summary>
    public static ProbedToken Token(string text, byte[]? bytes, double logprob)
    {
        var isEnd = text.Length == 0 || EndTexts.Contains(text);
        return new ProbedToken(isEnd ? default : bytes ?? Encoding.UTF8.GetBytes(text), Math.Min(0, logprob), isEnd);
    }

    private static ProbedToken? Token(JsonElement token) =>
        token.ValueKind == JsonValueKind.Object
        && token.TryGetProperty("logprob", out var logprob) && logprob.ValueKind == JsonValueKind.Number
        && token.TryGetProperty("token", out var text) && text.ValueKind == JsonValueKind.String
            ? Token(text.GetString()!, Bytes(token), logprob.GetDouble())
            : null;

    private static byte[]? Bytes(JsonElement token) =>
        token.TryGetProperty("bytes", out var bytes) && bytes.ValueKind == JsonValueKind.Array && bytes.GetArrayLength() > 0
        && bytes.EnumerateArray().All(value => value.ValueKind == JsonValueKind.Number && value.TryGetByte(out _))
            ? [.. bytes.EnumerateArray().Select(value => value.GetByte())]
            : null;

    private static string Refusal(byte[] body)
    {
        var text = Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(body.Length, 4 * RefusalCharactersMax)));
        return text.Length > RefusalCharactersMax ? text[..RefusalCharactersMax] : text;
    }
}
