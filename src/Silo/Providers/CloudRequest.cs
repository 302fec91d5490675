using Federation.Protocol.OpenAi;

namespace Federation.Silo.Providers;

/// <summary>What a provider is asked: the client's bytes, with as little changed as it takes.</summary>
/// <param name="Route">Whom, and by what name.</param>
/// <param name="Kind">Which of OpenAI's endpoints.</param>
/// <param name="Body">OpenAI's JSON.</param>
/// <param name="Streams">Whether events are asked for.</param>
/// <param name="WithholdsUsage">Only the hub asked for the usage of the stream: the event that holds nothing else is not the client's.</param>
internal sealed record CloudRequest(CloudRoute Route, JobKind Kind, ReadOnlyMemory<byte> Body, bool Streams, bool WithholdsUsage)
{
    /// <summary>The request as this route takes it.</summary>
    /// <param name="route">Whom, and by what name.</param>
    /// <param name="kind">Which of OpenAI's endpoints.</param>
    /// <param name="body">A body that a gateway has taken.</param>
    /// <param name="streams">Whether it asks for events.</param>
    /// <param name="imposedLimit">Tokens that are paid for each answer, where the client named no limit; <see langword="null"/> where it did, or nothing is paid.</param>
    public static CloudRequest Of(CloudRoute route, JobKind kind, ReadOnlyMemory<byte> body, bool streams, long? imposedLimit)
    {
        if (route.Theirs != route.Model) body = JsonSplice.WithText(body, "model"u8, route.Theirs);
        // Not every engine keeps a completion short that has no limit; there the limit has had but one name.
        if (imposedLimit is { } limit && kind is not JobKind.Embedding) body = JsonSplice.With(body, kind is JobKind.Chat ? route.Provider.LimitName : "max_tokens", limit);
        var asked = streams && route.Provider.AsksForUsage && kind is not JobKind.Embedding ? StreamUsage.Ask(body) : new UsageRequest(body, IsAdded: false);
        return new CloudRequest(route, kind, asked.Body, streams, asked.IsAdded);
    }

    /// <summary>The name that the client knows the model by, where the provider's is another.</summary>
    public string? RenamedTo => Route.Theirs != Route.Model ? Route.Model : null;
}
