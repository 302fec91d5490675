using System.Diagnostics.CodeAnalysis;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>Sends canaries: the node sees a job like any other, signs its receipt, and is paid.</summary>
internal sealed class CanaryRunner(OwnJobs jobs, Verifiers verifiers, AnswerBuffer answers, CanaryPrompts prompts, IOptions<CanaryOptions> canaries, IOptions<GatewayOptions> gateway)
{
    /// <summary>Accounts whose requests are looked at for a shape, and how many of each: some have none.</summary>
    private const int ShapeAccountsMax = 64;
    private const int ShapesOfEach = 4;

    /// <summary>Longest request that is looked at for a shape, bytes a character: JSON may take six for one.</summary>
    private const long BytesPerCharacterMax = 8;

    /// <summary>
    /// Has the node answer a canary; <see langword="null"/> when nobody could judge the answer, or the node has no free slot now or did not answer: no
    /// evidence either way.
    /// </summary>
    /// <param name="node">The node.</param>
    /// <param name="kind">What it is asked: evidence of one kind says nothing about another.</param>
    /// <param name="model">What it is to answer with; <see langword="null"/>: any model of its own that can.</param>
    /// <param name="determinismClass">Of several engines that have the model, the one of this class; another where there is none now.</param>
    /// <param name="random">Unpredictable to the node.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public async Task<KeptAnswer?> AskAsync(NodeView node, JobKind kind, string? model, string determinismClass, Random random, CancellationToken cancellationToken)
    {
        var choices = (node.Report?.Engines ?? []).SelectMany(engine => engine.Models.Where(candidate => Fits(candidate, kind, model)).Select(candidate => (engine, candidate))).ToArray();
        bool IsOfClass((EngineReport, ModelReport Candidate) choice) => DeterminismClass.ForKind(choice.Candidate.DeterminismClass, kind) == determinismClass;
        if (choices.Any(IsOfClass)) choices = [.. choices.Where(IsOfClass)];
        if (choices.Length == 0) return null;
        var (engine, chosen) = choices[random.Next(choices.Length)];
        // The node is paid for its answer, so one that nobody can judge is not asked for.
        if (!await verifiers.HasForAsync(node, chosen.Name, chosen.Digest, cancellationToken)) return null;
        var canary = kind is JobKind.Embedding
            ? Canary.DrawEmbedding(chosen.Name, CommonShapes.Draw(Asked<EmbeddingShape>(node, kind, chosen.Name, EmbeddingShape.TryRead, random), canaries.Value, random), random)
            : Canary.Draw(chosen.Name, CommonShapes.Draw(Asked<RequestShape>(node, kind, null, RequestShape.TryRead, random), canaries.Value, random), prompts.Prompts, canaries.Value, random);
        var isStream = RequestHead.TryRead(canary.Body.Span, canary.Kind, out var head, out _) && head.Stream;
        var lease = new DirectLease(node.NodeId, engine, chosen, $"job_{Guid.CreateVersion7():N}", canary.Kind, canary.Body, isStream, gateway.Value.AnswerTimeout);
        return await jobs.AskAsync(lease, cancellationToken);
    }

    /// <summary>How requests looked lately, and who asked. None of the node's owner: what only he asks he would know again.</summary>
    /// <param name="node">Who is to answer.</param>
    /// <param name="kind">Chats or embeddings.</param>
    /// <param name="model">For this model, where its own figures are among a request's; else of whatever model: few ask for one of the rarer.</param>
    /// <param name="read">Makes a shape of a request.</param>
    /// <param name="random">Unpredictable to the node.</param>
    private List<(string AccountId, T Shape)> Asked<T>(NodeView node, JobKind kind, string? model, ReadShape<T> read, Random random)
        where T : class
    {
        var asked = new List<(string, T)>();
        foreach (var kept in answers.Draw(IsAnothers, ShapesOfEach, ShapeAccountsMax, random))
        {
            if (read(kept.Request.Span, canaries.Value, out var shape)) asked.Add((kept.Outcome.AccountId, shape));
        }
        return asked;

        bool IsAnothers(KeptAnswer kept) => kept.Outcome.Kind == kind && (model is null || kept.Outcome.Model == model) && kept.Outcome.AccountId != node.AccountId
            && kept.Request.Length <= BytesPerCharacterMax * canaries.Value.MaxPromptCharacters;
    }

    /// <summary>What a node can be asked to show that it computes: a chat, or a vector where it has no model that chats.</summary>
    public static JobKind KindFor(NodeView node)
        => (node.Report?.Engines ?? []).SelectMany(engine => engine.Models).Any(model => Fits(model, JobKind.Chat, null)) ? JobKind.Chat : JobKind.Embedding;

    private static bool Fits(ModelReport candidate, JobKind kind, string? model)
        => model is null ? (kind is JobKind.Chat && candidate.Capabilities.IsEmpty) || candidate.Capabilities.Contains(kind.Word()) : candidate.Name == model;

    private delegate bool ReadShape<T>(ReadOnlySpan<byte> body, CanaryOptions options, [NotNullWhen(true)] out T? shape)
        where T : class;
}
