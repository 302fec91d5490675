using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>Sends canaries: the node sees a job like any other, signs its receipt, and is paid.</summary>
internal sealed class CanaryRunner(OwnJobs jobs, Verifiers verifiers, AnswerBuffer answers, CanaryPrompts prompts, IOptions<CanaryOptions> canaries, IOptions<GatewayOptions> gateway)
{
    /// <summary>Requests that are looked at for a shape: some have none.</summary>
    private const int ShapesTried = 8;

    /// <summary>
    /// Has the node answer a canary; <see langword="null"/> when nobody could judge the answer, or the node has no free slot now or did not answer: no
    /// evidence either way.
    /// </summary>
    /// <param name="node">The node.</param>
    /// <param name="model">What it is to answer with; <see langword="null"/>: any model of its own that chats.</param>
    /// <param name="determinismClass">Of several engines that have the model, the one of this class; another where there is none now.</param>
    /// <param name="random">Unpredictable to the node.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public async Task<KeptAnswer?> AskAsync(NodeView node, string? model, string determinismClass, Random random, CancellationToken cancellationToken)
    {
        var choices = (node.Report?.Engines ?? []).SelectMany(engine => engine.Models.Where(candidate => Fits(candidate, model)).Select(candidate => (engine, candidate))).ToArray();
        if (choices.Any(choice => choice.candidate.DeterminismClass == determinismClass)) choices = [.. choices.Where(choice => choice.candidate.DeterminismClass == determinismClass)];
        if (choices.Length == 0) return null;
        var (engine, chosen) = choices[random.Next(choices.Length)];
        // The node is paid for its answer, so one that nobody can judge is not asked for.
        if (!await verifiers.HasForAsync(node, chosen.Name, chosen.Digest, cancellationToken)) return null;
        var canary = Canary.Draw(chosen.Name, ShapeFor(node, chosen.Name, random), prompts.Prompts, canaries.Value, random);
        var isStream = RequestHead.TryRead(canary.Body.Span, canary.Kind, out var head, out _) && head.Stream;
        var lease = new DirectLease(node.NodeId, engine, chosen, $"job_{Guid.CreateVersion7():N}", canary.Kind, canary.Body, isStream, gateway.Value.AnswerTimeout);
        return await jobs.AskAsync(lease, cancellationToken);
    }

    /// <summary>How a request for the model looked lately. Not one of the node's owner: what only he asks he would know again.</summary>
    private RequestShape? ShapeFor(NodeView node, string model, Random random)
    {
        for (var tried = 0; tried < ShapesTried; tried++)
        {
            if (answers.Draw(kept => kept.Outcome.Kind is JobKind.Chat && kept.Outcome.Model == model && kept.Outcome.AccountId != node.AccountId, random) is not { } kept) break;
            if (RequestShape.TryRead(kept.Request.Span, canaries.Value, out var shape)) return shape;
        }
        return null;
    }

    private static bool Fits(ModelReport candidate, string? model)
        => model is null ? candidate.Capabilities.IsEmpty || candidate.Capabilities.Contains(JobKind.Chat.Word()) : candidate.Name == model;
}
