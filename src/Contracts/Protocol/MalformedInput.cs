using System.Formats.Cbor;
using System.Text.Json;

namespace Federation.Protocol;

/// <summary>What the framework's readers throw of bytes that a peer got wrong, for filters of <see langword="catch"/>.</summary>
public static class MalformedInput
{
    /// <summary>
    /// No JSON (<see cref="JsonException"/>), or JSON with a text that is none: for an escaped half of a surrogate pair, readers and elements throw <see cref="InvalidOperationException"/>, and not before somebody asks for the text.
    /// </summary>
    public static bool IsBadJson(this Exception exception) => exception is JsonException or InvalidOperationException;

    /// <summary>No CBOR (<see cref="CborContentException"/>), another type than was asked for (<see cref="InvalidOperationException"/>), or a number beyond the one asked for (<see cref="OverflowException"/>).</summary>
    public static bool IsBadCbor(this Exception exception) => exception is CborContentException or InvalidOperationException or OverflowException;
}
