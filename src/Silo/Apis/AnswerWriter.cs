using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis;

/// <summary>
/// Writes an answer in the words of another API. It fills a buffer and does nothing else; when to flush is its caller's business. A stream is <see cref="Begin"/>, pieces, then <see cref="End"/> or
/// <see cref="BreakOff"/>; an answer that is no stream is one <see cref="Whole"/>.
/// </summary>
/// <param name="output">What is filled.</param>
internal abstract class AnswerWriter(IBufferWriter<byte> output)
{
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The content type of a stream.</summary>
    public abstract string StreamType { get; }

    protected IBufferWriter<byte> Output { get; } = output;

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
