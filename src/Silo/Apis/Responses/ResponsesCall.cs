using System.Text.Json;

namespace Federation.Silo.Apis.Responses;

/// <summary>A request of OpenAI's Responses API in the words of its chats.</summary>
/// <param name="Model">What is asked.</param>
/// <param name="Stream">Whether events are to come as the answer does.</param>
/// <param name="Store">Whether the answer is to be kept.</param>
/// <param name="Body">OpenAI's JSON of a chat.</param>
/// <param name="Conversation">The messages of it without instructions, a JSON array: what the next request goes on from.</param>
/// <param name="Request">The client's own object, of which a response repeats the settings. Lives as long as its document.</param>
internal sealed record ResponsesCall(string Model, bool Stream, bool Store, ReadOnlyMemory<byte> Body, ReadOnlyMemory<byte> Conversation, JsonElement Request);
