using System.Text.Json;
using Federation.NodeAgent.Engines.Scoring;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.Ollama;

/// <summary>
/// Probes of Ollama: it renders its own template once, and from then on reads raw text (verification.md §2.4). Needs 0.12.11, the first with
/// log-probabilities.
/// </summary>
internal sealed class OllamaProbes(ProbeCalls calls)
{
    /// <inheritdoc cref="IScoringEngine.ScoreAsync"/>
    public async Task<ScoreAnswer> ScoreAsync(ScoreRequest request, CancellationToken cancellationToken)
    {
        // What another node had said stands before all that this one did.
        var prompt = await RenderAsync(request, cancellationToken).ConfigureAwait(false) + Continuation.TextOf(request.Request);
        return await ProbeScorer.ScoreAsync(request, (prefix, token) => ProbeAsync(request.Model, prompt + prefix, token), cancellationToken).ConfigureAwait(false);
    }

    private async Task<Probe> ProbeAsync(string model, string prompt, CancellationToken cancellationToken)
    {
        using var answer = await calls.PostAsync("/api/generate", json =>
        {
            json.WriteString("model", model);
            json.WriteString("prompt", prompt);
            json.WriteBoolean("raw", true);
            json.WriteBoolean("stream", false);
            json.WriteBoolean("logprobs", true);
            json.WriteNumber("top_logprobs", ProbeScorer.Listed);

            // A prompt too long must be an error, not another prompt.
            json.WriteBoolean("truncate", false);
            json.WriteBoolean("shift", false);
            json.WriteStartObject("options");
            json.WriteNumber("num_predict", 1);
            json.WriteNumber("temperature", 0);
            json.WriteEndObject();
        }, cancellationToken).ConfigureAwait(false);
        var root = answer.RootElement;
        if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("response", out var response) || response.ValueKind != JsonValueKind.String)
        {
            throw new ScoringException("Ollama's answer has no response.");
        }

        JsonElement? places = root.TryGetProperty("logprobs", out var logprobs) ? logprobs : null;
        var stopped = root.TryGetProperty("done_reason", out var reason) && reason.ValueKind == JsonValueKind.String && reason.ValueEquals("stop");
        var probe = ProbeCalls.Read(places, stopped, response.GetString()!);
        return probe.Ends || probe.Top.Length > 0 ? probe : throw new ScoringException("This Ollama gives no log-probabilities; it needs version 0.12.11 or later.");
    }

    /// <summary>The prompt as the model's template makes it. Ollama answers with it instead of writing when asked so.</summary>
    private async Task<string> RenderAsync(ScoreRequest request, CancellationToken cancellationToken)
    {
        var isChat = request.Kind == "chat";
        using var answer = await calls.PostAsync(isChat ? "/api/chat" : "/api/generate", json =>
        {
            json.WriteString("model", request.Model);
            json.WriteBoolean("stream", false);
            json.WriteBoolean("_debug_render_only", true);
            json.WriteBoolean("truncate", false);
            if (isChat) Messages(json, request.Request);
            else json.WriteString("prompt", request.Request.TryGetProperty("prompt", out var prompt) && prompt.ValueKind == JsonValueKind.String ? prompt.GetString() : throw new ScoringException("Only a completion of one text can be probed."));
        }, cancellationToken).ConfigureAwait(false);
        return answer.RootElement.ValueKind == JsonValueKind.Object && answer.RootElement.TryGetProperty("_debug_info", out var debug) && debug.ValueKind == JsonValueKind.Object
            && debug.TryGetProperty("rendered_template", out var rendered) && rendered.ValueKind == JsonValueKind.String
                ? rendered.GetString()!
                : throw new ScoringException("This Ollama does not say how it renders a prompt.");
    }

    /// <summary>OpenAI's messages in Ollama's shape: contents are texts; tools are as they are.</summary>
    private static void Messages(Utf8JsonWriter json, JsonElement body)
    {
        if (!body.TryGetProperty("messages", out var messages) || messages.ValueKind != JsonValueKind.Array) throw new ScoringException("The request has no messages.");
        json.WriteStartArray("messages");
        foreach (var message in messages.EnumerateArray())
        {
            if (message.ValueKind != JsonValueKind.Object || !message.TryGetProperty("role", out var role) || role.ValueKind != JsonValueKind.String) throw new ScoringException("A message has no role.");
            json.WriteStartObject();
            json.WriteString("role", role.GetString());
            json.WriteString("content", Content(message));
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (body.TryGetProperty("tools", out var tools) && tools.ValueKind == JsonValueKind.Array)
        {
            json.WritePropertyName("tools");
            tools.WriteTo(json);
        }
    }

    private static string Content(JsonElement message)
    {
        if (message.TryGetProperty("tool_calls", out _)) throw new ScoringException("A chat with tool calls cannot be probed.");
        if (!message.TryGetProperty("content", out var content) || content.ValueKind == JsonValueKind.Null) return "";
        if (content.ValueKind == JsonValueKind.String) return content.GetString()!;

        // As Ollama's own OpenAI side does with parts, but for several texts, which it makes messages of.
        return content.ValueKind == JsonValueKind.Array && content.GetArrayLength() == 1 && content[0] is { ValueKind: JsonValueKind.Object } part
            && part.TryGetProperty("text", out var text) && text.ValueKind == JsonValueKind.String
                ? text.GetString()!
                : throw new ScoringException("Only messages of one text can be probed.");
    }
}
