using System.Collections.Immutable;

namespace Federation.Silo.Apis.Anthropic;

/// <summary>A request of Anthropic's API in OpenAI's words.</summary>
/// <param name="Model">What is asked.</param>
/// <param name="Stream">Whether events are to come as the answer does.</param>
/// <param name="ShowsThoughts">The client asked for thinking, and understands blocks of it.</param>
/// <param name="Stops">Texts that end the answer.</param>
/// <param name="Body">OpenAI's JSON of a chat.</param>
internal sealed record AnthropicCall(string Model, bool Stream, bool ShowsThoughts, ImmutableArray<string> Stops, ReadOnlyMemory<byte> Body);
