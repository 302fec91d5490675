using System.Text.Json;
using Federation.NodeAgent.Engines.Scoring;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>
/// Probes of an OpenAI-compatible server. A chat goes on from the assistant's message so far, which llama-server does by itself and vLLM when
/// told to; a completion from its prompt and the text so far.
/// </summary>
internal sealed class OpenAiProbes(ProbeCalls calls, string openAiPath)
{
    /// <summary>Fields that a probe sets itself, or that would change what the model is compared by.</summary>
    private static readonly HashSet<string> Replaced =
    [
        "model", "messages", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "n", "best_of", "seed", "stop",
        "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty", "repeat_penalty", "repetition_penalty", "logit_bias", "response_format", "tool_choice", "echo",
        "continue_final_message", "add_generation_prompt", Continuation.Field,
    ];

    /// <inheritdoc cref="IScoringEngine.ScoreAsync"/>
    public Task<ScoreAnswer> ScoreAsync(ScoreRequest request, CancellationToken cancellationToken)
    {
        // What another node had said stands before all that this one did.
        var said = Continuation.TextOf(request.Request) ?? "";
        return ProbeScorer.ScoreAsync(request, request.Kind == "chat" ? (prefix, token) => ChatAsync(request, said + prefix, token) : (prefix, token) => CompletionAsync(request, said + prefix, token), cancellationToken);
    }

    private async Task<Probe> ChatAsync(ScoreRequest request, string prefix, CancellationToken cancellationToken)
    {
        using var answer = await calls.PostAsync(openAiPath + "/chat/completions", json =>
        {
            Common(json, request);
            json.WriteBoolean("logprobs", true);
            json.WriteNumber("top_logprobs", ProbeScorer.Listed);
            json.WriteStartArray("messages");
            foreach (var message in Messages(request)) message.WriteTo(json);
            if (prefix.Length > 0)
            {
                json.WriteStartObject();
                json.WriteString("role", "assistant");
                json.WriteString("content", prefix);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            if (prefix.Length > 0)
            {
                json.WriteBoolean("continue_final_message", true);
                json.WriteBoolean("add_generation_prompt", false);
            }
        }, cancellationToken).ConfigureAwait(false);
        var choice = Choice(answer);
        var text = choice.TryGetProperty("message", out var message) && message.ValueKind == JsonValueKind.Object
            && message.TryGetProperty("content", out var content) && content.ValueKind == JsonValueKind.String ? content.GetString()! : "";
        return ProbeCalls.Read(Places(choice), IsStopped(choice), text);
    }

    private async Task<Probe> CompletionAsync(ScoreRequest request, string prefix, CancellationToken cancellationToken)
    {
        if (!request.Request.TryGetProperty("prompt", out var prompt) || prompt.ValueKind != JsonValueKind.String)
        {
            throw new ScoringException("Only a completion of one text can be probed.");
        }

        using var answer = await calls.PostAsync(openAiPath + "/completions", json =>
        {
            Common(json, request);
            json.WriteNumber("logprobs", ProbeScorer.Listed);
            json.WriteString("prompt", prompt.GetString() + prefix);
        }, cancellationToken).ConfigureAwait(false);
        var choice = Choice(answer);
        var text = choice.TryGetProperty("text", out var written) && written.ValueKind == JsonValueKind.String ? written.GetString()! : "";
        if (Places(choice) is { } places) return ProbeCalls.Read(places, IsStopped(choice), text);

        // The older shape: one object of texts for each place, without bytes.
        var ends = IsStopped(choice) && text.Length == 0;
        return choice.TryGetProperty("logprobs", out var logprobs) && logprobs.ValueKind == JsonValueKind.Object
            && logprobs.TryGetProperty("top_logprobs", out var tops) && tops.ValueKind == JsonValueKind.Array && tops.GetArrayLength() > 0 && tops[0].ValueKind == JsonValueKind.Object
                ? new Probe(ends, [.. tops[0].EnumerateObject().Where(top => top.Value.ValueKind == JsonValueKind.Number).Select(top => ProbeCalls.Token(top.Name, null, top.Value.GetDouble()))])
                : new Probe(ends, []);
    }

    private static void Common(Utf8JsonWriter json, ScoreRequest request)
    {
        foreach (var field in request.Request.EnumerateObject())
        {
            if (!Replaced.Contains(field.Name)) field.WriteTo(json);
        }

        json.WriteString("model", request.Model);
        json.WriteNumber("max_tokens", 1);
        json.WriteNumber("temperature", 0);
        json.WriteBoolean("stream", false);
    }

    private static JsonElement.ArrayEnumerator Messages(ScoreRequest request)
    {
        if (!request.Request.TryGetProperty("messages", out var messages) || messages.ValueKind != JsonValueKind.Array || messages.GetArrayLength() == 0)
        {
            throw new ScoringException("The request has no messages.");
        }

        return messages[messages.GetArrayLength() - 1] is { ValueKind: JsonValueKind.Object } last && last.TryGetProperty("role", out var role)
            && role.ValueKind == JsonValueKind.String && role.ValueEquals("assistant")
                ? throw new ScoringException("A chat that goes on from the assistant's own message cannot be probed: engines differ in what they make of it.")
                : messages.EnumerateArray();
    }

    private static JsonElement Choice(JsonDocument answer) =>
        answer.RootElement.ValueKind == JsonValueKind.Object && answer.RootElement.TryGetProperty("choices", out var choices)
        && choices.ValueKind == JsonValueKind.Array && choices.GetArrayLength() > 0 && choices[0].ValueKind == JsonValueKind.Object
            ? choices[0]
            : throw new ScoringException("The engine's answer has no choices.");

    private static JsonElement? Places(JsonElement choice) =>
        choice.TryGetProperty("logprobs", out var logprobs) && logprobs.ValueKind == JsonValueKind.Object && logprobs.TryGetProperty("content", out var places) ? places : null;

    private static bool IsStopped(JsonElement choice) =>
        choice.TryGetProperty("finish_reason", out var reason) && reason.ValueKind == JsonValueKind.String && reason.ValueEquals("stop");
}
