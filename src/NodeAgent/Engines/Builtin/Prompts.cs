using Federation.NodeAgent.Engines.Builtin.Requests;
using Federation.NodeAgent.Engines.Builtin.Text;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>Makes tokens of what a request says.</summary>
internal static class Prompts
{
    /// <summary>The prompts of a request, one for a chat, each with room in the context for at least one token of an answer.</summary>
    /// <exception cref="OpenAiErrorException">The model does not chat, knows no such role or token, or the prompt is too long.</exception>
    public static List<int[]> Encode(LoadedModel model, GenerationRequest request)
    {
        List<int[]> prompts = request.Kind == JobKind.Chat ? [Chat(model, request)] : [.. request.Prompts.Select(prompt => Completion(model, prompt))];
        if (request.Said.IsEmpty)
        {
            return prompts;
        }

        // Each piece is a token or more, and so many bytes as there are make at least so many: what is far too long is not worth cutting up.
        var least = Math.Max(request.Said.Length, request.Said.Sum(piece => (long)piece.Length) / model.Tokenizer.LongestToken);
        RequireRoom(model, prompts[0].Length + least, Continuation.Field);
        int[] whole = [.. prompts[0], .. Said(model, request)];
        RequireRoom(model, whole.Length, Continuation.Field);
        return [whole];
    }

    /// <summary>
    /// The tokens of what was said already: each piece by itself, and behind the prompt's, for so the model wrote them. The text as a whole could be cut otherwise, and the model would not go on as it had.
    /// </summary>
    public static IEnumerable<int> Said(LoadedModel model, GenerationRequest request) => request.Said.SelectMany(piece => model.Tokenizer.EncodeText(piece));

    private static int[] Chat(LoadedModel model, GenerationRequest request)
    {
        if (model.Template is not { } template)
        {
            throw new OpenAiErrorException(OpenAiError.Invalid(
                $"The model {model.Card.Name} has no chat template that the builtin engine understands; use /v1/completions.", "model"));
        }

        var messages = request.ContinuesLastMessage ? request.Messages[..^1] : request.Messages;
        if (!template.TryRender(messages, out var parts, out var unwritten))
        {
            throw new OpenAiErrorException(OpenAiError.Invalid(
                $"The model's chat template has no place for the role \"{messages[unwritten].Role}\".", $"messages[{unwritten}].role", "invalid_value"));
        }

        return Encode(model, request.ContinuesLastMessage ? [.. parts, new PromptPart(request.Messages[^1].Content, IsTemplate: false)] : parts, "messages");
    }

    private static int[] Completion(LoadedModel model, TextPrompt prompt)
    {
        if (prompt.Text is { } text)
        {
            return Encode(model, [new PromptPart(text, IsTemplate: false)], "prompt");
        }

        var unknown = prompt.Tokens.FirstOrDefault(token => token >= model.Tokenizer.Count, -1);
        if (unknown >= 0)
        {
            throw new OpenAiErrorException(OpenAiError.Invalid(
                $"There is no token {unknown}; the model has {model.Tokenizer.Count}.", "prompt", "invalid_value"));
        }

        RequireRoom(model, prompt.Tokens.Length, "prompt");
        return [.. prompt.Tokens];
    }

    private static int[] Encode(LoadedModel model, IReadOnlyList<PromptPart> parts, string param)
    {
        // A text far too long is not worth cutting into tokens: it makes at least this many.
        var bytes = parts.Where(part => !part.IsTemplate).Sum(part => (long)System.Text.Encoding.UTF8.GetByteCount(part.Text));
        RequireRoom(model, bytes / model.Tokenizer.LongestToken, param);
        var tokens = model.Tokenizer.Encode(parts);
        if (tokens.Count == 0)
        {
            throw new OpenAiErrorException(OpenAiError.Invalid("The prompt is empty; the model has nothing to go on from.", param));
        }

        RequireRoom(model, tokens.Count, param);
        return [.. tokens];
    }

    private static void RequireRoom(LoadedModel model, long tokens, string param)
    {
        if (tokens >= model.Card.ContextTokens)
        {
            throw new OpenAiErrorException(OpenAiError.Invalid(
                $"This model's maximum context length is {model.Card.ContextTokens} tokens, and at least one of them is the answer's. "
                + $"Your {param} resulted in {tokens} tokens or more. Please shorten it.",
                param,
                "context_length_exceeded"));
        }
    }
}
