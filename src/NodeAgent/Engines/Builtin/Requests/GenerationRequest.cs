using System.Collections.Immutable;
using Federation.NodeAgent.Engines.Builtin.Sampling;
using Federation.NodeAgent.Engines.Builtin.Text;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.Builtin.Requests;

/// <summary>What a chat or completion request asks for, read and checked, not yet tokenised.</summary>
internal sealed record GenerationRequest
{
    public required JobKind Kind { get; init; }

    /// <summary>Of a chat; the last may be the beginning of the assistant's answer, see <see cref="ContinuesLastMessage"/>.</summary>
    public ImmutableArray<ChatMessage> Messages { get; init; } = [];

    /// <summary>The last message is the assistant's and is to be gone on with (<c>continue_final_message</c>).</summary>
    public bool ContinuesLastMessage { get; init; }

    /// <summary>What was said of the one answer already, elsewhere, in the pieces in which it was streamed (<see cref="Continuation"/>); empty: nothing.</summary>
    public ImmutableArray<string> Said { get; init; } = [];

    /// <summary>Of a completion.</summary>
    public ImmutableArray<TextPrompt> Prompts { get; init; } = [];

    /// <summary>Answers per prompt.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>Null: until the model ends or the context is full.</summary>
    public int? TokensMax { get; init; }

    public required SamplingSettings Sampling { get; init; }

    /// <summary>Null: another one each time.</summary>
    public long? Seed { get; init; }

    public ImmutableArray<byte[]> Stops { get; init; } = [];

    public bool WantsLogprobs { get; init; }

    /// <summary>Likeliest tokens told at each place.</summary>
    public int TopLogprobs { get; init; }

    public bool Stream { get; init; }

    /// <summary>The stream ends with a chunk of usage.</summary>
    public bool IncludeUsage { get; init; }
}

/// <summary>A completion's prompt: a text, or tokens.</summary>
internal readonly record struct TextPrompt(string? Text, ImmutableArray<int> Tokens);
