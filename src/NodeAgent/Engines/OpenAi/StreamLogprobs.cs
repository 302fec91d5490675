using System.Buffers;
using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Federation.Protocol;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>
/// Reads the log-probabilities out of a chat's stream as it passes. Gives them only if they are those of the whole answer: one choice, every byte of its text under a token. What a node commits to it may have to
/// show, so anything else is not committed to.
/// </summary>
internal sealed class StreamLogprobs
{
    /// <summary>Of a longer answer nothing is kept.</summary>
    private const int TokensMax = 1 << 16;

    private readonly List<CommittedToken> _tokens = [];
    private readonly ArrayBufferWriter<byte> _text = new();
    private bool _isUnusable;

    /// <summary>The answer's tokens, once it is over; empty where they do not make up its text.</summary>
    public IReadOnlyList<CommittedToken> Tokens
    {
        get
        {
            if (_isUnusable) return [];
            var tokens = LogprobCommitment.InOrder(_tokens);
            return _text.WrittenSpan.SequenceEqual([.. tokens.SelectMany(token => token.Token.ToArray())]) ? tokens : [];
        }
    }

    /// <summary>Whether this request's answer has log-probabilities: a streamed chat that asks for them.</summary>
    public static bool AreAskedFor(EngineRequest request)
    {
        if (request is not { Kind: JobKind.Chat, Stream: true }) return false;
        try
        {
            var reader = new Utf8JsonReader(request.Body.Span);
            using var body = JsonDocument.ParseValue(ref reader);
            return body.RootElement.ValueKind is JsonValueKind.Object && body.RootElement.TryGetProperty("logprobs", out var wanted) && wanted.ValueKind is JsonValueKind.True;
        }
        catch (JsonException)
        {
            // To refuse it is the engine's business.
            return false;
        }
    }

    /// <summary>Takes the data of one event. Never throws for what an engine wrote.</summary>
    public void Read(ReadOnlySpan<byte> data)
    {
        if (_isUnusable || data.IsEmpty || data[0] != (byte)'{') return;
        try
        {
            var reader = new Utf8JsonReader(data);
            using var json = JsonDocument.ParseValue(ref reader);
            if (!json.RootElement.TryGetProperty("choices", out var choices)) return;
            foreach (var choice in choices.EnumerateArray())
            {
                if (choice.TryGetProperty("index", out var index) && index.GetInt32() != 0) _isUnusable = true;
                if (choice.TryGetProperty("delta", out var delta) && delta.TryGetProperty("content", out var content) && content.ValueKind is JsonValueKind.String) Write(content.GetString()!);
                if (choice.TryGetProperty("logprobs", out var logprobs) && logprobs.ValueKind is JsonValueKind.Object && logprobs.TryGetProperty("content", out var tokens)
                    && tokens.ValueKind is JsonValueKind.Array) TakeAll(tokens);
            }
        }
        catch (Exception e) when (e.IsBadJson() || e is FormatException or KeyNotFoundException)
        {
            // Half a surrogate pair, or a value of another type than belongs there.
            _isUnusable = true;
        }
    }

    private void TakeAll(JsonElement tokens)
    {
        foreach (var token in tokens.EnumerateArray())
        {
            var alternatives = token.TryGetProperty("top_logprobs", out var top) && top.ValueKind is JsonValueKind.Array
                ? top.EnumerateArray().Take(LogprobCommitment.TopMax).Select(entry => new CommittedAlternative(Bytes(entry), MilliNats(entry))).ToImmutableArray()
                : [];
            _tokens.Add(new CommittedToken(Bytes(token), MilliNats(token), alternatives));
        }

        _isUnusable |= _tokens.Count > TokensMax;
    }

    private void Write(string text) => _text.Write(Encoding.UTF8.GetBytes(text));

    private static short MilliNats(JsonElement token) => LogprobCommitment.ToMilliNats(token.GetProperty("logprob").GetDouble());

    /// <summary>The token's own bytes where the engine tells them; a part of a character has no text.</summary>
    private static byte[] Bytes(JsonElement token) => token.TryGetProperty("bytes", out var bytes) && bytes.ValueKind is JsonValueKind.Array
        ? [.. bytes.EnumerateArray().Select(value => value.GetByte())]
        : Encoding.UTF8.GetBytes(token.GetProperty("token").GetString()!);
}
