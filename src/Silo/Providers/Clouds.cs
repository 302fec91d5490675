using System.Collections.Immutable;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Gateway;
using Federation.Silo.Pricing;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Providers;

/// <summary>What the gateway knows of clouds: who has a model, and how a request gets there.</summary>
internal sealed class Clouds(
    CloudRoutes routes, Settlements settlements, IOptions<PricingOptions> pricing, IOptions<CloudOptions> options, IOptions<GatewayOptions> gateway, TimeProvider time, ILogger<CloudRun> logger)
{
    private readonly LeftAnswers _left = new(options.Value.MaxLeftAnswers, options.Value.MaxLeftAnswersPerAccount);
    private readonly RetryBudget _retries = new(options.Value.RetryShare, options.Value.RetryReserve);

    /// <summary>Whether a request that no node can answer goes to a cloud.</summary>
    public bool Overflow => options.Value.Overflow;

    /// <inheritdoc cref="CloudRoutes.Find(string, JobKind?)"/>
    public ImmutableArray<CloudRoute> Find(string model, JobKind? kind) => routes.Find(model, kind);

    /// <summary>A request on its way there.</summary>
    /// <param name="request">What is asked, by whom.</param>
    /// <param name="to">Who has the model, in the order in which they are asked; at least one.</param>
    /// <param name="payment">What it may cost.</param>
    /// <param name="sink">Where the answer goes.</param>
    /// <param name="reservation">Its place in its account's limits.</param>
    /// <param name="otherwise">What the client hears where it cannot pay for a cloud; <see langword="null"/> for just that.</param>
    public CloudRun Run(InferenceRequest request, ImmutableArray<CloudRoute> to, Payment payment, AnswerSink sink, Reservation reservation, OpenAiError? otherwise)
        => new(request, to, payment, sink, reservation, settlements, _retries, _left, pricing.Value, options.Value, gateway.Value, otherwise, time, logger);
}

/// <summary>Keeps to itself that no node could answer, so that a cloud can; all else reaches the client.</summary>
internal sealed class OverflowSink(AnswerSink client) : ForwardingSink(client)
{
    /// <summary>Why no node answered; <see langword="null"/> where one did, or the client was told something else.</summary>
    public OpenAiError? Unanswered { get; private set; }

    public override ValueTask RefuseAsync(OpenAiError error)
    {
        if (error.Status < 500) return base.RefuseAsync(error);
        Unanswered = error;
        return ValueTask.CompletedTask;
    }
}
