using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis;

/// <summary>
/// Writes an answer in the words of another API. It fills a buffer and does nothing else; when to flush is its caller's business. A stream is <see cref="Begin"/>, pieces, then <see cref="End"/> or
/// <see cref="BreakOff"/>, which may also come alone, and <see cref="TryNote"/> before and between them; an answer that is no stream is one <see cref="Whole"/>.
/// </summary>
/// <param name="output">What is filled.</param>
internal abstract class AnswerWriter(IBufferWriter<byte> output)
{
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The content type of a stream.</summary>
    public abstract string StreamType { get; }

    protected IBufferWriter<byte> Output { get; } = output;

    /// <summary>A word to the client of a stream that waits: for it to begin, or to go on.</summary>
    /// <param name="words">One line.</param>
    /// <returns><see langword="false"/> where the API has no place for it: nothing is written.</returns>
    public virtual bool TryNote(string words) => false;

    public abstract void Begin(AnswerHead head);

    public abstract void Take(ChatPiece piece);

    public abstract void End();

    /// <summary>There is no more of a stream that has begun.</summary>
    public abstract void BreakOff(OpenAiError error);

    public abstract void Whole(AnswerHead head, ChatAnswer answer);

    /// <summary>Writes one JSON object.</summary>
    protected void WriteObject(Action<Utf8JsonWriter> members)
    {
        using var json = new Utf8JsonWriter(Output, Relaxed);
        json.WriteStartObject();
        members(json);
        json.WriteEndObject();
    }

    /// <summary>Writes a comment of an event stream, which the standard has clients pass over.</summary>
    protected void WriteComment(string words)
    {
        Output.Write(": "u8);
        Output.Write(System.Text.Encoding.UTF8.GetBytes(words));
        Output.Write("\n\n"u8);
    }

    /// <summary>Writes one server-sent event, whose data repeats its name as <c>type</c>.</summary>
    protected void WriteEvent(string name, Action<Utf8JsonWriter> members)
    {
        Output.Write("event: "u8);
        Output.Write(System.Text.Encoding.ASCII.GetBytes(name));
        Output.Write("\ndata: "u8);
        WriteObject(json =>
        {
            json.WriteString("type", name);
            members(json);
        });
        Output.Write("\n\n"u8);
    }
}
