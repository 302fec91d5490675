namespace Federation.Silo.Gateway;

/// <summary>What a request needs that not every engine has.</summary>
[Flags]
internal enum RequestNeeds
{
    None = 0,

    /// <summary><c>tools</c> or <c>functions</c> with something in it.</summary>
    Tools = 1,

    /// <summary>A message with an image.</summary>
    Vision = 2,

    /// <summary>A message with sound.</summary>
    Audio = 4,

    /// <summary><c>response_format</c> other than text.</summary>
    Json = 8,

    /// <summary>Log-probabilities.</summary>
    Logprobs = 16,

    /// <summary><c>n</c> above 1.</summary>
    Choices = 32,
}

/// <summary>Holds what a request needs against what its model's nodes say they cannot do. What no node says anything of is let through: the engine knows best.</summary>
internal static class UnmetNeeds
{
    /// <summary>
    /// Words in a model's capabilities: the engine lacks this. Of many nodes' words, one of these counts only where every node says it, see <see cref="Hubs.HubGrain"/>.
    /// </summary>
    public const string LackPrefix = "no_";

    private static readonly (RequestNeeds Need, string Lack, string Param)[] Known =
    [
        (RequestNeeds.Tools, "no_tools", "tools"),
        (RequestNeeds.Vision, "no_vision", "messages"),
        (RequestNeeds.Audio, "no_audio", "messages"),
        (RequestNeeds.Json, "no_json", "response_format"),
        (RequestNeeds.Logprobs, "no_logprobs", "logprobs"),
        (RequestNeeds.Choices, "no_choices", "n"),
    ];

    /// <summary>What a model can do, in words for its client.</summary>
    public static string Words(IEnumerable<string> capabilities) => string.Join(", ", capabilities.Where(word => !word.StartsWith(LackPrefix, StringComparison.Ordinal)));

    /// <summary>The parameter that cannot be honoured; null where nothing speaks against the request.</summary>
    /// <param name="head">What is asked.</param>
    /// <param name="capabilities">Of the model.</param>
    public static OpenAiError? Find(RequestHead head, IReadOnlyCollection<string> capabilities)
    {
        if (head.Needs is RequestNeeds.None) return null;
        foreach (var (need, lack, param) in Known)
        {
            if (!head.Needs.HasFlag(need) || !capabilities.Contains(lack)) continue;
            return need is RequestNeeds.Vision or RequestNeeds.Audio
                ? OpenAiError.BadRequest($"Invalid content type. {(need is RequestNeeds.Vision ? "image_url" : "input_audio")} is not supported with the model '{ParameterErrors.Echo(head.Model)}'.", param, "unsupported_content_type")
                : ParameterErrors.UnsupportedByModel(param, head.Model);
        }
        return null;
    }
}
