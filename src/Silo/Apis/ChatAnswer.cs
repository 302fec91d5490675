using System.Text;
using System.Text.Json;
using Federation.Protocol;

namespace Federation.Silo.Apis;

/// <summary>An answer put together from its pieces.</summary>
internal sealed class ChatAnswer
{
    private readonly StringBuilder _text = new();
    private readonly StringBuilder _thought = new();
    private readonly StringBuilder _refusal = new();
    private readonly List<ChatCall> _calls = [];
    private readonly List<string> _logprobs = [];

    public string Text => _text.ToString();

    public string Thought => _thought.ToString();

    public string Refusal => _refusal.ToString();

    public IReadOnlyList<ChatCall> Calls => _calls;

    public string? FinishReason { get; private set; }

    public string? StopText { get; private set; }

    public ChatUsage? Usage { get; private set; }

    /// <summary>The arrays of log-probabilities that came, each as JSON.</summary>
    public IReadOnlyList<string> Logprobs => _logprobs;

    /// <summary>About what it occupies, characters.</summary>
    public long Size { get; private set; }

    public void Add(ChatPiece piece)
    {
        _text.Append(piece.Text);
        _thought.Append(piece.Thought);
        _refusal.Append(piece.Refusal);
        Size += piece.Text.Length + piece.Thought.Length + piece.Refusal.Length + (piece.Logprobs?.Length ?? 0);
        foreach (var part in piece.Calls)
        {
            if (part.Ordinal == _calls.Count) _calls.Add(new ChatCall(part.Id ?? string.Empty, part.Name ?? string.Empty));
            _calls[part.Ordinal].Add(part.Arguments);
            Size += part.Arguments.Length;
        }
        if (piece.Logprobs is { } logprobs) _logprobs.Add(logprobs);
        FinishReason = piece.FinishReason ?? FinishReason;
        StopText = piece.StopText ?? StopText;
        Usage = piece.Usage ?? Usage;
    }
}

/// <summary>A tool call of an answer.</summary>
internal sealed class ChatCall(string id, string name)
{
    private readonly StringBuilder _arguments = new();

    public string Id { get; } = id;

    public string Name { get; } = name;

    /// <summary>JSON, as the model wrote it, which may be none.</summary>
    public string Arguments => _arguments.ToString();

    public void Add(string arguments) => _arguments.Append(arguments);

    /// <summary>Writes the arguments as the object that they should be. Of what is none, an object with the text as the model wrote it, under <c>_text</c>: a client must not be given what it cannot parse.</summary>
    public void WriteObject(Utf8JsonWriter json)
    {
        var text = Arguments;
        try
        {
            using var document = JsonDocument.Parse(string.IsNullOrWhiteSpace(text) ? "{}" : text);
            if (document.RootElement.ValueKind is JsonValueKind.Object)
            {
                document.RootElement.WriteTo(json);
                return;
            }
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            // The model wrote something else, or was cut off.
        }
        json.WriteStartObject();
        json.WriteString("_text", text);
        json.WriteEndObject();
    }
}
